package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/guard/authz/mutation"
)

func newPolicyMutate() *cobra.Command {
	var file, api string
	var least float64
	var timeout time.Duration
	var workers int
	var asJSON, withAll bool
	c := &cobra.Command{
		Use:   "mutate",
		Short: "Show which rules no test would miss",
		Long: `Change the policies in small ways, one at a time and in memory only: a condition
dropped or negated, a comparison or a literal changed, a rule or an obligation
removed. Run the policies' own tests on each, and where ` + matrixFile + ` is kept the
matrix too. A change that nobody tells is one that a person could make unseen: it
is listed with its place and, where there is one, a call that would tell it.

The score is the share of changes that were told. Exits with 1 when it is below
--min-score. Changes that do not compile, or for which time was up, do not count.`,
		Args:    none,
		Example: examples("crenel policy mutate", "crenel policy mutate --min-score 0.9 --timeout 5m", "crenel policy mutate --json"),
		RunE: func(c *cobra.Command, _ []string) error {
			if least < 0 || least > 1 {
				return usagef("--min-score is a share from 0 to 1")
			}
			m, ac, err := matrixOptions(c.Context(), file, api)
			if err != nil {
				return err
			}
			if m.Part == nil {
				return fmt.Errorf("api %s has no policies to change: set guards.authz.policies", ac.Name)
			}
			_, missing := os.Stat(matrixPath(file, ac.Name, api))
			r, err := mutation.Run(c.Context(), mutation.Options{Part: m.Part, Matrix: &m, Kept: missing == nil, Timeout: timeout, Workers: workers})
			if err != nil {
				return err
			}
			for i := range r.Mutants {
				r.Mutants[i].Place = fromHere(r.Mutants[i].Place)
			}
			if asJSON {
				err = printJSON(c, r)
			} else {
				printMutants(newPrinter(c.OutOrStdout()), r, withAll)
			}
			if err == nil && r.Score < least {
				err = errReported
			}
			return err
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&api, "api", "", "the `name` of the API, when the config has several")
	c.Flags().Float64Var(&least, "min-score", 0, "the least `share` of changes that must be told, 0 to 1")
	c.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how `long` to try at most")
	c.Flags().IntVar(&workers, "workers", 0, "how `many` changes are tried at once (default one a processor)")
	c.Flags().BoolVar(&withAll, "all", false, "list every change, with who told it")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printMutants(p *printer, r *mutation.Result, all bool) {
	fates := map[string]int{}
	for i := range r.Mutants {
		m := &r.Mutants[i]
		fates[m.Fate]++
		switch {
		case m.Fate == mutation.Survived:
			p.linef("%s  %s  %s", p.red("survived"), p.bold(plain(m.Place)), plain(m.What))
			if t := m.Tells; t != nil {
				where := t.Operation + ", " + t.Actor
				if t.Relation != "" {
					where += ", " + t.Relation
				}
				p.linef("          no test tells; this call would: %s: %s -> %s", plain(where), orNone(t.Was), orNone(t.Is))
			}
		case all && m.By != "":
			p.linef("%s  %s  %s  %s", p.green(fmt.Sprintf("%-8s", m.Fate)), plain(m.Place), plain(m.What), p.dim("by "+plain(m.By)))
		case all:
			p.linef("%-8s  %s  %s", m.Fate, plain(m.Place), plain(m.What))
		}
	}
	p.linef("score %.0f %%: of %s %d told by tests, %d by the matrix, %d by nobody (%d more do not compile, %d not tried), in %s",
		100*r.Score, count(r.Counted, "change"), fates[mutation.ByTests], fates[mutation.ByMatrix], fates[mutation.Survived], fates[mutation.Invalid], r.Untried, r.Took.Round(100*time.Millisecond))
}
