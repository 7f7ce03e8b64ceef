package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// trial is a call that new accounts make, with what each of them needs before it.
type trial struct {
	call  *world.Call
	given *given
	buys  *bought     // what the user buys for the account to use; nil: nothing
	own   bool        // the objects that the call names are the new account's own, not the user's
	keeps bool        // and what is bought, the account buys itself: what a shop gives out is good there alone
	fund  *world.Call // by which a new account comes by money; nil: none is needed
}

// act is one account's part of a trial within one scenario.
type act struct {
	p     *Probe
	t     *trial
	as    string
	scene *scene
	setup steps
	code  string // the variable that holds what was bought
}

// bought is a value that a call takes, such as the code of a gift card, and that the
// user was given by the answer that made an object.
type bought struct {
	where  string // the input that takes it
	object *world.Object
	at     string // where the answer holds it
	number bool
}

// boughtFor finds what a call takes of what the user has made; nil when there is
// nothing of the kind.
func (p *Probe) boughtFor(c *world.Call, user *actor.Actor) *bought {
	for _, in := range c.Op.Inputs {
		text := c.Values[in.Where()]
		want := scenario.Plain(decoded(text))
		if in.In == "header" || c.Uses[in.Where()] != nil || len(want) < 4 || text == "" || in.Meaning != graph.MeansCoupon && in.Meaning != graph.MeansToken && in.Type != "string" {
			continue
		}
		for _, r := range p.Graph.Resources {
			for _, o := range p.World.Objects(r, user) {
				if !o.Made || o.MadeBy == nil || o.MadeBy.Last == nil || strings.Contains(string(o.MadeBy.Last.Request.Body), want) {
					continue
				}
				body, _ := scenario.Decode(o.MadeBy.Last.Body)
				at := ""
				scenario.Walk(body, func(pointer string, v any) {
					if at == "" && scenario.Plain(v) == want {
						at = pointer
					}
				})
				if at != "" {
					return &bought{in.Where(), o, at, !strings.HasPrefix(text, `"`)}
				}
			}
		}
	}
	return nil
}

// buys adds the steps in which the user buys something for the account.
func (a *act) buys(b *bought) {
	recipe, err := a.p.World.RecipeOf(b.object, "bought_"+a.as)
	if err == nil && len(recipe.Steps) == 0 {
		err = errors.New("nobody knows how it is made")
	}
	if err != nil {
		a.setup.add(scenario.Step{}, fmt.Errorf("what the user buys: %w", err))
		return
	}
	a.code = "code_" + a.as
	for _, st := range recipe.Steps {
		if st.ID == "make_bought_"+a.as {
			st.Save = append(slices.Clone(st.Save), scenario.Save{As: a.code, At: b.at})
		}
		if a.t.keeps && st.As == actor.User {
			st = handed(st, a.as)
		}
		a.setup.add(st, nil)
	}
}

// by prepares the part of one account: the steps that come before the call.
func (t *trial) by(p *Probe, as string) *act {
	a := &act{p: p, t: t, as: as, scene: p.afreshAs(t.call, "of_"+as+"_")}
	if t.fund != nil {
		st, err := p.step(nil, t.fund, "fund_"+as, scenario.Setup)
		st.As, st.Note = as, "a new account comes by money"
		a.setup.add(st, err)
	}
	for _, st := range a.scene.setup {
		if t.own && st.As == actor.User {
			st = handed(st, as)
		}
		a.setup.add(st, nil)
	}
	if t.buys != nil {
		a.buys(t.buys)
	}
	if t.given != nil {
		st, err := p.step(nil, t.given.reader, "given_"+as, scenario.Setup)
		st.As, st.Note, st.Expect = as, "what the account was given", []scenario.Expect{{Status: "2xx"}}
		st.Save = []scenario.Save{{As: "given_" + as, At: t.given.at}}
		a.setup.add(st, err)
	}
	return a
}

// handed is a step of the user's as another account does it.
func handed(st scenario.Step, as string) scenario.Step {
	st.As = as
	if st.Send == nil {
		return st
	}
	text := func(s string) string {
		return strings.ReplaceAll(s, "${"+actor.User+".", "${"+as+".")
	}
	pairs := func(list []scenario.Pair) []scenario.Pair {
		out := slices.Clone(list)
		for i := range out {
			out[i].Value = text(out[i].Value)
		}
		return out
	}
	s := *st.Send
	s.Path, s.RawQ, s.Body, s.Query, s.Header = text(s.Path), text(s.RawQ), text(s.Body), pairs(s.Query), pairs(s.Header)
	st.Send = &s
	return st
}

// step is a call of the account: the trial's own, or another about the same objects.
func (a *act) step(c *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) (scenario.Step, error) {
	bind := c.Renew(id)
	maps.Copy(bind, a.scene.bind(c))
	if g := a.t.given; g != nil && c.Op == a.t.call.Op {
		bind[g.where] = `"${given_` + a.as + `}"`
		if g.number {
			bind[g.where] = "${given_" + a.as + "}"
		}
	}
	if b := a.t.buys; b != nil && c.Op == a.t.call.Op {
		bind[b.where] = `"${` + a.code + `}"`
		if b.number {
			bind[b.where] = "${" + a.code + "}"
		}
	}
	st, err := a.p.World.Step(c, bind)
	if err != nil {
		return st, fmt.Errorf("%s: %w", id, err)
	}
	st.ID, st.Part, st.As, st.Note, st.Expect = id, part, a.as, note, e
	return st, nil
}

// meter is a number that an account reads, whole or not.
type meter struct {
	call *world.Call
	at   string
}

