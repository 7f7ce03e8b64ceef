package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// outages tells of the times in which the target was away. What was under way
// then is named, not accused: that one request did it is a finding, once it has
// done it again.
func outages(list []target.Outage) []actor.Problem {
	var out []actor.Problem
	again := map[bool][]target.Outage{} // those that were over, by whether nothing listened
	for _, o := range list {
		if !o.Back.IsZero() {
			again[o.Refused] = append(again[o.Refused], o)
		}
	}
	for _, o := range list {
		if same := again[o.Refused]; !o.Back.IsZero() && len(same) > 1 {
			if o.Since.Equal(same[0].Since) {
				out = append(out, manyOutages(same))
			}
			continue
		}
		what := "hung"
		if o.Refused {
			what = "went away (nothing listened)"
		}
		text := fmt.Sprintf("the target %s at %s", what, o.Since.Format(time.TimeOnly))
		advice := "Look into its log: it was waited for, and what could not be sent then was sent afterwards. What its process had in memory may be lost."
		if o.Back.IsZero() {
			text += " and did not come back"
			advice = "Look into its log, start it again, and let something start it again when it ends."
		} else {
			text += fmt.Sprintf(" for %.1f s", o.Back.Sub(o.Since).Seconds())
		}
		if names := unanswered(o); len(names) > 0 {
			text += "; under way then: " + strings.Join(names, ", ")
		}
		out = append(out, actor.Problem{What: text, Advice: advice})
	}
	return out
}

// manyOutages tells of several at once: a line each would hide the rest of the report.
func manyOutages(list []target.Outage) actor.Problem {
	first, last := list[0], list[len(list)-1]
	what, away, left := "hung", time.Duration(0), map[string]int{}
	if first.Refused {
		what = "went away (nothing listened)"
	}
	for _, o := range list {
		away += o.Back.Sub(o.Since)
		for _, name := range unanswered(o) {
			left[name]++
		}
	}
	text := fmt.Sprintf("the target %s %d times, from %s to %s, for %.1f s in all", what, len(list), first.Since.Format(time.TimeOnly), last.Back.Format(time.TimeOnly), away.Seconds())
	names := slices.SortedFunc(maps.Keys(left), func(a, b string) int { return cmp.Or(left[b]-left[a], strings.Compare(a, b)) })
	if len(names) > 0 {
		text += "; under way then, the commonest first: " + strings.Join(names[:min(3, len(names))], ", ")
	}
	return actor.Problem{What: text, Advice: "Look into its log: each time it was waited for, and what could not be sent then was sent afterwards. What its process had in memory may be lost."}
}

// unsent tells of checks that could not send what they must on this way to the target.
func unsent(list []string) []actor.Problem {
	var out []actor.Problem
	for _, what := range list {
		out = append(out, actor.Problem{What: what, Advice: "Look for that by a run that goes to the target straight, without the proxy; or leave the check out (--skip)."})
	}
	return out
}

// because says why a run ended before its end, for a person: of a budget, not which step
// of which check met its end.
func because(ctx context.Context, ended error, phase string) error {
	doing := cmp.Or(doing[phase], phase)
	if ctx.Err() != nil {
		return fmt.Errorf("it was interrupted while %s", doing)
	}
	for e := ended; e != nil; e = errors.Unwrap(e) {
		if u := errors.Unwrap(e); u == target.ErrBudget || u == target.ErrTime { //nolint:errorlint // the error that wraps it directly has its figure
			return fmt.Errorf("%w, while %s", e, doing)
		}
	}
	return ended
}

// unanswered names some of the requests that an outage left without an answer.
func unanswered(o target.Outage) []string {
	var out []string
	for _, s := range o.Suspects {
		name := s.Exchange.Request.Method + " " + s.Exchange.Request.Path
		if s.Exchange.Err != nil && !slices.Contains(out, name) && len(out) < 3 {
			out = append(out, name)
		}
	}
	return out
}

// deadly are the operations that take the target down again and again: they
// are left alone until the check that looks for it tries them one last time.
type deadly struct {
	mu sync.Mutex
	n  map[*graph.Op]int
}

// What an outage says of an operation that it left without an answer: more when
// no other was under way. An operation is deadly from the third point on.
const (
	soleSuspect   = 2
	sharedSuspect = 1
	isDeadly      = 3
)

// note looks at an outage that is over.
func (d *deadly) note(o target.Outage, of func(*target.Request) *graph.Op) {
	var under []*graph.Op
	for _, s := range o.Suspects {
		if op := of(s.Exchange.Request); s.Exchange.Err != nil && op != nil && !slices.Contains(under, op) {
			under = append(under, op)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == nil {
		d.n = map[*graph.Op]int{}
	}
	for _, op := range under {
		if d.n[op] += sharedSuspect; len(under) == 1 {
			d.n[op] += soleSuspect - sharedSuspect
		}
	}
}

func (d *deadly) is(op *graph.Op) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n[op] >= isDeadly
}
