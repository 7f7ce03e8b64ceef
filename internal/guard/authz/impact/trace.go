package impact

import (
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
)

// Explanation is one past decision with how it came about.
type Explanation struct {
	// Outcome is the decision made again; Same says that it came out as it was.
	Outcome *authz.Outcome `json:"-"`
	Answer  string         `json:"decision"`
	Same    bool           `json:"same"`
	trace.Steps
}

// Explain makes one decision again and says how it came about. kind is one of
// the kinds of text of [trace.Of].
func Explain(ctx context.Context, c *Case, by Decider, kind string) (*Explanation, error) {
	o, err := by.Decide(ctx, c, topdown.NewBufferTracer()) // by the policy as it was written
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("decision %s cannot be made again: %s", c.ID, skipPolicy)
	}
	e := &Explanation{Outcome: o, Answer: AnswerOf(o).text(), Same: differ(c.Before, AnswerOf(o)) == ""}
	every := &trace.Recorder{}
	if _, err := by.Decide(ctx, c, every); err != nil {
		return nil, err
	}
	if e.Steps, err = trace.Of(every.Events(), o.Rule, kind); err != nil {
		return nil, err
	}
	return e, nil
}
