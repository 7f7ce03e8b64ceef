package check

import (
	"context"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// witness is a plain read that tells who is calling: the actor gets an answer
// that says something, twice the same; nobody and a made-up credential do not.
type witness struct {
	call *world.Call
	last *target.Exchange
}

// witness finds one for an actor; nil when there is none. It is found once for
// each actor of a check.
func (p *Probe) witness(ctx context.Context, a *actor.Actor) (*witness, error) {
	if a == nil || a.Session == nil {
		return nil, nil
	}
	var best *witness
	tried := 0
	for _, pass := range []bool{true, false} {
		for _, op := range p.Graph.Ops {
			if !p.onlyReads(op) || op.Has(graph.WhoAmI) != pass || op.Has(graph.Health) {
				continue
			}
			if tried++; tried > 60 {
				return best, nil
			}
			c, err := p.World.Call(ctx, op, a, nil)
			if err != nil {
				continue
			}
			w, err := p.testify(ctx, c)
			if err != nil || w != nil {
				return w, err
			}
		}
	}
	return best, nil
}

func (p *Probe) testify(ctx context.Context, c *world.Call) (*witness, error) {
	own, err := p.send(ctx, c)
	if err != nil || own.Status/100 != 2 || !telling(own) {
		return nil, err
	}
	again, err := p.send(ctx, c)
	if err != nil || !scenario.Alike(own, again) {
		return nil, err
	}
	nobody, err := p.send(ctx, c.By(nil))
	if err != nil || nobody.Status/100 == 2 || nobody.Status == 429 {
		return nil, err
	}
	if nobody.Status >= 500 {
		// Some fail where a credential is missing; others fail now and then.
		if nobody.Status != 500 {
			return nil, nil
		}
		for _, who := range []*world.Call{c.By(nil), c, c.By(nil)} {
			x, err := p.send(ctx, who)
			if err != nil || who == c && !scenario.Alike(own, x) || who != c && x.Status != 500 {
				return nil, err
			}
		}
	}
	return &witness{c, own}, nil
}

// look is the witness' call as a step of a scenario.
func (p *Probe) look(w *witness, id string, part scenario.Part, as, note string, expect ...scenario.Expect) (scenario.Step, error) {
	st, err := p.step(nil, w.call, id, part)
	if err != nil {
		return st, err
	}
	st.As, st.Note, st.Expect = as, note, expect
	return st, nil
}

// entrance says where an answer holds a credential: how a scenario saves it.
func entrance(x *target.Exchange, value string) (scenario.Save, bool) {
	if body, ok := scenario.Decode(x.Body); ok {
		at := ""
		found := false
		scenario.Walk(body, func(pointer string, s any) {
			if text, ok := s.(string); ok && !found && text == value {
				at, found = pointer, true
			}
		})
		if found {
			return scenario.Save{At: at}, true
		}
	}
	for name, values := range x.Header {
		for _, v := range values {
			switch {
			case strings.EqualFold(name, "Set-Cookie"):
				if cookie, rest, ok := strings.Cut(v, "="); ok && strings.HasPrefix(rest, value) {
					return scenario.Save{Cookie: cookie}, true
				}
			case v == value:
				return scenario.Save{Header: name}, true
			case strings.HasSuffix(v, " "+value):
				return scenario.Save{Header: name, Pattern: `\s(\S+)$`}, true
			}
		}
	}
	return scenario.Save{}, false
}
