package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/guard/authz/impact"
)

func newPolicyUnused() *cobra.Command {
	r := &recorded{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "unused [DECISIONS]",
		Short: "Show scopes and roles that were granted and never needed",
		Long: `Make each allowed decision of the recorded time again without each of its caller's
scopes and roles, and show those that made no difference to any: nobody would
have been refused without them. Of those that did it shows the rules that lean on
them, and what each would lose. A caller that has two roles which allow the same
needs neither by itself: such callers are listed.`,
		Args:    cobra.MaximumNArgs(1),
		Example: examples("crenel policy unused --since 720h", "crenel policy unused --json | jq '.grants[] | select(.used == 0)'"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := r.open(strings.Join(args, "")); err != nil {
				return err
			}
			if err := r.document(c.Context()); err != nil {
				return err
			}
			g, err := impact.Unused(c.Context(), r.cases(c.Context()), r.kept())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c, g)
			}
			p := newPrinter(c.OutOrStdout())
			r.printDamage(p)
			printUnused(p, g)
			return nil
		},
	}
	r.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printUnused(p *printer, g *impact.Grants) {
	for _, why := range sortedNames(g.Skipped) {
		p.linef("%s", p.yellow(fmt.Sprintf("%d decisions were left out: %s", g.Skipped[why], why)))
	}
	if g.Decisions == 0 {
		p.linef("no allowed decision was recorded in this time")
		return
	}
	p.linef("%s allowed, of %s to %s", count(g.Decisions, "decision"), g.From.Format(time.DateTime), g.To.Format(time.DateTime))
	table := func(title string, rows func(w *tabwriter.Writer) int) {
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		n := rows(w)
		_ = w.Flush()
		if n > 0 {
			p.linef("\n%s\n%s", p.bold(title), strings.TrimRight(b.String(), "\n"))
		}
	}
	table("granted, and needed by nobody", func(w *tabwriter.Writer) (n int) {
		for _, one := range g.Grants {
			if one.Used == 0 {
				n++
				_, _ = fmt.Fprintf(w, "  %s %s\thad by %s\n", one.Kind, plain(one.Name), namesOf(one.Unused))
			}
		}
		return n
	})
	table("needed by some who have it", func(w *tabwriter.Writer) (n int) {
		for _, one := range g.Grants {
			if one.Used > 0 && len(one.Unused) > 0 {
				n++
				_, _ = fmt.Fprintf(w, "  %s %s\tneeded by %d of %d\tnot by %s\n", one.Kind, plain(one.Name), one.Used, one.Callers, namesOf(one.Unused))
			}
		}
		return n
	})
	table("needed by all who have it", func(w *tabwriter.Writer) (n int) {
		for _, one := range g.Grants {
			if one.Used > 0 && len(one.Unused) == 0 {
				n++
				_, _ = fmt.Fprintf(w, "  %s %s\t%s\tsuch as %s\n", one.Kind, plain(one.Name), count(one.Callers, "caller"), plain(one.Example))
			}
		}
		return n
	})
	table("one of these is needed, and none by itself", func(w *tabwriter.Writer) (n int) {
		for _, t := range g.Together {
			n++
			_, _ = fmt.Fprintf(w, "  %s\t%s\tsuch as %s\n", plain(t.Caller), plain(strings.Join(t.Grants, ", ")), plain(t.Example))
		}
		return n
	})
	table("what the rules would lose", func(w *tabwriter.Writer) (n int) {
		for _, l := range g.Rules {
			n++
			_, _ = fmt.Fprintf(w, "  %s\t%s\twithout %s\t%s\t%s\n", plain(l.Rule), plain(l.Place), plain(l.Grant), atLeast(l.Decisions), plain(strings.Join(l.Operations, ", ")))
		}
		return n
	})
}

// atLeast: of one grant only so many decisions are looked at for the rules.
func atLeast(n int) string {
	if n >= 200 {
		return "200 decisions or more"
	}
	return count(n, "decision")
}

func namesOf(list []string) string {
	const most = 5
	shown := list
	more := ""
	if len(list) > most {
		shown, more = list[:most], fmt.Sprintf(" and %d more", len(list)-most)
	}
	return plain(strings.Join(shown, ", ")) + more
}
