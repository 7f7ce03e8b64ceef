package limit

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/state"
)

var epoch = time.Unix(1_700_000_000, 0)

func testTable(m *Memory, emission time.Duration, burst int64) *table {
	return m.table(tableName{by: "test", law: state.Law{Kind: state.Rolling, Unit: int64(emission), Capacity: int64(emission) * burst}})
}

func takeOne(m *Memory, t *table, key uint64, now int64) bool {
	c := [1]charge{{t: t, key: key, cost: 1}}
	var o [1]state.Balance
	return m.take(moment{since: now}, c[:], o[:])
}

// bucket is a token bucket by the book, in nanoseconds worth of tokens.
type bucket struct{ level, last, capacity, emission int64 }

func (b *bucket) take(now int64) bool {
	b.level = min(b.capacity, b.level+now-b.last)
	b.last = now
	if b.level < b.emission {
		return false
	}
	b.level -= b.emission
	return true
}

// The limiter is a token bucket: it admits exactly what the book's one does, so
// never more than burst + rate × time, and all that a conforming caller sends.
func TestIsATokenBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		emission := rapid.Int64Range(1, int64(time.Minute)).Draw(t, "emission")
		burst := rapid.Int64Range(1, 50).Draw(t, "burst")
		m := NewMemory(0, epoch)
		tab := testTable(m, time.Duration(emission), burst)
		now := m.at(epoch).since
		model := bucket{level: emission * burst, last: now, capacity: emission * burst, emission: emission}
		var admitted []int64
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			switch rapid.IntRange(0, 3).Draw(t, "pace") {
			case 0: // at once
			case 1:
				now += rapid.Int64Range(0, 2*emission).Draw(t, "gap")
			case 2:
				now += emission
			case 3:
				now += rapid.Int64Range(0, 2*emission*burst).Draw(t, "pause")
			}
			want := model.take(now)
			if got := takeOne(m, tab, 42, now); got != want {
				t.Fatalf("at %d: admitted %v, a token bucket says %v", now, got, want)
			}
			if want {
				admitted = append(admitted, now)
			}
		}
		for i := range admitted {
			for j := i; j < len(admitted); j++ {
				if n, most := int64(j-i+1), burst+(admitted[j]-admitted[i])/emission; n > most {
					t.Fatalf("%d admitted in %d ns, at most %d may be", n, admitted[j]-admitted[i], most)
				}
			}
		}
	})
}

// All or nothing: what one limit refuses, no other is charged for.
func TestAllOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory(0, epoch)
		now := m.at(epoch).since
		n := rapid.IntRange(2, maxCharges).Draw(t, "limits")
		var tabs []*table
		var models []bucket
		for i := range n {
			burst := rapid.Int64Range(1, 10).Draw(t, "burst")
			e := rapid.Int64Range(1, 1000).Draw(t, "emission")
			tabs = append(tabs, testTable(m, time.Duration(e*1000+int64(i)), burst))
			e = tabs[i].meter.Unit
			models = append(models, bucket{level: e * burst, last: now, capacity: e * burst, emission: e})
		}
		for range 60 {
			now += rapid.Int64Range(0, 2_000_000).Draw(t, "gap")
			key := uint64(7)
			want := true
			for i := range models {
				b := models[i]
				want = want && b.take(now)
			}
			if want {
				for i := range models {
					models[i].take(now)
				}
			}
			charges, out := make([]charge, n), make([]state.Balance, n)
			for i := range charges {
				charges[i] = charge{t: tabs[i], key: key, cost: 1}
			}
			if got := m.take(moment{since: now}, charges, out); got != want {
				t.Fatalf("admitted %v, want %v", got, want)
			}
		}
	})
}

// However many other callers there are, one caller's bucket is neither refilled
// nor taken away from him.
func TestFloodDoesNotRefill(t *testing.T) {
	m := NewMemory(1024, epoch)
	tab := testTable(m, time.Minute, 3)
	now := m.at(epoch).since
	r := rand.New(rand.NewPCG(1, 2))
	mine := r.Uint64()
	for range 3 {
		if !takeOne(m, tab, mine, now) {
			t.Fatal("refused within the burst")
		}
	}
	flood := make([]uint64, 200_000)
	admitted := 0
	for i := range flood {
		flood[i] = r.Uint64()
		now++
		if takeOne(m, tab, flood[i], now) {
			admitted++
		}
		if i%1000 == 0 && takeOne(m, tab, mine, now) {
			t.Fatalf("a flood of %d callers refilled the bucket", i)
		}
	}
	if m.Crowded() == 0 {
		t.Fatal("the flood did not fill the table: the test shows nothing")
	}
	if slots := len(tab.sets) * (ways + 3); admitted > slots {
		t.Fatalf("%d admitted, at most one each of %d slots and a burst for each overflow", admitted, slots)
	}
	now += int64(3 * time.Minute)
	for range 3 {
		if !takeOne(m, tab, mine, now) {
			t.Fatal("refused after the bucket was full again")
		}
	}
}

