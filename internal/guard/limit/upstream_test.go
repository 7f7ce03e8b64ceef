package limit

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// bounded is a guard with what stands before its upstream, and nothing else.
func bounded(t testing.TB, cfg config.Limit, now func() time.Time, overrides ...config.OperationOverride) *Guard {
	t.Helper()
	cfg.Rates = []config.Rate{}
	g, err := New(Options{Name: "pets", API: testAPI(), Config: cfg, Overrides: overrides, Store: NewMemory(0, epoch), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// underway is a call that has come to the upstream, or was refused before.
type underway struct {
	g *Guard
	x *exchange.Exchange
	v exchange.Verdict
}

func begin(g *Guard, who string, op int) *underway {
	u := &underway{g: g, x: &exchange.Exchange{Client: netip.MustParseAddr("192.0.2.1"), Identity: user(who), Operation: testAPI().Operations[op]}}
	u.v = g.UpstreamSteps()[0].Rule(context.Background(), u.x)
	return u
}

func (u *underway) ok() bool { return u.v.Action == exchange.Allow }

// end has it answered with a status, or fail with a code.
func (u *underway) end(status int, code string) {
	if status != 0 {
		u.x.Response = exchange.Response{Status: status, Header: http.Header{}}
		u.g.UpstreamSteps()[1].Rule(context.Background(), u.x)
	}
	for _, e := range u.x.Ends {
		e.End(u.x, &exchange.Decision{Code: u.v.Code}, &exchange.Completion{Refused: code})
	}
}

func TestCallsOfOneCallerAtOnce(t *testing.T) {
	g := bounded(t, config.Limit{Concurrent: []config.Concurrent{{By: "identity", Most: 2}}}, nil)
	a, b := begin(g, "alice", 0), begin(g, "alice", 0)
	if !a.ok() || !b.ok() {
		t.Fatal("refused with room")
	}
	c := begin(g, "alice", 0)
	if c.v.Code != "limit.concurrent" || c.v.Header["Retry-After"] == "" {
		t.Fatalf("the third: %+v", c.v)
	}
	c.end(0, "")
	if d := begin(g, "bob", 0); !d.ok() {
		t.Fatal("another caller is refused")
	}
	a.end(200, "")
	if !begin(g, "alice", 0).ok() {
		t.Fatal("refused after one has ended")
	}
	if begin(g, "alice", 0).ok() {
		t.Fatal("one end made room for two")
	}
}

func TestBreakerBeforeTheUpstream(t *testing.T) {
	now := epoch
	g := bounded(t, config.Limit{Breaker: &config.Breaker{Failures: 0.5, Calls: 4, Window: 10 * time.Second, Open: 5 * time.Second, Probes: 1}}, func() time.Time { return now })
	for _, how := range []struct {
		status int
		code   string
	}{{200, ""}, {404, ""}, {0, "gateway.client_gone"}, {500, ""}, {503, ""}, {0, "gateway.upstream_unreachable"}, {0, "gateway.upstream_timeout"}} {
		u := begin(g, "alice", 0)
		if !u.ok() {
			t.Fatalf("refused before %+v", how)
		}
		u.end(how.status, how.code)
	}
	u := begin(g, "alice", 0)
	if u.v.Code != "limit.breaker" || u.v.Header["Retry-After"] != "5" {
		t.Fatalf("after three failures of six: %+v", u.v)
	}
	u.end(0, "")
	if s := g.store.Upstreams(); len(s) != 1 || !s[0].Open || s[0].Opened != 1 {
		t.Errorf("state %+v", s)
	}
	now = now.Add(5 * time.Second)
	probe := begin(g, "alice", 0)
	if !probe.ok() || begin(g, "alice", 0).ok() {
		t.Fatal("want one probe")
	}
	probe.end(200, "")
	if !begin(g, "alice", 0).ok() {
		t.Fatal("refused after a good probe")
	}
}

func TestPriorityAtTheUpstream(t *testing.T) {
	no := false
	g := bounded(t, config.Limit{Concurrency: config.Concurrency{Most: 10, Least: 10, Adaptive: &no}}, nil,
		config.OperationOverride{Operation: "listPets", Priority: "low"}, config.OperationOverride{Operation: "login", Priority: "high"})
	for i := range 6 {
		if !begin(g, "alice", 0).ok() {
			t.Fatalf("call %d of low priority is refused", i)
		}
	}
	if v := begin(g, "alice", 0).v; v.Code != "limit.overloaded" {
		t.Fatalf("the seventh of low priority: %+v", v)
	}
	for i := range 4 {
		if !begin(g, "alice", 1).ok() {
			t.Fatalf("call %d of high priority is refused", i)
		}
	}
	if begin(g, "alice", 1).ok() {
		t.Fatal("an eleventh call")
	}
}

// However calls end, every place is given up once.
func TestPlacesAreGivenUpOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := epoch
		g := bounded(t, config.Limit{
			Concurrency: config.Concurrency{Most: 5, Least: 2}, Concurrent: []config.Concurrent{{By: "identity", Most: 3}, {By: "api", Most: 6}},
			Breaker: &config.Breaker{Failures: 0.9, Calls: 5, Window: time.Second, Open: time.Second, Probes: 2},
		}, func() time.Time { return now })
		var open []*underway
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 3e8).Draw(rt, "gap")))
			if len(open) == 0 || rapid.Bool().Draw(rt, "begin") {
				u := begin(g, rapid.SampledFrom([]string{"alice", "bob"}).Draw(rt, "who"), 0)
				if u.ok() {
					open = append(open, u)
				} else {
					u.end(0, "")
				}
			} else {
				i := rapid.IntRange(0, len(open)-1).Draw(rt, "which")
				open[i].end(rapid.SampledFrom([]int{0, 101, 200, 503}).Draw(rt, "status"),
					rapid.SampledFrom([]string{"", "gateway.client_gone", "gateway.upstream_timeout", "gateway.upstream_unreachable", "contract.response"}).Draw(rt, "code"))
				open = append(open[:i], open[i+1:]...)
			}
			if n := g.gate.limiter.Stats().Inflight; n > len(open) {
				rt.Fatalf("%d places taken by %d calls", n, len(open))
			}
		}
		for _, u := range open {
			u.end(200, "")
		}
		if n := g.gate.limiter.Stats().Inflight; n != 0 {
			rt.Fatalf("%d places are lost", n)
		}
		for _, c := range g.concurrent {
			for i := range c.now.stripes {
				if len(c.now.stripes[i].n) != 0 {
					rt.Fatal("a caller is remembered who has no calls")
				}
			}
		}
	})
}
