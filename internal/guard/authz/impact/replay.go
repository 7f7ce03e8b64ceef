package impact

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
)

// Options of a replay.
type Options struct {
	Examples int // kept of each group; default 3
	// Rounds is how often each decision is made for its time; 0 measures nothing.
	Rounds int
}

// Why decisions are not compared.
const (
	skipInexact = "what they were made on is not known whole"
	skipTimeout = "they timed out"
	skipPolicy  = "the policy or the data of then are not kept"
	skipRows    = "the candidate reads rows of tables that are not kept"
	skipBody    = "the candidate looks at bodies, and theirs were not read"
)

// Replay makes recorded decisions again by candidate and says what changes.
// active is what decided, for the rules that held and the time it took; nil: only
// the recorded outcome is known. An error of cases ends it.
func Replay(ctx context.Context, cases iter.Seq2[*Case, error], active, candidate Decider, o Options) (*Report, error) {
	if o.Examples == 0 {
		o.Examples = 3
	}
	t := newTally(o.Examples)
	for c, err := range cases {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := t.compare(ctx, c, active, candidate, o.Rounds); err != nil {
			return nil, err
		}
	}
	return t.report(), nil
}

// compare makes one decision again.
func (t *tally) compare(ctx context.Context, c *Case, active, candidate Decider, rounds int) error {
	t.seen(c.Time)
	switch {
	case c.Inexact || c.On == nil:
		t.r.Skipped[skipInexact]++
		return nil
	case c.Before.timedOut():
		t.r.Skipped[skipTimeout]++
		return nil
	}
	after, err := candidate.Decide(ctx, c, nil)
	if err != nil {
		return err
	}
	var now *authz.Outcome
	if active != nil {
		if now, err = active.Decide(ctx, c, nil); err != nil {
			return err
		}
	}
	if after == nil {
		t.r.Skipped[skipPolicy]++
		return nil
	}
	if after.Guessed {
		t.r.Skipped[skipRows]++
		return nil
	}
	if u, ok := candidate.(interface{ UsesBody(*Case) bool }); ok && c.WithoutBody && u.UsesBody(c) {
		t.r.Skipped[skipBody]++
		return nil
	}
	if after.Err != nil && !authz.Undefined(after.Err) {
		t.fault(after.Err.Error())
	}
	before := c.Before
	if now != nil {
		if again := AnswerOf(now); differ(before, again) != "" {
			t.r.Unfaithful++
			before = again
		}
	}
	t.r.Compared++
	then := AnswerOf(after)
	kind := differ(before, then)
	if kind == "" {
		t.r.Same++
		if !sameResult(before, then) {
			t.r.Reworded++
		}
	} else {
		rule, effect, err := t.cause(ctx, c, active, candidate, after.Rule, kind)
		if err != nil {
			return err
		}
		t.changed(Example{
			ID: c.ID, Time: c.Time, API: c.API, Operation: c.Operation, Caller: c.Caller(), Kind: kind,
			Was: before.text(), Now: then.text(), Reason: after.Verdict.Reason,
		}, rule, effect)
	}
	if rounds > 0 && now != nil && now.Rule != "" && after.Rule != "" {
		return t.measure(ctx, c, active, candidate, now.Took, after.Took, rounds)
	}
	return nil
}

// measure makes both decisions again, in turns, and keeps the best time of each:
// what else the machine does only ever adds to it.
func (t *tally) measure(ctx context.Context, c *Case, active, candidate Decider, a, b time.Duration, rounds int) error {
	for i := range rounds - 1 {
		first, second := active, candidate
		if i%2 == 1 {
			first, second = candidate, active
		}
		for _, d := range []Decider{first, second} {
			o, err := d.Decide(ctx, c, nil)
			if err != nil {
				return err
			}
			if o == nil {
				return errors.New("a policy was there, and is gone")
			}
			if d == active {
				a = min(a, o.Took)
			} else {
				b = min(b, o.Took)
			}
		}
	}
	t.took(a, b)
	return nil
}

// cause finds the rule that made the difference: of those that held then and do
// not now, or hold now and did not then, the one nearest to the decision.
func (t *tally) cause(ctx context.Context, c *Case, active, candidate Decider, decides string, kind Kind) (trace.Held, Effect, error) {
	if decides == "" {
		return trace.Held{}, ByDocument, nil
	}
	now := trace.NewRules()
	if _, err := candidate.Decide(ctx, c, now); err != nil {
		return trace.Held{}, "", err
	}
	then := trace.NewRules()
	if active != nil {
		if _, err := active.Decide(ctx, c, then); err != nil {
			return trace.Held{}, "", err
		}
	}
	lost, gained := then.Without(now, decides), now.Without(then, decides)
	lists := []struct {
		rules  []trace.Held
		effect Effect
	}{{lost, NoLongerHolds}, {gained, HoldsNow}}
	if kind == NowAllowed || len(lost) > 0 && len(gained) > 0 && gained[0].Rule == decides && lost[0].Rule != decides {
		lists[0], lists[1] = lists[1], lists[0]
	}
	for _, l := range lists {
		if len(l.rules) > 0 {
			return l.rules[0], l.effect, nil
		}
	}
	return trace.Held{Rule: decides}, SameRules, nil
}

// differ says how two decisions differ in what they do; "" when they do not.
func differ(a, b Answer) Kind {
	switch {
	case a.Allowed && !b.Allowed:
		return NowDenied
	case !a.Allowed && b.Allowed:
		return NowAllowed
	case a.Code != b.Code, a.Code == "authz.step_up" && !sameResult(a, b):
		return DeniedOther
	case a.Obligations != b.Obligations:
		return NewObligations
	}
	return ""
}

// sameResult compares all that was said, with reasons and details.
func sameResult(a, b Answer) bool {
	if a.Result == nil || b.Result == nil {
		return a.Result == nil && b.Result == nil
	}
	return a.Result.Compare(b.Result) == 0 || canonical(a.Result) == canonical(b.Result)
}

func (a Answer) text() string {
	if a.Allowed {
		return "allow"
	}
	return "deny " + a.Code
}