func (m *meter) name() string { return m.at[strings.LastIndexByte(m.at, '/')+1:] }

// look reads a meter.
func (a *act) look(m *meter, id string, part scenario.Part, note, save string, e scenario.Expect) (scenario.Step, error) {
	e.Status, e.At = "2xx", m.at
	st, err := a.step(m.call, id, part, note, e)
	if save != "" {
		st.Save = []scenario.Save{{As: save, At: m.at}}
	}
	return st, err
}

// meters are the reads in which what a call does may be seen in a number: those of the
// account itself, and of the objects that the call names.
func (p *Probe) meters(ctx context.Context, c *world.Call) ([]*world.Call, error) {
	all, err := p.figured(ctx)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(all)
	for _, where := range slices.Sorted(maps.Keys(c.Uses)) {
		o := c.Uses[where]
		r := p.World.Reader(o)
		if r != nil && r.Op.Answered != "list" && !slices.ContainsFunc(out, func(d *world.Call) bool { return d.Op == r.Op }) {
			out = append(out, r)
		}
	}
	return out, nil
}

// figured are the plain reads of an account that hold a number, or that the user
// gets nothing from. They are looked for once in a run.
func (p *Probe) figured(ctx context.Context) ([]*world.Call, error) {
	p.figures.mu.Lock()
	defer p.figures.mu.Unlock()
	if p.figures.done {
		return p.figures.calls, nil
	}
	for _, op := range p.Graph.Ops {
		if op.Answered == "list" || !p.plainRead(op) || op.Has(graph.Search) || op.Has(graph.Health) || len(p.figures.calls) >= 12 {
			continue
		}
		r, err := p.World.Call(ctx, op, p.Actor(actor.User), nil)
		if err != nil {
			continue
		}
		x, err := p.send(ctx, r)
		if err != nil {
			return nil, err
		}
		if x.Status/100 != 2 && x.Status != 404 || x.Status/100 == 2 && len(figures(x)) == 0 {
			continue
		}
		p.figures.calls = append(p.figures.calls, r)
	}
	p.figures.done = true
	return p.figures.calls, nil
}

// rehearsal is what was seen of some calls, one after the other: the numbers before
// the first and after each.
type rehearsal struct {
	at    [][]map[string]float64
	acted []*target.Exchange
	reads []*world.Call
}

// rehearse makes calls as a new account and reads the meters before the first and
// after each. nil where what comes before them is not to be had.
func (p *Probe) rehearse(ctx context.Context, t *trial, meters []*world.Call, calls ...func(a *act, id string) (scenario.Step, error)) (*rehearsal, error) {
	a := t.by(p, "fresh1")
	l := a.setup
	read := func(round int) {
		for i, m := range meters {
			l.add(a.step(m, fmt.Sprintf("read%d_%d", round, i), scenario.Observe, ""))
		}
	}
	read(0)
	for i, call := range calls {
		l.add(call(a, fmt.Sprintf("call%d", i+1)))
		read(i + 1)
	}
	if l.err != nil {
		return nil, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	for i := range l.list {
		if l.list[i].Part == scenario.Attack {
			l.list[i].Expect = nil
		}
	}
	out, err := p.attempt(ctx, &scenario.Scenario{Name: "a rehearsal", Steps: l.list}, false)
	if err != nil {
		return nil, err
	}
	p.Log.DebugContext(ctx, "rehearsed", "check", p.Check.ID, "method", t.call.Op.Method, "path", t.call.Op.Path, "verdict", out.Verdict, "step", out.Step, "why", out.Why)
	r := &rehearsal{reads: meters}
	for round := range len(calls) + 1 {
		var seen []map[string]float64
		for i := range meters {
			res := out.Of(fmt.Sprintf("read%d_%d", round, i))
			if res == nil || res.Last() == nil {
				return nil, nil
			}
			seen = append(seen, figures(res.Last()))
		}
		r.at = append(r.at, seen)
	}
	for i := range calls {
		res := out.Of(fmt.Sprintf("call%d", i+1))
		if res == nil || res.Last() == nil {
			return nil, nil
		}
		r.acted = append(r.acted, res.Last())
	}
	return r, nil
}

// moves are the meters whose numbers move as asked: one sign for each call, "+" as
// by the first call or again by as much, "~" in its direction, "0" not at all.
func (r *rehearsal) moves(want string) []*meter {
	var out []*meter
	for i, call := range r.reads {
		for _, at := range slices.Sorted(maps.Keys(r.at[0][i])) {
			first := 0.0
			fits := true
			for round, sign := range want {
				before, had := r.at[round][i][at]
				after, has := r.at[round+1][i][at]
				by := after - before
				if round == 0 {
					first = by
				}
				switch same := math.Abs(by-first) < 1e-6; {
				case !had || !has || first == 0:
					fits = false
				case sign == '+':
					fits = fits && same
				case sign == '~':
					fits = fits && by*first > 0
				case sign == '0':
					fits = fits && math.Abs(by) < 1e-9
				}
			}
			if fits {
				out = append(out, &meter{call, at})
			}
		}
	}
	// Money tells more than a count, and a count more than what is named otherwise.
	slices.SortStableFunc(out, func(a, b *meter) int { return worthOfMeter(b) - worthOfMeter(a) })
	return out
}

func worthOfMeter(m *meter) int {
	switch {
	case reFunds.MatchString(m.name()):
		return 2
	case rePriced.MatchString(m.name()) || reCounted.MatchString(m.name()):
		return 1
	}
	return 0
}
