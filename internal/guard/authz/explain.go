package authz

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/lineage"

	"github.com/crenel-project/crenel/internal/exchange"
)

// Explanation is a decision with everything that led to it, for a person.
type Explanation struct {
	// BuiltIn is what the document's own policy rules.
	BuiltIn exchange.Verdict
	// Rule is the rule of the user's policy that decides, "" when there is no
	// policy. Asked says whether it was asked: it is not when BuiltIn denies.
	Rule  string
	Asked bool
	// Verdict is the guard's.
	Verdict     exchange.Verdict
	Obligations exchange.Obligations
	// Input is the input document, whole, as JSON.
	Input any
	Trace string
	Took  time.Duration // of the policy, specialised as it runs in the gateway
}

// Kinds of trace.
const (
	TraceFull  = "full"  // every step
	TraceFails = "fails" // the steps that failed, and how they were come to
	TraceNotes = "notes" // what trace() calls said
	TraceNone  = "none"
)

// Explain decides on an exchange and says how. The trace is of the policy as it
// was written.
func (g *Guard) Explain(ctx context.Context, x *exchange.Exchange, trace string) (*Explanation, error) {
	input, err := ast.JSON(g.build(x, usage{all: true}, g.now(), true))
	if err != nil {
		return nil, fmt.Errorf("writing the input: %w", err)
	}
	e := &Explanation{Input: input, BuiltIn: builtin(g.demands.For(x.Operation), &x.Identity, g.realm)}
	e.Verdict = e.BuiltIn
	if g.engine == nil {
		return e, nil
	}
	p, err := g.engine.Current(g.now())
	if err != nil {
		return nil, err
	}
	e.Rule = p.rule
	if e.BuiltIn.Action != exchange.Allow {
		return e, nil
	}
	e.Asked = true
	begin := time.Now()
	e.Verdict = g.decide(ctx, x, nil, nil)
	e.Took = time.Since(begin)
	e.Obligations = x.Obligations
	if trace == TraceNone || trace == "" {
		return e, nil
	}
	buffer := topdown.NewBufferTracer()
	g.decide(ctx, x, buffer, nil)
	events := []*topdown.Event(*buffer)
	switch trace {
	case TraceFull:
		events = lineage.Full(events)
	case TraceFails:
		events = lineage.Fails(events)
	case TraceNotes:
		events = lineage.Notes(events)
	default:
		return nil, fmt.Errorf("trace %q is none of %s, %s, %s and %s", trace, TraceFull, TraceFails, TraceNotes, TraceNone)
	}
	var text bytes.Buffer
	topdown.PrettyTraceWithLocation(&text, events)
	e.Trace = text.String()
	return e, nil
}
