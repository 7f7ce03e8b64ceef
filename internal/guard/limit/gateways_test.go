package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/state/statetest"
)

// steps are durations that the tables' numbers hold without rounding.
func steps(t *rapid.T, most time.Duration, label string) time.Duration {
	return 64 * time.Duration(rapid.Int64Range(0, int64(most/64)).Draw(t, label))
}

// The script in Redis and the tables in memory are the same function: whatever
// is charged at whatever time, both admit the same and leave the same.
func TestRedisAndMemoryAgree(t *testing.T) {
	server := statetest.StartServer(t)
	clock := time.Unix(1_800_000_000, 0)
	store := server.Open(t, "agree", func() time.Time { return clock })
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		clock = clock.Add(400 * 24 * time.Hour) // nothing of the round before counts
		m := NewMemory(0, clock)
		kinds := []state.Kind{state.Rolling, state.Calendar, state.Backoff, state.Sequence}
		n := rapid.IntRange(1, 5).Draw(t, "limits")
		tables, fresh := make([]*table, n), make([]bool, n)
		for i := range n {
			law := state.Law{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Keep: int64(time.Hour)}
			var w window
			switch law.Kind {
			case state.Rolling:
				law.Unit = 64 * rapid.Int64Range(1, 1e9).Draw(t, "unit")
				law.Capacity = law.Unit * rapid.Int64Range(1, 20).Draw(t, "burst")
			case state.Calendar:
				law.Capacity, w = rapid.Int64Range(1, 20).Draw(t, "quota"), window(time.Hour)
			case state.Backoff:
				law.Unit, law.Capacity, law.Extra = 64*rapid.Int64Range(1, 1e8).Draw(t, "first wait"), int64(64*time.Second), rapid.Int64Range(0, 5).Draw(t, "free tries")
				law.Keep = int64(64 * time.Minute)
			case state.Sequence:
				law.Unit, law.Extra = int64(64*time.Millisecond), rapid.Int64Range(0, 3).Draw(t, "step")
				law.Keep = int64(64 * time.Minute)
			}
			tables[i] = m.table(tableName{by: fmt.Sprint(i), law: law, window: w})
			fresh[i] = i > 0 && rapid.Bool().Draw(t, "only after a fresh one")
		}
		clock = m.epoch.Add(time.Hour)
		for range rapid.IntRange(1, 40).Draw(t, "calls") {
			clock = clock.Add(steps(t, time.Duration(rapid.SampledFrom([]int64{0, 1e6, 1e9, 60e9, 3600e9}).Draw(t, "pace")), "gap"))
			force := rapid.IntRange(0, 4).Draw(t, "add") == 0
			charges, asked := make([]charge, n), make([]state.Charge, n)
			for i, tab := range tables {
				cost := rapid.Int64Range(0, 3).Draw(t, "cost")
				if force {
					cost = rapid.Int64Range(-3, 5).Draw(t, "cost added")
				}
				charges[i] = charge{t: tab, key: 99, cost: cost, fresh: fresh[i]}
				asked[i] = state.Charge{Key: fmt.Sprint(round, i), Law: tab.meter.Law, Cost: cost, Fresh: fresh[i]}
				if tab.meter.Kind == state.Calendar {
					from, _ := tab.meter.window.of(clock.UnixNano())
					asked[i].Key += fmt.Sprint(" ", from)
				}
			}
			here, there := make([]state.Balance, n), make([]state.Balance, n)
			okHere, okThere := true, true
			var err error
			if force {
				m.add(m.at(clock), charges, here)
				err = store.Add(context.Background(), "g", asked, there)
			} else {
				okHere = m.take(m.at(clock), charges, here)
				okThere, err = store.Take(context.Background(), "g", asked, there)
			}
			if err != nil {
				t.Fatal(err)
			}
			if okHere != okThere {
				t.Fatalf("memory %v %+v, Redis %v %+v", okHere, here, okThere, there)
			}
			for i := range here {
				if here[i] != there[i] {
					t.Fatalf("limit %d (%+v) cost %d: memory %+v, Redis %+v", i, tables[i].meter.Law, charges[i].cost, here[i], there[i])
				}
			}
		}
	})
}

