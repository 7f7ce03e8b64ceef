package target

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// pace holds the run to its budget of requests, its time and its rate.
type pace struct {
	max   int64
	limit time.Duration
	burst time.Duration

	mu       sync.Mutex
	deadline time.Time
	every    time.Duration // between two requests; 0: no rate
	floor    time.Duration // what the user said of it
	sent     int64
	numbered int64     // the last number that was given out: those that were given up leave gaps
	next     time.Time // when the next request may leave
	kept     int64     // requests that are kept for the end
	keptTime time.Duration
	over     error // why nothing may be sent any more
}

func newPace(o *Options, now time.Time) *pace {
	p := &pace{max: o.MaxRequests, limit: o.MaxTime, next: now}
	if o.MaxTime > 0 {
		p.deadline = now.Add(o.MaxTime)
	}
	if o.Rate > 0 {
		p.every = time.Duration(float64(time.Second) / o.Rate)
		// A tenth of a second's worth may leave at once: more would not be a rate.
		p.burst = 100 * time.Millisecond
		p.floor = p.every
	}
	return p
}

// take reserves n requests, waits for their turn and returns the first's number. What
// is not sent after all, because the time or the caller's patience is over before its
// turn, counts for nothing.
func (p *pace) take(ctx context.Context, n int64) (int64, error) {
	now := time.Now()
	deadline := p.late()
	if !deadline.IsZero() && now.After(deadline) {
		return 0, p.end(fmt.Errorf("%w (%s)", ErrTime, p.limit))
	}
	p.mu.Lock()
	if p.max > 0 && p.sent+n > p.max-p.kept {
		p.mu.Unlock()
		return 0, p.end(fmt.Errorf("%w (%d)", ErrBudget, p.max))
	}
	var wait time.Duration
	if p.every > 0 {
		if floor := now.Add(-p.burst); p.next.Before(floor) {
			p.next = floor
		}
		wait = p.next.Sub(now)
	}
	if wait > 0 && !deadline.IsZero() && now.Add(wait).After(deadline) {
		p.mu.Unlock()
		return 0, p.end(fmt.Errorf("%w (%s)", ErrTime, p.limit))
	}
	p.sent += n
	p.numbered += n
	seq := p.numbered - n + 1
	p.next = p.next.Add(time.Duration(n) * p.every)
	p.mu.Unlock()
	if wait <= 0 {
		return seq, nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return seq, nil
	case <-ctx.Done():
		p.mu.Lock()
		p.sent -= n // its place in the row stays: those behind it have their turn already
		p.mu.Unlock()
		return 0, ctx.Err()
	}
}

// set paces the run at so many requests a second, but never faster than the user said.
func (p *pace) set(rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = max(time.Duration(float64(time.Second)/rate), p.floor)
	p.burst = 100 * time.Millisecond
	p.next = time.Now()
}

// scale makes a rate that was found so much faster; one that the user gave stays.
func (p *pace) scale(by float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.every > 0 {
		p.every = max(time.Duration(float64(p.every)/by), p.floor)
	}
}

// rate is requests a second; 0: no bound.
func (p *pace) rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.every <= 0 {
		return 0
	}
	return float64(time.Second) / float64(p.every)
}

// turn is take for r: what measures a slow limit does not wait for it.
func (p *pace) turn(ctx context.Context, r *Request) (int64, error) {
	if rate := p.rate(); !r.Measures || rate == 0 || rate >= easeSlow || p.floor > 0 {
		return p.take(ctx, 1)
	}
	if deadline := p.late(); !deadline.IsZero() && time.Now().After(deadline) {
		return 0, p.end(fmt.Errorf("%w (%s)", ErrTime, p.limit))
	}
	p.mu.Lock()
	if p.max > 0 && p.sent >= p.max-p.kept {
		p.mu.Unlock()
		return 0, p.end(fmt.Errorf("%w (%d)", ErrBudget, p.max))
	}
	p.sent++
	p.numbered++
	seq := p.numbered
	p.mu.Unlock()
	return seq, nil
}

// late is when the time is over; zero: never.
func (p *pace) late() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deadline.IsZero() {
		return p.deadline
	}
	return p.deadline.Add(-p.keptTime)
}

// keep holds something back of what the run may send and take.
func (p *pace) keep(requests int64, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept, p.keptTime = requests, d
}

// extend gives free what was kept, and puts the end of the time off.
func (p *pace) extend(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept, p.keptTime = 0, 0
	if !p.deadline.IsZero() && p.deadline.Before(until) {
		p.deadline = until
	}
}

// end notes why a request was not sent, and returns it.
func (p *pace) end(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over == nil {
		p.over = err
	}
	return err
}
