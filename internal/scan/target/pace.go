package target

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// pace holds the run to its budget of requests, its time and its rate.
type pace struct {
	max      int64
	deadline time.Time
	limit    time.Duration
	every    time.Duration // between two requests; 0: no rate
	burst    time.Duration

	mu   sync.Mutex
	sent int64
	next time.Time // when the next request may leave
	over error     // why nothing may be sent any more
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
	}
	return p
}

// take reserves n requests, waits for their turn and returns the first's number.
func (p *pace) take(ctx context.Context, n int64) (int64, error) {
	now := time.Now()
	if !p.deadline.IsZero() && now.After(p.deadline) {
		return 0, p.end(fmt.Errorf("%w (%s)", ErrTime, p.limit))
	}
	p.mu.Lock()
	if p.max > 0 && p.sent+n > p.max {
		p.mu.Unlock()
		return 0, p.end(fmt.Errorf("%w (%d)", ErrBudget, p.max))
	}
	p.sent += n
	seq := p.sent - n + 1
	var wait time.Duration
	if p.every > 0 {
		if floor := now.Add(-p.burst); p.next.Before(floor) {
			p.next = floor
		}
		wait = p.next.Sub(now)
		p.next = p.next.Add(time.Duration(n) * p.every)
	}
	p.mu.Unlock()
	if wait <= 0 {
		return seq, nil
	}
	if !p.deadline.IsZero() && now.Add(wait).After(p.deadline) {
		return 0, p.end(fmt.Errorf("%w (%s)", ErrTime, p.limit))
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return seq, nil
	case <-ctx.Done():
		return 0, ctx.Err()
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
