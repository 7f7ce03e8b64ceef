package limit

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/limit/overload"
)

// notes are what the guard remembers of one exchange until it has ended.
type notes struct {
	g       *Guard
	plan    *plan // by which it was charged; nil before
	ruled   bool  // all its limits were ruled on
	charged bool  // and it was charged for them
	local   bool  // in this process's memory
	refused bool  // by its address, before anything was charged

	try try // at logging in; without an account: none

	// What it holds until it has ended.
	callers   []heldCaller
	breaker   *overload.Breaker
	ticket    overload.Ticket
	limiter   *overload.Limiter
	operation int
	entered   time.Time     // when it got its place at the upstream
	took      time.Duration // until its answer began; 0 before
}

var notesPool = sync.Pool{New: func() any { return new(notes) }}

// notes returns those of the exchange, made where they are needed; nil where
// nothing is to be done when it ends.
func (g *Guard) notes(x *exchange.Exchange) *notes {
	for _, e := range x.Ends {
		if n, ok := e.(*notes); ok && n.g == g {
			return n
		}
	}
	if !g.ending {
		return nil
	}
	n := notesPool.Get().(*notes)
	*n = notes{callers: n.callers[:0], g: g, local: g.shared == nil || !g.store.health.may(g.now())}
	x.Ends = append(x.Ends, n)
	return n
}

// ours are the codes of refusals that are the gateway's or the upstream's own
// trouble: a call that met one was not served, and is not counted.
func ours(code string) bool {
	switch code {
	case "gateway.overloaded", "limit.overloaded", "limit.breaker":
		return true
	}
	return false
}

// End settles what a call costs.
func (n *notes) End(x *exchange.Exchange, d *exchange.Decision, c *exchange.Completion) {
	g, p := n.g, n.plan
	n.settleUpstream(d, c)
	if n.try.account != "" {
		g.logins.settle(x, &n.try, x.Response.Status)
	}
	switch {
	case n.refused:
	case !n.ruled:
		// It ended before its limits were all known: what counts an address counts it all the same.
		if !n.local {
			g.settle(x, g.address.all, false, func(*rate) int64 { return 1 })
		}
	case !n.charged:
	case d != nil && ours(d.Code) || ours(c.Refused):
		g.settle(x, p.all, n.local, func(*rate) int64 { return -p.cost })
	case d != nil && strings.HasPrefix(d.Code, "limit."):
		// What this guard itself has refused later is not counted against the caller,
		// but for his address: asking is not free.
		g.settle(x, p.late, n.local, func(*rate) int64 { return -p.cost })
	case p.bytes && c.BytesOut > 0:
		g.settle(x, p.all, n.local, func(r *rate) int64 {
			if r.bytes == 0 {
				return 0
			}
			return min((c.BytesOut-1)/r.bytes, 2*r.most())
		})
	}
	*n = notes{callers: n.callers[:0]}
	notesPool.Put(n)
}

// awayError says that gateways count each for itself.
type awayError struct {
	since time.Time
	share float64
	err   error
}

func (e *awayError) Error() string {
	return fmt.Sprintf("the counters that gateways share cannot be reached since %s, each admits %g of the rates: %v", e.since.UTC().Format(time.RFC3339), e.share, e.err)
}

func (e *awayError) Unwrap() error { return e.err }
