package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/state"
)

// A quota of the calendar never admits more than its number in any of its
// windows, and all of it in each; nothing is carried over.
func TestCalendarAdmitsItsNumberInEachWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom([]window{window(time.Second), window(time.Hour), window(24 * time.Hour), 0}).Draw(t, "window")
		most := rapid.Int64Range(1, 20).Draw(t, "quota")
		m := NewMemory(0, epoch)
		tab := m.table(tableName{by: "q", law: state.Law{Kind: state.Calendar, Capacity: most}, window: w})
		admitted, refused := map[int64]int64{}, map[int64]bool{}
		now := epoch
		for range rapid.IntRange(1, 300).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(max(w, window(time.Hour)))/8).Draw(t, "gap")))
			from, to := w.of(now.UnixNano())
			if wall := now.UnixNano(); wall < from || wall >= to {
				t.Fatalf("%s lies not in the window from %s to %s", now, time.Unix(0, from), time.Unix(0, to))
			}
			var o [1]state.Balance
			if m.take(m.at(now), []charge{{t: tab, key: 7, cost: 1}}, o[:]) {
				if refused[from] {
					t.Fatal("admitted after a refusal in the same window")
				}
				admitted[from]++
			} else {
				refused[from] = true
				if admitted[from] != most {
					t.Fatalf("refused after %d of %d", admitted[from], most)
				}
			}
			if admitted[from] > most {
				t.Fatalf("%d admitted of %d", admitted[from], most)
			}
		}
	})
}

