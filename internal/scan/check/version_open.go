package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

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
		if err != nil || len(twins(r.Path)) == 0 {
			return nil //nolint:nilerr // as above
		}
		now, err := p.Do(ctx, nil, r.Clone())
		if err != nil {
			return err
		}
		if now.Status != 401 && now.Status != 403 {
			return nil // it is there for all, or not at all
		}
		for _, twin := range twins(r.Path) {
			q := r.Clone()
			q.Path = twin[1]
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
			if done, err := p.openTwin(ctx, op, r.Path, twin); err != nil || done {
				return err
			}
		}
		return nil
	})
}

func (p *Probe) openTwin(ctx context.Context, op *graph.Op, path string, twin [2]string) (bool, error) {
	c, err := p.World.Call(ctx, op, p.Actor(actor.User), nil)
	if err != nil {
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	version := ""
	for part := range strings.SplitSeq(path, "/") {
		if reVersion.MatchString(part) {
			version = part
			break
		}
	}
	var l steps
	add := func(id string, part scenario.Part, note, v string, e ...scenario.Expect) {
		st, err := p.step(nil, c.By(nil), id, part)
		if err == nil {
			st.Send.Path = strings.Replace(st.Send.Path, "/"+version+"/", "/"+v+"/", 1)
		}
		st.Note, st.Expect = note, e
		l.add(st, err)
	}
	add("described", scenario.Control, "the described version turns nobody away", version, scenario.Expect{Status: "401|403"})
	add("absent", scenario.Control, "a version that cannot be answers nothing", "v97", scenario.Expect{Status: "!2xx"})
	add("attack", scenario.Attack, twin[0]+" answers nobody", twin[0], scenario.Expect{Status: "2xx", Header: "Content-Type", Matches: "(?i)json|csv"})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	at := strings.Replace(op.Path, "/"+version+"/", "/"+twin[0]+"/", 1)
	return p.Prove(ctx, Hypothesis{
		Method: op.Method, Path: at, Where: "credentials", Title: fmt.Sprintf("%s %s is still there, and asks for no credentials", op.Method, at),
		Description: "A version of the operation that the description does not have answers whoever asks, where the described one asks for credentials.",
		Scenario:    &scenario.Scenario{Name: "an older version without credentials", Steps: l.list},
	})
}
