package limit

import (
	"context"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
)

// compileBody makes what is ruled on when the body is known.
func (g *Guard) compileBody(o *Options) error {
	var err error
	if g.logins, err = g.newLogins(o); err != nil {
		return err
	}
	if g.flows, err = g.newFlows(o); err != nil {
		return err
	}
	g.sizes = newSizes(o)
	if g.logins == nil && g.flows == nil {
		return nil
	}
	g.ending = true
	if o.Marks == nil {
		own := state.NewMemory(o.Now)
		o.Marks = own
		g.closers = append(g.closers, own.Close)
	}
	g.signer, err = newSigner(&o.Config.Challenge, o.Marks, g.now)
	return err
}

// concerns reports whether an operation is a login or a step of a flow.
func (g *Guard) concerns(op *spec.Operation) bool {
	return op != nil && (g.logins != nil && g.logins.places[op.Index] != nil || g.flows != nil && len(g.flows[op.Index]) > 0)
}

// BodySteps rule on logins, flows, pages and batches, when parameters and body are
// known to be what the document says.
func (g *Guard) BodySteps() []guard.Step {
	var out []guard.Step
	if g.sizes != nil {
		out = append(out, guard.Step{
			Guard: "limit", Phase: exchange.RequestBody,
			Applies: func(op *spec.Operation) bool {
				return op != nil && (len(g.sizes.parameters[op.Index]) > 0 || g.sizes.bodies[op.Index])
			},
			Rule: func(_ context.Context, x *exchange.Exchange) exchange.Verdict { return g.sizes.rule(x) },
		})
	}
	if g.signer == nil {
		return out
	}
	needs := exchange.None
	if g.logins != nil {
		needs = exchange.Buffered
	}
	return append(out,
		guard.Step{Guard: "limit", Phase: exchange.RequestBody, Needs: needs, Applies: g.concerns, Rule: g.ruleBody},
		guard.Step{Guard: "limit", Phase: exchange.ResponseHead, Applies: g.concerns, Rule: g.bodyAnswered})
}

func (g *Guard) ruleBody(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	if g.logins != nil && g.logins.places[x.Operation.Index] != nil {
		if v := g.logins.rule(ctx, x); v.Action != exchange.Allow {
			return v
		}
	}
	if g.flows != nil {
		for i := range g.flows[x.Operation.Index] {
			if v := g.flows[x.Operation.Index][i].rule(ctx, g, x); v.Action != exchange.Allow {
				return v
			}
		}
	}
	return exchange.Verdict{}
}

func (g *Guard) bodyAnswered(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	if n := g.notes(x); n.try.account != "" {
		g.logins.answered(x, &n.try)
	}
	if g.flows != nil {
		for i := range g.flows[x.Operation.Index] {
			g.flows[x.Operation.Index][i].answered(g, x)
		}
	}
	return exchange.Verdict{}
}
