package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID:    "bola-list",
	Title: "A list holds other users' objects",
	OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-ATHZ-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "One user makes an object with a unique text in it; another user calls every operation that lists or searches objects of that kind.",
	Proof: "Another user's list holds the text. Controls: the owner's list holds it, nobody gets it without credentials, and the resource is not one that is there for all.",
	Fix:   "Filter lists, searches and exports by the caller's identity in the query itself, and let no parameter lift the filter.",
	Mode:  Safe,
	Run:   bolaList,
})

func bolaList(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || len(p.Attackers()) == 0 {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.reads(op) || op.Answered != "list" && op.Kind != graph.List && !op.Has(graph.Search) && !op.Has(graph.Export) {
			return nil
		}
		return p.lists(ctx, op)
	})
}

// lists tries one operation that lists. Objects of several resources may stand
// in its answer: all that the user owns are looked for.
func (p *Probe) lists(ctx context.Context, op *graph.Op) error {
	user := p.Actor(actor.User)
	own, err := p.World.Call(ctx, op, user, p.widest(op))
	if err != nil {
		p.Note(op, Skipped)
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	mine, err := p.send(ctx, own)
	if err != nil {
		return err
	}
	if mine.Status/100 != 2 {
		p.Note(op, Skipped)
		return nil
	}
	for _, other := range p.Attackers() {
		foreign, err := p.World.Call(ctx, op, other, p.widest(op))
		if err != nil {
			continue
		}
		theirs, err := p.send(ctx, foreign)
		if err != nil {
			return err
		}
		for _, r := range p.Graph.Resources {
			for _, s := range p.subjects(r, user, 3) {
				if s.meantFor(other) {
					continue
				}
				if !p.anyHeld(mine, s) || !p.anyHeld(theirs, s) {
					p.Note(op, Clean)
					continue
				}
				done, err := p.listLeak(ctx, op, s, own, foreign, p.shown(mine, s))
				if err != nil || done {
					return err
				}
			}
		}
	}
	return nil
}

func (p *Probe) listLeak(ctx context.Context, op *graph.Op, s *subject, own, foreign *world.Call, marks []string) (bool, error) {
	if len(marks) == 0 {
		return false, nil
	}
	v, err := p.Private(ctx, s.object.Resource)
	if err != nil || !v.Private() {
		p.Note(op, Clean)
		return false, err
	}
	if shared, err := p.shared(ctx, s.object.Resource, foreign.As); err != nil || shared {
		p.Note(op, Clean)
		return false, err
	}
	steps := s.setup()
	for _, st := range []struct {
		id     string
		part   scenario.Part
		call   *world.Call
		note   string
		expect scenario.Expect
	}{
		{"own", scenario.Control, own, "the owner's list holds it", scenario.Expect{Status: "2xx", Contains: marks}},
		{"nobody", scenario.Control, foreign.By(nil), "nobody gets it without credentials", scenario.Expect{Lacks: marks}},
		{"attack", scenario.Attack, foreign, foreign.As.Name + ", another user, has it in the list", scenario.Expect{Status: "2xx", Contains: marks}},
	} {
		step, err := p.step(nil, st.call, st.id, st.part)
		if err != nil {
			return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		step.Note, step.Expect = st.note, []scenario.Expect{st.expect}
		steps = append(steps, step)
	}
	what := strings.ReplaceAll(s.object.Resource.Name, "_", " ")
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "answer." + s.object.Resource.Name,
		Title:       fmt.Sprintf("%s %s lists other users' %s objects", op.Method, op.Path, what),
		Description: fmt.Sprintf("What one user puts into a new %s is in the list that another user gets.", what),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as another user", op.Method, op.Path), Steps: steps},
	})
}

// widest asks for the largest page that the description allows.
func (p *Probe) widest(op *graph.Op) map[string]string {
	over := map[string]string{}
	for _, in := range op.Inputs {
		if in.Meaning != graph.MeansPageSize || in.Schema == nil {
			continue
		}
		if m := in.Schema.Rules().Bounds.Maximum; m != "" && len(m) <= 4 {
			over[in.Where()] = m
		} else {
			over[in.Where()] = "100"
		}
	}
	return over
}

// anyHeld reports whether an answer holds a canary of the object.
func (p *Probe) anyHeld(x *target.Exchange, s *subject) bool {
	for _, c := range s.object.Canaries() {
		if scenario.Holds(x, c) {
			return true
		}
	}
	return false
}
