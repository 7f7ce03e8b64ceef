package overload

import (
	"context"
	"math"
	"sync"
	"time"
)

// Priority of a call: when there is no room, the least goes first.
type Priority uint8

// Low may use six tenths of the room, Normal nine, High all of it.
const (
	Low Priority = iota
	Normal
	High
	priorities
)

var shares = [priorities]float64{0.6, 0.9, 1}

// LimiterOptions are what a Limiter is made from.
type LimiterOptions struct {
	Least, Most int           // calls at once; Most alone is a fixed limit
	Adaptive    bool          // the limit follows latency, between Least and Most
	Queue       int           // calls that may wait
	Wait        time.Duration // for so long
	Operations  int           // how many there are, each with a usual time of its own
	Now         func() time.Time
}

// Limiter bounds calls at once. It is safe for concurrent use.
type Limiter struct {
	o LimiterOptions

	mu       sync.Mutex
	limit    float64
	inflight int
	queue    [priorities][]*waiter
	queued   int
	usual    []float64 // nanoseconds, by operation
	known    []int     // from so many samples, up to learning
	begun    time.Time // of the window
	samples  int
	ratio    float64 // sum of how many times longer than usual calls took
	busiest  int     // most calls at once in the window
	failed   bool    // some were given up as too slow
	calm     bool    // in the last window the limit held nobody back
	calmed   time.Time
	probing  bool // only Least calls run at once, to see what is usual
	drained  time.Time
	shed     uint64
}

type waiter struct {
	ready   chan struct{} // closed when decided
	granted bool
}

const (
	windowLength  = 100 * time.Millisecond
	windowSamples = 25
	tolerance     = 1.5 // times longer than usual that is not congestion yet
	smoothing     = 0.2
	learning      = 50               // first samples of an operation, which are its usual time
	memory        = 200              // samples over which it is averaged then
	shortest      = time.Millisecond // what is faster is noise
	probeAfter    = 30 * time.Second // without a calm window
)

// NewLimiter returns a Limiter.
func NewLimiter(o LimiterOptions) *Limiter {
	o.Most = max(o.Most, 1)
	o.Least = min(max(o.Least, 1), o.Most)
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Limiter{o: o, limit: float64(o.Most), usual: make([]float64, o.Operations+1), known: make([]int, o.Operations+1)}
	if o.Adaptive {
		l.limit = float64(min(max(o.Least, 20), o.Most))
	}
	return l
}

// room reports whether a call of a priority may run now; l.mu is held. One call
// may always run, so that there is something to learn from.
func (l *Limiter) room(p Priority) bool {
	limit := l.limit
	if l.probing {
		limit = float64(l.o.Least)
	}
	return l.inflight == 0 || float64(l.inflight) < max(math.Floor(limit*shares[p]), 1)
}