// several are guards of several gateways that share a store.
func several(t testing.TB, n int, cfg config.Limit, open func() state.Buckets, clock func() time.Time) []*Guard {
	t.Helper()
	var out []*Guard
	for range n {
		g, err := New(Options{Name: "pets", API: testAPI(), Config: cfg, Store: NewMemory(0, clock()), Shared: open(), Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		out = append(out, g)
	}
	return out
}

// send is one call through a gateway's two steps, to its end.
func send(g *Guard, addr string, id exchange.Identity, bytes int64) exchange.Verdict {
	api := testAPI()
	chain := guard.NewChain(api, []guard.Step{g.AddressStep(), g.IdentityStep()},
		func(string, *spec.Operation) guard.Setting { return guard.Setting{Mode: guard.Enforce} }, slog.New(slog.DiscardHandler))
	x := &exchange.Exchange{Client: netip.MustParseAddr(addr), Identity: id, Operation: api.Operations[0]}
	v := chain.Run(context.Background(), x, exchange.RequestHead)
	for _, e := range x.Ends {
		e.End(x, &exchange.Decision{Code: v.Code}, &exchange.Completion{BytesOut: bytes})
	}
	return v
}

// However many gateways there are, together they admit what one would: never more
// than burst + rate × time over any window, and a refused call charges none of its limits.
func TestGatewaysShareExactly(t *testing.T) {
	server := statetest.StartServer(t)
	now := time.Unix(1_800_000_000, 0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		mu.Lock()
		now = now.Add(24 * time.Hour)
		mu.Unlock()
		burst := rapid.IntRange(1, 10).Draw(rt, "burst")
		name := fmt.Sprint("share-", round)
		guards := several(t, 3, rates(config.Rate{By: "address", Rate: "10/s", Burst: burst}, config.Rate{By: "identity", Rate: "5/s", Burst: 2 * burst}),
			func() state.Buckets { return server.Open(t, name, clock) }, clock)
		book := []bucket{
			{level: int64(burst) * 1e8, last: now.UnixNano(), capacity: int64(burst) * 1e8, emission: 1e8},
			{level: 2 * int64(burst) * 2e8, last: now.UnixNano(), capacity: 2 * int64(burst) * 2e8, emission: 2e8},
		}
		for range rapid.IntRange(1, 40).Draw(rt, "calls") {
			mu.Lock()
			now = now.Add(steps(rt, 300*time.Millisecond, "gap"))
			mu.Unlock()
			g := guards[rapid.IntRange(0, 2).Draw(rt, "gateway")]
			a, b := book[0], book[1]
			want := a.take(now.UnixNano()) && b.take(now.UnixNano())
			if want {
				book[0], book[1] = a, b
			}
			v := send(g, "192.0.2.1", user("alice"), 0)
			if got := v.Action == exchange.Allow; got != want {
				rt.Fatalf("admitted %v, one token bucket says %v (%s)", got, want, v.Reason)
			}
		}
	})
}

type broken struct {
	state.Buckets
	fails atomic.Bool
	asked atomic.Int64
}

func (b *broken) Take(ctx context.Context, group string, c []state.Charge, out []state.Balance) (bool, error) {
	b.asked.Add(1)
	if b.fails.Load() {
		return false, errors.New("nobody is there")
	}
	return b.Buckets.Take(ctx, group, c, out)
}

func (b *broken) Add(ctx context.Context, group string, c []state.Charge, out []state.Balance) error {
	if b.fails.Load() {
		return errors.New("nobody is there")
	}
	return b.Buckets.Add(ctx, group, c, out)
}

// While Redis is away each gateway admits its stated share, starting from what it
// knew was left: taking Redis down refills nobody's bucket. It is asked again each
// second, and when it is back all is as before.
func TestRedisAway(t *testing.T) {
	server := statetest.StartServer(t)
	var log syncBuffer
	begin := time.Unix(1_800_000_000, 0)
	var since atomic.Int64 // the settler asks for the time as well
	clock := func() time.Time { return begin.Add(time.Duration(since.Load())) }
	store := &broken{Buckets: server.Open(t, "away", clock)}
	memory := NewMemory(0, begin)
	cfg := rates(config.Rate{By: "identity", Rate: "20/s", Burst: 40})
	cfg.AwayShare = 0.25
	g, err := New(Options{Name: "pets", API: testAPI(), Config: cfg, Store: memory, Shared: store, Now: clock, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	admitted := func(n int, who string) (ok int) {
		for range n {
			if send(g, "192.0.2.1", user(who), 0).Action == exchange.Allow {
				ok++
			}
		}
		return ok
	}
	if n := admitted(100, "alice"); n != 40 {
		t.Fatalf("with Redis: %d admitted, want the burst of 40", n)
	}
	store.fails.Store(true)
	if n := admitted(100, "alice"); n != 0 {
		t.Fatalf("Redis went away and refilled %d", n)
	}
	if n := admitted(100, "bob"); n != 10 {
		t.Fatalf("alone: %d admitted, want a quarter of the burst", n)
	}
	if err := g.Ready(); err == nil || !strings.Contains(err.Error(), "0.25") {
		t.Errorf("Ready says %v", err)
	}
	if !strings.Contains(log.String(), "cannot be reached") {
		t.Errorf("nothing is logged: %s", log.String())
	}
	if memory.Local() == 0 {
		t.Error("no call is counted as ruled on alone")
	}
	asked := store.asked.Load()
	total := 0
	for range 100 { // ten seconds at ten a second
		since.Add(int64(100 * time.Millisecond))
		total += admitted(1, "bob")
	}
	if total < 49 || total > 51 {
		t.Errorf("alone: %d admitted in 10 s, want a quarter of 20/s", total)
	}
	if n := store.asked.Load() - asked; n > 11 {
		t.Errorf("asked %d times in 10 s while it is away, want once a second", n)
	}
	store.fails.Store(false)
	since.Add(int64(1100 * time.Millisecond))
	send(g, "192.0.2.1", user("carol"), 0) // the call that asks
	if err := g.Ready(); err != nil {
		t.Errorf("back, and Ready says %v", err)
	}
	if n := admitted(100, "dave"); n != 40 {
		t.Errorf("back: %d admitted, want 40", n)
	}
}

// What was admitted while Redis was away is charged also when the configuration was
// loaded anew meanwhile, and what waits to be charged when it is.
func TestReloadOwesNothing(t *testing.T) {
	server := statetest.StartServer(t)
	cfg := rates(config.Rate{By: "identity", Rate: "20/h", Burst: 20})
	cfg.AwayShare = 0.5
	memory, store := NewMemory(0, time.Now()), &broken{Buckets: server.Open(t, "reload", nil)}
	generation := func(m *Memory) *Guard {
		g, err := New(Options{Name: "pets", API: testAPI(), Config: cfg, Store: m, Shared: store, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	first := generation(memory)
	store.fails.Store(true)
	for range 10 {
		if v := send(first, "192.0.2.1", user("alice"), 0); v.Action != exchange.Allow {
			t.Fatal(v)
		}
	}
	second := generation(memory)
	defer second.Close()
	first.Close()
	store.fails.Store(false)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		memory.mu.Lock()
		left := len(memory.unpaid)
		memory.mu.Unlock()
		if left == 0 && second.settler.open.Load() == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nobody pays what is owed")
		}
	}
	// Another gateway, which knows of Redis only.
	third := generation(NewMemory(0, time.Now()))
	defer third.Close()
	left := 0
	for send(third, "192.0.2.1", user("alice"), 0).Action == exchange.Allow {
		left++
	}
	if left != 10 && left != 11 { // a part of one has come back since
		t.Errorf("%d calls are left of 20 after 10", left)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}
func (b *syncBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// A server that hangs makes each call wait once at most, and none after that.
func TestRedisHangs(t *testing.T) {
	server := statetest.StartServer(t)
	g := several(t, 1, rates(config.Rate{By: "identity", Rate: "1000/s"}), func() state.Buckets { return server.Open(t, "hangs", nil) }, time.Now)[0]
	if v := send(g, "192.0.2.1", user("alice"), 0); v.Action != exchange.Allow {
		t.Fatal(v)
	}
	server.Pause()
	defer server.Resume()
	begin := time.Now()
	for range 200 {
		if v := send(g, "192.0.2.1", user("alice"), 0); v.Action != exchange.Allow {
			t.Fatal(v)
		}
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("200 calls took %s while Redis hung", took)
	}
	if g.Ready() == nil {
		t.Error("nobody is told")
	}
}

// Who is over his rate by address costs Redis no question, and what was refused
// before all its limits were known is counted on every gateway.
func TestEarlyRefusalsAreSharedToo(t *testing.T) {
	server := statetest.StartServer(t)
	stores := []*broken{}
	guards := several(t, 2, rates(config.Rate{By: "address", Rate: "10/h"}), func() state.Buckets {
		b := &broken{Buckets: server.Open(t, "early", nil)}
		stores = append(stores, b)
		return b
	}, time.Now)
	// Ten calls that authn refuses: only the first step sees them.
	for range 10 {
		x := &exchange.Exchange{Client: netip.MustParseAddr("192.0.2.1")}
		v := guards[0].AddressStep().Rule(t.Context(), x)
		if v.Action != exchange.Allow {
			t.Fatal(v)
		}
		for _, e := range x.Ends {
			e.End(x, &exchange.Decision{Code: "authn.invalid"}, &exchange.Completion{})
		}
	}
	if v := send(guards[0], "192.0.2.1", user("alice"), 0); v.Code != "limit.rate" {
		t.Errorf("the gateway that counted them: %+v", v)
	}
	end := time.Now().Add(5 * time.Second)
	for send(guards[1], "192.0.2.1", user("alice"), 0).Action == exchange.Allow {
		if time.Now().After(end) {
			t.Fatal("the other gateway never heard of them")
		}
	}
	asked := stores[1].asked.Load()
	for range 1000 {
		if v := send(guards[1], "192.0.2.1", user("bob"), 0); v.Code != "limit.rate" {
			t.Fatal(v)
		}
	}
	if n := stores[1].asked.Load() - asked; n != 0 {
		t.Errorf("1000 calls that are over the rate asked Redis %d times", n)
	}
}
