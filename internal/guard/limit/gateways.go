package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/state"
)

// askAgain is how long a shared store that failed is left alone.
const askAgain = time.Second

// health is whether the shared store answers.
type health struct {
	away    atomic.Bool
	failing atomic.Bool   // the last question was not answered
	local   atomic.Uint64 // calls ruled on without it

	mu    sync.Mutex
	fails int // one after another
	since time.Time
	next  time.Time // when it is asked again
	err   error
}

// awayAfter failures one after another the store is left alone: one that is slow
// for a moment is not away.
const awayAfter = 3

// may reports whether the store is to be asked. While it is away one call in
// askAgain asks.
func (h *health) may(now time.Time) bool {
	if !h.away.Load() {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Before(h.next) {
		return false
	}
	h.next = now.Add(askAgain)
	return true
}

// failed notes that it did not answer, and reports whether that is news.
func (h *health) failed(now time.Time, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = now.Add(askAgain)
	h.failing.Store(true)
	if h.fails++; h.fails < awayAfter {
		return false
	}
	h.err = err
	if h.away.Load() {
		return false
	}
	h.since = now
	h.away.Store(true)
	return true
}

// answered notes that it did, and reports whether that is news.
func (h *health) answered() bool {
	if !h.away.Load() && !h.failing.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.fails = nil, 0
	h.failing.Store(false)
	return h.away.Swap(false)
}

// Away says since when and why the shared store cannot be asked; a nil error: it can.
func (m *Memory) Away() (since time.Time, err error) {
	h := &m.health
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since, h.err
}

// Local is how many calls were ruled on by this gateway alone, since the shared
// store could not be asked.
func (m *Memory) Local() uint64 { return m.health.local.Load() }

// Shared reports whether calls are counted with those of other gateways.
func (g *Guard) Shared() bool { return g.shared != nil }

// Ready says why calls are not counted with those of other gateways.
func (g *Guard) Ready() error {
	if g.shared == nil {
		return nil
	}
	since, err := g.store.Away()
	if err != nil {
		return &awayError{since, g.share, err}
	}
	return nil
}

// glance refuses by address what the shared store would refuse for certain, by
// what it said before: it is asked when all of a call's limits are known, once.
// So who is over his rate costs no question.
func (g *Guard) glance(x *exchange.Exchange, n *notes) exchange.Verdict {
	at := g.store.at(g.now())
	var room [2 * maxCharges]charge
	var hold [2 * maxCharges]*rate
	var out [2 * maxCharges]state.Balance
	charges, list := g.charges(x, g.address.all, 1, room[:0], hold[:0])
	ok := true
	for i := range charges {
		out[i] = g.store.peek(at, &charges[i])
		ok = ok && out[i].OK
	}
	if ok {
		return exchange.Verdict{}
	}
	n.refused = true
	return g.verdict(x, at, list, out[:len(list)], false)
}

// ruleShared charges a call in the shared store; ok is false when it cannot be asked.
func (g *Guard) ruleShared(ctx context.Context, x *exchange.Exchange, p *plan) (v exchange.Verdict, ok bool) {
	var room [2 * maxCharges]charge
	var hold [2 * maxCharges]*rate
	var asked [2 * maxCharges]state.Charge
	var out [2 * maxCharges]state.Balance
	charges, list := g.charges(x, p.all, p.cost, room[:0], hold[:0])
	if len(charges) == 0 {
		return v, true
	}
	for i, r := range list {
		asked[i] = g.sharedCharge(x, r, p.cost)
	}
	// A client that goes away does not make the store look as if it were.
	admitted, err := g.shared.Take(context.WithoutCancel(ctx), g.name, asked[:len(list)], out[:len(list)])
	if err != nil {
		g.lost(err)
		return v, false
	}
	g.found()
	at := g.store.at(g.now())
	for i := range list {
		g.store.learn(at, &charges[i], out[i])
	}
	return g.verdict(x, at, list, out[:len(list)], admitted), true
}

// sharedCharge is a charge as all gateways know it.
func (g *Guard) sharedCharge(x *exchange.Exchange, r *rate, cost int64) state.Charge {
	var buf [256]byte
	key := append(append(buf[:0], r.prefix...), 0)
	law := r.table.meter.Law
	if law.Kind == state.Calendar {
		from, to := r.table.meter.window.of(g.now().UnixNano())
		key = time.Unix(0, from).UTC().AppendFormat(key, time.RFC3339)
		law.Keep = to - from + int64(time.Hour)
	}
	return state.Charge{Key: string(g.key(key, x, r)), Law: law, Cost: cost}
}

// lost notes that the shared store cannot be asked.
func (g *Guard) lost(err error) {
	if g.store.health.failed(g.now(), err) {
		g.log.Error("the counters that gateways share cannot be reached: each admits its own share of the rates", "share", g.share, "error", err)
	}
}

// found notes that it can.
func (g *Guard) found() {
	if g.store.health.answered() {
		g.log.Info("the counters that gateways share are reached again")
	}
}
