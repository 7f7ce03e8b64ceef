package authz

import (
	"context"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
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
	// Steps are how the policy came to it, as it was written.
	trace.Steps
	Took time.Duration // of the policy, specialised as it runs in the gateway
}

// Explain decides on an exchange and says how. kind is one of the kinds of text of
// [trace.Of]. The steps are of the policy as it was written.
func (g *Guard) Explain(ctx context.Context, x *exchange.Exchange, kind string) (*Explanation, error) {
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
	// On a copy: what every rule would have to say is no decision, and binds nobody.
	looked, every := *x, &trace.Recorder{}
	g.decide(ctx, &looked, every, nil)
	e.Steps, err = trace.Of(every.Events(), p.rule, kind)
	return e, err
}
