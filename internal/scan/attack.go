package scan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// attack runs the checks.
func (r *run) attack(ctx context.Context, mode check.Mode) error {
	r.begin("attack")
	var heard scenario.Listener
	if r.listener != nil {
		heard = r.listener
	}
	r.lab = &check.Lab{
		Graph: r.graph, World: r.world, People: r.people, Client: r.client, Listener: r.listener, Mode: mode, RunID: r.report.Run, Seed: r.report.Seed,
		Origin: r.client.Origin() + r.client.Base(), Log: r.log, Found: r.ev.Found, Notebook: &r.notebook, Leave: func(op *graph.Op) bool {
			return matches(r.o.Leave, op) || r.deadly.is(op) || r.changes != nil && !r.changes.ops[op] || len(r.o.Paths) > 0 && !matches(r.o.Paths, op)
		},
		Stage: &scenario.Stage{Sender: r.client, People: r.people, Listener: heard, RunID: r.report.Run},
		Until: r.attackUntil(), Workers: r.checkers(), Leeway: r.o.leeway,
	}
	var list []*check.Check
	for _, c := range slices.Concat(check.All(), r.written) {
		named := slices.Contains(r.o.Checks, c.ID)
		if (len(r.o.Checks) == 0 && !c.Off || named) && !slices.Contains(r.o.Skip, c.ID) && c.Mode <= mode {
			list = append(list, c)
		}
	}
	r.report.Stats.Checks = len(list)
	if r.journal != nil {
		r.lab.Diary = r.journal
		r.lab.Recall(r.journal.proofs, r.journal.cells)
	}
	err := r.lab.Run(ctx, list, func(c *check.Check, done, of int) { r.progress(done, of, c.ID) })
	r.report.Problems = append(r.report.Problems, unsent(r.lab.Unsent())...)
	if broken := r.lab.Broken(); len(broken) > 0 {
		r.report.Problems = append(r.report.Problems, actor.Problem{
			What:   fmt.Sprintf("%s broken off by an error of the scanner's own: what they would have found is not in the report", some(broken, len(list), "check")),
			Advice: "The fault is Crenel's, not the target's. Run it once more with --verbose and report what the log says.",
		})
	}
	if cut := r.lab.Unfinished(); len(cut) > 0 {
		r.report.Problems = append(r.report.Problems, actor.Problem{
			What:   fmt.Sprintf("%s not finished when the run ended: what they would have found is not in the report", some(cut, len(list), "check")),
			Advice: "Give more time (--max-time) or requests (--max-requests), look at a part at once (--path, --check), or let the next run go on where this one ended (--resume).",
		})
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("%d of %d checks were not finished: %s.", len(cut), len(list), strings.Join(cut, ", ")))
	}
	if n := r.lab.Untold(); n > 0 {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("The table of operations and checks leaves out %d rows of what the run did not come to.", n))
	}
	return err
}

// join makes one row of what is one hole, and keeps the rows' proofs.
func (r *run) join() {
	switch {
	case r.lab != nil:
		r.proofs = r.lab.Proofs()
	case r.journal != nil:
		r.proofs = r.journal.proofs
	}
	r.report.Findings = finding.Join(r.report.Findings)
	r.proofs = slices.DeleteFunc(r.proofs, func(p *check.Proof) bool { return !slices.Contains(r.report.Findings, p.Finding) })
}

// some says how many of something, and names the first of them.
func some(names []string, of int, what string) string {
	text := fmt.Sprintf("%d of %d %ss", len(names), of, what)
	if len(names) > 4 {
		return text + " (" + strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more) were", len(names)-3)
	}
	if len(names) == 1 {
		return text + " (" + names[0] + ") was"
	}
	return text + " (" + strings.Join(names, ", ") + ") were"
}

// ownChecks reads the checks that the user wrote. A check that is named and
// exists nowhere is a mistake, which Options.Check leaves to this.
func (r *run) ownChecks() ([]*check.Check, error) {
	if r.o.ChecksDir == "" {
		return nil, nil
	}
	list, err := check.ReadWritten(r.o.file(r.o.ChecksDir))
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Concat(r.o.Checks, r.o.Skip) {
		if check.Find(id) == nil && !slices.ContainsFunc(list, func(c *check.Check) bool { return c.ID == id }) {
			return nil, fmt.Errorf("there is no check %q, neither among crenel scan --list-checks nor in %s", id, r.o.ChecksDir)
		}
	}
	return list, nil
}

// doing says of a phase what is done in it.
var doing = map[string]string{"doctor": "it looked whether the target can be tested", "tidy": "it took away what earlier runs had left", "world": "objects were made", "attack": "the checks ran"}
