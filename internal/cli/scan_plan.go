package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/source"
)

// plan prints what the description says of the API, or draws it; nothing is
// sent but to fetch the description.
func (s *scanning) plan(c *cobra.Command) error {
	o := &s.o
	if s.file != "" {
		fromFile, err := scan.LoadOptions(s.file)
		if err != nil {
			return err
		}
		if o.Spec != "" {
			fromFile.Spec = o.Spec
		}
		if o.Target != "" {
			fromFile.Target = o.Target
		}
		o = fromFile
	}
	if err := s.way(o); err != nil {
		return err
	}
	if o.Spec == "" && o.Target == "" {
		return usagef("--spec or --target must be given: what describes the API, or where is it?")
	}
	draw := (*graph.Graph).SVG
	switch ext := strings.ToLower(filepath.Ext(s.graphFile)); {
	case s.graphFile == "" || ext == ".svg":
	case ext == ".dot" || ext == ".gv":
		draw = (*graph.Graph).DOT
	default:
		return usagef("--graph %s: the file's name should end in .svg or .dot", s.graphFile)
	}
	o.Version = buildInfo().Version
	if s.maxTime > 0 {
		o.Limits.MaxTime = s.maxTime
	}
	res, g, err := scan.Understand(c.Context(), o)
	if err != nil {
		var none *source.NotFoundError
		if s.verbose && errors.As(err, &none) {
			tellProbes(c.ErrOrStderr(), none.Probed)
		}
		if c.Context().Err() != nil || errors.Is(err, scan.ErrTarget) {
			return err
		}
		return usagef("%v", err) // 1 would say that there are findings
	}
	told := c.ErrOrStderr()
	if s.verbose {
		tellProbes(told, res.Probed)
	}
	tellSource(told, res, s.verbose)
	if s.graphFile != "" {
		var b bytes.Buffer
		if err := draw(g, &b); err != nil {
			return fmt.Errorf("drawing the graph: %w", err)
		}
		if err := os.WriteFile(s.graphFile, b.Bytes(), 0o644); err != nil { //nolint:gosec // a drawing for people
			return fmt.Errorf("writing the graph: %w", err)
		}
		_, _ = fmt.Fprintf(told, "wrote %s\n", s.graphFile)
	}
	if s.planOnly {
		return g.Plan(c.OutOrStdout())
	}
	return nil
}

// shownRepairs is how many repairs are told without --verbose.
const shownRepairs = 10

func tellSource(w io.Writer, res *source.Result, all bool) {
	if len(res.Probed) > 1 {
		_, _ = fmt.Fprintf(w, "found %s, after %d addresses\n", res.From, len(res.Probed))
	}
	for _, other := range res.Others {
		_, _ = fmt.Fprintf(w, "there is another description: %s\n", other)
	}
	if len(res.Origins) > 0 {
		_, _ = fmt.Fprintf(w, "its calls went to %s\n", strings.Join(res.Origins, ", "))
	}
	list := res.Repairs
	if len(list) > 0 {
		_, _ = fmt.Fprintf(w, "%d repairs of the description:\n", len(list))
	}
	if !all {
		list = list[:min(len(list), shownRepairs)]
	}
	for _, r := range list {
		_, _ = fmt.Fprintf(w, "  %s\n", r)
	}
	if n := len(res.Repairs) - len(list); n > 0 {
		_, _ = fmt.Fprintf(w, "  and %d more: --verbose tells them\n", n)
	}
}

func tellProbes(w io.Writer, probed []source.Probe) {
	for _, p := range probed {
		_, _ = fmt.Fprintf(w, "  %3d  %s  %s\n", p.Status, p.URL, p.Found)
	}
}
