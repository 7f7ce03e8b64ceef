package overload

import (
	"container/heap"
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// event is something that happens in a simulated upstream.
type event struct {
	at        time.Time
	arrival   bool
	began     time.Time
	operation int
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any          { old := *e; x := old[len(old)-1]; *e = old[:len(old)-1]; return x }

// simulate has calls come at random, rate a second, to an upstream that serves
// capacity calls at once in service each, and queues the rest without end.
func simulate(l *Limiter, now *time.Time, length time.Duration, rate float64, capacity int, service func(operation int) time.Duration, pick func() int) (served, refused int, slowest time.Duration) {
	r := rand.New(rand.NewPCG(1, 2))
	end := now.Add(length)
	var todo events
	heap.Push(&todo, event{at: now.Add(time.Millisecond), arrival: true})
	busy := 0
	var waiting []event
	serve := func(c event) {
		busy++
		jitter := 0.8 + 0.4*r.Float64()
		c.at = now.Add(time.Duration(float64(service(c.operation)) * jitter))
		heap.Push(&todo, c)
	}
	for len(todo) > 0 {
		e := heap.Pop(&todo).(event)
		if e.at.After(end) {
			if !e.arrival {
				l.Release(e.operation, 0, Aside) // of those that wait as well, below
			}
			continue
		}
		*now = e.at
		if e.arrival {
			heap.Push(&todo, event{at: now.Add(time.Duration(r.ExpFloat64() / rate * 1e9)), arrival: true})
			if !l.Acquire(context.Background(), Normal) {
				refused++
				continue
			}
			c := event{began: *now, operation: pick()}
			if busy < capacity {
				serve(c)
			} else {
				waiting = append(waiting, c)
			}
			continue
		}
		busy--
		took := now.Sub(e.began)
		slowest = max(slowest, took)
		served++
		l.Release(e.operation, took, Done)
		if len(waiting) > 0 {
			c := waiting[0]
			waiting = waiting[1:]
			serve(c)
		}
	}
	for _, c := range waiting {
		l.Release(c.operation, 0, Aside)
	}
	return served, refused, slowest
}

// Offered three times what it can do, an upstream is asked for about what it can:
// it stays as fast as it is, and loses nearly none of what it could serve.
func TestLimitFindsTheCapacity(t *testing.T) {
	for _, capacity := range []int{10, 40, 100} {
		now := time.Unix(1_700_000_000, 0)
		l := NewLimiter(LimiterOptions{Least: 4, Most: 1000, Adaptive: true, Now: func() time.Time { return now }})
		service := func(int) time.Duration { return 20 * time.Millisecond }
		one := func() int { return -1 }
		able := float64(capacity) / 0.020
		// Once it has seen what is usual, the load comes.
		simulate(l, &now, 10*time.Second, able/2, capacity, service, one)
		simulate(l, &now, 20*time.Second, 3*able, capacity, service, one)
		served, refused, slowest := simulate(l, &now, 20*time.Second, 3*able, capacity, service, one)
		s := l.Stats()
		t.Logf("capacity %d: limit %d, %d served of %.0f possible, %d refused, slowest %s", capacity, s.Limit, served, able*20, refused, slowest)
		if served < int(0.9*able*20) {
			t.Errorf("capacity %d: %d served of %.0f", capacity, served, able*20)
		}
		if slowest > 120*time.Millisecond {
			t.Errorf("capacity %d: calls took %s that take 20 ms", capacity, slowest)
		}
		if refused == 0 {
			t.Errorf("capacity %d: nothing was refused: the test shows nothing", capacity)
		}
	}
}

// An upstream with room is never refused anything: neither at its usual load, nor
// while slow operations come among fast ones.
func TestHonestLoadIsNotRefused(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := NewLimiter(LimiterOptions{Least: 10, Most: 1000, Adaptive: true, Operations: 2, Now: func() time.Time { return now }})
	r := rand.New(rand.NewPCG(3, 4))
	service := func(op int) time.Duration {
		return [...]time.Duration{5 * time.Millisecond, 400 * time.Millisecond}[op]
	}
	slow := 0.0
	pick := func() int {
		if r.Float64() < slow {
			return 1
		}
		return 0
	}
	for _, slow = range []float64{0, 0.02, 0.1, 0.02, 0} {
		_, refused, _ := simulate(l, &now, 20*time.Second, 200, 200, service, pick)
		if refused > 0 {
			t.Errorf("%g of slow operations: %d of 4,000 calls refused, limit %d", slow, refused, l.Stats().Limit)
		}
	}
}

// What becomes slower for good becomes usual, without a restart and within minutes.
func TestSlowerForGood(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := NewLimiter(LimiterOptions{Least: 4, Most: 1000, Adaptive: true, Now: func() time.Time { return now }})
	one := func() int { return -1 }
	simulate(l, &now, 10*time.Second, 200, 50, func(int) time.Duration { return 10 * time.Millisecond }, one)
	slower := func(int) time.Duration { return 100 * time.Millisecond }
	simulate(l, &now, 3*time.Minute, 200, 50, slower, one)
	served, refused, _ := simulate(l, &now, 20*time.Second, 200, 50, slower, one)
	t.Logf("limit %d, %d served, %d refused", l.Stats().Limit, served, refused)
	if refused > served/20 {
		t.Errorf("%d of %d calls refused for good, with room for all", refused, served+refused)
	}
}

// Calls that take very different times by chance are no congestion.
func TestChanceIsNotCongestion(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := NewLimiter(LimiterOptions{Least: 10, Most: 1000, Adaptive: true, Now: func() time.Time { return now }})
	r := rand.New(rand.NewPCG(5, 6))
	_, refused, _ := simulate(l, &now, time.Minute, 300, 500, func(int) time.Duration { return time.Duration(20e6 * r.ExpFloat64()) }, func() int { return -1 })
	if refused > 0 {
		t.Errorf("%d refused, limit %d", refused, l.Stats().Limit)
	}
}

func TestLimitStaysWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		least := rapid.IntRange(1, 20).Draw(t, "least")
		most := rapid.IntRange(least, 200).Draw(t, "most")
		l := NewLimiter(LimiterOptions{Least: least, Most: most, Adaptive: true, Operations: 3, Now: func() time.Time { return now }})
		held := 0
		for range rapid.IntRange(1, 400).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 5e7).Draw(t, "gap")))
			if held > 0 && rapid.Bool().Draw(t, "release") {
				held--
				l.Release(rapid.IntRange(-1, 5).Draw(t, "operation"), time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "took")), Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")))
				continue
			}
			if l.Acquire(context.Background(), Priority(rapid.IntRange(0, 2).Draw(t, "priority"))) {
				held++
			}
			s := l.Stats()
			if s.Inflight != held || s.Limit < least || s.Limit > most || held > most {
				t.Fatalf("%+v with %d held, between %d and %d", s, held, least, most)
			}
			if math.IsNaN(l.limit) {
				t.Fatal("the limit is no number")
			}
		}
	})
}

