package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID:    "bola-reference",
	Title: "Another user's object can be used as one's own",
	OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-ATHZ-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:L/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Calls operations that take the identifier of a second object (a card to pay with, an address to send to, a file to attach) with one that belongs to another user.",
	Proof: "The call does with another user's object what it does with one's own, and refuses an identifier of nothing: so the object was looked up, and nobody asked whose it is. Controls: the attacker cannot read the object, and it is of a kind that is its owner's alone.",
	Fix:   "Check the owner of every object that a request names, not only of the one in the path.",
	Mode:  Default,
	Run:   bolaReference,
})

func bolaReference(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || len(p.Attackers()) == 0 {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Reads() || op.Kind == graph.Delete || op.Has(graph.Hazard) || op.Has(graph.Admin) || op.Has(graph.Login) || op.Has(graph.Register) {
			return nil
		}
		if err := p.spendsOthers(ctx, op, user); err != nil {
			return err
		}
		for _, in := range op.Inputs {
			r := p.resourceOf(in)
			if r == nil || r == op.About || r.IsPerson || r.IsTenant || in.In == "path" || in.In == "header" || strings.Contains(in.Pointer, "*") {
				continue
			}
			if err := p.referTo(ctx, op, in, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Probe) referTo(ctx context.Context, op *graph.Op, in *graph.Input, r *graph.Resource) error {
	user := p.Actor(actor.User)
	for _, s := range p.subjects(r, user, 1) {
		if s.recipe == nil {
			continue
		}
		v, err := p.Private(ctx, r)
		if err != nil {
			return err
		}
		if !v.Private() {
			p.Note(op, Clean)
			continue
		}
		for _, other := range p.Attackers() {
			if shared, err := p.shared(ctx, r, other); err != nil || shared {
				if err != nil {
					return err
				}
				continue
			}
			own := p.ownReference(ctx, op, in, r, other)
			if own == nil {
				p.Note(op, Skipped)
				continue
			}
			hides, err := p.hides(ctx, s, own.As)
			if err != nil {
				return err
			}
			h, err := p.referenceHypothesis(op, in, s, own, hides)
			if err != nil {
				p.Note(op, Inconclusive)
				continue
			}
			if ok, err := p.Prove(ctx, h); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

// ownReference is a call of the attacker's with an object of the attacker's own
// in the input; nil when there is none.
func (p *Probe) ownReference(ctx context.Context, op *graph.Op, in *graph.Input, r *graph.Resource, other *actor.Actor) *world.Call {
	objects := p.World.Objects(r, other)
	if len(objects) == 0 {
		o, err := p.World.Make(ctx, r, other)
		if err != nil {
			return nil
		}
		objects = []*world.Object{o}
	}
	for _, o := range objects {
		if o.Deleted() || o.ID == "" || !o.Made {
			continue
		}
		if c, err := p.on(ctx, op, other, in, o); err == nil {
			return c
		}
	}
	return nil
}

// hides is a read that shows an object to its owner and not to another: the plain
// one, or, where that is open itself (which is another hole), a list of one's own.
func (p *Probe) hides(ctx context.Context, s *subject, other *actor.Actor) (*world.Call, error) {
	reader, canaries := p.World.Reader(s.object), s.object.Canaries()
	if reader == nil || len(canaries) == 0 {
		return nil, nil
	}
	shown := func(c *world.Call) (bool, error) {
		x, err := p.send(ctx, c)
		if err != nil {
			return false, err
		}
		for _, text := range canaries {
			if x.Status/100 == 2 && scenario.Holds(x, text) {
				return true, nil
			}
		}
		return false, nil
	}
	open, err := shown(reader.By(other))
	if err != nil || !open {
		return reader.By(other), err
	}
	for _, op := range s.object.Resource.Of(graph.List) {
		if !p.onlyReads(op) || len(op.PathParams) > 0 || op.Has(graph.Admin) {
			continue
		}
		c, err := p.World.Call(ctx, op, s.object.Owner(), nil)
		if err != nil {
			continue
		}
		mine, err := shown(c)
		if err != nil {
			return nil, err
		}
		if !mine {
			continue
		}
		if theirs, err := shown(c.By(other)); err != nil || !theirs {
			return c.By(other), err
		}
	}
	return reader.By(other), nil
}

// referenceHypothesis: each of the three calls is made on objects of its own, so
// that the first does not use up what the next one needs.
func (p *Probe) referenceHypothesis(op *graph.Op, in *graph.Input, s *subject, own, hides *world.Call) (Hypothesis, error) {
	var h Hypothesis
	steps := s.setup()
	for _, part := range []struct {
		id   string
		note string
	}{
		{"own", "with an object of the attacker's own it works"},
		{"absent", "with an identifier of nothing it does not"},
		{"attack", "with another user's object it works as well"},
	} {
		// What the call acts on is made anew for each of the three.
		call := own
		bind := call.Renew(part.id)
		for where, o := range call.Uses {
			if where == in.Where() && part.id != "own" || !o.Made {
				continue
			}
			recipe, err := p.World.RecipeOf(o, part.id+"_"+o.Resource.Name)
			if err != nil {
				continue
			}
			for i := range recipe.Steps {
				recipe.Steps[i].ID = part.id + "_" + recipe.Steps[i].ID
			}
			steps = append(steps, recipe.Steps...)
			for at, text := range recipe.Bind(call) {
				if at == where {
					bind[at] = text
				}
			}
		}
		switch part.id {
		case "absent":
			call = call.With(in.Where(), jsonID(in, absent(s.object.ID)))
		case "attack":
			call = call.On(in.Where(), idFor(in, s.object), s.object)
			bind[in.Where()] = s.recipe.Text(s.object, idFor(in, s.object))
		}
		if part.id == "absent" {
			delete(bind, in.Where())
		}
		st, err := p.World.Step(call, bind)
		if err != nil {
			return h, fmt.Errorf("%s: %w", part.id, err)
		}
		st.ID, st.Note, st.Part = part.id, part.note, scenario.Control
		st.Expect = []scenario.Expect{{Status: "2xx"}}
		switch part.id {
		case "absent":
			st.Expect = []scenario.Expect{{Status: "4xx"}}
		case "attack":
			st.Part = scenario.Attack
			st.Expect = []scenario.Expect{{Status: "2xx", Unlike: "absent"}}
		}
		steps = append(steps, st)
	}
	// The attacker cannot get at the object in the plain way.
	if hides != nil && len(s.marks) > 0 {
		st, err := p.step(s, hides, "hidden", scenario.Control)
		if err == nil {
			st.Note, st.Expect = "the attacker does not see it", []scenario.Expect{{Lacks: s.marks[:1]}}
			steps = append(steps, st)
		}
	}
	what := strings.ReplaceAll(s.object.Resource.Name, "_", " ")
	return Hypothesis{
		Op: op, Where: in.Where(),
		Title:       fmt.Sprintf("%s %s takes another user's %s", op.Method, op.Path, what),
		Description: fmt.Sprintf("With the identifier of another user's %s in %s the call does what it does with one's own; an identifier of nothing is refused.", what, in.Where()),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s with another user's %s", op.Method, op.Path, what), Steps: steps},
	}, nil
}
