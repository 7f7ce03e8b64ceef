package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// receipt is where it stands what something costs that a call orders: in the call's
// own answer (read is nil), or in that of a read of what it made.
type receipt struct {
	read *world.Call
	in   *graph.Input  // of read, that names what was made
	save scenario.Save // of its identifier, in the call's answer
}

// priced are the prices that an answer says, of those that the call does not.
func priced(c *world.Call, x *target.Exchange) map[string]float64 {
	out := figures(x)
	for at := range out {
		name := at[strings.LastIndexByte(at, '/')+1:]
		said := slices.ContainsFunc(c.Op.Inputs, func(in *graph.Input) bool {
			return in.In == "body" && c.Values[in.Where()] != "" && strings.EqualFold(in.Name, name)
		})
		if said || !rePriced.MatchString(name) {
			delete(out, at)
		}
	}
	return out
}

// receipt finds what a call's order costs; nil where nothing says it. The exchange is
// the one that does.
func (p *Probe) receipt(ctx context.Context, c *world.Call, x *target.Exchange) (*receipt, *target.Exchange, error) {
	if x.Status/100 != 2 {
		return nil, nil, nil
	}
	if len(priced(c, x)) > 0 {
		return &receipt{}, x, nil
	}
	if c.Op.About == nil || c.Op.Kind != graph.Create {
		return nil, nil, nil
	}
	for _, op := range c.Op.About.Of(graph.Read) {
		if !p.onlyReads(op) || !op.OnObject {
			continue
		}
		in := p.naming(op, c.Op.About)
		if in == nil || in.In != "path" {
			continue
		}
		at, v := identifierIn(x, in.Name)
		if at == "" {
			continue
		}
		over := map[string]string{in.Where(): jsonID(in, scenario.Plain(v))}
		read, err := p.World.Call(ctx, op, p.Actor(actor.User), over)
		if err != nil {
			continue
		}
		r := &receipt{read.By(c.As), in, scenario.Save{At: at}}
		y, err := p.again(ctx, r, x)
		if err != nil {
			return nil, nil, err
		}
		if len(priced(c, y)) > 0 {
			return r, y, nil
		}
	}
	return nil, nil, nil
}

// again reads the receipt of another order of the same account.
func (p *Probe) again(ctx context.Context, r *receipt, x *target.Exchange) (*target.Exchange, error) {
	if r.read == nil {
		return x, nil
	}
	body, _ := scenario.Decode(x.Body)
	for _, v := range scenario.Find(body, r.save.At) {
		return p.send(ctx, r.read.With(r.in.Where(), jsonID(r.in, scenario.Plain(v))))
	}
	return x, nil
}

// orders adds a call of an account and what its receipt has to say.
func (r *receipt) orders(p *Probe, l *steps, s *scene, c *world.Call, as, id string, part scenario.Part, note string, e scenario.Expect, save string) {
	st, err := s.step(p, c, id, part)
	st.As, st.Note = as, note
	e.Status = "2xx"
	saves := []scenario.Save(nil)
	if save != "" {
		saves = []scenario.Save{{As: save, At: e.At}}
	}
	if r.read == nil {
		st.Expect, st.Save = []scenario.Expect{e}, saves
		l.add(st, err)
		return
	}
	made := r.save
	made.As = "made_" + id
	st.Expect, st.Save = []scenario.Expect{{Status: "2xx"}}, []scenario.Save{made}
	l.add(st, err)
	bind := s.bind(r.read)
	if bind[r.in.Where()] = "${" + made.As + "}"; strings.HasPrefix(r.read.Values[r.in.Where()], `"`) {
		bind[r.in.Where()] = `"${` + made.As + `}"`
	}
	st, err = p.World.Step(r.read, bind)
	st.ID, st.Part, st.As, st.Note, st.Expect, st.Save = id+"_costs", scenario.Observe, as, "what that costs", []scenario.Expect{e}, saves
	if part == scenario.Control {
		st.Part = scenario.Control
	}
	l.add(st, err)
}

const (
	costsSome    = `^0*[1-9]`
	costsNothing = `^(0+(\.0+)?|-[0-9.]*[1-9][0-9.]*)$`
)

