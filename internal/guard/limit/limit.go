package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
)

// Options are what a Guard is made from.
type Options struct {
	Name      string    // the API's name in the config
	API       *spec.API // may be nil
	Config    config.Limit
	Overrides []config.OperationOverride
	Store     *Memory // shared by all APIs and generations
	Now       func() time.Time
}

// Guard limits one API. It is immutable but for its Store, and safe for concurrent use.
type Guard struct {
	store   *Memory
	now     func() time.Time
	address *plan
	unknown *plan   // identity step while the operation is not known
	known   []*plan // by Operation.Index
	ops     []uint64
	name    string
	own     sync.Map // ownRates → *plan: with the rates that came with a credential
}

// ownRates is a plan and the rates of one credential beside it. A credential's
// list is made once, when the keys are loaded: its first element stands for it.
type ownRates struct {
	plan  *plan
	rates *exchange.Rate
}

// plan is the rates of one step for one operation, in the order of their tables.
type plan struct {
	rates  []*rate
	policy string // of all of them
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
	g := &Guard{store: o.Store, now: o.Now, name: o.Name}
	if g.now == nil {
		g.now = time.Now
	}
	var errs []error
	fail := func(where string, err error) { errs = append(errs, fmt.Errorf("%s: %w", where, err)) }

	rates := o.Config.Rates
	if rates == nil { // an empty list sets none
		rates = defaults
	}
	var address, identity []*rate
	for i, r := range rates {
		c, err := newRate(o.Store, o.Name, "", r)
		switch {
		case err != nil:
			fail(fmt.Sprintf("guards.limit.rates[%d]", i), err)
		case c.by == byAddress:
			address = append(address, c)
		default:
			identity = append(identity, c)
		}
	}
	own := make([][]*rate, len(o.Overrides))
	used := make([]bool, len(o.Overrides))
	for i := range o.Overrides {
		ov := &o.Overrides[i]
		for j, r := range ov.Rates {
			c, err := newRate(o.Store, o.Name, ov.Operation, r)
			if err != nil {
				fail(fmt.Sprintf("operations[%d].rates[%d]", i, j), err)
				continue
			}
			own[i] = append(own[i], c)
		}
	}

	var err error
	if g.address, err = newPlan(address); err != nil {
		fail("guards.limit.rates", err)
	}
	if g.unknown, err = newPlan(identity); err != nil {
		fail("guards.limit.rates", err)
	}
	if o.API != nil {
		for _, op := range o.API.Operations {
			list := slices.Clone(identity)
			for i := range o.Overrides {
				if o.Overrides[i].Matches(op.ID, op.Method, op.Path) {
					list = append(list, own[i]...)
					used[i] = true
				}
			}
			p, err := newPlan(list)
			if err != nil {
				fail("operation "+op.ID, err)
			}
			g.known = append(g.known, p)
			g.ops = append(g.ops, maphash.String(o.Store.seed, op.ID))
		}
	}
	for i := range o.Overrides {
		if len(o.Overrides[i].Rates) > 0 && !used[i] {
			fail(fmt.Sprintf("operations[%d]", i), fmt.Errorf("%q sets rates but matches no operation of the document", o.Overrides[i].Operation))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return g, nil
}

func newPlan(rates []*rate) (*plan, error) {
	slices.SortFunc(rates, func(a, b *rate) int { return cmp.Compare(a.table.id, b.table.id) })
	// The same rate written twice is one rate.
	rates = slices.CompactFunc(rates, func(a, b *rate) bool { return a.table == b.table })
	if len(rates) > maxCharges {
		return nil, fmt.Errorf("%d rates for one request, at most %d are possible", len(rates), maxCharges)
	}
	p := &plan{rates: rates}
	for i, r := range rates {
		if i > 0 {
			p.policy += ", "
		}
		p.policy += r.policy
	}
	return p, nil
}

// AddressStep limits by the client's address before anything else is looked at.
func (g *Guard) AddressStep() guard.Step {
	return guard.Step{
		Guard: "limit", Phase: exchange.RequestHead,
		Applies: func(*spec.Operation) bool { return len(g.address.rates) > 0 },
		Rule: func(_ context.Context, x *exchange.Exchange) exchange.Verdict {
			return g.rule(x, g.address)
		},
	}
}

// IdentityStep limits by caller and operation, when both are known.
func (g *Guard) IdentityStep() guard.Step {
	return guard.Step{
		Guard: "limit", Phase: exchange.RequestHead,
		Rule: func(_ context.Context, x *exchange.Exchange) exchange.Verdict {
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
			if len(p.rates) == 0 {
				return exchange.Verdict{}
			}
			v := g.rule(x, p)
			if v.Action != exchange.Allow {
				g.restore(x)
			}
			return v
		},
	}
}

// withOwn is a plan with a credential's own rates.
func (g *Guard) withOwn(p *plan, rates []exchange.Rate) (*plan, error) {
	at := ownRates{p, &rates[0]}
	if known, ok := g.own.Load(at); ok {
		return known.(*plan), nil
	}
	list := slices.Clone(p.rates)
	for _, r := range rates {
		c, err := newKeyRate(g.store, g.name, r, at.rates)
		if err != nil {
			return nil, fmt.Errorf("a credential's own rate: %w", err)
		}
		list = append(list, c)
	}
	made, err := newPlan(list)
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

func (g *Guard) rule(x *exchange.Exchange, p *plan) exchange.Verdict {
	var charges [maxCharges]charge
	var out [maxCharges]outcome
	for i, r := range p.rates {
		charges[i] = charge{t: r.table, key: g.key(x, r), cost: 1}
	}
	n := len(p.rates)
	ok := g.store.take(g.store.since(g.now()), charges[:n], out[:n])
	var text [256]byte
	fields := text[:0]
	for i, r := range p.rates {
		if i > 0 {
			fields = append(fields, ", "...)
		}
		fields = r.field(fields, out[i])
	}
	if !ok {
		return refuse(p, out[:n], string(fields))
	}
	answer(x, string(fields), p.policy)
	return exchange.Verdict{}
}

// answer adds the fields of draft-ietf-httpapi-ratelimit-headers; both are lists,
// to which each step adds its own.
func answer(x *exchange.Exchange, fields, policy string) {
	if x.AnswerHeader == nil {
		x.AnswerHeader = make(map[string]string, 2)
	}
	if have, ok := x.AnswerHeader["RateLimit"]; ok {
		fields, policy = have+", "+fields, x.AnswerHeader["RateLimit-Policy"]+", "+policy
	}
	x.AnswerHeader["RateLimit"] = fields
	x.AnswerHeader["RateLimit-Policy"] = policy
}

func refuse(p *plan, out []outcome, fields string) exchange.Verdict {
	worst := 0
	for i := range out {
		if out[i].wait > out[worst].wait {
			worst = i
		}
	}
	v := exchange.Refuse("limit.rate", "", "the rate by "+p.rates[worst].name+" is used up")
	v.Header = map[string]string{
		"Retry-After":      strconv.FormatInt(max(1, ceilSeconds(out[worst].wait)), 10),
		"RateLimit":        fields,
		"RateLimit-Policy": p.policy,
	}
	return v
}

// restore gives back what AddressStep charged for a request that is now refused.
func (g *Guard) restore(x *exchange.Exchange) {
	for i := range x.Rulings {
		r := &x.Rulings[i]
		if r.Guard != "limit" || r.Phase != exchange.RequestHead {
			continue
		}
		if r.Verdict.Action == exchange.Allow {
			now := g.store.since(g.now())
			for _, a := range g.address.rates {
				g.store.giveBack(now, charge{t: a.table, key: g.key(x, a), cost: 1})
			}
		}
		return
	}
}

// key is the bucket of the exchange's caller: never 0, which marks an empty slot.
func (g *Guard) key(x *exchange.Exchange, r *rate) uint64 {
	var k uint64
	switch r.by {
	case byAddress:
		k = g.addressKey(x.Client)
	case byIdentity:
		k = g.callerKey(x)
	case byOperation:
		k = g.callerKey(x)
		if op := x.Operation; op != nil && op.Index < len(g.ops) {
			k ^= g.ops[op.Index] // both are keyed hashes: what cancels out cannot be chosen
		}
	case byAPI:
		k = 1
	case byKey:
		k = g.keyKey(x, r.brought)
	}
	return max(k, 1)
}

// keyKey names the credential that brought a rate.
func (g *Guard) keyKey(x *exchange.Exchange, brought *exchange.Rate) uint64 {
	id := &x.Identity
	for i := range id.Also {
		if rates := id.Also[i].Rates; len(rates) > 0 && &rates[0] == brought {
			id = &id.Also[i]
			break
		}
	}
	var h maphash.Hash
	h.SetSeed(g.store.seed)
	writeParts(&h, "key", id.ClientID)
	return h.Sum64()
}

// callerKey names an identity by what proves it: the subject where the proof was
// verified, else the credential itself, so that nobody can use up the bucket of
// a subject whom he only names. Who shows nothing is known by address.
func (g *Guard) callerKey(x *exchange.Exchange) uint64 {
	id := &x.Identity
	var h maphash.Hash
	h.SetSeed(g.store.seed)
	switch {
	case id.Verified && id.Subject != "":
		writeParts(&h, "subject", id.Issuer, id.Subject)
	case id.Credential != "":
		writeParts(&h, "credential", id.Credential)
	default:
		return g.addressKey(x.Client)
	}
	return h.Sum64()
}

// writeParts writes parts so that no two lists of them are written alike.
func writeParts(h *maphash.Hash, parts ...string) {
	for _, s := range parts {
		var n [4]byte
		l := uint32(len(s))
		n[0], n[1], n[2], n[3] = byte(l), byte(l>>8), byte(l>>16), byte(l>>24)
		_, _ = h.Write(n[:])
		_, _ = h.WriteString(s)
	}
}

// addressKey is the address of an IPv4 client and the /64 of an IPv6 one: what
// one subscriber is given. An invalid address (there is none behind some
// listeners) is a caller of its own.
func (g *Guard) addressKey(a netip.Addr) uint64 {
	a = a.Unmap()
	var b [17]byte
	full := a.As16()
	copy(b[:], full[:])
	if a.Is6() {
		clear(b[8:16])
		b[16] = 6
	} else if a.Is4() {
		b[16] = 4
	}
	return maphash.Bytes(g.store.seed, b[:])
}
