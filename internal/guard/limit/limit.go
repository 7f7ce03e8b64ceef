package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/limit/overload"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
)

// Options are what a Guard is made from.
type Options struct {
	Name      string    // the API's name in the config
	API       *spec.API // may be nil
	Config    config.Limit
	Overrides []config.OperationOverride
	Store     *Memory // shared by all APIs and generations
	// Shared counts the calls of all gateways; nil: each counts its own.
	Shared state.Buckets
	// Marks remembers which answers to challenges were used; nil: those given to this guard.
	Marks Marks
	// KeyRates says that credentials may bring rates of their own.
	KeyRates bool
	Now      func() time.Time
	Log      *slog.Logger
}

// Guard limits one API. It is immutable but for its stores, and safe for
// concurrent use.
type Guard struct {
	name       string
	store      *Memory
	shared     state.Buckets // nil: none
	share      float64
	now        func() time.Time
	log        *slog.Logger
	callerPlan callerPlan
	address    *plan
	unknown    *plan    // identity step while the operation is not known
	known      []*plan  // by Operation.Index
	own        sync.Map // ownRates → *plan: with the rates that came with a credential
	settler    *settler // of what is charged after a call; nil where nothing is shared
	ending     bool     // exchanges are charged for when they have ended
	keyRates   bool
	gate       *gate
	priorities []overload.Priority // by Operation.Index
	concurrent []*concurrent
	logins     *logins      // nil: no operation is one
	flows      [][]flowStep // by Operation.Index; nil: there are none
	sizes      *sizes       // nil: none
	signer     *signer      // nil where nothing is signed
	closers    []func() error
}

// ownRates is a plan and the rates of one credential beside it. A credential's
// list is made once, when the keys are loaded: its first element stands for it.
type ownRates struct {
	plan  *plan
	rates *exchange.Rate
}

// plan is the rates for one operation, in the order of their tables: those that
// are known early, and then all.
type plan struct {
	early, late, all []*rate
	cost             int64 // requests that a call counts as
	bytes            bool  // some count the answer's bytes
}

// The rates of an API that sets none.
var defaults = []config.Rate{
	{By: "address", Rate: "50/s", Burst: 200},
	{By: "identity", Rate: "50/s", Burst: 200},
}

