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
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "race", Title: "Requests sent at one moment do more than one after the other",
		OWASP: "API6:2023", CWE: "CWE-362", WSTG: "WSTG-BUSL-04",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
		About: "Spends all that a new account has, several times at the same moment; does so with what counts once when it is done twice: redeems a coupon, votes, cancels what is refunded.",
		Proof: "More of the calls succeed than do one after the other, and the account's numbers end elsewhere. Controls: one after the other, on another new account, the second call is refused or counts nothing.",
		Fix:   "Check and deduct in one statement (UPDATE … WHERE balance >= amount), or lock the row.",
		Mode:  Default, Alone: true,
		Run: races,
	})
	_ = register(&Check{
		ID: "step-skipped", Title: "A step that must come before is left out",
		OWASP: "API6:2023", CWE: "CWE-841", WSTG: "WSTG-BUSL-06",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
		About: "Calls operations that ask for proof of a payment without it, on a new object that nobody has paid for; and operations whose description speaks of a state that comes earlier in the list of states, on a new object that never was in it.",
		Proof: "The object changes as it does for one who has paid, or is read back in the later state. Controls: with a made-up payment the call is refused and nothing changes; another new object goes through both states in their order.",
		Fix:   "Look up what must have happened before (the payment of this very object) in every step; the order of pages in an app is no guard.",
		Mode:  Default, Dirty: true,
		Run: stepSkipped,
	})
)

// gauge is a number that an account reads of itself, or of an object.
type gauge struct {
	call *world.Call
	at   string
}

// dials are the meters as one account reads them.
func (p *Probe) dials(ctx context.Context, a *actor.Actor, c *world.Call) []*world.Call {
	all, err := p.meters(ctx, c)
	if err != nil {
		return nil // what comes next ends the run
	}
	out := make([]*world.Call, len(all))
	for i, r := range all {
		out[i] = r.By(a)
	}
	return out
}

// reading is what the dials' numbers are: dial → pointer → number.
func (p *Probe) reading(ctx context.Context, dials []*world.Call) ([]map[string]float64, error) {
	out := make([]map[string]float64, len(dials))
	for i, d := range dials {
		x, err := p.send(ctx, d)
		if err != nil {
			return nil, err
		}
		out[i] = figures(x)
	}
	return out, nil
}

// usable reports whether a new account may call op for these checks.
func usable(op *graph.Op) bool {
	return op.Secured && !op.Reads() && op.Kind != graph.Delete && !op.Has(graph.Hazard) && !op.Has(graph.Admin) && !op.Has(graph.Register) && !op.Has(graph.Login)
}

func sorted(m map[string]float64) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// funds are how a new account comes by money: a call that makes one of its
// numbers grow; nil when none is known. The number is one that is called so.
func (p *Probe) funds(ctx context.Context) (fund *world.Call, g *gauge, has float64, err error) {
	if f := &p.funding; f.done {
		return f.call, f.gauge, f.has, nil
	}
	if fund, g, has, err = p.fundedBy(ctx); err == nil {
		p.funding.done, p.funding.call, p.funding.gauge, p.funding.has = true, fund, g, has
	}
	return fund, g, has, err
}

