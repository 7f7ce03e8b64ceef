package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/report"
)

// outputs are the files that a run's result is written to.
type outputs struct {
	json, sarif, junit, markdown, html, har, wfc, regressions string
}

func (o *outputs) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.json, "json", "", "write the report as JSON to a `file` (- for standard output)")
	f.StringVar(&o.sarif, "sarif", "", "write SARIF 2.1.0 to a `file`, for code scanning")
	f.StringVar(&o.junit, "junit", "", "write JUnit XML to a `file`, for a pipeline's test results")
	f.StringVar(&o.markdown, "markdown", "", "write Markdown to a `file`, for a comment on a pull request")
	f.StringVar(&o.html, "html", "", "write one page to a `file` that holds everything and needs no network")
	f.StringVar(&o.har, "har", "", "write the exchanges of the proofs to a `file`, as an HTTP Archive")
	f.StringVar(&o.wfc, "wfc", "", "write a Web Fuzzing Commons report to a `file`")
	f.StringVar(&o.regressions, "regressions", "", "write a file for each finding into a `directory`; crenel scan verify proves them again")
}

// standard reports whether one of them goes to standard output.
func (o *outputs) standard() bool {
	return slices.Contains([]string{o.json, o.sarif, o.junit, o.markdown, o.html, o.har, o.wfc}, "-")
}

// ready says which file could not be written at the end: before anything is sent, for
// what a run has found must not be lost for want of a folder.
func (o *outputs) ready() error {
	for _, out := range []struct{ flag, file string }{{"json", o.json}, {"sarif", o.sarif}, {"junit", o.junit}, {"markdown", o.markdown}, {"html", o.html}, {"har", o.har}, {"wfc", o.wfc}} {
		if out.file == "" || out.file == "-" {
			continue
		}
		f, err := scan.OpenPrivate(out.file, os.O_CREATE|os.O_WRONLY) // not truncated: an earlier report stays until there is a new one
		if err != nil {
			return usagef("--%s: the report could not be written: %v", out.flag, err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("--%s: %w", out.flag, err)
		}
	}
	return nil
}

// write writes every form that was asked for. One that fails does not keep the
// others from being written.
func (o *outputs) write(stdout io.Writer, res *scan.Result, counted []*finding.Finding) error {
	var wrong []error
	if o.regressions != "" {
		// First: the reports name the files.
		if _, err := scan.WriteRegressions(o.regressions, res); err != nil {
			wrong = append(wrong, err)
		}
	}
	r := res.Report
	root, err := os.Getwd()
	if err != nil {
		root = ""
	}
	for _, form := range []struct {
		file  string
		write func(w io.Writer) error
	}{
		{o.json, func(w io.Writer) error { return encode(w, r) }},
		{o.sarif, func(w io.Writer) error { return report.SARIF(w, r, root) }},
		{o.junit, func(w io.Writer) error { return report.JUnit(w, r, counted) }},
		{o.markdown, func(w io.Writer) error { return report.Markdown(w, r, counted) }},
		{o.html, func(w io.Writer) error { return report.HTML(w, r, res.Graph) }},
		{o.har, func(w io.Writer) error { return report.HAR(w, r) }},
		{o.wfc, func(w io.Writer) error { return report.WFC(w, r) }},
	} {
		if form.file == "" {
			continue
		}
		if err := into(form.file, stdout, form.write); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// into writes to a file that only its owner reads (a report shows how to break
// in), or to standard output for "-".
func into(file string, stdout io.Writer, write func(w io.Writer) error) (err error) {
	if file == "-" {
		return write(stdout)
	}
	f, err := scan.OpenPrivate(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// threshold is which findings make a run fail.
type threshold struct {
	never, fresh bool
	least        finding.Severity
}

// parseThreshold reads --fail-on: a severity, "new", both with a comma, or "never".
func parseThreshold(text string, baseline bool) (threshold, error) {
	t := threshold{least: finding.Info}
	for part := range strings.SplitSeq(text, ",") {
		switch part = strings.ToLower(strings.TrimSpace(part)); part {
		case "never":
			t.never = true
		case "new":
			t.fresh = true
		default:
			s, err := finding.ParseSeverity(part)
			if err != nil {
				return t, usagef("--fail-on %q: want info, low, medium, high, critical, new (with --baseline), or never; new,high for what is both", text)
			}
			t.least = s
		}
	}
	if t.fresh && !baseline {
		return t, usagef("--fail-on new: new since when? Give --baseline, a JSON report of an earlier run")
	}
	return t, nil
}

// counted are the findings that make a run fail.
func (t threshold) counted(r *scan.Report) []*finding.Finding {
	if t.never {
		return nil
	}
	return r.Counted(t.least, t.fresh)
}
