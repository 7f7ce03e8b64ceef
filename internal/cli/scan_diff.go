package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
)

// newScanDiff is crenel scan diff.
func newScanDiff() *cobra.Command {
	asJSON, failOn := false, "low"
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what changed between two JSON reports: new holes, gone ones, operations no longer reached",
		Long: `Compares two reports that crenel scan --json wrote. What the new run does not
have is gone only if it could have been found: where the new run did not reach the
operation, did not try the check or ended early, that is said instead.

Exit codes: 0 nothing new, 1 a new finding of --fail-on or graver, 2 the command was
called wrongly.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("crenel scan diff takes two reports, the older one first")
			}
			return nil
		},
		Example: examples("crenel scan diff main.json branch.json --fail-on high"),
		RunE: func(c *cobra.Command, args []string) error {
			limit, err := parseThreshold(failOn, true)
			if err != nil {
				return err
			}
			was, err := scan.ReadReport(args[0])
			if err != nil {
				return usagef("%v", err)
			}
			is, err := scan.ReadReport(args[1])
			if err != nil {
				return usagef("%v", err)
			}
			d := scan.Compare(was, is)
			if asJSON {
				if err := encode(c.OutOrStdout(), d); err != nil {
					return err
				}
			} else {
				tellDifference(newPrinter(c.OutOrStdout()), d)
			}
			if limit.never {
				return nil
			}
			for _, f := range d.New {
				if f.Suppressed == nil && f.Severity.AtLeast(limit.least) {
					return errFindings
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&failOn, "fail-on", failOn, "exit with 1 when there are new findings of this `severity` or graver; never: do not")
	return c
}

func tellDifference(p *printer, d *scan.Difference) {
	row := func(mark string, f *finding.Finding, more string) {
		p.linef("%s %-8s %s%s", mark, f.Severity, plain(f.Title), more)
	}
	for _, f := range d.New {
		row(p.red("new    "), f, "")
	}
	for _, m := range d.Moved {
		row(p.yellow("changed"), m.Finding, fmt.Sprintf(" (was %s)", m.Was))
	}
	for _, f := range d.Gone {
		row(p.green("gone   "), f, "")
	}
	for _, u := range d.Unknown {
		row(p.yellow("unknown"), u.Finding, ": "+u.Why)
	}
	for _, op := range d.Lost {
		p.linef("%s %s %s", p.yellow("no longer reached"), plain(op.Method), plain(op.Path))
	}
	for _, op := range d.Won {
		p.linef("newly reached %s %s", plain(op.Method), plain(op.Path))
	}
	p.linef("%d new, %d gone, %d changed, %d unchanged, %d of which nothing can be said", len(d.New), len(d.Gone), len(d.Moved), d.Same, len(d.Unknown))
}