func (p *Probe) fundedBy(ctx context.Context) (fund *world.Call, g *gauge, has float64, err error) {
	user := p.Actor(actor.User)
	a, err := p.People.Fresh(ctx)
	if err != nil {
		return nil, nil, 0, nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	find := func(dials []*world.Call, now []map[string]float64) (*gauge, float64) {
		for i, d := range dials {
			for _, at := range sorted(now[i]) {
				if name := at[strings.LastIndexByte(at, '/')+1:]; now[i][at] > 0 && reFunds.MatchString(name) {
					return &gauge{d, at}, now[i][at]
				}
			}
		}
		return nil, 0
	}
	dials := p.dials(ctx, a, &world.Call{})
	now, err := p.reading(ctx, dials)
	if err != nil {
		return nil, nil, 0, err
	}
	if g, n := find(dials, now); g != nil {
		return nil, g, n, nil
	}
	for _, op := range p.Ops() {
		if !usable(op) || !op.Has(graph.Coupon) && !op.Has(graph.Transfer) && !op.Has(graph.Payment) || len(op.PathParams) > 0 {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			continue
		}
		if _, err := p.send(ctx, c.By(a)); err != nil {
			return nil, nil, 0, err
		}
		if now, err = p.reading(ctx, dials); err != nil {
			return nil, nil, 0, err
		}
		if g, n := find(dials, now); g != nil {
			return c, g, n, nil
		}
	}
	return nil, nil, 0, nil
}

const atOnce = 8 // requests of a race

func races(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	if err := p.countsTogether(ctx); err != nil {
		return err
	}
	fund, g, has, err := p.funds(ctx)
	if err != nil || g == nil {
		return err
	}
	for _, op := range p.Ops() {
		if !usable(op) || !op.Has(graph.Transfer) && !op.Has(graph.Payment) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		for _, in := range op.Inputs {
			if in.In == "body" && in.Meaning == graph.MeansMoney && !in.Listed {
				if err := p.spends(ctx, op, p.towards(c).With(in.Where(), strconv.FormatFloat(has, 'f', -1, 64)), fund); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// spends spends all there is twice, one after the other; and where the second
// is refused, several times at one moment.
func (p *Probe) spends(ctx context.Context, op *graph.Op, c, fund *world.Call) error {
	a, err := p.People.Fresh(ctx)
	if err != nil {
		return nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	if fund != nil {
		if _, err := p.send(ctx, fund.By(a)); err != nil {
			return err
		}
	}
	held, err := p.heldBy(ctx, c, p.Actor(actor.User))
	if err != nil {
		return err
	}
	own, err := p.holding(ctx, c, a, held)
	if err != nil {
		return err
	}
	dials := p.dials(ctx, a, &world.Call{})
	had, err := p.reading(ctx, dials)
	if err != nil {
		return err
	}
	first, err := p.send(ctx, own)
	if err != nil {
		return err
	}
	second, err := p.send(ctx, own)
	if err != nil {
		return err
	}
	if first.Status/100 != 2 || second.Status/100 != 4 || second.Status == 429 {
		p.Note(op, Inconclusive)
		return nil
	}
	spent, err := p.reading(ctx, dials)
	if err != nil {
		return err
	}
	p.Note(op, Clean)
	// Where it ends is seen in a number that spending moves: the balance itself
	// may be what was written last, and so the same as after one.
	tried := 0
	for i, d := range dials {
		for _, at := range sorted(spent[i]) {
			if had[i][at] == spent[i][at] || tried >= 6 {
				continue
			}
			tried++
			if ok, err := p.atOneMoment(ctx, c, held, nil, fund, d, at); err != nil || ok {
				return err
			}
		}
	}
	// Where what is left was written last, it says nothing: who gets it has more.
	for _, in := range op.Inputs {
		if in.In == "header" || !reTowards.MatchString(in.Name) || c.Values[in.Where()] == "" {
			continue
		}
		var to *given
		for _, other := range p.Attackers() {
			if to == nil {
				if to, err = p.onlyOne(ctx, in, c.Values[in.Where()], other); err != nil {
					return err
				}
			}
		}
		if to == nil {
			continue
		}
		x, err := p.send(ctx, to.reader)
		if err != nil {
			return err
		}
		for _, at := range sorted(figures(x)) {
			if at == to.at || !reFunds.MatchString(at[strings.LastIndexByte(at, '/')+1:]) {
				continue
			}
			if ok, err := p.atOneMoment(ctx, c, held, to, fund, to.reader, at); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

// atOneMoment compares where two accounts end that spend the same, one call after
// the other and all at once: what reader shows to them at a place, or, with to, to
// those whom they give it.
func (p *Probe) atOneMoment(ctx context.Context, c *world.Call, held []*given, to *given, fund, reader *world.Call, at string) (bool, error) {
	var l steps
	op := c.Op
	ends := map[string]string{"fresh2": "fresh2", "fresh1": "fresh1"}
	looking := map[string][]*given{"fresh2": held, "fresh1": held}
	if to != nil {
		ends = map[string]string{"fresh2": "fresh4", "fresh1": "fresh3"}
		looking["fresh4"], looking["fresh3"] = []*given{to}, []*given{to}
	}
	for _, as := range slices.Sorted(maps.Keys(looking)) {
		looks, err := p.looks(looking[as], as, "has_"+as+"_")
		l.list = append(l.list, looks...)
		if err != nil {
			l.err = err
		}
	}
	add := func(call *world.Call, as, id string, part scenario.Part, note string, e ...scenario.Expect) {
		st, err := p.step(nil, call, id, part)
		if call == c && len(held)+len(looking["fresh3"]) > 0 {
			bind := call.Renew(id)
			maps.Copy(bind, bindings(held, "has_"+as+"_"))
			if to != nil {
				maps.Copy(bind, bindings([]*given{to}, "has_"+ends[as]+"_"))
			}
			if st, err = p.World.Step(call, bind); err == nil {
				st.ID, st.Part = id, part
			}
		}
		st.As, st.Note, st.Expect = as, note, e
		switch id {
		case "orderly":
			st.Save = []scenario.Save{{As: "orderly", At: at}}
		case "attack":
			st.Times, st.Together = atOnce, true
		}
		l.add(st, err)
	}
	if fund != nil {
		add(fund, "fresh2", "fund2", scenario.Control, "a new account comes by money", scenario.Expect{Status: "2xx"})
	}
	add(c, "fresh2", "one", scenario.Control, "it spends all of it", scenario.Expect{Status: "2xx"})
	add(c, "fresh2", "two", scenario.Control, "there is nothing left to spend", scenario.Expect{Status: "4xx"})
	add(reader, ends["fresh2"], "orderly", scenario.Control, "where that ends", scenario.Expect{Status: "2xx"})
	if fund != nil {
		add(fund, "fresh1", "fund1", scenario.Control, "another new account comes by as much", scenario.Expect{Status: "2xx"})
	}
	add(c, "fresh1", "attack", scenario.Attack, fmt.Sprintf("it spends all of it %d times at one moment", atOnce), scenario.Expect{Status: "2xx", AtLeast: 2})
	orderly := "${orderly}"
	add(reader, ends["fresh1"], "after", scenario.Observe, "that ends elsewhere", scenario.Expect{Status: "2xx", At: at, Differs: &orderly})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "race", Title: fmt.Sprintf("%s %s spends the same money several times at one moment", op.Method, op.Path),
		Description: "One after the other, the second call is refused. At the same moment several succeed, and the account's numbers end elsewhere.",
		Scenario:    &scenario.Scenario{Name: "the same money, several times at one moment", Steps: l.list},
	})
}

func stepSkipped(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	if err := p.outOfOrder(ctx, user); err != nil {
		return err
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Reads() || op.Kind == graph.Delete || op.Has(graph.Hazard) || op.Has(graph.Admin) || op.About == nil {
			return nil
		}
		for _, in := range op.Inputs {
			if in.In != "body" || !in.Required || !p.provesPayment(in) {
				continue
			}
			if err := p.skips(ctx, op, in, user); err != nil {
				return err
			}
		}
		return nil
	})
}

// provesPayment reports whether an input names what an operation that pays made.
func (p *Probe) provesPayment(in *graph.Input) bool {
	for _, e := range in.Producers {
		if e.Score >= 0.5 && e.From.Op != nil && e.From.Op.Has(graph.Payment) {
			return true
		}
	}
	name := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(in.Name))
	for _, w := range []string{"paymentid", "paymentref", "paymentintent", "paymenttoken", "transactionid", "receiptid", "chargeid", "paymentreference"} {
		if name == w {
			return true
		}
	}
	return false
}

func (p *Probe) skips(ctx context.Context, op *graph.Op, in *graph.Input, user *actor.Actor) error {
	c, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		// It may be that nothing was paid yet: what is asked for is left out anyway.
		if c, err = p.World.Call(ctx, op, user, map[string]string{in.Where(): jsonString("00000000-0000-4000-8000-000000000000")}); err != nil {
			p.Note(op, Skipped)
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
	}
	for _, path := range op.Inputs {
		r := p.resourceOf(path)
		if path.In != "path" || r == nil {
			continue
		}
		for _, s := range p.subjects(r, user, 1) {
			reader := p.World.Reader(s.object)
			if s.recipe == nil || reader == nil {
				continue
			}
			call := c.On(path.Where(), idFor(path, s.object), s.object)
			fake := `"3f1c2b4a-5d6e-4f70-8a9b-0c1d2e3f4a5b"`
			if in.Type == "integer" || in.Type == "number" {
				fake = "999999937"
			}
			for _, way := range []struct{ with, title, said string }{
				{"", "goes through without the payment that it asks for", "A made-up value in %s is refused; where it is left out, the call does its work on an object that nobody has paid for."},
				{fake, "takes a payment that nobody has made", "With a made-up value in %s the call does its work on an object that nobody has paid for."},
			} {
				l := steps{list: s.setup()}
				add := func(k *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) {
					st, err := p.step(s, k, id, part)
					st.Note, st.Expect = note, e
					l.add(st, err)
				}
				add(reader, "before", scenario.Control, "the object is new", scenario.Expect{Status: "2xx"})
				if way.with == "" {
					add(call.With(in.Where(), fake), "forged", scenario.Control, "with a made-up payment the call is refused", scenario.Expect{Status: "4xx"})
				} else {
					add(call.With(in.Where(), fake).By(nil), "nobody", scenario.Control, "without credentials the call is refused", scenario.Expect{Status: "4xx"})
				}
				add(reader, "still", scenario.Control, "and nothing has changed", scenario.Expect{Status: "2xx", Like: "before"})
				add(call.With(in.Where(), way.with), "attack", scenario.Attack, "nobody has paid, and it goes through", scenario.Expect{Status: "2xx"})
				add(reader, "after", scenario.Observe, "and the object has changed", scenario.Expect{Status: "2xx", Unlike: "before"})
				if l.err != nil {
					p.Note(op, Inconclusive)
					continue
				}
				if ok, err := p.Prove(ctx, Hypothesis{
					Op: op, Where: in.Where(), Title: fmt.Sprintf("%s %s %s", op.Method, op.Path, way.title), Description: fmt.Sprintf(way.said, in.Where()),
					Scenario: &scenario.Scenario{Name: "a step left out", Steps: l.list},
				}); err != nil || ok {
					return err
				}
			}
		}
	}
	return nil
}