// costsLess: what a strange quantity orders has a price of nothing or less.
func (p *Probe) costsLess(ctx context.Context, c *world.Call, in *graph.Input, text string, plain, x *target.Exchange) (bool, error) {
	if in.Meaning != graph.MeansQuantity || x.Status/100 != 2 {
		return false, nil
	}
	r, costs, err := p.receipt(ctx, c, plain)
	if err != nil || r == nil {
		return false, err
	}
	fair := priced(c, costs)
	if costs, err = p.again(ctx, r, x); err != nil {
		return false, err
	}
	turned := priced(c, costs)
	for _, at := range slices.Sorted(maps.Keys(turned)) {
		some, matches := costsSome, costsNothing
		broken := strings.Trim(text, `"`) == fraction
		if broken { // by its digits: two fewer than one of it costs
			digits := len(strconv.FormatFloat(fair[at], 'f', 0, 64))
			some = fmt.Sprintf(`^\d{%d}`, digits)
			matches = fmt.Sprintf(`^0+\.\d*[1-9]|^[1-9]\d{0,%d}(\.\d+)?$`, max(digits-3, 0))
			if digits < 3 {
				matches = `^0+\.\d*[1-9]`
			}
			if turned[at] <= 0 || turned[at] > fair[at]/100 {
				continue
			}
		}
		if fair[at] < 1 || turned[at] > 0 && !broken || strings.Contains(strings.ToLower(at), "unit") {
			continue
		}
		s := p.afresh(c)
		l := steps{list: s.setup}
		one := "1"
		if in.Type == "string" {
			one = `"1"`
		}
		r.orders(p, &l, s, c.With(in.Where(), one), "fresh1", "fair", scenario.Control, "one of it costs something", scenario.Expect{At: at, Matches: some}, "")
		r.orders(p, &l, s, c.With(in.Where(), text), "fresh1", "attack", scenario.Attack, text+" of it cost next to nothing, or less", scenario.Expect{At: at, Matches: matches}, "")
		if l.err != nil {
			return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		op := c.Op
		if ok, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: in.Where(), Title: fmt.Sprintf("%s %s takes a negative, overflowing or broken %s", op.Method, op.Path, in.Name),
			Description: fmt.Sprintf("With %s in %s, %s of the order is next to nothing or less, though one of it costs something.", text, in.Where(), strings.TrimPrefix(at, "/")),
			Scenario:    &scenario.Scenario{Name: "an order turned around", Steps: l.list},
		}); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// sumsUp: the sum of what an account is about to buy falls below nothing.
func (p *Probe) sumsUp(ctx context.Context, c *world.Call, in *graph.Input, text string, dials []*world.Call, before, after []map[string]float64) (bool, error) {
	if in.Meaning != graph.MeansQuantity {
		return false, nil
	}
	for i, d := range dials {
		for _, at := range slices.Sorted(maps.Keys(after[i])) {
			m := &meter{d, at}
			was, had := before[i][at]
			fell := after[i][at] < 0 || strings.Contains(text, "-") && after[i][at] < was
			if !had || !fell || was < 0 || !rePriced.MatchString(m.name()) || reFunds.MatchString(m.name()) {
				continue
			}
			one := "1"
			if in.Type == "string" {
				one = `"1"`
			}
			t := &trial{call: c}
			a, b := t.by(p, "fresh1"), t.by(p, "fresh2")
			var l steps
			l.list = append(l.list, b.setup.list...)
			l.add(b.step(c.With(in.Where(), one), "fair", scenario.Control, "a new account takes one of it", scenario.Expect{Status: "2xx"}))
			l.add(b.look(m, "costs", scenario.Control, "which costs something", "", scenario.Expect{Matches: costsSome}))
			l.list = append(l.list, a.setup.list...)
			l.add(a.step(c.With(in.Where(), text), "attack", scenario.Attack, "another takes "+text+" of it", scenario.Expect{Status: "any"}))
			l.add(a.look(m, "sum", scenario.Observe, "and owes less than nothing", "", scenario.Expect{Matches: `^-[0-9.]*[1-9]`}))
			if l.err != nil || a.setup.err != nil || b.setup.err != nil {
				return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
			}
			op := c.Op
			if ok, err := p.Prove(ctx, Hypothesis{
				Op: op, Where: in.Where(), Title: fmt.Sprintf("%s %s takes a negative or overflowing %s", op.Method, op.Path, in.Name),
				Description: fmt.Sprintf("With %s in %s, %s falls below nothing: it pays for the rest of what is bought.", text, in.Where(), m.said()),
				Scenario:    &scenario.Scenario{Name: "a cart turned around", Steps: l.list},
			}); err != nil || ok {
				return ok, err
			}
		}
	}
	return false, nil
}
