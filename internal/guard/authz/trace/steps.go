package trace

import (
	"bytes"
	"fmt"

	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/lineage"
)

// Kinds of text.
const (
	Full  = "full"  // every step
	Fails = "fails" // the steps that failed, and how they were come to
	Notes = "notes" // what trace() calls said
	None  = "none"
)

// Steps are what is to be told of one evaluation.
type Steps struct {
	// Held are the rules that held.
	Held []Held `json:"held"`
	// Failed are the expressions that did not hold, each once, in the order of the
	// evaluation; at most 200.
	Failed []Failed `json:"failed"`
	// Text are the steps of the kind that was asked for.
	Text string `json:"trace,omitempty"`
}

// Failed is an expression that did not hold.
type Failed struct {
	Expression string `json:"expression"`
	Place      string `json:"place"`
	Times      int    `json:"times"`
}

// maxFailed bounds the list.
const maxFailed = 200

// Of tells of an evaluation's events. decides is the rule that was asked for; kind
// is which steps the text has, "" for None.
func Of(events []*topdown.Event, decides, kind string) (Steps, error) {
	var s Steps
	held, failed := NewRules(), map[string]int{}
	for _, event := range events {
		held.TraceEvent(*event)
		if event.Op != topdown.FailOp || event.Location == nil {
			continue
		}
		f := Failed{Expression: string(event.Location.Text), Place: fmt.Sprintf("%s:%d", event.Location.File, event.Location.Row), Times: 1}
		key := f.Place + f.Expression
		if i, known := failed[key]; known {
			s.Failed[i].Times++
		} else if f.Expression != "" && event.Location.File != "" && len(s.Failed) < maxFailed {
			failed[key] = len(s.Failed)
			s.Failed = append(s.Failed, f)
		}
	}
	s.Held = held.Without(NewRules(), decides)
	var err error
	s.Text, err = Text(events, kind)
	return s, err
}

// Text writes the steps of a kind, each with its place.
func Text(events []*topdown.Event, kind string) (string, error) {
	switch kind {
	case None, "":
		return "", nil
	case Full:
		events = lineage.Full(events)
	case Fails:
		events = lineage.Fails(events)
	case Notes:
		events = lineage.Notes(events)
	default:
		return "", fmt.Errorf("trace %q is none of %s, %s, %s and %s", kind, Full, Fails, Notes, None)
	}
	var b bytes.Buffer
	topdown.PrettyTraceWithLocation(&b, events)
	return b.String(), nil
}
