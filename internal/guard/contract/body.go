package contract

import (
	"context"
	"slices"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// BodyStep checks the decoded body.
func (g *Guard) BodyStep() guard.Step {
	return guard.Step{
		Guard: Name, Phase: exchange.RequestBody, Needs: exchange.Buffered,
		Applies: func(op *spec.Operation) bool { return op != nil && op.Body != nil },
		Rule:    g.checkBody,
	}
}

func (g *Guard) checkBody(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	b := x.Request.Body
	declared := x.Operation.Body
	if b == nil {
		if declared.Required && x.Request.Length == 0 {
			return unvalidated(x, exchange.Refuse("contract.missing_body", "body", "the operation requires a body"))
		}
		return exchange.Verdict{}
	}
	b.Declared = mediaTypeFor(declared.Content, b.MediaType)
	if b.Declared == nil {
		// The head step has refused it already, unless that is only monitored.
		return unvalidated(x, exchange.Refuse("contract.media_type", "header:content-type", "the operation takes "+typesOf(declared.Content)))
	}
	if b.Err != nil {
		return unvalidated(x, exchange.Refuse("body."+string(b.Err.Fault), b.Err.Pointer, b.Err.Error()))
	}
	if b.Declared.Schema == nil {
		return exchange.Verdict{}
	}
	if b.Root == nil {
		// Bytes without a tree are a string to a schema, and only that.
		if types := b.Declared.Schema.Types(); !slices.Contains(types, "string") {
			return unvalidated(x, exchange.Refuse("contract.body", "", "a body of type "+b.MediaType+" cannot be checked against its schema"))
		}
		return exchange.Verdict{}
	}
	root, faults := g.typedBody(b)
	if len(faults) > 0 {
		return refuseFaults(x, faults, "", "contract.body")
	}
	b.Root = root
	o := schema.Options{Direction: schema.Request, Strict: g.strict, MayWrite: mayWrite(x), MaxFaults: maxFaults}
	if faults := b.Declared.Schema.Validate(root, &o); len(faults) > 0 {
		return refuseFaults(x, faults, "", "contract.body")
	}
	return g.checkWritable(x, root)
}

func unvalidated(x *exchange.Exchange, v exchange.Verdict) exchange.Verdict {
	x.Unvalidated = true
	return v
}

func typesOf(content []*spec.MediaType) string {
	s := ""
	for i, c := range content {
		if i > 0 {
			s += ", "
		}
		s += c.Type
	}
	return s
}
