package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// spendsOthers: an operation that takes from what each account has one of (a
// wallet, a budget) takes from another's as well, by its identifier. It is done to
// accounts that the scenario registers.
func (p *Probe) spendsOthers(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	if op.Reads() || !usable(op) || p.People.RegisterEntry() == nil || !slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool {
		r := p.resourceOf(in)
		return (in.In == "body" || in.In == "query") && r != nil && !r.IsPerson && len(r.Of(graph.Create)) == 0 && in.Meaning == graph.MeansID
	}) {
		return nil
	}
	c, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	list, err := p.heldBy(ctx, c, user)
	if err != nil || len(list) == 0 {
		return err
	}
	for _, in := range op.Inputs {
		if in.In == "body" && in.Meaning == graph.MeansMoney && in.Type != "string" {
			c = c.With(in.Where(), "1")
		}
	}
	victim, err := p.People.Fresh(ctx)
	if err != nil {
		return nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	thief, err := p.People.Fresh(ctx)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	for _, g := range list {
		theirs, err := g.of(ctx, p, c, victim)
		if err != nil {
			return err
		}
		if theirs.Values[g.where] == c.Values[g.where] {
			continue // it is the same for everybody
		}
		had, err := p.send(ctx, g.reader.By(victim))
		if err != nil {
			return err
		}
		if _, err := p.send(ctx, theirs.By(thief)); err != nil {
			return err
		}
		has, err := p.send(ctx, g.reader.By(victim))
		if err != nil {
			return err
		}
		p.Note(op, Clean)
		before, after := figures(had), figures(has)
		for _, at := range slices.Sorted(maps.Keys(before)) {
			if now, there := after[at]; !there || now >= before[at] {
				continue
			}
			if ok, err := p.spentHypothesis(ctx, c, g, at, before[at], after[at]); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

func (p *Probe) spentHypothesis(ctx context.Context, c *world.Call, g *given, at string, before, after float64) (bool, error) {
	op := c.Op
	had, has := strconv.FormatFloat(before, 'f', -1, 64), strconv.FormatFloat(after, 'f', -1, 64)
	var l steps
	looks, err := p.looks([]*given{g}, "fresh1", "theirs")
	if err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	l.list = looks
	add := func(id string, part scenario.Part, as, note string, e ...scenario.Expect) {
		var st scenario.Step
		var err error
		if id == "attack" || id == "nobody" {
			bind := c.Renew(id)
			maps.Copy(bind, bindings([]*given{g}, "theirs"))
			st, err = p.World.Step(c, bind)
		} else {
			st, err = p.step(nil, g.reader, id, part)
		}
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, as, note, e
		l.add(st, err)
	}
	add("before", scenario.Control, "fresh1", "what a new account has", scenario.Expect{Status: "2xx", At: at, Equals: &had})
	add("nobody", scenario.Control, actor.Nobody, "nobody without credentials tries to take of it", scenario.Expect{Status: "!2xx"})
	add("still", scenario.Control, "fresh1", "it still has that", scenario.Expect{Status: "2xx", At: at, Equals: &had})
	add("attack", scenario.Attack, "fresh2", "another new account takes of it", scenario.Expect{Status: "any"})
	add("after", scenario.Observe, "fresh1", "the first one has less", scenario.Expect{Status: "2xx", At: at, Equals: &has})
	if l.err != nil {
		return false, nil //nolint:nilerr // as above
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: g.where, Title: fmt.Sprintf("%s %s takes from what is another user's", op.Method, op.Path),
		Description: fmt.Sprintf("With the identifier of what another has in %s, the call takes from that: its owner has less afterwards.", g.where),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s with what is another's", op.Method, op.Path), Steps: l.list},
	})
}
