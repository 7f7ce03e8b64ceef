package authz

import (
	"context"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/internal/exchange"
)

// Probe decides on an exchange as the gateway does, for tools that ask what the
// policies say of calls that nobody made. byDocument says that the document's own
// policy denied. A tracer is told of the policy's steps, as it was written;
// filters are asked only without one.
func (g *Guard) Probe(ctx context.Context, x *exchange.Exchange, tracer topdown.QueryTracer) (v exchange.Verdict, byDocument bool) {
	if v := builtin(g.demands.For(x.Operation), &x.Identity, g.realm); v.Action != exchange.Allow || g.engine == nil {
		return v, v.Action != exchange.Allow
	}
	return g.decide(ctx, x, tracer, nil), false
}

// Uses says which parts of the input the deciding rule can come to, and of each
// which fields; nil fields mean all of the part. all means the input as a whole.
func (p *Policy) Uses() (parts map[string][]string, all bool) {
	parts = map[string][]string{}
	for name, fields := range p.uses.parts {
		parts[name] = nil
		for f := range fields {
			parts[name] = append(parts[name], f)
		}
	}
	return parts, p.uses.all
}

// Compiler is the policy as it was written, compiled. It must not be changed.
func (p *Policy) Compiler() *ast.Compiler { return p.asWritten.compiler }

// RunTests runs the tests among a part's modules, as they are run before the
// part may decide.
func (p *Part) RunTests(ctx context.Context) ([]TestResult, error) {
	src, err := join(map[string]*Part{filesSource: p})
	if err != nil {
		return nil, err
	}
	return src.runTests(ctx)
}
