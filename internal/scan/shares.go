package scan

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// A run that is given a time, or a number of requests, shares it out: what looks
// and makes objects must leave enough to attack them, and both must leave what
// taking the objects away needs. A phase that needs less leaves it to the next.
const (
	worldShare = 0.4 // of what is left after the doctor
	owedShare  = 0.2 // at most, of all, kept for cleaning up
)

// tidying is how long cleaning up may take beyond what was kept for it: it
// outlives a run that was stopped.
const tidying = 20 * time.Second

// tidiers is how many objects are taken away at once.
const tidiers = 8

// debt follows what a run owes its target: the requests and the time that taking
// away what it made will need are kept for that.
type debt struct {
	mu   sync.Mutex
	n    int
	mean time.Duration // of an answer, of late
	kept time.Duration
}

// owe looks at an exchange; now and then it reckons.
func (r *run) owe(x *target.Exchange) {
	d := &r.debt
	d.mu.Lock()
	defer d.mu.Unlock()
	if x.Err == nil && !x.Request.Measures {
		d.mean += (min(x.Duration, 5*time.Second) - d.mean) / 32
	}
	d.n++
	w := r.lives.Load()
	if w == nil || d.n%16 != 1 || r.o.Limits.MaxRequests == 0 && r.o.Limits.MaxTime == 0 {
		return
	}
	owed := w.Owed()
	requests := min(int64(owed), int64(owedShare*float64(r.o.Limits.MaxRequests)))
	need := time.Duration(owed/tidiers+1) * d.mean * 5 / 4
	d.kept = min(need, time.Duration(owedShare*float64(r.o.Limits.MaxTime)))
	r.client.Keep(requests, d.kept)
}

// worldBounds are the time and the requests that making the world may take; zero: none.
func (r *run) worldBounds() (until time.Time, requests int) {
	l := r.o.Limits
	if l.MaxTime > 0 {
		now := time.Now()
		left := r.client.Began().Add(l.MaxTime).Sub(now)
		until = now.Add(time.Duration(worldShare * float64(max(left, 0))))
	}
	if l.MaxRequests > 0 {
		requests = max(1, int(worldShare*float64(l.MaxRequests-r.client.Sent())))
	}
	return until, requests
}

// attackUntil is when the checks' time is over; zero: never.
func (r *run) attackUntil() time.Time {
	if r.o.Limits.MaxTime <= 0 {
		return time.Time{}
	}
	r.debt.mu.Lock()
	defer r.debt.mu.Unlock()
	return r.client.Began().Add(r.o.Limits.MaxTime - r.debt.kept)
}

// slow is from when on an answer takes so long that more of them are waited for at
// once: a fast target is busy with eight.
const slow = 50 * time.Millisecond

// checkers is how many things checks try at once; 0: as many as they think good.
func (r *run) checkers() int {
	r.debt.mu.Lock()
	defer r.debt.mu.Unlock()
	if r.debt.mean < slow {
		return 0
	}
	return cmp.Or(r.o.Limits.Workers, 16)
}

// shortened tells what making the world left out for the sake of the attack.
func shortened(w *world.World, l Limits) []actor.Problem {
	var out []actor.Problem
	for why, n := range w.Untried() {
		p := actor.Problem{What: fmt.Sprintf("%d operations were not called: %s, which leaves the rest to the attack", n, why)}
		switch why {
		case world.ReasonTime:
			p.Advice = fmt.Sprintf("Give more time (--max-time is %s), or look at a part at once (--path).", l.MaxTime)
		default:
			p.Advice = "Look at a part at once (--path)."
			if l.MaxRequests > 0 {
				p.Advice = fmt.Sprintf("Give more requests (--max-requests is %d), or look at a part at once (--path).", l.MaxRequests)
			}
		}
		out = append(out, p)
	}
	return out
}

// tallies counts requests by what they were sent for.
type tallies struct {
	mu sync.Mutex
	by map[string]int64
}

func (l *tallies) note(x *target.Exchange) {
	if x.For == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[string]int64{}
	}
	l.by[x.For]++
}

func (l *tallies) list() []CheckStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []CheckStats
	for name, n := range l.by {
		out = append(out, CheckStats{name, n})
	}
	slices.SortFunc(out, func(a, b CheckStats) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Check, b.Check))
	})
	return out
}

// Eased is how the target held the run back: its limit covered everything that it
// was asked.
type Eased struct {
	Holds   int     `json:"holds"`          // how often everything was refused
	Seconds float64 `json:"seconds"`        // that were waited for it
	Rate    float64 `json:"rate,omitempty"` // requests a second that it came to; 0: no bound
}

// eased says how the target held the run back, and what to do about it; nil when it did not.
func (r *run) eased() (*Eased, *actor.Problem) {
	e := r.client.Eased()
	if e.Holds == 0 {
		return nil, nil
	}
	out := &Eased{Holds: e.Holds, Seconds: e.Waited.Seconds(), Rate: e.Rate}
	times := "once"
	if e.Holds > 1 {
		times = fmt.Sprintf("%d times", e.Holds)
	}
	p := &actor.Problem{
		What:   fmt.Sprintf("the target refused everything %s because it was asked too much (429, or 503 with Retry-After): the run waited %.1f s for it and went slower", times, out.Seconds),
		Advice: "Take the run's address or accounts out of that limit, in a test environment, or give a rate that it bears (--rate) and more time (--max-time).",
	}
	if e.Rate > 0 {
		p.What += fmt.Sprintf(", at the end %.3g requests a second", e.Rate)
	}
	return out, p
}