// Under crowding no caller is admitted more than his rate, whichever way he moves
// between slot and overflow bucket.
func TestCrowdedNeverExceeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory(1, epoch) // 1024 slots
		burst := rapid.Int64Range(1, 5).Draw(t, "burst")
		tab := testTable(m, time.Millisecond, burst)
		e := tab.meter.Unit
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		now := m.at(epoch).since
		const callers = 60
		stripe := uint64(3) << 58 // all under one lock, so in the same few sets
		var got [callers][]int64
		for range 3000 {
			now += r.Int64N(e / 10)
			if r.IntN(200) == 0 {
				now += e * burst
			}
			i := r.IntN(callers)
			if takeOne(m, tab, stripe|uint64(i+1)*0x9e3779b97f4a7c15>>6, now) {
				got[i] = append(got[i], now)
			}
		}
		if m.Crowded() == 0 {
			t.Fatal("nobody had to share: the test shows nothing")
		}
		for c := range got {
			for i := range got[c] {
				for j := i; j < len(got[c]); j++ {
					if n, most := int64(j-i+1), burst+(got[c][j]-got[c][i])/e; n > most {
						t.Fatalf("caller %d was admitted %d times in %d ns, at most %d", c, n, got[c][j]-got[c][i], most)
					}
				}
			}
		}
	})
}

func TestConcurrentTakesAdmitExactlyTheBurst(t *testing.T) {
	m := NewMemory(0, epoch)
	a, b := testTable(m, time.Second, 1000), testTable(m, time.Minute, 500)
	now := m.at(epoch).since
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 400 {
				c := [2]charge{{t: a, key: 9, cost: 1}, {t: b, key: 9, cost: 1}}
				var o [2]state.Balance
				if m.take(moment{since: now}, c[:], o[:]) {
					admitted.Add(1)
				}
				takeOne(m, a, rand.Uint64(), now)
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 500 {
		t.Fatalf("%d admitted, want 500", admitted.Load())
	}
	if c := m.Crowded(); c != 0 {
		t.Fatalf("%d of 3200 callers had no slot in a table of %d", c, DefaultKeys)
	}
}

// Two choices of set fill a table far before anyone must share.
func TestFillsEvenly(t *testing.T) {
	m := NewMemory(0, epoch)
	tab := testTable(m, time.Hour, 1)
	now := m.at(epoch).since
	refused := uint64(0)
	for range DefaultKeys * 3 / 4 {
		if !takeOne(m, tab, rand.Uint64(), now) {
			refused++ // who begins beside somebody that had to share
		}
	}
	if c := m.Crowded() + refused; c > DefaultKeys/1000 {
		t.Fatalf("%d callers without a slot at three quarters full", c)
	}
}

func TestTablesOutliveAReloadAndNoLonger(t *testing.T) {
	m := NewMemory(0, epoch)
	now := m.at(epoch).since
	tab := testTable(m, time.Hour, 1)
	takeOne(m, tab, 5, now)
	next := testTable(m, time.Hour, 1) // the next generation, while the last one still runs
	if takeOne(m, next, 5, now) {
		t.Fatal("a reload refilled the bucket")
	}
	runtime.KeepAlive(tab)
	tab, next = nil, nil //nolint:ineffassign,wastedassign // so that nothing holds them when the collector runs
	for range 5 {
		runtime.GC()
	}
	other := testTable(m, time.Minute, 1)
	m.mu.Lock()
	n := len(m.tables)
	m.mu.Unlock()
	if n != 1 {
		t.Fatalf("%d tables kept, want the one in use", n)
	}
	runtime.KeepAlive(other)
}

func BenchmarkTake(b *testing.B) {
	m := NewMemory(0, time.Now())
	tab := testTable(m, time.Nanosecond, 1000)
	keys := make([]uint64, 1024)
	for i := range keys {
		keys[i] = rand.Uint64()
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			takeOne(m, tab, keys[i%len(keys)], int64(i)*100)
		}
	})
}