// New compiles an API's rates. The error names every mistake.
func New(o Options) (*Guard, error) {
	if o.Store == nil {
		return nil, errors.New("limit: no store")
	}
	g := &Guard{store: o.Store, now: o.Now, name: o.Name, log: o.Log, shared: o.Shared, share: o.Config.AwayShare, keyRates: o.KeyRates}
	if g.now == nil {
		g.now = time.Now
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.share <= 0 || g.share > 1 {
		g.share = 0.5
	}
	g.callerPlan.CallerPlan = o.Config.Plan
	if c := o.Config.Plan.Claim; c != "" {
		g.callerPlan.claim = strings.Split(c, ".")
	}
	if o.Config.Shared != nil && !*o.Config.Shared {
		g.shared = nil
	}
	if err := g.compile(&o); err != nil {
		return nil, err
	}
	g.compileUpstream(&o)
	if err := g.compileBody(&o); err != nil {
		return nil, err
	}
	if g.shared != nil {
		g.settler = newSettler(g)
		g.ending = true
	}
	return g, nil
}

// Close ends what runs beside the calls.
func (g *Guard) Close() {
	if g.settler != nil {
		g.settler.close()
	}
	for _, c := range g.closers {
		if err := c(); err != nil {
			g.log.Warn("closing the marks of answered challenges", "error", err)
		}
	}
}

// compile makes the plans.
func (g *Guard) compile(o *Options) error {
	var errs []error
	fail := func(where string, err error) { errs = append(errs, fmt.Errorf("%s: %w", where, err)) }
	rates := o.Config.Rates
	if rates == nil { // an empty list sets none
		rates = defaults
	}
	var shared []*rate
	for i, r := range rates {
		c, err := g.newRate("", r)
		if err != nil {
			fail(fmt.Sprintf("guards.limit.rates[%d]", i), err)
			continue
		}
		shared = append(shared, c)
	}
	own := make([][]*rate, len(o.Overrides))
	used := make([]bool, len(o.Overrides))
	for i := range o.Overrides {
		ov := &o.Overrides[i]
		for j, r := range ov.Rates {
			c, err := g.newRate(ov.Operation, r)
			if err != nil {
				fail(fmt.Sprintf("operations[%d].rates[%d]", i, j), err)
				continue
			}
			own[i] = append(own[i], c)
		}
	}
	flowRates := map[string][]*rate{} // by the last step
	for i := range o.Config.Flows {
		f := &o.Config.Flows[i]
		for j, r := range f.Rates {
			c, err := g.newRate("flow "+f.Name, r)
			if err != nil || len(f.Steps) == 0 {
				fail(fmt.Sprintf("guards.limit.flows[%d].rates[%d]", i, j), err)
				continue
			}
			last := f.Steps[len(f.Steps)-1]
			flowRates[last] = append(flowRates[last], c)
		}
	}
	early := slices.DeleteFunc(slices.Clone(shared), func(r *rate) bool { return !r.by.early() })
	var err error
	if g.address, err = newPlan(early, early, 1); err != nil {
		fail("guards.limit.rates", err)
	}
	if g.unknown, err = newPlan(shared, early, 1); err != nil {
		fail("guards.limit.rates", err)
	}
	if o.API != nil {
		for _, op := range o.API.Operations {
			list, cost := slices.Clone(shared), int64(1)
			for i := range o.Overrides {
				if !o.Overrides[i].Matches(op.ID, op.Method, op.Path) {
					continue
				}
				list = append(list, own[i]...)
				if c := o.Overrides[i].Cost; c != nil {
					cost = int64(*c)
				}
				used[i] = true
			}
			for id, own := range flowRates {
				if (&config.OperationOverride{Operation: id}).Matches(op.ID, op.Method, op.Path) {
					list = append(list, own...)
				}
			}
			p, err := newPlan(list, early, cost)
			if err != nil {
				fail("operation "+op.ID, err)
			}
			g.known = append(g.known, p)
		}
	}
	for i := range o.Overrides {
		if len(o.Overrides[i].Rates) > 0 && !used[i] {
			fail(fmt.Sprintf("operations[%d]", i), fmt.Errorf("%q sets rates but matches no operation of the document", o.Overrides[i].Operation))
		}
	}
	for _, list := range slices.Concat(own, [][]*rate{shared}) {
		for _, r := range list {
			g.ending = g.ending || r.bytes > 0
		}
	}
	return errors.Join(errs...)
}

// newPlan sorts the rates of an operation. early are those that were charged
// before it was known.
func newPlan(list, early []*rate, cost int64) (*plan, error) {
	p := &plan{cost: cost, all: ordered(list)}
	for _, r := range p.all {
		if slices.Contains(early, r) {
			p.early = append(p.early, r)
		} else {
			p.late = append(p.late, r)
		}
		p.bytes = p.bytes || r.bytes > 0
		if cost > r.most() {
			return p, fmt.Errorf("a call costs %d and the rate by %s admits %d at most", cost, r.name, r.most())
		}
	}
	if len(p.early) > maxCharges || len(p.all) > 2*maxCharges {
		return p, fmt.Errorf("%d rates for one request, %d of them before the caller is known: at most %d and %d are possible", len(p.all), len(p.early), 2*maxCharges, maxCharges)
	}
	return p, nil
}

// ordered are rates in the order of their tables, by different names.
func ordered(list []*rate) []*rate {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *rate) int { return cmp.Compare(a.table.id, b.table.id) })
	// The same rate written twice is one rate.
	list = slices.CompactFunc(list, func(a, b *rate) bool { return a.table == b.table })
	for i, r := range list {
		name := r.name
		for n := 2; slices.ContainsFunc(list[:i], func(o *rate) bool { return o.name == name }); n++ {
			name = r.name[:len(r.name)-1] + "-" + strconv.Itoa(n) + `"`
		}
		if name != r.name {
			named := *r
			named.name = name
			list[i] = &named
		}
	}
	return list
}

// AddressStep limits by the client's address before anything else is looked at.
func (g *Guard) AddressStep() guard.Step {
	return guard.Step{
		Guard: "limit", Phase: exchange.RequestHead,
		Applies: func(*spec.Operation) bool { return len(g.address.all) > 0 },
		Rule: func(_ context.Context, x *exchange.Exchange) exchange.Verdict {
			if n := g.notes(x); n != nil && !n.local {
				return g.glance(x, n)
			}
			return g.rule(x, g.address.all, 1)
		},
	}
}

// IdentityStep limits by caller and operation, when both are known.
func (g *Guard) IdentityStep() guard.Step {
	return guard.Step{
		Guard: "limit", Phase: exchange.RequestHead,
		Applies: func(op *spec.Operation) bool { return g.keyRates || len(g.plan(op).all) > 0 },
		Rule: func(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
			p := g.plan(x.Operation)
			for i := -1; i < len(x.Identity.Also); i++ {
				id := &x.Identity
				if i >= 0 {
					id = &x.Identity.Also[i]
				}
				if len(id.Rates) == 0 {
					continue
				}
				var err error
				if p, err = g.withOwn(p, id.Rates); err != nil {
					return exchange.Undecided("gateway.internal", err.Error())
				}
			}
			if len(p.all) == 0 {
				return exchange.Verdict{}
			}
			return g.ruleAll(ctx, x, p)
		},
	}
}

