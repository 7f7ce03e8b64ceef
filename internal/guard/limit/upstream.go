package limit

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/limit/overload"
)

// gate is what stands before one API's upstream. It outlives reloads that do not
// change its settings.
type gate struct {
	set     gateSettings
	limiter *overload.Limiter // nil: none
	breaker *overload.Breaker // nil: none
	budget  *overload.Budget  // nil: nothing is made again
}

// gateSettings are what a gate was made from.
type gateSettings struct {
	concurrency config.Concurrency
	adaptive    bool
	breaker     config.Breaker
	breaks      bool
	retry       config.Retry
	operations  int
}

// gate returns the API's, made anew where the settings have changed.
func (m *Memory) gate(api string, set gateSettings, now func() time.Time) *gate {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g := m.gates[api]; g != nil && g.set == set {
		return g
	}
	g := &gate{set: set}
	if c := set.concurrency; c.Most > 0 {
		g.limiter = overload.NewLimiter(overload.LimiterOptions{
			Least: c.Least, Most: c.Most, Adaptive: set.adaptive, Queue: c.Queue, Wait: c.Wait, Operations: set.operations, Now: now,
		})
	}
	if b := set.breaker; set.breaks {
		g.breaker = overload.NewBreaker(overload.BreakerOptions{Failures: b.Failures, Calls: b.Calls, Window: b.Window, Open: b.Open, Probes: b.Probes, Now: now})
	}
	if set.retry.Attempts > 0 {
		g.budget = overload.NewBudget(set.retry.Budget)
	}
	if m.gates == nil {
		m.gates = map[string]*gate{}
	}
	m.gates[api] = g
	return g
}

// UpstreamState is how it stands with one API's upstream.
type UpstreamState struct {
	API                     string
	Limit, Inflight, Queued int
	Shed                    uint64
	Open                    bool // the breaker lets no calls through
	Opened                  uint64
}

// Upstreams lists those that are bounded, by API.
func (m *Memory) Upstreams() []UpstreamState {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []UpstreamState
	for _, api := range slices.Sorted(maps.Keys(m.gates)) {
		g, s := m.gates[api], UpstreamState{API: api}
		if g.limiter != nil {
			st := g.limiter.Stats()
			s.Limit, s.Inflight, s.Queued, s.Shed = st.Limit, st.Inflight, st.Queued, st.Shed
		}
		if g.breaker != nil {
			s.Open, s.Opened = g.breaker.IsOpen()
		}
		if g.limiter != nil || g.breaker != nil {
			out = append(out, s)
		}
	}
	return out
}

// callers counts calls under way. What it holds is bounded by those.
type callers struct {
	stripes [stripes]struct {
		sync.Mutex
		n map[uint64]int
		_ [40]byte
	}
}

// enter counts a call, unless there are most already.
func (c *callers) enter(key uint64, most int) bool {
	s := &c.stripes[key>>58]
	s.Lock()
	defer s.Unlock()
	if s.n[key] >= most {
		return false
	}
	if s.n == nil {
		s.n = map[uint64]int{}
	}
	s.n[key]++
	return true
}

func (c *callers) leave(key uint64) {
	s := &c.stripes[key>>58]
	s.Lock()
	defer s.Unlock()
	if s.n[key]--; s.n[key] <= 0 {
		delete(s.n, key)
	}
}

// concurrent bounds the calls of one caller at once.
type concurrent struct {
	rate // whose bucket, as for a rate; it has none
	most int
	now  callers
}

// compileUpstream makes what bounds the upstream's calls.
func (g *Guard) compileUpstream(o *Options) {
	c := &o.Config
	set := gateSettings{concurrency: c.Concurrency, adaptive: c.Concurrency.Adaptive == nil || *c.Concurrency.Adaptive, retry: c.Retry}
	set.concurrency.Adaptive = nil
	if c.Breaker != nil {
		set.breaker, set.breaks = *c.Breaker, true
	}
	if o.API != nil {
		set.operations = len(o.API.Operations)
		g.priorities = make([]overload.Priority, set.operations)
		for i, op := range o.API.Operations {
			g.priorities[i] = overload.Normal
			for j := range o.Overrides {
				if p := o.Overrides[j].Priority; p != "" && o.Overrides[j].Matches(op.ID, op.Method, op.Path) {
					g.priorities[i] = map[string]overload.Priority{"low": overload.Low, "normal": overload.Normal, "high": overload.High}[p]
				}
			}
		}
	}
	g.gate = g.store.gate(o.Name, set, g.now)
	for _, c := range c.Concurrent {
		one := &concurrent{most: c.Most, rate: rate{by: byNames[c.By], bits: [2]uint8{32, 64}}}
		if one.by == byPrefix {
			one.bits[0] = 24
		}
		if c.Claim != "" {
			one.claim = strings.Split(c.Claim, ".")
		}
		g.concurrent = append(g.concurrent, one)
	}
	g.ending = g.ending || g.bounded()
}

