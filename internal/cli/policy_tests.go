package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway/watch"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// testRun is how policy test runs.
type testRun struct {
	paths, data []string
	cover       bool
	threshold   float64
	asJSON      bool
}

// testReport is what --json prints with --coverage.
type testReport struct {
	Tests    []authz.TestResult
	Coverage []authz.FileCoverage
	Percent  float64
}

func newPolicyTest() *cobra.Command {
	var t testRun
	var watched bool
	var file, api string
	c := &cobra.Command{
		Use:   "test [PATH…]",
		Short: "Run the Rego tests that lie beside policies",
		Long: `Run the tests (rules named test_… in files named …_test.rego) of policies, as
the gateway does before it activates them. Exits with 1 when one fails, and when
there is none. Without a PATH it tests the policies that the config names, with its
data.

With --coverage it shows which lines of the policies no test came to; with
--threshold it exits with 1 when less than that is covered. With --watch it runs
them again whenever a file changes, until it is interrupted.`,
		Example: examples("crenel policy test", "crenel policy test policies/", "crenel policy test policies/ --data owners.json", "crenel policy test policies/ --coverage --threshold 90",
			"crenel policy test policies/ --watch", "crenel policy test policies/ --json"),
		RunE: func(c *cobra.Command, args []string) error {
			if t.paths = args; len(args) == 0 {
				ac, err := policyAPI(file, api, func(*config.API) bool { return false })
				if err != nil {
					return fmt.Errorf("%w\n(with the files or folders of policies no config is needed)", err)
				}
				if t.paths = ac.Guards.Authz.Policies; len(t.paths) == 0 {
					return fmt.Errorf("api %s names no policies (guards.authz.policies): name their files or folders", ac.Name)
				}
				t.data = append(slices.Clone(ac.Guards.Authz.Data), t.data...)
			}
			if t.threshold < 0 || t.threshold > 100 {
				return usagef("--threshold is a percentage, from 0 to 100")
			}
			t.cover = t.cover || t.threshold > 0
			if watched {
				if t.asJSON {
					return usagef("--watch is for people, and --json is not")
				}
				return t.watch(c)
			}
			return t.run(c)
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&api, "api", "", "the `name` of the API, when the config has several")
	c.Flags().StringArrayVar(&t.data, "data", nil, "a data `file` or folder, JSON or YAML; may be repeated")
	c.Flags().BoolVar(&t.cover, "coverage", false, "show the lines that no test came to")
	c.Flags().Float64Var(&t.threshold, "threshold", 0, "the least `percentage` of lines that must be covered")
	c.Flags().BoolVar(&watched, "watch", false, "run again whenever a file changes")
	c.Flags().BoolVar(&t.asJSON, "json", false, "print JSON")
	return c
}

func (t *testRun) run(c *cobra.Command) error {
	var r testReport
	var err error
	if t.cover {
		r.Tests, r.Coverage, err = authz.Cover(c.Context(), t.paths, t.data)
	} else {
		r.Tests, err = authz.Test(c.Context(), t.paths, t.data)
	}
	if err != nil {
		return err
	}
	r.Percent = covered(r.Coverage)
	p := newPrinter(c.OutOrStdout())
	switch {
	case t.asJSON && t.cover:
		err = printJSON(c, r)
	case t.asJSON:
		err = printJSON(c, r.Tests)
	default:
		printTests(p, r.Tests)
		if t.cover {
			printCoverage(p, &r)
		}
	}
	if err != nil {
		return err
	}
	for _, one := range r.Tests {
		if !one.Passed && !one.Skipped {
			return errReported
		}
	}
	if len(r.Tests) == 0 {
		return fmt.Errorf("there are no tests in %s", strings.Join(t.paths, ", "))
	}
	if t.cover && r.Percent < t.threshold {
		return fmt.Errorf("%.1f %% of the lines are covered, and %g %% must be", r.Percent, t.threshold)
	}
	return nil
}

func printTests(p *printer, results []authz.TestResult) {
	passed, failed, skipped := 0, 0, 0
	for _, r := range results {
		word := p.green("pass")
		switch {
		case r.Skipped:
			skipped++
			word = p.yellow("skip")
		case r.Passed:
			passed++
		default:
			failed++
			word = p.red("FAIL")
		}
		p.linef("%s  %s.%s  %s", word, r.Package, r.Name, p.dim(plain(fromHere(r.Place))))
		if r.Error != "" {
			p.linef("      %s", plain(r.Error))
		}
		for line := range strings.Lines(r.Output) {
			p.linef("      %s", plain(strings.TrimRight(line, "\n")))
		}
	}
	p.linef("%d passed, %d failed, %d skipped", passed, failed, skipped)
}

// watch runs the tests now, and again after each change.
func (t *testRun) watch(c *cobra.Command) error {
	p := newPrinter(c.OutOrStdout())
	again := func() {
		p.linef("%s", p.dim(time.Now().Format(time.TimeOnly)))
		if err := t.run(c); err != nil && !isReported(err) {
			p.linef("%s %s", p.red("error"), plainLines(err))
		}
		p.linef("%s\n", p.dim("waiting for a change; interrupt to end"))
	}
	again()
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	watch.Files(ctx, func() []string { return append(append([]string{}, t.paths...), t.data...) }, again)
	return nil
}

func isReported(err error) bool { return err == errReported } //nolint:errorlint // it is never wrapped

func covered(list []authz.FileCoverage) float64 {
	lines, hit := 0, 0
	for i := range list {
		hit += list[i].Covered
		lines += list[i].Covered + len(list[i].Missed)
	}
	if lines == 0 {
		return 100
	}
	return 100 * float64(hit) / float64(lines)
}

func printCoverage(p *printer, r *testReport) {
	p.linef("\n%s", p.bold("coverage"))
	for i := range r.Coverage {
		f := &r.Coverage[i]
		p.linef("%6.1f %%  %s", f.Percent(), plain(f.File))
		for _, row := range f.Missed {
			text := ""
			if row <= len(f.Lines) {
				text = strings.ReplaceAll(f.Lines[row-1], "\t", "    ")
			}
			p.linef("  %s %4d  %s", p.red("missed"), row, plain(text))
		}
	}
	p.linef("%6.1f %%  of all", r.Percent)
}
