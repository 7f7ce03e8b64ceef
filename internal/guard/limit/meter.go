package limit

import (
	"time"

	"github.com/crenel-project/crenel/internal/state"
)

// moment is one reading of the clock: since is nanoseconds on the Memory's own
// clock, which is monotonic, and wall nanoseconds since 1970.
type moment struct{ since, wall int64 }

// meter is a law as a Memory keeps it: a bucket is one number of 64 bits, whose
// meaning is the law's and which says nothing once it is not after the clock.
//
//	Rolling   when the bucket is full again: the theoretical arrival time of GCRA
//	Calendar  the end of the window, a window later, and what was used of it
//	Backoff   when the tries are forgotten; how many there were in the lowest bits
//	Sequence  when the step is forgotten; its number in the lowest bits
//
// charge is a pure function of law, number, clock and cost: Redis does the same
// in package state's script, and a test holds the two against each other.
type meter struct {
	state.Law
	window window // of a Calendar
	epoch  int64  // nanoseconds since 1970 at which the Memory's clock stood at 0
}

// low are the bits of a Backoff or Sequence that hold its count.
const low = 63

// charge says what becomes of a bucket that is charged, whatever it holds where
// force is set. fresh reports that nothing was missing from it.
func (m *meter) charge(word int64, at moment, cost int64, force bool) (next int64, b state.Balance, fresh bool) {
	if word <= at.since {
		word = 0
	}
	b.OK = true
	switch m.Kind {
	case state.Rolling:
		debt := max(word-at.since, 0)
		fresh = debt == 0
		if word == 0 {
			debt, fresh = 0, true
		}
		after := debt + cost*m.Unit
		switch {
		case !force && cost > 0 && after > m.Capacity:
			return word, state.Balance{Debt: debt, Wait: after - m.Capacity}, fresh
		case force:
			after = min(max(after, 0), 2*m.Capacity)
		}
		b.Debt = after
		return at.since + after, b, fresh
	case state.Calendar:
		base := m.base(at)
		used := max(word-base, 0)
		if !force && cost > 0 && used+cost > m.Capacity {
			return word, state.Balance{Debt: used}, used == 0
		}
		b.Debt = max(used+cost, 0)
		return base + b.Debt, b, used == 0
	case state.Backoff:
		if word&^low <= at.since {
			word = 0
		}
		tries := word & low
		last := word - tries - m.Keep
		if word == 0 {
			last = at.since
		}
		if !force && tries > 0 && tries >= m.Extra {
			if wait := last + m.delay(tries) - at.since; wait > 0 {
				return word, state.Balance{Debt: tries, Wait: wait}, tries == 0
			}
		}
		b.Debt = min(max(tries+cost, 0), low)
		if !force || cost > 0 {
			last = at.since
		}
		if b.Debt == 0 {
			return 0, b, tries == 0
		}
		return (last+m.Keep)&^low + b.Debt, b, tries == 0
	default: // Sequence
		if word&^low <= at.since {
			word = 0
		}
		step := word & low
		if !force && m.Extra > 0 {
			if word == 0 || step < m.Extra-1 {
				return word, state.Balance{}, word == 0
			}
			if wait := word - step - m.Keep + m.Unit - at.since; wait > 0 {
				return word, state.Balance{Wait: wait}, false
			}
		}
		if cost > 0 {
			return (at.since+m.Keep)&^low + m.Extra, b, word == 0
		}
		return word, b, word == 0
	}
}

// per is what one token adds to a bucket's debt, by another law where one is given.
func (m *meter) per(other *meter) int64 {
	if other != nil {
		m = other
	}
	switch m.Kind {
	case state.Rolling:
		return m.Unit
	case state.Sequence:
		return 0
	default:
		return 1
	}
}

// delay is how long after its last a further try must wait.
func (m *meter) delay(tries int64) int64 {
	d := m.Unit
	for range tries - m.Extra {
		if d *= 2; d >= m.Capacity {
			return m.Capacity
		}
	}
	return min(d, m.Capacity)
}

// base is the number of a Calendar's bucket of which nothing was used. It counts
// from the wall clock alone, so that both clocks drifting apart changes no count.
func (m *meter) base(at moment) int64 {
	from, to := m.window.of(at.wall)
	return to + (to - from) - m.epoch
}

// learn is the number that a bucket has whose balance another store has told.
func (m *meter) learn(word int64, at moment, b state.Balance) int64 {
	switch m.Kind {
	case state.Rolling:
		return at.since + b.Debt
	case state.Calendar:
		return m.base(at) + b.Debt
	case state.Backoff:
		if !b.OK || b.Skipped {
			return word // of the last try only that it was is known
		}
		if b.Debt == 0 {
			return 0
		}
		return (at.since+m.Keep)&^low + b.Debt
	default:
		return word
	}
}

// share is the law for a gateway that has to do with a part of the rate, as it
// cannot ask what the others have admitted. What is missing from a bucket stays missing.
func (m *meter) share(part float64) meter {
	s := *m
	switch m.Kind {
	case state.Rolling:
		s.Unit = min(int64(float64(m.Unit)/part), m.Capacity) // one token always comes back
	case state.Calendar:
		s.Capacity = max(int64(float64(m.Capacity)*part), 1)
	case state.Backoff, state.Sequence:
	}
	return s
}

// window is the length of a Calendar's windows, which begin at midnight UTC or,
// where it is 0, on the first day of a month.
type window time.Duration

// of is the window of a moment: nanoseconds since 1970.
func (w window) of(wall int64) (from, to int64) {
	if w != 0 {
		n := int64(w)
		from = wall - (wall%n+n)%n
		return from, from + n
	}
	t := time.Unix(0, wall).UTC()
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return first.UnixNano(), first.AddDate(0, 1, 0).UnixNano()
}
