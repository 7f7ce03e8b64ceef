package check

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// given is what an account was given and reads of itself, such as the code of its
// voucher: another account has another one.
type given struct {
	where  string      // the input of the call that takes it
	reader *world.Call // the plain read that shows it
	at     string      // where in the answer
	number bool
}

// givenTo finds what a call takes of what its caller reads by a plain read; nil
// when it takes nothing of the kind.
func (p *Probe) givenTo(ctx context.Context, c *world.Call, user *actor.Actor) (*given, error) {
	for _, in := range c.Op.Inputs {
		text := c.Values[in.Where()]
		want := scenario.Plain(decoded(text))
		if o := c.Uses[in.Where()]; o != nil && o.Made {
			continue // its caller made it
		}
		if in.In == "header" || len(want) < 4 || text == "" || in.Meaning != graph.MeansCoupon && in.Meaning != graph.MeansToken && in.Type != "string" {
			continue
		}
		for _, op := range p.Graph.Ops {
			if !p.plainRead(op) || op.Has(graph.Search) {
				continue
			}
			reader, err := p.World.Call(ctx, op, user, nil)
			if err != nil {
				continue
			}
			x, err := p.send(ctx, reader)
			if err != nil {
				return nil, err
			}
			body, ok := scenario.Decode(x.Body)
			if x.Status/100 != 2 || !ok {
				continue
			}
			at := ""
			scenario.Walk(body, func(pointer string, v any) {
				if at == "" && scenario.Plain(v) == want {
					at = reIndex.ReplaceAllString(pointer, "/0$1") // the first of its own: each account may have others
				}
			})
			if at != "" {
				return &given{in.Where(), reader, at, !strings.HasPrefix(text, `"`)}, nil
			}
		}
	}
	return nil, nil
}

// of is a call as another account, with what that one was given.
func (g *given) of(ctx context.Context, p *Probe, c *world.Call, a *actor.Actor) (*world.Call, error) {
	if g == nil {
		return c.By(a), nil
	}
	x, err := p.send(ctx, g.reader.By(a))
	if err != nil {
		return nil, err
	}
	if body, ok := scenario.Decode(x.Body); ok {
		for _, v := range scenario.Find(body, g.at) {
			return c.By(a).With(g.where, jsonOf(v)), nil
		}
	}
	return c.By(a), nil
}

// heldBy is what a call names of what each caller has exactly one of, and reads by
// a plain read: the own wallet, the own basket. What the call gives to another is
// none of it.
func (p *Probe) heldBy(ctx context.Context, c *world.Call, user *actor.Actor) ([]*given, error) {
	var out []*given
	for _, in := range c.Op.Inputs {
		text := c.Values[in.Where()]
		if in.In == "header" || text == "" || reTowards.MatchString(in.Name) {
			continue
		}
		g, err := p.onlyOne(ctx, in, text, user)
		if err != nil {
			return nil, err
		}
		if g != nil {
			out = append(out, g)
		}
	}
	return out, nil
}

// reTowards are names of what a call gives something to.
var reTowards = regexp.MustCompile(`(?i)^(to|target|dest(ination)?|recipient|receiver|beneficiary|payee|credit)([_-]|$)|^(?-i:(to|target|dest(ination)?|recipient|receiver|beneficiary|payee|credit)[A-Z])`)

// onlyOne is the plain read in which an actor finds the object that an input names;
// nil when there is none.
func (p *Probe) onlyOne(ctx context.Context, in *graph.Input, text string, user *actor.Actor) (*given, error) {
	r := p.resourceOf(in)
	if r == nil || r.IsPerson || r.IsTenant {
		return nil, nil
	}
	for _, op := range r.Ops {
		if op.Answered == "list" || !p.plainRead(op) {
			continue
		}
		reader, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			continue
		}
		x, err := p.send(ctx, reader)
		if err != nil {
			return nil, err
		}
		body, ok := scenario.Decode(x.Body)
		if x.Status/100 != 2 || !ok {
			continue
		}
		at := ""
		scenario.Walk(body, func(pointer string, v any) {
			if at == "" && !reIndex.MatchString(pointer) && scenario.Plain(v) == scenario.Plain(decoded(text)) {
				at = pointer
			}
		})
		if at != "" {
			return &given{in.Where(), reader, at, !strings.HasPrefix(text, `"`)}, nil
		}
	}
	return nil, nil
}

// holding is a call as another account, with what that one has.
func (p *Probe) holding(ctx context.Context, c *world.Call, a *actor.Actor, list []*given) (*world.Call, error) {
	own := c.By(a)
	for _, g := range list {
		next, err := g.of(ctx, p, own, a)
		if err != nil {
			return nil, err
		}
		own = next
	}
	return own, nil
}

// bindings are what a step of a call names in place of what a list of things holds
// that an account read before (looks): "prefix0", "prefix1", …
func bindings(list []*given, prefix string) map[string]string {
	out := map[string]string{}
	for i, g := range list {
		name := fmt.Sprintf("%s%d", prefix, i)
		out[g.where] = `"${` + name + `}"`
		if g.number {
			out[g.where] = "${" + name + "}"
		}
	}
	return out
}

// looks are the steps in which an account reads what it has.
func (p *Probe) looks(list []*given, as, prefix string) ([]scenario.Step, error) {
	var out []scenario.Step
	for i, g := range list {
		name := fmt.Sprintf("%s%d", prefix, i)
		st, err := p.step(nil, g.reader, "look_"+name, scenario.Setup)
		if err != nil {
			return nil, err
		}
		st.As, st.Note, st.Expect = as, "what the account has", []scenario.Expect{{Status: "2xx"}}
		st.Save = []scenario.Save{{As: name, At: g.at}}
		out = append(out, st)
	}
	return out, nil
}