func TestMonthsOfTheCalendar(t *testing.T) {
	for in, want := range map[string][2]string{
		"2024-02-29T23:59:59.999999999Z": {"2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		"2026-12-31T12:00:00Z":           {"2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		"2026-03-01T00:00:00Z":           {"2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339Nano, in)
		if err != nil {
			t.Fatal(err)
		}
		from, to := window(0).of(at.UnixNano())
		if got := [2]string{time.Unix(0, from).UTC().Format(time.RFC3339), time.Unix(0, to).UTC().Format(time.RFC3339)}; got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

// A backoff lets so many tries be made at once, then each after a wait that
// doubles; a success forgets them all, and quiet forgets them in the end.
func TestBackoff(t *testing.T) {
	m := NewMemory(0, epoch)
	law := state.Law{Kind: state.Backoff, Unit: int64(time.Second), Capacity: int64(8 * time.Second), Extra: 3, Keep: int64(time.Hour)}
	tab := m.table(tableName{by: "b", law: law})
	now := epoch
	try := func() state.Balance {
		var o [1]state.Balance
		m.take(m.at(now), []charge{{t: tab, key: 7, cost: 1}}, o[:])
		return o[0]
	}
	for i := range 3 {
		if b := try(); !b.OK {
			t.Fatalf("try %d is refused", i)
		}
	}
	for _, seconds := range []int{1, 2, 4, 8, 8, 8} {
		wait := time.Duration(seconds) * time.Second
		if b := try(); b.OK || time.Duration(b.Wait) > wait || time.Duration(b.Wait) < wait-time.Microsecond {
			t.Fatalf("at once: %+v, want a wait of %s", b, wait)
		}
		now = now.Add(wait - time.Millisecond)
		if b := try(); b.OK {
			t.Fatalf("a moment before %s have passed it is let in", wait)
		}
		now = now.Add(time.Millisecond)
		if b := try(); !b.OK {
			t.Fatalf("after %s it is refused: %+v", wait, b)
		}
	}
	var o [1]state.Balance
	m.add(m.at(now), []charge{{t: tab, key: 7, cost: -64}}, o[:])
	if b := try(); !b.OK || b.Debt != 1 {
		t.Fatalf("after a success: %+v", b)
	}
	for range 2 {
		try()
	}
	if b := try(); b.OK {
		t.Fatal("the fourth try after a success is let in at once")
	}
	now = now.Add(time.Hour + time.Second)
	if b := try(); !b.OK || b.Debt != 1 {
		t.Fatalf("after an hour of quiet: %+v", b)
	}
}

// Steps of a flow: in order, and not sooner after each other than a person could.
func TestSequence(t *testing.T) {
	m := NewMemory(0, epoch)
	law := func(step int64) *meter {
		return &meter{Law: state.Law{Kind: state.Sequence, Unit: int64(2 * time.Second), Extra: step, Keep: int64(time.Hour)}, epoch: m.epoch.UnixNano()}
	}
	tab := m.table(tableName{by: "s", law: state.Law{Kind: state.Sequence}})
	now := epoch
	do := func(step int64) state.Balance {
		var o [1]state.Balance
		c := []charge{{t: tab, law: law(step), key: 7}}
		if m.take(m.at(now), c, o[:]) {
			c[0].cost = 1
			var made [1]state.Balance
			m.add(m.at(now), c, made[:])
		}
		return o[0]
	}
	if b := do(1); b.OK || b.Wait != 0 {
		t.Fatalf("the second step without the first: %+v", b)
	}
	if b := do(0); !b.OK {
		t.Fatalf("the first step: %+v", b)
	}
	if b := do(1); b.OK || b.Wait == 0 {
		t.Fatalf("the second at once: %+v", b)
	}
	now = now.Add(2 * time.Second)
	if b := do(2); b.OK {
		t.Fatal("the third before the second")
	}
	if b := do(1); !b.OK {
		t.Fatalf("the second in human time: %+v", b)
	}
	now = now.Add(2 * time.Second)
	if b := do(2); !b.OK {
		t.Fatalf("the third: %+v", b)
	}
	now = now.Add(2 * time.Hour)
	if b := do(2); b.OK {
		t.Fatal("a flow that was forgotten goes on")
	}
}

// A charge that is made only for the first of its kind counts accounts, not tries.
func TestFreshChargesCountTheFirst(t *testing.T) {
	m := NewMemory(0, epoch)
	pair := m.table(tableName{by: "pair", law: state.Law{Kind: state.Backoff, Unit: int64(time.Second), Capacity: int64(time.Minute), Extra: 50, Keep: int64(time.Hour)}})
	many := m.table(tableName{by: "many", law: state.Law{Kind: state.Rolling, Unit: int64(time.Minute), Capacity: int64(3 * time.Minute)}})
	try := func(account uint64) bool {
		var o [2]state.Balance
		return m.take(m.at(epoch), []charge{{t: pair, key: account, cost: 1}, {t: many, key: 1, cost: 1, fresh: true}}, o[:])
	}
	for range 20 {
		if !try(1) {
			t.Fatal("many tries at one account counted as many accounts")
		}
	}
	if !try(2) || !try(3) {
		t.Fatal("the second and third account are refused")
	}
	if try(4) {
		t.Fatal("a fourth account is let in")
	}
	if !try(2) {
		t.Fatal("an account tried before is refused")
	}
	if try(4) {
		t.Fatal("the refused try was kept")
	}
}

// What an answer costs afterwards may overdraw a bucket, never by more than one
// more of it.
func TestOverdraftIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory(0, epoch)
		burst := rapid.Int64Range(1, 50).Draw(t, "burst")
		tab := testTable(m, time.Second, burst)
		now := epoch
		for range rapid.IntRange(1, 30).Draw(t, "answers") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "gap")))
			var o [1]state.Balance
			m.add(m.at(now), []charge{{t: tab, key: 5, cost: rapid.Int64Range(-1000, 1000).Draw(t, "cost")}}, o[:])
			if o[0].Debt < 0 || o[0].Debt > 2*tab.meter.Capacity {
				t.Fatalf("a debt of %d with a bucket of %d", o[0].Debt, tab.meter.Capacity)
			}
		}
		if !takeOne(m, tab, 5, m.at(now.Add(time.Duration(2*tab.meter.Capacity))).since) {
			t.Fatal("refused after the longest wait there is")
		}
	})
}