// bounded reports whether something stands before the upstream.
func (g *Guard) bounded() bool {
	return g.gate.limiter != nil || g.gate.breaker != nil || len(g.concurrent) > 0
}

// UpstreamSteps take a place at the upstream for a call that every other guard has
// let pass, and note how long it took to answer.
func (g *Guard) UpstreamSteps() []guard.Step {
	if !g.bounded() {
		return nil
	}
	return []guard.Step{
		{Guard: "limit", Phase: exchange.RequestBody, Rule: g.enter},
		{Guard: "limit", Phase: exchange.ResponseHead, Rule: g.answered},
	}
}

// enter takes the places of a call, or none.
func (g *Guard) enter(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	n := g.notes(x)
	var buf [256]byte
	for _, c := range g.concurrent {
		key := g.hash(g.key(buf[:0], x, &c.rate))
		if !c.now.enter(key, c.most) {
			n.leave()
			return refuseFor("limit.concurrent", "the caller has as many calls under way as it may", time.Second)
		}
		n.callers = append(n.callers, heldCaller{c, key})
	}
	if b := g.gate.breaker; b != nil {
		t, wait, ok := b.Allow()
		if !ok {
			n.leave()
			return refuseFor("limit.breaker", "most calls of the upstream fail", wait)
		}
		n.ticket, n.breaker = t, b
	}
	if l := g.gate.limiter; l != nil {
		priority := overload.Normal
		if op := x.Operation; op != nil && op.Index < len(g.priorities) {
			priority = g.priorities[op.Index]
		}
		if !l.Acquire(ctx, priority) {
			n.leave()
			return refuseFor("limit.overloaded", "the upstream is asked for as much as it can do", time.Second)
		}
		n.limiter, n.operation = l, -1
		if x.Operation != nil {
			n.operation = x.Operation.Index
		}
	}
	n.entered = g.now()
	return exchange.Verdict{}
}

func refuseFor(code, why string, wait time.Duration) exchange.Verdict {
	v := exchange.Refuse(code, "", why)
	v.Header = map[string]string{"Retry-After": strconv.FormatInt(max(1, ceilSeconds(int64(wait))), 10)}
	return v
}

// answered notes that the upstream's answer has begun. One that goes on without
// end gives its place at the upstream up: it waits for nothing.
func (g *Guard) answered(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	n := g.notes(x)
	failed := x.Response.Status == http.StatusBadGateway || x.Response.Status == http.StatusServiceUnavailable || x.Response.Status == http.StatusGatewayTimeout
	if n.breaker != nil {
		n.breaker.Result(n.ticket, failed, true)
		n.breaker = nil
	}
	if n.limiter != nil && n.took == 0 {
		n.took = max(g.now().Sub(n.entered), 1)
		if x.Response.Status == http.StatusSwitchingProtocols || strings.HasPrefix(x.Response.Header.Get("Content-Type"), "text/event-stream") {
			n.limiter.Release(n.operation, n.took, overload.Done)
			n.limiter = nil
		}
	}
	return exchange.Verdict{}
}

// Retry reports whether a call that could not be delivered may be made again.
// attempt counts from 1.
func (g *Guard) Retry(x *exchange.Exchange, attempt int) bool {
	b := g.gate.budget
	if b == nil || attempt > g.gate.set.retry.Attempts {
		return false
	}
	switch x.Request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return b.Retry()
	}
	return false
}

// Called notes a call of the upstream, of which retries are a share.
func (g *Guard) Called() {
	if b := g.gate.budget; b != nil {
		b.Call()
	}
}

// heldCaller is a place among a caller's calls.
type heldCaller struct {
	of  *concurrent
	key uint64
}

// leave gives up what a call has, that the upstream was not asked or has not answered.
func (n *notes) leave() {
	for _, c := range n.callers {
		c.of.now.leave(c.key)
	}
	n.callers = n.callers[:0]
	if n.breaker != nil {
		n.breaker.Result(n.ticket, false, false)
		n.breaker = nil
	}
	if n.limiter != nil {
		n.limiter.Release(n.operation, n.took, overload.Aside)
		n.limiter = nil
	}
}

// settleUpstream gives up a call's places when it has ended, and notes how it went.
func (n *notes) settleUpstream(d *exchange.Decision, c *exchange.Completion) {
	code := c.Refused
	if code == "" {
		code = c.Aborted
	}
	if code == "" && d != nil {
		code = d.Code
	}
	slow := code == "gateway.upstream_timeout"
	failed := slow || code == "gateway.upstream_unreachable" || code == "gateway.upstream_unavailable"
	if n.breaker != nil && failed {
		n.breaker.Result(n.ticket, true, true)
		n.breaker = nil
	}
	if n.limiter != nil {
		switch {
		case slow:
			n.limiter.Release(n.operation, 0, overload.TooSlow)
			n.limiter = nil
		case n.took > 0:
			n.limiter.Release(n.operation, n.took, overload.Done)
			n.limiter = nil
		}
	}
	n.leave()
}
