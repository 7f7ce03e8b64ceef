package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	checks "github.com/crenel-project/crenel/internal/scan/check"
)

// exitTarget is the code for a target that cannot be tested.
const exitTarget = 3

// errFindings says that there are findings of the severity asked for.
var errFindings = fmt.Errorf("findings: %w", errReported)

// scanning is the flags of crenel scan.
type scanning struct {
	file                  string
	o                     scan.Options
	safe, aggressive      bool
	json, failOn          string
	listChecks            bool
	planOnly              bool
	graphFile             string
	maxTime               time.Duration
	verbose               bool
	only, skip, paths, no []string
}

func newScan() *cobra.Command {
	s := &scanning{}
	c := &cobra.Command{
		Use:   "scan",
		Short: "Test an API as an attacker with several accounts would, and prove every hole",
		Args:  cobra.NoArgs,
		Example: examples(
			"crenel scan --spec openapi.yaml --target http://127.0.0.1:9000",
			"crenel scan -c scan.yaml --fail-on high --json report.json",
			"crenel scan --plan --spec openapi.yaml --graph api.svg   # what it would work with; nothing is sent",
			"crenel scan --list-checks",
		),
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c) },
	}
	f := c.Flags()
	f.StringVarP(&s.file, "config", "c", "", "options in a `file` (scan.yaml); flags override it")
	f.StringVar(&s.o.Spec, "spec", "", "the API's description: a `file` or address")
	f.StringVar(&s.o.Target, "target", "", "where the API is: `address` with its base path")
	f.BoolVar(&s.safe, "safe", false, "reads, and changes only of what the run made itself")
	f.BoolVar(&s.aggressive, "aggressive", false, "also bursts, large inputs and what may hurt")
	f.StringSliceVar(&s.only, "check", nil, "run only these `checks`")
	f.StringSliceVar(&s.skip, "skip", nil, "leave these `checks` out")
	f.StringSliceVar(&s.paths, "path", nil, "attack only these operations: `templates`, * for anything")
	f.StringSliceVar(&s.no, "leave", nil, "never call these operations: `templates`, such as 'DELETE /users/*'")
	f.Int64Var(&s.o.Limits.MaxRequests, "max-requests", 0, "send at most `N` requests")
	f.DurationVar(&s.maxTime, "max-time", 0, "take at most this `time`, such as 10m")
	f.Float64Var(&s.o.Limits.Rate, "rate", 0, "send at most `N` requests a second")
	f.Uint64Var(&s.o.Seed, "seed", 0, "draw values by this `number`: the same seed makes the same calls")
	f.StringVar(&s.json, "json", "", "write the report as JSON to a `file` (- for standard output)")
	f.StringVar(&s.failOn, "fail-on", "low", "exit with 1 when there are findings of this `severity` or graver; never: do not")
	f.BoolVar(&s.listChecks, "list-checks", false, "print what is looked for, and exit")
	f.BoolVar(&s.planOnly, "plan", false, "print what the description says of the API: resources, who makes and who takes which value, purposes; and exit")
	f.StringVar(&s.graphFile, "graph", "", "draw that into a `file` (.svg or .dot), and exit")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "tell of each hypothesis and why it was not proven")
	c.MarkFlagsMutuallyExclusive("safe", "aggressive")
	c.AddCommand(newScanDoctor())
	return c
}

func (s *scanning) run(c *cobra.Command) error {
	if s.listChecks {
		return listChecks(c.OutOrStdout())
	}
	if s.planOnly || s.graphFile != "" {
		return s.plan(c)
	}
	o, err := s.options(c)
	if err != nil {
		return err
	}
	least := finding.Info
	if s.failOn != "never" {
		if least, err = finding.ParseSeverity(s.failOn); err != nil {
			return usagef("--fail-on: %v", err)
		}
	}
	out := c.ErrOrStderr()
	res, err := scan.Run(c.Context(), o, scan.Events{
		Phase: func(name string) { _, _ = fmt.Fprintf(out, "%s …\n", name) },
		Found: func(f *finding.Finding) {
			_, _ = fmt.Fprintf(out, "  %-8s %s\n", f.Severity, f.Title)
		},
	})
	if err != nil && res == nil {
		if errors.Is(err, scan.ErrTarget) {
			return err
		}
		return usagef("%v", err) // nothing was sent: 1 would say that there are findings
	}
	if s.json != "" {
		if werr := writeJSON(s.json, c.OutOrStdout(), res.Report); werr != nil {
			return werr
		}
	}
	summary(out, res.Report)
	if err != nil {
		return err
	}
	if s.failOn != "never" && len(res.Report.Counted(least, false)) > 0 {
		return errFindings
	}
	return nil
}

// options are the file's, with the flags over them.
func (s *scanning) options(c *cobra.Command) (*scan.Options, error) {
	o := &s.o
	if s.file != "" {
		fromFile, err := scan.LoadOptions(s.file)
		if err != nil {
			return nil, usagef("%v", err)
		}
		flags := s.o
		o = fromFile
		if flags.Spec != "" {
			o.Spec = flags.Spec
		}
		if flags.Target != "" {
			o.Target = flags.Target
		}
		if c.Flags().Changed("max-requests") {
			o.Limits.MaxRequests = flags.Limits.MaxRequests
		}
		if c.Flags().Changed("rate") {
			o.Limits.Rate = flags.Limits.Rate
		}
		if c.Flags().Changed("seed") {
			o.Seed = flags.Seed
		}
	}
	if s.maxTime > 0 {
		o.Limits.MaxTime = s.maxTime
	}
	switch {
	case s.safe:
		o.Mode = "safe"
	case s.aggressive:
		o.Mode = "aggressive"
	}
	o.Checks = append(o.Checks, s.only...)
	o.Skip = append(o.Skip, s.skip...)
	o.Paths = append(o.Paths, s.paths...)
	o.Leave = append(o.Leave, s.no...)
	o.Version = buildInfo().Version
	if s.verbose {
		o.Log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if err := o.Check(); err != nil {
		return nil, usagef("%v", err)
	}
	return o, nil
}

func listChecks(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "CHECK\tOWASP\tCWE\tWSTG\tSEVERITY\tMODE\tWHAT")
	for _, c := range checks.All() {
		_, severity, err := finding.Rate(c.CVSS)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.OWASP, c.CWE, c.WSTG, severity, c.Mode, c.Title)
	}
	return t.Flush()
}

func writeJSON(file string, stdout io.Writer, v any) (err error) {
	w := stdout
	if file != "-" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = f
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func summary(w io.Writer, r *scan.Report) {
	_, _ = fmt.Fprintf(w, "\n%d findings; %d of %d operations reached; %d requests in %.1f s\n", len(r.Findings), r.Stats.Reached, r.Stats.Operations, r.Stats.Requests, r.Stats.Seconds)
	for _, p := range r.Problems {
		_, _ = fmt.Fprintf(w, "! %s %s\n  %s\n", p.Who, p.What, p.Advice)
	}
	if r.Ended != "" {
		_, _ = fmt.Fprintf(w, "ended early: %s\n", r.Ended)
	}
}
