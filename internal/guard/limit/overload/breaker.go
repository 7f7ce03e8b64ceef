package overload

import (
	"sync"
	"time"
)

// BreakerOptions are what a Breaker is made from.
type BreakerOptions struct {
	Failures float64       // share of the calls that opens it
	Calls    int           // of at least so many
	Window   time.Duration // within this time
	Open     time.Duration // for how long it stays open; doubled each time it opens again at once, to a minute
	Probes   int           // calls that are let through then, all of which must succeed
	Now      func() time.Time
}

// longestOpen bounds the doubling.
const longestOpen = time.Minute

// Breaker lets no calls through while most of them fail. It is safe for
// concurrent use.
type Breaker struct {
	o BreakerOptions

	mu       sync.Mutex
	state    breakerState
	since    time.Time // of the window, or of the state
	calls    int
	failures int
	probes   int // under way
	good     int // that succeeded
	again    time.Duration
	round    uint64 // which window or trial a result belongs to
	opened   uint64
}

type breakerState uint8

const (
	closed breakerState = iota
	open
	trying
)

// NewBreaker returns a closed Breaker.
func NewBreaker(o BreakerOptions) *Breaker {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Probes = max(o.Probes, 1)
	return &Breaker{o: o, again: o.Open}
}

// Ticket is a call that was let through.
type Ticket struct{ round uint64 }

// Allow reports whether a call may be made; when not, after what time the next may.
func (b *Breaker) Allow() (t Ticket, wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	if b.state == open {
		if wait := b.again - now.Sub(b.since); wait > 0 {
			return t, wait, false
		}
		b.enter(trying, now)
	}
	if b.state == trying {
		if b.probes+b.good >= b.o.Probes {
			return t, b.o.Open, false
		}
		b.probes++
	}
	return Ticket{b.round}, 0, true
}

// enter changes the state; b.mu is held.
func (b *Breaker) enter(s breakerState, now time.Time) {
	b.state, b.since, b.calls, b.failures, b.probes, b.good = s, now, 0, 0, 0, 0
	b.round++
}

// Result tells what became of a call. counts is false for one that says nothing
// of the upstream, as its client went away.
func (b *Breaker) Result(t Ticket, failed, counts bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.round != b.round {
		return // of an earlier time
	}
	now := b.o.Now()
	switch b.state {
	case closed:
		if now.Sub(b.since) >= b.o.Window {
			b.enter(closed, now)
		}
		if !counts {
			return
		}
		b.calls++
		if failed {
			b.failures++
		}
		if b.calls >= b.o.Calls && float64(b.failures) >= b.o.Failures*float64(b.calls) && b.failures > 0 {
			b.again = b.o.Open
			b.opened++
			b.enter(open, now)
		}
	case trying:
		b.probes--
		switch {
		case !counts:
		case failed:
			b.again = min(2*b.again, max(longestOpen, b.o.Open))
			b.opened++
			b.enter(open, now)
		default:
			if b.good++; b.good >= b.o.Probes {
				b.again = b.o.Open
				b.enter(closed, now)
			}
		}
	case open:
	}
}

// IsOpen reports whether calls are refused, and how often it has opened.
func (b *Breaker) IsOpen() (bool, uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state != closed, b.opened
}

// Budget bounds retries to a share of the calls. It is safe for concurrent use.
type Budget struct {
	share float64
	mu    sync.Mutex
	saved float64
}

// mostSaved is how many retries may be made at once after a quiet time.
const mostSaved = 10

// NewBudget returns a Budget from which one retry may be taken at once.
func NewBudget(share float64) *Budget { return &Budget{share: share, saved: 1} }

// Call notes a call.
func (b *Budget) Call() {
	b.mu.Lock()
	b.saved = min(b.saved+b.share, mostSaved)
	b.mu.Unlock()
}

// Retry takes one retry, if there is one.
func (b *Budget) Retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.saved < 1 {
		return false
	}
	b.saved--
	return true
}
