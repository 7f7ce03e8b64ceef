package check

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID:    "bola-write",
	Title: "Another user's object can be changed",
	OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-ATHZ-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Calls every operation that changes an object as another user, on an object that the first user has just made.",
	Proof: "The owner reads the object before and after, and it has changed: it holds the attacker's new text, or says something else where two reads before said the same. The attacker's status code is not looked at. Controls: without credentials nothing changes.",
	Fix:   "Change an object only where it is the caller's (UPDATE … WHERE id = ? AND owner_id = caller), and answer 404 otherwise.",
	Mode:  Default,
	Run:   func(ctx context.Context, p *Probe) error { return p.writes(ctx, false) },
})

var _ = register(&Check{
	ID:    "bola-delete",
	Title: "Another user's object can be deleted",
	OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-ATHZ-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:L/SC:N/SI:N/SA:N",
	About: "Calls every operation that deletes an object as another user, on an object that the first user has just made for it.",
	Proof: "The owner could read the object and cannot any more. The attacker's status code is not looked at. Controls: without credentials it stays.",
	Fix:   "Delete an object only where it is the caller's (DELETE … WHERE id = ? AND owner_id = caller), and answer 404 otherwise.",
	Mode:  Default,
	Run:   func(ctx context.Context, p *Probe) error { return p.writes(ctx, true) },
})

func (p *Probe) writes(ctx context.Context, deletes bool) error {
	user := p.Actor(actor.User)
	if user == nil || len(p.Attackers()) == 0 {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.changes(op) || (op.Kind == graph.Delete) != deletes {
			return nil
		}
		for _, in := range op.Inputs {
			r := p.resourceOf(in)
			if r == nil || in.In == "header" || in.In == "body" && op.Kind != graph.Action && (r != op.About || len(op.PathParams) > 0) {
				continue // a body mostly names what an object belongs with; where no path does, the object itself
			}
			subjects, err := p.standing(ctx, r, user, 1)
			if err != nil {
				return err
			}
			for _, s := range subjects {
				if s.recipe == nil {
					continue // what the run did not make is not touched
				}
				done, err := p.writeBy(ctx, op, in, s, deletes)
				if err != nil || done {
					return err
				}
			}
		}
		return nil
	})
}

// changes reports whether op changes one object, and nothing that others share.
func (p *Probe) changes(op *graph.Op) bool {
	for _, not := range []graph.Purpose{graph.Hazard, graph.Logout, graph.Login, graph.Register, graph.Refresh, graph.Admin} {
		if op.Has(not) {
			return false
		}
	}
	return op.Method != http.MethodGet && op.Method != http.MethodHead && op.Method != http.MethodOptions && op.Kind != graph.Create && op.Kind != graph.List || op.Kind == graph.Delete
}

func (p *Probe) writeBy(ctx context.Context, op *graph.Op, in *graph.Input, s *subject, deletes bool) (bool, error) {
	user := p.Actor(actor.User)
	reader := p.World.Reader(s.object)
	if reader == nil || len(s.marks) == 0 {
		p.Note(op, Skipped)
		return false, nil
	}
	own, err := p.on(ctx, op, user, in, s.object)
	if err != nil {
		p.Note(op, Skipped)
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	v, err := p.Private(ctx, s.object.Resource)
	if err != nil {
		return false, err
	}
	// A change of what all may see is a hole as well, but an action on it (to
	// like, to answer, to vote) is what it is there for.
	if v.Score < 0 || op.Kind == graph.Action && !v.Private() {
		p.Note(op, Clean)
		return false, nil
	}
	for _, foreign := range p.aims(ctx, own, in, p.strangers(ctx, s, p.Attackers())) {
		if shared, err := p.shared(ctx, s.object.Resource, foreign.As); err != nil || shared {
			p.Note(op, Clean)
			if err != nil {
				return false, err
			}
			continue
		}
		h, err := p.writeHypothesis(op, in, s, reader, foreign, deletes)
		if err != nil {
			p.Note(op, Inconclusive)
			continue
		}
		if v.Among && !v.Private() {
			h.CVSS = amongMembers
			h.Description += " Its own list shows it to the other user as well, and it names its maker and no owner: if members are meant to work on what others made, this is no hole."
		}
		if ok, err := p.Prove(ctx, h); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

func (p *Probe) writeHypothesis(op *graph.Op, in *graph.Input, s *subject, reader, foreign *world.Call, deletes bool) (Hypothesis, error) {
	var h Hypothesis
	steps := s.setup()
	one := scenario.Expect{Status: "2xx", Contains: s.marks[:1]}
	for _, st := range []struct {
		id     string
		part   scenario.Part
		call   *world.Call
		note   string
		expect []scenario.Expect
	}{
		{"before", scenario.Control, reader, "the owner reads it", []scenario.Expect{one}},
		{"try", scenario.Control, foreign.By(nil), "nobody without credentials tries", nil},
		{"still", scenario.Control, reader, "nothing has changed", []scenario.Expect{{Status: "2xx", Contains: s.marks[:1], Like: "before"}}},
		{"attack", scenario.Attack, foreign, foreign.As.Name + ", another user, does it", nil},
		{"after", scenario.Observe, reader, "the owner looks again", nil},
	} {
		step, err := p.step(s, st.call, st.id, st.part)
		if err != nil {
			return h, err
		}
		step.Note, step.Expect = st.note, st.expect
		steps = append(steps, step)
	}
	// Another status would say more of the owner's session, or of the target's
	// health, than of the object.
	after := &steps[len(steps)-1]
	what := strings.ReplaceAll(s.object.Resource.Name, "_", " ")
	verb := "changes"
	if deletes {
		verb = "deletes"
		after.Note = "the owner cannot read it any more"
		after.Expect = []scenario.Expect{{Status: "2xx|400|404|410", Lacks: s.marks[:1], Unlike: "before"}}
	} else {
		after.Note = "the owner reads something else"
		after.Expect = []scenario.Expect{{Status: "2xx|404|410", Unlike: "before"}}
	}
	return Hypothesis{
		Op: op, Where: in.Where(),
		Title:       fmt.Sprintf("%s %s %s another user's %s", op.Method, op.Path, verb, what),
		Description: fmt.Sprintf("A user who does not own the %s %s it by putting its identifier into %s; its owner sees the difference. Without credentials nothing happens.", what, verb, in.Where()),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as another user", op.Method, op.Path), Steps: steps},
	}, nil
}
