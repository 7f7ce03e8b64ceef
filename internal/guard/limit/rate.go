package limit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/state"
)

// rate is one compiled rate or quota.
type rate struct {
	name   string // in the RateLimit fields, quoted
	by     by
	table  *table
	away   meter    // its law while the shared store cannot be asked
	policy string   // parameters of its item of RateLimit-Policy
	claim  []string // by claim: the path to it
	bits   [2]uint8 // of IPv4 and IPv6 addresses that share a bucket
	plans  []string // for which it holds; nil: all
	bytes  int64    // of an answer that count as one request more; 0: none do
	prefix string   // of its keys in the shared store
	// brought is the first of the rates that a credential brought, of which this is one.
	brought *exchange.Rate
}

// longest a bucket may take to fill: what is slower is no rate but a mistake,
// and arrival times must fit 64 bits.
const longest = 366 * 24 * time.Hour

// units of rates. A month is one of 30 days, and in the calendar one of the calendar.
var units = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "mo": month}

const month = 30 * 24 * time.Hour

// parse reads a config rate into its law.
func parse(r config.Rate) (law state.Law, w window, err error) {
	num, unit, ok := strings.Cut(r.Rate, "/")
	n, numErr := strconv.ParseInt(num, 10, 64)
	period := units[unit]
	if !ok || numErr != nil || n < 1 || n > 1e9 || period == 0 {
		return law, 0, fmt.Errorf("rate is %q, want N/s, N/m, N/h, N/d, N/w or N/mo with N from 1 to 1000000000", r.Rate)
	}
	burst := int64(r.Burst)
	if burst == 0 {
		burst = n
	}
	if burst < 0 || burst > 1e9 {
		return law, 0, fmt.Errorf("burst is %d, want 1 to 1000000000", r.Burst)
	}
	switch r.Window {
	case "", "rolling":
	case "calendar":
		if r.Burst != 0 {
			return law, 0, fmt.Errorf("burst is %d, and a quota of the calendar has none", r.Burst)
		}
		if unit == "w" {
			return law, 0, fmt.Errorf("rate is %q: weeks of the calendar begin on different days in different countries", r.Rate)
		}
		if period == month {
			period = 0
		}
		// Kept for a while after the window's end, as gateways' clocks differ.
		return state.Law{Kind: state.Calendar, Capacity: n}, window(period), nil
	default:
		return law, 0, fmt.Errorf("window is %q, want rolling or calendar", r.Window)
	}
	// Rounded up: a caller may get a nanosecond less than the rate, never more.
	emission := (int64(period) + n - 1) / n
	if emission > int64(longest)/burst {
		return law, 0, fmt.Errorf("a burst of %d at %s takes more than a year to come back", burst, r.Rate)
	}
	return state.Law{Kind: state.Rolling, Unit: emission, Capacity: emission * burst}, 0, nil
}

// newRate compiles one rate. scope is "" for the API's own rates, else the
// override that it stands in.
func (g *Guard) newRate(scope string, r config.Rate) (*rate, error) {
	who, ok := byNames[r.By]
	if !ok {
		return nil, fmt.Errorf("by is %q, want %s", r.By, strings.Join(byNameList, ", "))
	}
	if who == byClaim && r.Claim == "" {
		return nil, errors.New("by is claim, and no claim is named")
	}
	law, w, err := parse(r)
	if err != nil {
		return nil, err
	}
	c := &rate{by: who, plans: r.Plans, bytes: int64(r.AnswerBytes), name: r.Name}
	if r.Claim != "" {
		c.claim = strings.Split(r.Claim, ".")
	}
	c.bits = [2]uint8{32, 64} // what one subscriber is given
	if who == byPrefix {
		c.bits = [2]uint8{24, 64}
	}
	if r.IPv4 > 0 && r.IPv4 <= 32 && who == byPrefix {
		c.bits[0] = uint8(r.IPv4)
	}
	if r.IPv6 > 0 && r.IPv6 <= 128 {
		c.bits[1] = uint8(r.IPv6)
	}
	if c.name == "" {
		c.name = r.By
		if who == byClaim {
			c.name = r.Claim
		}
		if scope != "" {
			c.name = "operation-" + c.name
		}
	}
	c.name = strconv.Quote(c.name)
	by := fmt.Sprintf("%s %s %v %q", r.By, r.Claim, c.bits, r.Plans)
	g.bind(c, tableName{api: g.name, scope: scope, by: by, law: law, window: w})
	return c, nil
}

// newKeyRate compiles a rate that came with a credential.
func (g *Guard) newKeyRate(r exchange.Rate, brought *exchange.Rate) (*rate, error) {
	law, w, err := parse(config.Rate{Rate: r.Rate, Burst: r.Burst})
	if err != nil {
		return nil, err
	}
	c := &rate{by: byKey, name: `"key"`, brought: brought}
	g.bind(c, tableName{api: g.name, scope: "key", by: "key", law: law, window: w})
	return c, nil
}

// bind gives a rate its buckets.
func (g *Guard) bind(c *rate, n tableName) {
	c.table = g.store.table(n)
	c.away = c.table.meter.share(g.share)
	c.prefix = fmt.Sprintf("%q %q %c %d %d %d", n.scope, n.by, n.law.Kind, n.law.Unit, n.law.Capacity, n.window)
	// draft-ietf-httpapi-ratelimit-headers-11: q is the quota, w its window in seconds.
	switch n.law.Kind {
	case state.Calendar:
		w := time.Duration(n.window)
		if w == 0 {
			w = month
		}
		c.policy = fmt.Sprintf(";q=%d;w=%d", n.law.Capacity, int64(w/time.Second))
	default:
		c.policy = fmt.Sprintf(";q=%d;w=%d", n.law.Capacity/n.law.Unit, ceilSeconds(n.law.Capacity))
	}
}

// most is how many requests a full bucket admits at once.
func (r *rate) most() int64 {
	if r.table.meter.Kind == state.Calendar {
		return r.table.meter.Capacity
	}
	return r.table.meter.Capacity / r.table.meter.Unit
}

// holds reports whether the rate holds for callers of a plan.
func (r *rate) holds(plan string) bool { return r.plans == nil || slices.Contains(r.plans, plan) }

// allowance is what is left after a charge.
func (r *rate) allowance(at moment, b state.Balance) exchange.Allowance {
	m := &r.table.meter
	a := exchange.Allowance{Name: r.name, Policy: r.policy}
	if m.Kind == state.Calendar {
		_, to := m.window.of(at.wall)
		a.Left, a.Reset = max(m.Capacity-b.Debt, 0), ceilSeconds(to-at.wall)
		return a
	}
	a.Left, a.Reset = max(m.Capacity-b.Debt, 0)/m.Unit, ceilSeconds(b.Debt)
	return a
}

// wait is how long until a refused charge would be accepted, in nanoseconds.
func (r *rate) wait(at moment, b state.Balance) int64 {
	if r.table.meter.Kind == state.Calendar {
		_, to := r.table.meter.window.of(at.wall)
		return to - at.wall
	}
	return b.Wait
}

func ceilSeconds(ns int64) int64 { return (ns + int64(time.Second) - 1) / int64(time.Second) }
