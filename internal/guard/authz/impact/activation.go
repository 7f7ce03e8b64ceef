package impact

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/crenel-project/crenel/config"
)

// Bounds are what an activation may change at most.
type Bounds struct {
	Changed *float64 // share of decisions
	Slower  *float64 // by which share median and 99th percentile may rise
	Least   int      // decisions that must have been recorded
	Recent  int      // how many of the most recent are made again
}

// BoundsOf reads a config, which was validated.
func BoundsOf(c *config.AuthzActivation) (Bounds, error) {
	b := Bounds{Least: c.MinDecisions, Recent: c.Decisions}
	for text, to := range map[*string]**float64{&c.MaxChanged: &b.Changed, &c.MaxSlower: &b.Slower} {
		if *text == "" {
			continue
		}
		share, err := config.ParsePercent(*text)
		if err != nil {
			return b, fmt.Errorf("%q is not a percentage", *text)
		}
		*to = &share
	}
	return b, nil
}

// ErrBeyond is why a policy is kept out.
var ErrBeyond = errors.New("the new policy changes more than activation allows")

// noise is a difference of time that says nothing, in microseconds.
const noise = 5

// Hold returns why a policy of which this is the report may not be activated; nil
// when it may.
func (b Bounds) Hold(r *Report) error {
	var why []string
	if r.Decisions < b.Least {
		why = append(why, fmt.Sprintf("%d decisions were recorded, and min_decisions is %d", r.Decisions, b.Least))
	}
	if b.Changed != nil && r.Share > *b.Changed {
		why = append(why, fmt.Sprintf("%d of %d decisions change (%s), and max_changed is %s: %s", r.Changed, r.Compared, percent(r.Share), percent(*b.Changed), examples(r)))
	}
	if l := r.Latency; b.Slower != nil && l != nil {
		for _, q := range []struct {
			name                string
			before, after, rise float64
		}{{"median", l.Active.P50, l.Candidate.P50, l.Slower.P50}, {"99th percentile", l.Active.P99, l.Candidate.P99, l.Slower.P99}} {
			if q.rise > *b.Slower && q.after-q.before > noise {
				why = append(why, fmt.Sprintf("its %s is %.1f µs after %.1f µs (%s slower), and max_slower is %s", q.name, q.after, q.before, percent(q.rise), percent(*b.Slower)))
			}
		}
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrBeyond, strings.Join(why, "; "))
}

func examples(r *Report) string {
	var out []string
	for _, g := range r.Rules {
		what := strings.TrimSpace(g.Rule + " " + g.Place)
		if what == "" {
			what = "the document"
		}
		out = append(out, fmt.Sprintf("%s %s (%d, such as request %s)", what, g.Effect, g.Count, g.Examples[0].ID))
		if len(out) == 3 {
			break
		}
	}
	return strings.Join(out, ", ")
}

func percent(share float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", share*100), "0"), ".") + "%"
}

// Check replays recorded decisions and holds the report against the bounds.
func Check(ctx context.Context, cases iter.Seq2[*Case, error], active, candidate Decider, b Bounds) (*Report, error) {
	o := Options{Examples: 1}
	if b.Slower != nil {
		o.Rounds = 3
	}
	r, err := Replay(ctx, cases, active, candidate, o)
	if err != nil {
		return nil, fmt.Errorf("making recorded decisions again: %w", err)
	}
	return r, b.Hold(r)
}
