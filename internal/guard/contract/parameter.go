package contract

import (
	"context"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/param"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// ParameterStep checks and types the parameters, and what the head says of the
// body: its presence and its media type. It comes behind identity, so that
// strangers learn nothing of the contract.
func (g *Guard) ParameterStep() guard.Step {
	return guard.Step{Guard: Name, Phase: exchange.RequestHead, Applies: known, Rule: g.checkHead}
}

func (g *Guard) checkHead(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	if v := g.checkParameters(x); v.Action != exchange.Allow {
		return unvalidated(x, v)
	}
	if v := checkBodyHead(x); v.Action != exchange.Allow {
		return unvalidated(x, v)
	}
	return exchange.Verdict{}
}

// PathStep checks the path's parameters alone: all there is of a preflight.
func (g *Guard) PathStep() guard.Step {
	return guard.Step{Guard: Name, Phase: exchange.RequestBody, Applies: known, Rule: func(_ context.Context, x *exchange.Exchange) exchange.Verdict {
		src := param.Source{Operation: x.Operation, Path: x.Request.PathParams}
		for _, p := range x.Operation.PathParams {
			v, found, err := param.Decode(p, &src)
			if err != nil || !found {
				return unvalidated(x, exchange.Refuse("contract.parameter", "path:"+p.Name, "the path's parameter cannot be read"))
			}
			if p.Schema != nil {
				v = typedTree(&v, p.Schema, 0)
				if f := p.Schema.Validate(&v, &schema.Options{Direction: schema.Request, Strict: g.strict}); len(f) > 0 {
					return unvalidated(x, exchange.Refuse("contract.parameter", "path:"+p.Name, f[0].Keyword+": "+f[0].Message))
				}
			}
			x.Params = append(x.Params, exchange.Param{Spec: p, Raw: v.Text, Value: v})
		}
		return exchange.Verdict{}
	}}
}

// checkBodyHead rules on what the head says of the body.
func checkBodyHead(x *exchange.Exchange) exchange.Verdict {
	body := x.Operation.Body
	switch {
	case x.Request.Length == 0:
		if body != nil && body.Required {
			return exchange.Refuse("contract.missing_body", "body", "the operation requires a body")
		}
	case body == nil && x.Request.Length < 0:
		// Perhaps there is none: the gateway knows when it has looked.
	case body == nil:
		return exchange.Refuse("contract.unexpected_body", "body", "the operation takes no body")
	case mediaTypeFor(body.Content, x.Request.MediaType) == nil:
		if len(x.Request.Header["Content-Type"]) == 0 && x.Request.Length < 0 {
			return exchange.Verdict{} // perhaps no body at all: the body step knows
		}
		return exchange.Refuse("contract.media_type", "header:content-type", "the operation takes "+typesOf(body.Content))
	}
	return exchange.Verdict{}
}

// checkParameters decodes, types and validates every declared parameter, and
// refuses query parameters that are not declared.
func (g *Guard) checkParameters(x *exchange.Exchange) exchange.Verdict {
	op := x.Operation
	known := &g.ops[op.Index]
	var pairs []value.Pair
	if x.Request.Query != "" {
		var err error
		pairs, err = value.Query(x.Request.Query, value.Limits{})
		if err != nil {
			return exchange.Refuse("contract.parameter", "query", err.Error())
		}
	}
	if v := g.checkNames(known, x, pairs); v.Action != exchange.Allow {
		return v
	}
	if len(op.Parameters) == 0 {
		return exchange.Verdict{}
	}
	src := param.Source{Operation: op, Path: x.Request.PathParams, Query: pairs, Header: x.Request.Header}
	if known.cookies {
		src.Cookies = param.Cookies(x.Request.Header["Cookie"])
	}
	x.Params = make([]exchange.Param, 0, len(op.Parameters))
	var first exchange.Verdict
	fault := func(code, at, reason string) {
		if first.Action == exchange.Allow {
			first = exchange.Refuse(code, at, reason)
		} else if len(first.More) < maxFaults {
			first.More = append(first.More, exchange.Fault{Code: code, At: at, Reason: reason})
		}
	}
	o := schema.Options{Direction: schema.Request, Strict: g.strict}
	for i, p := range op.Parameters {
		at := known.places[i]
		if at == "" {
			continue
		}
		v, found, err := param.Decode(p, &src)
		switch {
		case err != nil:
			code := "contract.parameter"
			if err.Code == param.CodeDuplicate {
				code = "contract.duplicate_parameter"
			}
			fault(code, at, err.Message)
			continue
		case !found:
			if p.Required {
				fault("contract.missing_parameter", at, "the parameter is required")
			}
			continue
		}
		raw := v.Text
		if p.Schema != nil {
			v = typedTree(&v, p.Schema, 0)
			for _, f := range p.Schema.Validate(&v, &o) {
				fault(codeOf(&f, "contract.parameter"), at+f.Pointer, f.Keyword+": "+f.Message)
			}
		}
		x.Params = append(x.Params, exchange.Param{Spec: p, Raw: raw, Value: v})
	}
	return first
}

// checkNames refuses query parameters that the operation does not declare.
func (g *Guard) checkNames(known *operation, x *exchange.Exchange, pairs []value.Pair) exchange.Verdict {
	for i := range pairs {
		name := pairs[i].Name
		if g.allowUnknownArgs {
			// ASP.NET and others take it for the declared one, whose rules it would not meet.
			if !known.known(x.Operation, name) && knownInAnotherCase(x.Operation, name) {
				return exchange.Refuse("contract.unknown_parameter", "query:"+name, "the operation "+x.Operation.ID+" declares the query parameter in another case")
			}
			continue
		}
		if !known.known(x.Operation, name) && !isCredential(x, name) {
			return exchange.Refuse("contract.unknown_parameter", "query:"+name, "the operation "+x.Operation.ID+" declares no such query parameter")
		}
	}
	return exchange.Verdict{}
}

func knownInAnotherCase(op *spec.Operation, name string) bool {
	return slices.ContainsFunc(op.Parameters, func(p *spec.Parameter) bool { return p.In == "query" && strings.EqualFold(p.Name, name) })
}

// isCredential reports whether a query parameter is where the config says that
// credentials stand, which a document need not know.
func isCredential(x *exchange.Exchange, name string) bool {
	for i := range x.Request.Credentials {
		if c := &x.Request.Credentials[i]; c.In == "query" && c.Name == name {
			return true
		}
	}
	return false
}

// ignoredHeader are names that OpenAPI says a header parameter must not have:
// their meaning is described elsewhere in the document.
var ignoredHeader = map[string]bool{"Accept": true, "Content-Type": true, "Authorization": true}
