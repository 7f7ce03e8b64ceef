package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz/impact"
)

func newPolicyReplay() *cobra.Command {
	r := &recorded{}
	var policies, data, bundles []string
	var maxChanged, maxSlower string
	var rounds, examplesKept int
	var asJSON bool
	c := &cobra.Command{
		Use:   "replay [DECISIONS]",
		Short: "Make recorded decisions again by another policy, and show what changes",
		Long: `Make the recorded decisions again by a candidate policy and show each that would
change, by the rule that makes the difference and by caller, and how long both
policies take. Time, random numbers and what was read of tables are as they were
recorded; data are those of then unless the candidate brings its own. Without a
candidate the policies that decided decide again: all must come out the same.

DECISIONS is the folder of a decision log, or a file of events as policy log
export --unmasked writes it; the config's decision log when it is left out.
Exits with 1 when a bound is exceeded, and without a bound when anything changes.`,
		Args: cobra.MaximumNArgs(1),
		Example: examples("crenel policy replay --policies policies-next/", "crenel policy replay --bundle candidate.tar.gz --since 24h --max-changed 0.1% --max-slower 20%",
			"crenel policy replay decisions.ndjson.gz --policies policies/ --data owners.json --json"),
		RunE: func(c *cobra.Command, args []string) error {
			bounds, err := impact.BoundsOf(&config.AuthzActivation{MaxChanged: maxChanged, MaxSlower: maxSlower})
			if err != nil {
				return usagef("%s: write a number and %%, such as 0.1%%", err)
			}
			if err := r.open(strings.Join(args, "")); err != nil {
				return err
			}
			if err := r.document(c.Context()); err != nil {
				return err
			}
			part, err := impact.Candidate(policies, data, bundles)
			if err != nil {
				return err
			}
			candidate := r.kept()
			candidate.Data = part.Data
			if part.Modules != nil {
				candidate.Rules, candidate.Query = part, r.ac.Guards.Authz.Query
			}
			var active impact.Decider = r.kept()
			report, err := impact.Replay(c.Context(), r.cases(c.Context()), active, candidate, impact.Options{Examples: examplesKept, Rounds: rounds})
			if err != nil {
				return err
			}
			if r.reader != nil {
				report.Lost = r.reader.Lost()
			}
			if asJSON {
				err = printJSON(c, report)
			} else {
				p := newPrinter(c.OutOrStdout())
				r.printDamage(p)
				printImpact(p, report)
			}
			if err != nil {
				return err
			}
			if bounds.Changed == nil && bounds.Slower == nil {
				if report.Changed > 0 {
					return errReported
				}
				return nil
			}
			return bounds.Hold(report)
		},
	}
	r.flags(c)
	candidateFlags(c, &policies, &data, &bundles)
	c.Flags().StringVar(&maxChanged, "max-changed", "", "the largest `share` of decisions that may change, such as 0.1%")
	c.Flags().StringVar(&maxSlower, "max-slower", "", "by which `share` median and 99th percentile may be slower, such as 20%")
	c.Flags().IntVar(&rounds, "rounds", 3, "how often each decision is made for its time; 0 measures nothing")
	c.Flags().IntVar(&examplesKept, "examples", 3, "how many examples are shown of each group")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func candidateFlags(c *cobra.Command, policies, data, bundles *[]string) {
	c.Flags().StringArrayVar(policies, "policies", nil, "the candidate's Rego `file` or folder; may be repeated")
	c.Flags().StringArrayVar(data, "data", nil, "the candidate's data `file` or folder; may be repeated")
	c.Flags().StringArrayVar(bundles, "bundle", nil, "the candidate as an OPA bundle, a `file`; may be repeated")
}

// printImpact prints a report for people.
func printImpact(p *printer, r *impact.Report) {
	if r.Decisions == 0 {
		p.linef("%s", p.yellow("no decision was recorded in this time"))
		return
	}
	p.linef("%s of %s to %s", count(r.Decisions, "decision"), r.From.Format(time.DateTime), r.To.Format(time.DateTime))
	word := p.green("the same")
	if r.Changed > 0 {
		word = p.red(count(r.Changed, "decision") + " changed")
	}
	p.linef("%s  %s", p.bold("made again"), fmt.Sprintf("%d: %s", r.Compared, word)+shareOf(r))
	for _, k := range []impact.Kind{impact.NowDenied, impact.NowAllowed, impact.DeniedOther, impact.NewObligations} {
		if n := r.Kinds[k]; n > 0 {
			p.linef("  %7d  %s", n, k)
		}
	}
	if r.Reworded > 0 {
		p.linef("  %7d  the same, with another reason or detail", r.Reworded)
	}
	if r.Unfaithful > 0 {
		p.linef("  %7d  came out otherwise by the policy that decided too; what it says now is what they are compared with", r.Unfaithful)
	}
	for _, why := range sortedNames(r.Skipped) {
		p.linef("  %7d  not compared: %s", r.Skipped[why], why)
	}
	printGroups(p, "by rule", r.Rules)
	printGroups(p, "by caller", r.Callers)
	if l := r.Latency; l != nil {
		p.linef("\n%s", p.bold("time of a decision"))
		table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintf(table, "  \tmedian\t99th percentile\n  active\t%s\t%s\n  candidate\t%s\t%s\n  \t%s\t%s\n",
			micros(l.Active.P50), micros(l.Active.P99), micros(l.Candidate.P50), micros(l.Candidate.P99), slower(l.Slower.P50), slower(l.Slower.P99))
		_ = table.Flush()
	}
	for _, f := range r.Faults {
		p.linef("\n%s %s", p.red("error"), plain(f))
	}
}

func shareOf(r *impact.Report) string {
	if r.Changed == 0 || r.Compared == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.3g %%)", r.Share*100)
}

func slower(share float64) string {
	switch {
	case share > 0.005:
		return fmt.Sprintf("%.0f %% slower", share*100)
	case share < -0.005:
		return fmt.Sprintf("%.0f %% faster", -share*100)
	}
	return "as fast"
}

func sortedNames(m map[string]int) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func printGroups(p *printer, title string, list []impact.Group) {
	const most = 20
	if len(list) == 0 {
		return
	}
	p.linef("\n%s", p.bold(title))
	for i := range list {
		if i == most {
			p.linef("  … and %s more; --json prints all", count(len(list)-most, "group"))
			break
		}
		g := &list[i]
		switch {
		case g.Rule != "" && g.Place != "":
			p.linef("  %7d  %s  %s  %s", g.Count, plain(g.Rule), p.dim(plain(g.Place)), g.Effect)
		case g.Rule != "":
			p.linef("  %7d  %s: %s", g.Count, plain(g.Rule), g.Effect)
		case g.Caller != "":
			p.linef("  %7d  %s", g.Count, plain(g.Caller))
		default:
			p.linef("  %7d  %s", g.Count, g.Effect)
		}
		for _, e := range g.Examples {
			what := orElse(e.Operation, "(unknown operation)")
			if g.Caller == "" {
				what += " by " + e.Caller
			}
			p.linef("           %s  %s → %s  %s", plain(what), plain(e.Was), plain(e.Now), p.dim(plain(e.ID)))
		}
	}
}