// ruleAll charges a call for all its rates.
func (g *Guard) ruleAll(ctx context.Context, x *exchange.Exchange, p *plan) exchange.Verdict {
	n := g.notes(x)
	if n != nil && !n.local {
		if v, ok := g.ruleShared(ctx, x, p); ok {
			n.ruled, n.plan, n.charged = true, p, v.Action == exchange.Allow
			return v
		}
		// What it was admitted by so far was only looked at.
		if v := g.rule(x, p.early, 1); v.Action != exchange.Allow {
			n.ruled = true
			return v
		}
		n.local = true
	}
	if n != nil {
		n.ruled, n.plan = true, p
	}
	if g.shared != nil {
		g.store.health.local.Add(1)
	}
	if p.cost == 1 {
		if len(p.late) == 0 {
			if n != nil {
				n.charged = true
			}
			return exchange.Verdict{}
		}
		v := g.rule(x, p.late, 1)
		if v.Action != exchange.Allow {
			g.giveBackEarly(x, p)
		} else if n != nil {
			n.charged = true
		}
		return v
	}
	// The early ones have been charged for one request. What is said of them then is
	// no longer true.
	x.Allowances = x.Allowances[:0]
	g.giveBackEarly(x, p)
	v := g.rule(x, p.all, p.cost)
	if n != nil && v.Action == exchange.Allow {
		n.charged = true
	}
	return v
}

// withOwn is a plan with a credential's own rates.
func (g *Guard) withOwn(p *plan, rates []exchange.Rate) (*plan, error) {
	at := ownRates{p, &rates[0]}
	if known, ok := g.own.Load(at); ok {
		return known.(*plan), nil
	}
	list := slices.Clone(p.all)
	for _, r := range rates {
		c, err := g.newKeyRate(r, at.rates)
		if err != nil {
			return nil, fmt.Errorf("a credential's own rate: %w", err)
		}
		list = append(list, c)
	}
	made, err := newPlan(list, p.early, p.cost)
	if err != nil {
		return nil, fmt.Errorf("a credential's own rates: %w", err)
	}
	known, _ := g.own.LoadOrStore(at, made)
	return known.(*plan), nil
}

func (g *Guard) plan(op *spec.Operation) *plan {
	if op != nil && op.Index < len(g.known) {
		return g.known[op.Index]
	}
	return g.unknown
}

// charges makes the charges of those rates that hold for the caller. list are
// they; it has the charges' order.
func (g *Guard) charges(x *exchange.Exchange, rates []*rate, cost int64, room []charge, list []*rate) ([]charge, []*rate) {
	var buf [256]byte
	plan, known := "", false
	away := g.shared != nil
	for _, r := range rates {
		if r.plans != nil {
			if !known {
				plan, known = g.planOf(x), true
			}
			if !r.holds(plan) {
				continue
			}
		}
		c := charge{t: r.table, key: g.hash(g.key(buf[:0], x, r)), cost: cost}
		if away {
			c.law = &r.away
		}
		room, list = append(room, c), append(list, r)
	}
	return room, list
}

// rule charges a call in this process's memory: the whole of the rates, or this
// gateway's share of them while the others cannot be asked.
func (g *Guard) rule(x *exchange.Exchange, rates []*rate, cost int64) exchange.Verdict {
	var room [2 * maxCharges]charge
	var hold [2 * maxCharges]*rate
	var out [2 * maxCharges]state.Balance
	charges, list := g.charges(x, rates, cost, room[:0], hold[:0])
	at := g.store.at(g.now())
	ok := g.store.take(at, charges, out[:len(charges)])
	if ok && g.settler != nil {
		g.owe(x, list, charges)
	}
	return g.verdict(x, at, list, out[:len(list)], ok)
}

// verdict says what a charge came to, and what is left.
func (g *Guard) verdict(x *exchange.Exchange, at moment, list []*rate, out []state.Balance, ok bool) exchange.Verdict {
	for i, r := range list {
		x.Allowances = append(x.Allowances, r.allowance(at, out[i]))
	}
	if ok {
		return exchange.Verdict{}
	}
	worst, wait := 0, int64(-1)
	for i, r := range list {
		if w := r.wait(at, out[i]); !out[i].OK && w > wait {
			worst, wait = i, w
		}
	}
	code := "limit.rate"
	if list[worst].table.meter.Kind == state.Calendar {
		code = "limit.quota"
	}
	v := exchange.Refuse(code, "", "the rate by "+list[worst].name+" is used up")
	v.Header = map[string]string{"Retry-After": strconv.FormatInt(max(1, ceilSeconds(wait)), 10)}
	return v
}

// giveBackEarly undoes what AddressStep charged for a call that is now refused,
// or charged anew. One that is only watched may have gone on uncharged.
func (g *Guard) giveBackEarly(x *exchange.Exchange, p *plan) {
	for i := range x.Rulings {
		r := &x.Rulings[i]
		if r.Guard != "limit" || r.Phase != exchange.RequestHead {
			continue
		}
		if r.Verdict.Action == exchange.Allow && len(p.early) > 0 {
			var room [2 * maxCharges]charge
			var hold [2 * maxCharges]*rate
			var out [2 * maxCharges]state.Balance
			charges, _ := g.charges(x, p.early, -1, room[:0], hold[:0])
			g.store.add(g.store.at(g.now()), charges, out[:len(charges)])
		}
		return
	}
}