// Acquire takes a permit, waiting for one where none is free. It reports false
// when there is none in time: the call is refused. Every permit is Released once.
func (l *Limiter) Acquire(ctx context.Context, p Priority) bool {
	l.mu.Lock()
	if l.room(p) && l.waitingAbove(p) == 0 {
		l.take()
		l.mu.Unlock()
		return true
	}
	if !l.enqueueRoom(p) {
		l.shed++
		l.mu.Unlock()
		return false
	}
	w := &waiter{ready: make(chan struct{})}
	l.queue[p] = append(l.queue[p], w)
	l.queued++
	l.mu.Unlock()
	timer := time.NewTimer(l.o.Wait)
	defer timer.Stop()
	select {
	case <-w.ready:
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.granted {
		l.drop(p, w)
		l.shed++
	}
	return w.granted
}

// waitingAbove is how many of at least a priority wait; l.mu is held.
func (l *Limiter) waitingAbove(p Priority) (n int) {
	for q := p; q < priorities; q++ {
		n += len(l.queue[q])
	}
	return n
}

// enqueueRoom finds a place in the queue: one of a lesser call, its newest, when
// there is none; l.mu is held.
func (l *Limiter) enqueueRoom(p Priority) bool {
	if l.o.Wait <= 0 || l.o.Queue <= 0 {
		return false
	}
	if l.queued < l.o.Queue {
		return true
	}
	for q := Low; q < p; q++ {
		if n := len(l.queue[q]); n > 0 {
			w := l.queue[q][n-1]
			l.drop(q, w)
			close(w.ready)
			return true
		}
	}
	return false
}

// drop takes a waiter out of the queue; l.mu is held.
func (l *Limiter) drop(p Priority, w *waiter) {
	for i, other := range l.queue[p] {
		if other == w {
			l.queue[p] = append(l.queue[p][:i], l.queue[p][i+1:]...)
			l.queued--
			return
		}
	}
}

func (l *Limiter) take() {
	l.inflight++
	l.busiest = max(l.busiest, l.inflight)
}

// Outcome is what became of a call.
type Outcome uint8

// Done was answered; TooSlow was given up by us; Aside says nothing of the
// upstream's speed: the client went away, or the answer is an endless stream.
const (
	Done Outcome = iota
	TooSlow
	Aside
)

// Release gives a permit back. operation is counted from 0, -1 for none that is known.
func (l *Limiter) Release(operation int, took time.Duration, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inflight--
	if l.o.Adaptive {
		l.learn(operation, took, o)
	}
	for l.queued > 0 {
		p := High
		for len(l.queue[p]) == 0 {
			p--
		}
		if !l.room(p) {
			return
		}
		w := l.queue[p][0]
		l.queue[p] = l.queue[p][1:]
		l.queued--
		l.take()
		w.granted = true
		close(w.ready)
	}
}

// learn takes a sample, and at a window's end moves the limit; l.mu is held.
func (l *Limiter) learn(operation int, took time.Duration, o Outcome) {
	now := l.o.Now()
	if l.begun.IsZero() {
		l.begun, l.calmed = now, now
	}
	switch o {
	case TooSlow:
		l.failed = true
	case Done:
		if l.probing && now.Add(-took).Before(l.drained) {
			break // it began while others were in its way
		}
		t := float64(max(took, shortest))
		i := 0
		if operation >= 0 && operation+1 < len(l.usual) {
			i = operation + 1
		}
		u := &l.usual[i]
		l.samples++
		switch {
		case l.known[i] < learning:
			l.known[i]++
			*u += (t - *u) / float64(l.known[i])
			l.ratio++
		case l.calm:
			l.ratio += t / *u
			*u += (t - *u) / memory
		default:
			l.ratio += t / *u
		}
	case Aside:
	}
	if l.probing && l.drained.IsZero() && l.inflight <= l.o.Least {
		l.drained = now
	}
	if now.Sub(l.begun) < windowLength || l.samples < windowSamples && !l.failed {
		return
	}
	ratio := tolerance
	if l.samples > 0 {
		ratio = l.ratio / float64(l.samples)
	}
	if l.probing {
		l.probing, l.calmed = false, now
		l.scale(ratio)
	} else {
		l.move(ratio, now)
	}
	l.begun, l.samples, l.ratio, l.busiest, l.failed = now, 0, 0, l.inflight, false
}

// move changes the limit at a window's end; l.mu is held.
func (l *Limiter) move(ratio float64, now time.Time) {
	gradient := min(1, max(0.5, tolerance/ratio))
	if l.failed {
		gradient = min(gradient, 0.7)
	}
	limited := float64(l.busiest) >= l.limit/2
	// Only while the limit holds nobody back is what calls take the upstream's own
	// doing, and may become usual. Else each small delay that the limit allows would
	// be the measure of the next.
	l.calm = !limited && gradient == 1
	if l.calm {
		l.calmed = now
	} else if ratio < 1 {
		l.scale(1 - (1-ratio)*smoothing)
	}
	// A limit that was not reached says nothing about what lies above it.
	if gradient < 1 || limited {
		next := l.limit * gradient
		if gradient > 0.9 {
			next += math.Sqrt(l.limit)
		}
		l.limit = min(float64(l.o.Most), max(float64(l.o.Least), l.limit*(1-smoothing)+next*smoothing))
	}
	if now.Sub(l.calmed) >= probeAfter {
		// It may have become slower for good: a few calls alone tell.
		l.probing, l.drained = true, time.Time{}
		if l.inflight <= l.o.Least {
			l.drained = now
		}
	}
}

// scale changes what is usual for all operations.
func (l *Limiter) scale(by float64) {
	for i := range l.usual {
		l.usual[i] *= min(max(by, 0.25), 4)
	}
}

// Stats are figures of the moment.
type Stats struct {
	Limit, Inflight, Queued int
	Shed                    uint64 // calls refused so far
}

// Stats returns them.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Limit: int(l.limit), Inflight: l.inflight, Queued: l.queued, Shed: l.shed}
}
