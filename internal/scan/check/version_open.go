package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// oldVersionOpen asks, without credentials, for the reads under the versions
// before and after the described one: what asks for them under the described
// version may not under those.
func oldVersionOpen(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodGet || op.Has(graph.Hazard) || op.Has(graph.Logout) {
			return nil
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		r, err := p.World.Request(c.By(nil))
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		others := p.versions(r.Path)
		if len(others) == 0 {
			return nil
		}
		now, err := p.Do(ctx, nil, r.Clone())
		if err != nil {
			return err
		}
		if now.Status != 401 && now.Status != 403 {
			return nil // it is there for all, or not at all
		}
		for _, v := range others {
			q := r.Clone()
			v.under(&q.Path, &q.Root)
			x, err := p.Do(ctx, nil, q)
			if errors.Is(err, target.ErrRefused) {
				continue
			}
			if err != nil {
				return err
			}
			if !tells(x) {
				continue
			}
			if done, err := p.openTwin(ctx, op, v); err != nil || done {
				return err
			}
		}
		return nil
	})
}

func (p *Probe) openTwin(ctx context.Context, op *graph.Op, v version) (bool, error) {
	if p.isDescribed(op.Method, v.of(op)) {
		return false, nil
	}
	c, err := p.World.Call(ctx, op, p.Actor(actor.User), nil)
	if err != nil {
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	var l steps
	add := func(id string, part scenario.Part, note string, under *version, e ...scenario.Expect) {
		st, err := p.step(nil, c.By(nil), id, part)
		if err == nil && under != nil {
			st = under.step(st)
		}
		st.Note, st.Expect = note, e
		l.add(st, err)
	}
	no := v.impossible()
	add("described", scenario.Control, "the described version turns nobody away", nil, scenario.Expect{Status: "401|403"})
	add("absent", scenario.Control, "a version that cannot be answers nothing", &no, scenario.Expect{Status: "!2xx"})
	add("attack", scenario.Attack, v.name+" answers nobody", &v, scenario.Expect{Status: "2xx", Header: "Content-Type", Matches: "(?i)json|csv"})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	at := v.of(op)
	return p.Prove(ctx, Hypothesis{
		Method: op.Method, Path: at, Where: "credentials", Title: fmt.Sprintf("%s %s is still there, and asks for no credentials", op.Method, at), Cause: v.name + " is still there, and asks for no credentials",
		Description: "A version of the operation that the description does not have answers whoever asks, where the described one asks for credentials.",
		Scenario:    &scenario.Scenario{Name: "an older version without credentials", Steps: l.list},
	})
}