// Who waits gets in by priority; when the queue is full the least gives way; who
// waits too long is refused; no permit is lost.
func TestQueueByPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(LimiterOptions{Least: 10, Most: 10, Queue: 3, Wait: time.Second})
		for range 10 {
			if !l.Acquire(t.Context(), High) {
				t.Fatal("refused with room")
			}
		}
		var mu sync.Mutex
		var order []Priority
		var wg sync.WaitGroup
		var refused atomic.Int64
		begin := func(p Priority) {
			wg.Go(func() {
				if !l.Acquire(t.Context(), p) {
					refused.Add(1)
					return
				}
				mu.Lock()
				order = append(order, p)
				mu.Unlock()
			})
			synctest.Wait()
		}
		begin(Low)
		begin(Normal)
		begin(Low)
		if l.Acquire(t.Context(), Low) {
			t.Fatal("let in over the full queue")
		}
		begin(High) // takes the place of the newer Low
		if refused.Load() != 1 {
			t.Fatalf("%d gave way, want one", refused.Load())
		}
		for range 7 { // room for each of the three by its share
			l.Release(-1, time.Millisecond, Done)
			synctest.Wait()
		}
		wg.Wait()
		if len(order) != 3 || order[0] != High || order[1] != Normal || order[2] != Low {
			t.Fatalf("let in: %v", order)
		}
		for range 3 {
			l.Acquire(t.Context(), High)
		}
		for l.Stats().Inflight < 10 {
			l.Acquire(t.Context(), High)
		}
		at := time.Now()
		if l.Acquire(t.Context(), High) || time.Since(at) != time.Second {
			t.Fatalf("waited %s", time.Since(at))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if l.Acquire(ctx, High) {
			t.Fatal("a caller that has gone gets in")
		}
		if s := l.Stats(); s.Queued != 0 || s.Inflight != 10 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestBreaker(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	b := NewBreaker(BreakerOptions{Failures: 0.5, Calls: 10, Window: 10 * time.Second, Open: 5 * time.Second, Probes: 2, Now: func() time.Time { return now }})
	call := func(failed bool) bool {
		t, _, ok := b.Allow()
		if ok {
			b.Result(t, failed, true)
		}
		return ok
	}
	for i := range 100 {
		if !call(i%3 == 0) {
			t.Fatalf("open after %d calls of which one in three failed", i)
		}
	}
	now = now.Add(11 * time.Second)
	call(false) // of the old window
	for i := range 9 {
		if !call(true) {
			t.Fatalf("open after %d failures", i)
		}
	}
	call(true)
	if call(false) {
		t.Fatal("closed after ten failures")
	}
	if _, wait, _ := b.Allow(); wait != 5*time.Second {
		t.Fatalf("wait %s", wait)
	}
	now = now.Add(5 * time.Second)
	one, _, ok1 := b.Allow()
	two, _, ok2 := b.Allow()
	if _, _, ok3 := b.Allow(); !ok1 || !ok2 || ok3 {
		t.Fatalf("probes: %v %v %v, want two", ok1, ok2, ok3)
	}
	b.Result(one, false, true)
	b.Result(two, true, true) // one of the probes fails
	now = now.Add(9 * time.Second)
	if call(false) {
		t.Fatal("the second time it is not open for twice as long")
	}
	now = now.Add(time.Second)
	gone, _, _ := b.Allow()
	b.Result(gone, false, false) // its client went away: its place is free again
	for range 2 {
		if !call(false) {
			t.Fatal("a probe is refused")
		}
	}
	for range 9 {
		if !call(true) {
			t.Fatal("open after good probes")
		}
	}
	b.Result(one, true, true) // of long ago
	if open, n := b.IsOpen(); open || n != 2 {
		t.Fatalf("open %v, opened %d times", open, n)
	}
}

// Retries are never more than the share of the calls and the ten that were saved.
func TestBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Float64Range(0, 1).Draw(t, "share")
		b := NewBudget(share)
		calls, retries := 0, 0
		for range rapid.IntRange(0, 500).Draw(t, "events") {
			if rapid.Bool().Draw(t, "call") {
				b.Call()
				calls++
			} else if b.Retry() {
				retries++
			}
			if float64(retries) > 1+share*float64(calls)+1e-6 {
				t.Fatalf("%d retries of %d calls at a share of %g", retries, calls, share)
			}
		}
	})
}

func BenchmarkLimiter(b *testing.B) {
	l := NewLimiter(LimiterOptions{Least: 10, Most: 1000, Adaptive: true, Operations: 1})
	b.ReportAllocs()
	for b.Loop() {
		if !l.Acquire(b.Context(), Normal) {
			b.Fatal("refused")
		}
		l.Release(0, time.Millisecond, Done)
	}
}
