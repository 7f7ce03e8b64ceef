package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

func clientPrice(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	for _, op := range p.Ops() {
		if !usable(op) || op.Kind != graph.Create && op.Kind != graph.Action || op.Body == nil || reOwnPrice.MatchString(op.Path+" "+op.ID+" "+op.Summary) {
			continue
		}
		for _, in := range op.Inputs {
			priced := in.Meaning == graph.MeansMoney || in.Meaning == graph.MeansUndefined && (in.Type == "integer" || in.Type == "number") && rePriced.MatchString(in.Name)
			if in.In != "body" || !priced || in.Listed || in.ReadOnly {
				continue
			}
			c, err := p.World.Call(ctx, op, user, nil)
			if err != nil {
				p.Note(op, Skipped)
				break
			}
			if done, err := p.pricedBy(ctx, c, in); err != nil {
				return err
			} else if done {
				break
			}
		}
		if err := p.cheapened(ctx, op, user); err != nil {
			return err
		}
	}
	return nil
}

// pricedBy looks for what a call orders: an object with a price of the same name.
func (p *Probe) pricedBy(ctx context.Context, c *world.Call, in *graph.Input) (bool, error) {
	a, err := p.People.Fresh(ctx)
	if err != nil {
		return false, nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	for _, where := range slices.Sorted(maps.Keys(c.Uses)) {
		o := c.Uses[where]
		if o == nil || o.Resource == nil || o.Resource == c.Op.About || o.Resource.IsPerson || o.Resource.IsTenant {
			continue
		}
		shop := p.World.Reader(o)
		if shop == nil || shop.Op.Answered == "list" {
			continue
		}
		x, err := p.send(ctx, shop.By(a))
		if err != nil {
			return false, err
		}
		for _, at := range slices.Sorted(maps.Keys(figures(x))) {
			price := figures(x)[at]
			if price <= 2 || !sameName(at[strings.LastIndexByte(at, '/')+1:], in.Name) {
				continue
			}
			for _, back := range p.readsBack(c) {
				if done, err := p.priceHypothesis(ctx, []*world.Call{c}, in, shop, at, back); err != nil || done {
					return done, err
				}
			}
		}
	}
	p.Note(c.Op, Clean)
	if in.Required || len(c.Uses) == 0 {
		return false, nil
	}
	backs := p.readsBack(c)
	if len(backs) == 0 {
		return p.pricedOnReceipt(ctx, c.By(a), in)
	}
	calls, err := p.orders(ctx, c.With(in.Where(), ""), a)
	if err != nil {
		return false, err
	}
	// What can be ordered may be gone by the time that it is ordered again.
	for ; len(calls) > 0; calls = calls[min(3, len(calls)):] {
		for _, back := range backs {
			if done, err := p.priceHypothesis(ctx, calls[:min(3, len(calls))], in, nil, "", back); err != nil || done {
				return done, err
			}
		}
	}
	return false, nil
}

// maxOrders bounds what is ordered to learn what can be.
const maxOrders = 9

// orders are calls that order something when they say no price: the call itself,
// and others of its kind where what it names has been ordered away.
func (p *Probe) orders(ctx context.Context, c *world.Call, a *actor.Actor) ([]*world.Call, error) {
	for _, in := range c.Op.Inputs {
		if in.In == "body" && in.Meaning == graph.MeansQuantity && c.Values[in.Where()] != "" && in.Type != "string" {
			c = c.With(in.Where(), "1")
		}
	}
	list := []*world.Call{c}
	for _, in := range c.Op.Inputs {
		o := c.Uses[in.Where()]
		if o == nil || o.Resource == nil || o.Resource == c.Op.About || o.Resource.IsPerson || o.Resource.IsTenant {
			continue
		}
		for _, other := range p.World.Objects(o.Resource, nil) {
			if other != o && other.ID != "" && !other.Deleted() && len(list) < maxOrders {
				list = append(list, c.On(in.Where(), idFor(in, other), other))
			}
		}
		break
	}
	var out []*world.Call
	for _, call := range list {
		x, err := p.send(ctx, call.By(a))
		if err != nil {
			return nil, err
		}
		if x.Status/100 == 2 {
			out = append(out, call)
		}
	}
	return out, nil
}

func sameName(a, b string) bool {
	plain := strings.NewReplacer("_", "", "-", "", " ", "")
	return strings.EqualFold(plain.Replace(a), plain.Replace(b))
}

// readsBack are the lists in which a new account finds what it has just ordered.
func (p *Probe) readsBack(c *world.Call) []*graph.Op {
	var out []*graph.Op
	for _, op := range p.Graph.Ops {
		if kind, _ := p.Graph.Answer(op); op.About == c.Op.About && op.About != nil && kind == "list" && p.plainRead(op) {
			out = append(out, op)
		}
	}
	return out[:min(len(out), 2)]
}

// priceHypothesis: an order has the price that the request says, though what is
// ordered has another (shop, at), or, where shop is nil, though the server works
// one out when the request says none.
func (p *Probe) priceHypothesis(ctx context.Context, calls []*world.Call, in *graph.Input, shop *world.Call, at string, back *graph.Op) (bool, error) {
	list, err := p.World.Call(ctx, back, p.Actor(actor.User), nil)
	if err != nil {
		return false, nil //nolint:nilerr // what cannot be read cannot be compared
	}
	low, high := "1", "2"
	var l steps
	scenes := map[*world.Call]*scene{}
	of := func(i int) *world.Call { return calls[i%len(calls)] }
	for i, c := range calls {
		scenes[c] = p.afreshAs(c, fmt.Sprintf("order%d_", i+1))
		l.list = append(l.list, scenes[c].setup...)
	}
	add := func(s *scene, call *world.Call, as, id string, part scenario.Part, note string, e ...scenario.Expect) {
		st, err := s.step(p, call, id, part)
		st.As, st.Note, st.Expect = as, note, e
		l.add(st, err)
	}
	_, below := p.Graph.Answer(back)
	item := below + "/*/" + in.Name
	said := "The server works out a price where the request says none; where it says one, the order has that."
	if shop != nil {
		said = fmt.Sprintf("What is ordered has a price of its own (%s of %s %s); the order has the one that the request says.", strings.TrimPrefix(at, "/"), shop.Op.Method, shop.Op.Path)
		add(scenes[of(0)], shop, "fresh1", "shop", scenario.Control, "what is ordered has another price", scenario.Expect{Status: "2xx", At: at, Differs: &low}, scenario.Expect{Status: "2xx", At: at, Differs: &high})
	} else {
		add(scenes[of(0)], of(0).With(in.Where(), ""), "fresh3", "plain", scenario.Control, "a new account orders it and says no price", scenario.Expect{Status: "2xx"})
		add(scenes[of(0)], list, "fresh3", "fair", scenario.Control, "the server has worked one out", scenario.Expect{Status: "2xx", At: item, Matches: `^([3-9]|[1-9]\d+)(\.\d+)?$`})
	}
	add(scenes[of(1)], of(1).With(in.Where(), low), "fresh1", "attack", scenario.Attack, "a new account orders it at "+low, scenario.Expect{Status: "2xx"})
	add(scenes[of(1)], list, "fresh1", "first", scenario.Observe, "and has it at that", scenario.Expect{Status: "2xx", At: item, Equals: &low})
	add(scenes[of(2)], of(2).With(in.Where(), high), "fresh2", "again", scenario.Attack, "another orders it at "+high, scenario.Expect{Status: "2xx"})
	add(scenes[of(2)], list, "fresh2", "second", scenario.Observe, "and has it at that", scenario.Expect{Status: "2xx", At: item, Equals: &high})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	op := calls[0].Op
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: in.Where(), Title: fmt.Sprintf("%s %s takes the price from the client (%s)", op.Method, op.Path, in.Name),
		Description: said,
		Scenario:    &scenario.Scenario{Name: "a price of the client's", Steps: l.list},
	})
}
