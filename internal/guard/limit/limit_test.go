package limit

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func testAPI() *spec.API {
	return &spec.API{Operations: []*spec.Operation{
		{Index: 0, ID: "listPets", Method: "GET", Path: "/pets"},
		{Index: 1, ID: "login", Method: "POST", Path: "/login"},
	}}
}

// monitor, among the overrides, makes the guard run in monitor mode.
var monitor = config.OperationOverride{Operation: "*", Mode: "monitor"}

// walk runs both steps as the chain does.
type walk struct {
	t     *testing.T
	api   *spec.API
	chain *guard.Chain
	clock *clock
}

func start(t *testing.T, cfg config.Limit, overrides ...config.OperationOverride) *walk {
	t.Helper()
	w := &walk{t: t, api: testAPI(), clock: &clock{epoch}}
	mode := guard.Enforce
	if len(overrides) > 0 && overrides[0].Mode == "monitor" {
		mode = guard.Monitor
	}
	g, err := New(Options{Name: "pets", API: w.api, Config: cfg, Overrides: overrides, Store: NewMemory(0, epoch), KeyRates: true, Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	w.chain = guard.NewChain(w.api, []guard.Step{g.AddressStep(), g.IdentityStep()},
		func(string, *spec.Operation) guard.Setting { return guard.Setting{Mode: mode} }, slog.New(slog.DiscardHandler))
	return w
}

type caller struct {
	addr string
	id   exchange.Identity
	op   int // -1: unknown
}

func (w *walk) call(c caller) (exchange.Verdict, *exchange.Exchange) {
	x := &exchange.Exchange{Client: netip.MustParseAddr(c.addr), Identity: c.id}
	if c.op >= 0 {
		x.Operation = w.api.Operations[c.op]
	}
	return w.chain.Run(w.t.Context(), x, exchange.RequestHead), x
}

// admitted says how many of n calls made at once pass.
func (w *walk) admitted(n int, c caller) int {
	ok := 0
	for range n {
		v, _ := w.call(c)
		switch {
		case v.Action == exchange.Allow:
			ok++
		case v.Code != "limit.rate":
			w.t.Fatalf("refused with %q", v.Code)
		}
	}
	return ok
}

func user(name string) exchange.Identity {
	return exchange.Identity{Subject: name, Issuer: "https://issuer", Method: "jwt", Verified: true, Credential: "digest-of-" + name}
}

func own(credential string) exchange.Identity {
	return exchange.Identity{Method: "own", Credential: credential}
}

func rates(r ...config.Rate) config.Limit { return config.Limit{Rates: r} }

func TestWhoseBucket(t *testing.T) {
	alice, bob := user("alice"), user("bob")
	foreign := user("alice")
	foreign.Issuer = "https://elsewhere"
	fresh := user("alice")
	fresh.Credential = "another token of hers"
	claimed := own("guess")
	claimed.Subject, claimed.Issuer = "alice", "https://issuer" // said, not proven

	for name, c := range map[string]struct {
		rate   config.Rate
		a, b   caller
		shared bool
	}{
		"address: same":                       {config.Rate{By: "address", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.1", bob, 1}, true},
		"address: other":                      {config.Rate{By: "address", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.2", alice, 0}, false},
		"address: mapped is the same":         {config.Rate{By: "address", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"::ffff:192.0.2.1", alice, 0}, true},
		"address: one /64 is one subscriber":  {config.Rate{By: "address", Rate: "5/m"}, caller{"2001:db8::1", alice, 0}, caller{"2001:db8::ffff:ffff:2", bob, 0}, true},
		"address: another /64":                {config.Rate{By: "address", Rate: "5/m"}, caller{"2001:db8::1", alice, 0}, caller{"2001:db8:0:1::1", alice, 0}, false},
		"address: ::/64 is not 0.0.0.0":       {config.Rate{By: "address", Rate: "5/m"}, caller{"::", alice, 0}, caller{"0.0.0.0", alice, 0}, false},
		"identity: other address, same user":  {config.Rate{By: "identity", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.2", fresh, 1}, true},
		"identity: other user, same address":  {config.Rate{By: "identity", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.1", bob, 0}, false},
		"identity: same name, other issuer":   {config.Rate{By: "identity", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.1", foreign, 0}, false},
		"identity: own credential":            {config.Rate{By: "identity", Rate: "5/m"}, caller{"192.0.2.1", own("k1"), 0}, caller{"192.0.2.2", own("k1"), 0}, true},
		"identity: other own credential":      {config.Rate{By: "identity", Rate: "5/m"}, caller{"192.0.2.1", own("k1"), 0}, caller{"192.0.2.1", own("k2"), 0}, false},
		"identity: a name unproven is no one": {config.Rate{By: "identity", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.1", claimed, 0}, false},
		"identity: anonymous by address":      {config.Rate{By: "identity", Rate: "5/m"}, caller{"192.0.2.1", exchange.Identity{}, 0}, caller{"192.0.2.1", exchange.Identity{}, 1}, true},
		"identity: anonymous elsewhere":       {config.Rate{By: "identity", Rate: "5/m"}, caller{"192.0.2.1", exchange.Identity{}, 0}, caller{"192.0.2.9", exchange.Identity{}, 0}, false},
		"operation: each its own":             {config.Rate{By: "operation", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.1", alice, 1}, false},
		"operation: same":                     {config.Rate{By: "operation", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.2", alice, 0}, true},
		"operation: other caller":             {config.Rate{By: "operation", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.1", bob, 0}, false},
		"api: everybody":                      {config.Rate{By: "api", Rate: "5/m"}, caller{"192.0.2.1", alice, 0}, caller{"192.0.2.2", bob, 1}, true},
		"unknown operation":                   {config.Rate{By: "operation", Rate: "5/m"}, caller{"192.0.2.1", alice, -1}, caller{"192.0.2.1", alice, -1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, rates(c.rate))
			if n := w.admitted(8, c.a); n != 5 {
				t.Fatalf("first caller: %d of 8 admitted, want 5", n)
			}
			want := 5
			if c.shared {
				want = 0
			}
			if n := w.admitted(8, c.b); n != want {
				t.Fatalf("second caller: %d admitted, want %d", n, want)
			}
			w.clock.now = w.clock.now.Add(12 * time.Second)
			if n := w.admitted(3, c.b); n != 1 {
				t.Fatalf("after one token's time: %d admitted, want 1", n)
			}
		})
	}
}

func TestDenialTellsWhenToComeBack(t *testing.T) {
	w := start(t, rates(config.Rate{By: "address", Rate: "2/m"}, config.Rate{By: "identity", Rate: "1/m", Burst: 1}))
	alice := caller{"192.0.2.1", user("alice"), 0}
	v, x := w.call(alice)
	if v.Action != exchange.Allow {
		t.Fatalf("refused: %+v", v)
	}
	limit, policy := exchange.RateLimit(x.Allowances)
	if got, want := limit, `"address";r=1;t=30, "identity";r=0;t=60`; got != want {
		t.Errorf("RateLimit %s, want %s", got, want)
	}
	if got, want := policy, `"address";q=2;w=60, "identity";q=1;w=60`; got != want {
		t.Errorf("RateLimit-Policy %s, want %s", got, want)
	}
	w.clock.now = w.clock.now.Add(500 * time.Millisecond)
	v, x = w.call(alice)
	limit, _ = exchange.RateLimit(x.Allowances)
	if v.Code != "limit.rate" || v.Header["Retry-After"] != "60" || limit != `"address";r=0;t=60, "identity";r=0;t=60` {
		t.Fatalf("denial %+v, %s", v, limit)
	}
	// What the denial says is true: a moment before it is refused, then admitted.
	w.clock.now = w.clock.now.Add(59 * time.Second)
	if v, _ := w.call(alice); v.Code != "limit.rate" || v.Header["Retry-After"] != "1" {
		t.Fatalf("half a second early: %+v", v)
	}
	w.clock.now = w.clock.now.Add(time.Second)
	if v, _ := w.call(alice); v.Action != exchange.Allow {
		t.Fatalf("at the time told: %+v", v)
	}
}

// Alice hammers: neighbours behind her address must not pay for what was refused to her.
func TestRefusedRequestsCostNothing(t *testing.T) {
	w := start(t, rates(config.Rate{By: "address", Rate: "20/m"}, config.Rate{By: "identity", Rate: "5/m"}))
	if n := w.admitted(1000, caller{"192.0.2.1", user("alice"), 0}); n != 5 {
		t.Fatalf("alice: %d", n)
	}
	if n := w.admitted(15, caller{"192.0.2.1", exchange.Identity{}, 0}); n != 5 {
		t.Fatalf("anonymous neighbour: %d, want his own 5", n)
	}
	left := w.admitted(5, caller{"192.0.2.1", user("bob"), 0}) + w.admitted(5, caller{"192.0.2.1", user("carol"), 0}) + w.admitted(5, caller{"192.0.2.1", user("dave"), 0})
	if left != 10 {
		t.Fatalf("neighbours got %d of the 10 that the address had left", left)
	}
}

func TestMonitorRecordsAndAdmits(t *testing.T) {
	w := start(t, rates(config.Rate{By: "address", Rate: "2/m"}), monitor)
	recorded := 0
	for range 5 {
		v, x := w.call(caller{"192.0.2.1", user("alice"), 0})
		if v.Action != exchange.Allow {
			t.Fatalf("monitor refused: %+v", v)
		}
		for _, r := range x.Rulings {
			if r.Verdict.Code == "limit.rate" {
				recorded++
			}
		}
	}
	if recorded != 3 {
		t.Fatalf("%d denials recorded, want 3", recorded)
	}
}

func TestOverridesAddRates(t *testing.T) {
	w := start(t, rates(config.Rate{By: "identity", Rate: "100/m"}),
		config.OperationOverride{Operation: "POST /log*", Rates: []config.Rate{{By: "address", Rate: "3/m"}}})
	alice := user("alice")
	if n := w.admitted(10, caller{"192.0.2.1", alice, 1}); n != 3 {
		t.Fatalf("login: %d, want 3", n)
	}
	if n := w.admitted(10, caller{"192.0.2.1", user("bob"), 1}); n != 0 {
		t.Fatalf("login from the same address as bob: %d, want 0", n)
	}
	if n := w.admitted(10, caller{"192.0.2.1", alice, 0}); n != 10 {
		t.Fatalf("listing: %d, want 10", n)
	}
}

func TestDefaults(t *testing.T) {
	w := start(t, config.Limit{})
	if n := w.admitted(500, caller{"192.0.2.1", exchange.Identity{}, 0}); n != 200 {
		t.Fatalf("%d admitted, want a burst of 200", n)
	}
	w.clock.now = w.clock.now.Add(time.Second)
	if n := w.admitted(500, caller{"192.0.2.1", exchange.Identity{}, 0}); n != 50 {
		t.Fatalf("%d admitted in the next second, want 50", n)
	}
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := New(Options{Name: "pets", API: testAPI(), Store: NewMemory(0, epoch), Config: rates(
		config.Rate{By: "moon", Rate: "5/s"}, config.Rate{By: "address", Rate: "5"}, config.Rate{By: "address", Rate: "0/s"},
		config.Rate{By: "address", Rate: "5/y"}, config.Rate{By: "address", Rate: "-5/s"}, config.Rate{By: "address", Rate: "5/s", Burst: -1},
		config.Rate{By: "address", Rate: "1/d", Burst: 1000},
	), Overrides: []config.OperationOverride{
		{Operation: "login", Rates: []config.Rate{{By: "address", Rate: "x/s"}}},
		{Operation: "GET /nowhere", Rates: []config.Rate{{By: "address", Rate: "1/s"}}},
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for i := range 7 {
		if want := fmt.Sprintf("rates[%d]:", i); !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
	for _, want := range []string{"operations[0].rates[0]", `"GET /nowhere"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
	var many []config.Rate
	for i := range 2*maxCharges + 1 {
		many = append(many, config.Rate{By: "api", Rate: "5/s", Burst: i + 1})
	}
	if _, err := New(Options{Store: NewMemory(0, epoch), Config: rates(many...)}); err == nil {
		t.Error("more rates than one request can be charged for were accepted")
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no store was accepted")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"50/s", "1/d", "999999999/m", "/s", "5/", "5/ss", "9223372036854775808/s"} {
		f.Add(s, 0)
	}
	f.Fuzz(func(t *testing.T, s string, burst int) {
		law, _, err := parse(config.Rate{Rate: s, Burst: burst})
		if err == nil && (law.Unit < 1 || law.Capacity < law.Unit || law.Capacity > int64(longest)) {
			t.Fatalf("%q, %d: %+v", s, burst, law)
		}
	})
}

func BenchmarkSteps(b *testing.B) {
	api := testAPI()
	g, err := New(Options{Name: "pets", API: api, Store: NewMemory(0, time.Now()), Config: rates(
		config.Rate{By: "address", Rate: "1000000000/s"}, config.Rate{By: "identity", Rate: "1000000000/s"})})
	if err != nil {
		b.Fatal(err)
	}
	first, second := g.AddressStep(), g.IdentityStep()
	x := &exchange.Exchange{Client: netip.MustParseAddr("192.0.2.1"), Identity: user("alice"), Operation: api.Operations[0]}
	b.ReportAllocs()
	for b.Loop() {
		x.Allowances = x.Allowances[:0]
		if first.Rule(b.Context(), x).Action != exchange.Allow || second.Rule(b.Context(), x).Action != exchange.Allow {
			b.Fatal("refused")
		}
	}
}

func BenchmarkRefused(b *testing.B) {
	g, err := New(Options{Name: "pets", Store: NewMemory(0, time.Now()), Config: rates(config.Rate{By: "address", Rate: "1/d", Burst: 1})})
	if err != nil {
		b.Fatal(err)
	}
	first := g.AddressStep()
	x := &exchange.Exchange{Client: netip.MustParseAddr("192.0.2.1")}
	b.ReportAllocs()
	for b.Loop() {
		x.Allowances = x.Allowances[:0]
		first.Rule(b.Context(), x)
	}
}

// A key's own rates hold beside the API's, and for this key alone.
func TestRatesOfAKey(t *testing.T) {
	w := start(t, config.Limit{Rates: []config.Rate{{By: "identity", Rate: "100/h"}}})
	key := func(id string, rates ...exchange.Rate) exchange.Identity {
		return exchange.Identity{Method: "api_key", Verified: true, Subject: "partner", ClientID: id, Rates: rates}
	}
	slow := []exchange.Rate{{Rate: "3/h"}, {Rate: "50/d", Burst: 4}}
	first := caller{addr: "192.0.2.1", id: key("k1", slow...)}
	if n := w.admitted(10, first); n != 3 {
		t.Errorf("%d of 10 calls pass at 3/h", n)
	}
	v, x := w.call(first)
	if _, policy := exchange.RateLimit(x.Allowances); !strings.Contains(policy, `"key";q=3`) || v.Header["Retry-After"] == "" {
		t.Errorf("the refusal says %v, %s", v.Header, policy)
	}
	if n := w.admitted(10, caller{addr: "192.0.2.1", id: key("k2", slow...)}); n != 3 {
		t.Errorf("%d calls pass with the same holder's other key", n)
	}
	// Beside another credential it holds as well.
	both := exchange.Identity{Method: "jwt", Verified: true, Subject: "alice", Also: []exchange.Identity{key("k3", slow...)}}
	if n := w.admitted(10, caller{addr: "192.0.2.1", id: both}); n != 3 {
		t.Errorf("%d calls pass with a token beside the key", n)
	}
	if n := w.admitted(10, caller{addr: "192.0.2.1", id: key("k4")}); n != 10 {
		t.Errorf("%d calls pass with a key without rates", n)
	}
}

// A rate that cannot be read lets nobody pass.
func TestBrokenRateOfAKey(t *testing.T) {
	w := start(t, config.Limit{Rates: []config.Rate{{By: "identity", Rate: "100/h"}}})
	v, _ := w.call(caller{addr: "192.0.2.1", id: exchange.Identity{Method: "api_key", Verified: true, Subject: "p", Rates: []exchange.Rate{{Rate: "often"}}}})
	if v.Action == exchange.Allow {
		t.Error("a call passes")
	}
}
