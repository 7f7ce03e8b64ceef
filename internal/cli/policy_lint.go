package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/guard/authz/lint"
)

func newPolicyLint() *cobra.Command {
	var file, api string
	var ignore []string
	var asJSON bool
	var known strings.Builder
	for _, c := range lint.Codes() {
		fmt.Fprintf(&known, "  %-23s %s\n", c[0], c[1])
	}
	c := &cobra.Command{
		Use:   "lint",
		Short: "Find what is wrong with policies though they compile",
		Long: `Look for mistakes in the policies of an API: what OPA's strict mode finds, fields
that the input does not have, and rules that allow more than was meant. Exits with
1 when something is found.

` + strings.TrimRight(known.String(), "\n"),
		Args:    none,
		Example: examples("crenel policy lint", "crenel policy lint --ignore policy.untested", "crenel policy lint --json"),
		RunE: func(c *cobra.Command, _ []string) error {
			for _, code := range ignore {
				if !slices.ContainsFunc(lint.Codes(), func(k [2]string) bool { return k[0] == code }) {
					return usagef("%q is no code of a finding; crenel policy lint --help lists them", code)
				}
			}
			m, ac, err := matrixOptions(c.Context(), file, api)
			if err != nil {
				return err
			}
			if m.Part == nil {
				return fmt.Errorf("api %s has no policies to look at: set guards.authz.policies", ac.Name)
			}
			found, err := lint.Run(c.Context(), lint.Options{Part: m.Part, API: m.API, Config: ac.Guards.Authz, Overrides: ac.Operations})
			if err != nil {
				return err
			}
			found = slices.DeleteFunc(found, func(p lint.Problem) bool { return slices.Contains(ignore, p.Code) })
			for i := range found {
				found[i].File = fromHere(found[i].File)
			}
			if asJSON {
				if found == nil {
					found = []lint.Problem{}
				}
				err = printJSON(c, found)
			} else {
				printLint(newPrinter(c.OutOrStdout()), found)
			}
			if err == nil && len(found) > 0 {
				err = errReported
			}
			return err
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&api, "api", "", "the `name` of the API, when the config has several")
	c.Flags().StringArrayVar(&ignore, "ignore", nil, "a `code` that is not reported; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printLint(p *printer, found []lint.Problem) {
	for i := range found {
		f := &found[i]
		p.linef("%s %s  %s", p.bold(fmt.Sprintf("%s:%d:", plain(f.File), f.Line)), p.red(f.Code), plain(f.What))
		p.linef("    why: %s", plain(f.Why))
		p.linef("    fix: %s", plain(f.Fix))
	}
	if len(found) == 0 {
		p.linef("nothing found")
		return
	}
	p.linef("%s", count(len(found), "finding"))
}
