package impact

import (
	"bytes"
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/lineage"

	"github.com/crenel-project/crenel/internal/guard/authz"
)

// Explanation is one past decision with how it came about.
type Explanation struct {
	// Outcome is the decision made again; Same says that it came out as it was.
	Outcome *authz.Outcome `json:"-"`
	Answer  string         `json:"decision"`
	Same    bool           `json:"same"`
	// Held are the rules that held.
	Held []Held `json:"held"`
	// Failed are the expressions that did not hold, each once, in the order of the
	// evaluation.
	Failed []Failed `json:"failed"`
	Trace  string   `json:"trace,omitempty"`
}

// Failed is an expression that did not hold.
type Failed struct {
	Expression string `json:"expression"`
	Place      string `json:"place"`
	Times      int    `json:"times"`
}

// maxFailed bounds the list.
const maxFailed = 200

// Explain makes one decision again and says how it came about. trace is one of
// those of the authz guard: full, fails, notes or none.
func Explain(ctx context.Context, c *Case, by Decider, trace string) (*Explanation, error) {
	buffer := topdown.NewBufferTracer()
	o, err := by.Decide(ctx, c, buffer)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("decision %s cannot be made again: %s", c.ID, skipPolicy)
	}
	events := []*topdown.Event(*buffer)
	e := &Explanation{Outcome: o, Answer: AnswerOf(o).text(), Same: differ(c.Before, AnswerOf(o)) == ""}
	held := newHolding()
	failed := map[string]int{}
	for _, event := range events {
		held.TraceEvent(*event)
		if event.Op != topdown.FailOp || event.Location == nil {
			continue
		}
		f := Failed{Expression: string(event.Location.Text), Place: fmt.Sprintf("%s:%d", event.Location.File, event.Location.Row), Times: 1}
		key := f.Place + f.Expression
		if i, known := failed[key]; known {
			e.Failed[i].Times++
		} else if f.Expression != "" && event.Location.File != "" && len(e.Failed) < maxFailed {
			failed[key] = len(e.Failed)
			e.Failed = append(e.Failed, f)
		}
	}
	e.Held = held.without(newHolding(), o.Rule)
	switch trace {
	case authz.TraceNone, "":
		return e, nil
	case authz.TraceFull:
		events = lineage.Full(events)
	case authz.TraceFails:
		events = lineage.Fails(events)
	case authz.TraceNotes:
		events = lineage.Notes(events)
	default:
		return nil, fmt.Errorf("trace %q is none of %s, %s, %s and %s", trace, authz.TraceFull, authz.TraceFails, authz.TraceNotes, authz.TraceNone)
	}
	var text bytes.Buffer
	topdown.PrettyTraceWithLocation(&text, events)
	e.Trace = text.String()
	return e, nil
}
