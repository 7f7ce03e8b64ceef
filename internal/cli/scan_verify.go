package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// newScanVerify is crenel scan verify.
func newScanVerify() *cobra.Command {
	s := &scanning{}
	asJSON := ""
	c := &cobra.Command{
		Use:   "verify FILE|DIRECTORY…",
		Short: "Prove findings again: are the holes still open?",
		Long: `Runs the regression files that crenel scan --regressions wrote, against the same
target or another. A hole that is closed refutes its file. What could not be told
(no account, an object that cannot be made any more) is no success.

Exit codes: 0 all are closed, 1 a hole is open or could not be told, 2 the
command was called wrongly, 3 the target cannot be tested.`,
		Args: cobra.ArbitraryArgs,
		Example: examples(
			"crenel scan verify findings/ -c scan.yaml",
			"crenel scan verify findings/bola-read-get-orders-id-1b9d3f60.yaml --spec openapi.yaml --target http://127.0.0.1:9000",
		),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("crenel scan verify needs regression files, or a directory of them")
			}
			list, err := scan.ReadRegressions(args)
			if err != nil {
				return usagef("%v", err)
			}
			o, err := s.options(c)
			if err != nil {
				return err
			}
			out := newPrinter(c.OutOrStdout())
			if asJSON == "-" {
				out = newPrinter(c.ErrOrStderr())
			}
			open, unknown := 0, 0
			done, problems, err := scan.Verify(c.Context(), o, list, func(v scan.Verified) {
				switch v.Verdict {
				case scenario.Proven:
					open++
					out.linef("%s  %-8s %s (%d requests, %.2f s)", out.red("open   "), v.Severity, plain(v.Title), v.Requests, v.Seconds)
				case scenario.Refuted:
					out.linef("%s  %-8s %s (%.2f s)", out.green("closed "), v.Severity, plain(v.Title), v.Seconds)
					out.linef("         %s", out.dim(plain(v.Step+": "+v.Why)))
				default:
					unknown++
					out.linef("%s  %-8s %s", out.yellow("unknown"), v.Severity, plain(v.Title))
					out.linef("         %s", plain(v.Step+": "+v.Why))
				}
			})
			for _, p := range problems {
				out.linef("%s %s", out.yellow("problem"), plain(p.Who+" "+p.What))
				out.linef("         %s", plain(p.Advice))
			}
			if err != nil {
				return err
			}
			out.linef("%d open, %d closed, %d could not be told", open, len(done)-open-unknown, unknown)
			if asJSON != "" {
				if err := writeJSON(asJSON, c.OutOrStdout(), map[string]any{"target": o.Target, "verified": done}); err != nil {
					return err
				}
			}
			if open+unknown > 0 {
				return fmt.Errorf("open holes: %w", errReported)
			}
			return nil
		},
	}
	f := c.Flags()
	s.where(f)
	f.StringVar(&asJSON, "json", "", "write what was shown as JSON to a `file` (- for standard output)")
	return c
}

// newScanCompute is crenel scan compute, which the scripts of findings call.
func newScanCompute() *cobra.Command {
	list := false
	c := &cobra.Command{
		Use:   "compute FUNCTION [NAME=VALUE…]",
		Short: "Compute a value as the proofs do: a forged token, a long text",
		Long: `Prints what one of the functions makes of its arguments. The curl scripts of
findings call it where a request holds something that the shell cannot make.`,
		Example: examples(
			`crenel scan compute jwt.none token="$TOKEN" alg=none`,
			"crenel scan compute text.repeat text=a times=1000",
			"crenel scan compute --list",
		),
		RunE: func(c *cobra.Command, args []string) error {
			if list {
				for _, name := range scenario.Functions() {
					if _, err := fmt.Fprintln(c.OutOrStdout(), name); err != nil {
						return fmt.Errorf("writing: %w", err)
					}
				}
				return nil
			}
			if len(args) == 0 {
				return usagef("which function? crenel scan compute --list names them")
			}
			named, err := namedValues(args[1:])
			if err != nil {
				return err
			}
			v, err := scenario.Call(args[0], named)
			if err != nil {
				return fmt.Errorf("%w; crenel scan compute --list names the functions", err)
			}
			if _, err := fmt.Fprintln(c.OutOrStdout(), scenario.Plain(v)); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&list, "list", false, "print the functions' names")
	return c
}

// namedValues are arguments like name=value. A value is not repeated in an
// error: it may be a token.
func namedValues(args []string) (map[string]string, error) {
	out := map[string]string{}
	for i, a := range args {
		name, v, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return nil, usagef("argument %d is not of the form name=value", i+2)
		}
		out[name] = v
	}
	return out, nil
}
