package check

import (
	"context"
	"net/http"
	"time"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

const (
	lullOnce = 31 * time.Second // the usual window of a limit is half a minute, or one
	lullMost = 70 * time.Second // of one run
)

// heldBack is how long to wait until an operation takes calls again that a scenario needs
// and that it refused for their number; 0: that is not what stopped the scenario.
func heldBack(o *scenario.Outcome) time.Duration {
	for i := range o.Results {
		r := &o.Results[i]
		if r.Step.ID != o.Step || r.Step.Part == scenario.Attack && r.Step.Times > 1 {
			continue
		}
		x := r.Last()
		if x == nil || x.Status != http.StatusTooManyRequests {
			continue
		}
		if asked := x.RetryAfter(); asked > 0 {
			return asked + 100*time.Millisecond
		}
		return lullOnce
	}
	return 0
}

// lull waits for an operation whose limit was used up, by this check or by those beside
// it: together no longer than lullMost in a run. False: it did not wait.
func (p *Probe) lull(ctx context.Context, h Hypothesis, wait time.Duration) bool {
	if h.Scenario.Limits() {
		return false // the limit is what it looks for
	}
	p.mu.Lock()
	key, now := h.Method+" "+h.Path, time.Now()
	if p.lulls == nil {
		p.lulls = map[string]time.Time{}
	}
	until := p.lulls[key]
	switch {
	case until.After(now):
		wait = until.Sub(now)
	case p.lulled+wait > lullMost || !p.hasTime(ctx, 2*wait):
		p.mu.Unlock()
		return false
	default:
		p.lulled += wait
		p.lulls[key] = now.Add(wait)
	}
	p.mu.Unlock()
	return sleep(ctx, wait) == nil
}
