package authz

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
	"github.com/crenel-project/crenel/internal/value"
)

// Others than the gateway may ask the same policies: any document below data
// (Ask), or for a decision on an input that they bring (Judge).

// ErrNoPolicy says that the API has no policy but the document's own.
var ErrNoPolicy = errors.New("the API has no policy of its own")

// maxAsked bounds how many documents have their query kept compiled.
const maxAsked = 1000

// askedQueries are the queries that were asked, compiled, by the document's path.
type askedQueries struct {
	byPath sync.Map // string → *evaluator
	n      atomic.Int32
}

func (c *code) asking(ref ast.Ref) (*evaluator, error) {
	key := ref.String()
	if e, ok := c.asked.byPath.Load(key); ok {
		return e.(*evaluator), nil
	}
	e, err := newEvaluator(c.asWritten.compiler, ref)
	if err != nil {
		return nil, err
	}
	if c.asked.n.Add(1) <= maxAsked {
		c.asked.byPath.Store(key, &e)
	}
	return &e, nil
}

// Asked is the answer to a question for a document.
type Asked struct {
	Policy *Policy
	Value  ast.Value // nil: undefined
	Took   time.Duration
	Trace  string
}

// Ask evaluates the document at a path below data, as the policies were written.
// input may be nil: then it is undefined. kind is which steps
// to tell, as for [trace.Text].
func (g *Guard) Ask(ctx context.Context, path []string, input ast.Value, kind string) (*Asked, error) {
	if g.engine == nil {
		return nil, ErrNoPolicy
	}
	now := g.now()
	p, err := g.engine.Current(now)
	if err != nil {
		return nil, err
	}
	v, err := p.asking(storage.Path(path).Ref(ast.DefaultRootDocument))
	if err != nil {
		return &Asked{Policy: p}, nil //nolint:nilerr // a path that cannot be one of a document's (below a number) has nothing
	}
	e := Evaluation{Input: input, Now: now, Limit: g.timeout}
	var buffer *topdown.BufferTracer
	if kind != "" && kind != trace.None {
		buffer = topdown.NewBufferTracer()
		e.Tracer = buffer
	}
	a := &Asked{Policy: p}
	begin := time.Now()
	a.Value, err = p.run(ctx, v, &e)
	a.Took = time.Since(begin)
	if buffer != nil {
		text, unknown := trace.Text(*buffer, kind)
		if unknown != nil {
			return nil, unknown
		}
		a.Trace = text
	}
	if err != nil && !errors.Is(err, errUndefined) {
		return a, err
	}
	return a, nil
}

// Judgement is a decision on an input that somebody brought.
type Judgement struct {
	Allow  bool
	Code   string // why not: as a denial of the gateway's
	Reason string // for the record
	Policy *Policy
	// Obligations are what the policy demands of whoever lets the call pass, as it
	// wrote them; nil when nothing.
	Obligations any
	StepUp      bool // another authentication is demanded
	Took        time.Duration
}

// Judge asks the rule that decides. x says who asks, for the record; the
// document's own policy, which is about calls of its operations, is not asked. An
// error means that nothing was decided, and so nothing is allowed.
func (g *Guard) Judge(ctx context.Context, x *exchange.Exchange, input ast.Value) (*Judgement, error) {
	if g.engine == nil {
		return nil, ErrNoPolicy
	}
	now := g.now()
	p, err := g.engine.Current(now)
	if err != nil {
		return nil, err
	}
	r := &Record{Exchange: x, Policy: p, Input: input, Time: now}
	e := Evaluation{Input: input, Now: now, Limit: g.timeout}
	if g.recorder != nil {
		e = g.heldEvaluation(e, p, r)
	}
	begin := time.Now()
	result, err := p.Evaluate(ctx, &e)
	j := &Judgement{Policy: p, Took: time.Since(begin)}
	v := g.read(x, p, result, err)
	j.Allow, j.Code, j.Reason, j.StepUp = v.Action == exchange.Allow, v.Code, v.Reason, v.Code == "authz.step_up"
	r.Result, r.Err, r.Took, r.Verdict, r.Obligations = result, err, j.Took, v, x.Obligations
	x.Obligations = exchange.Obligations{}
	if g.recorder != nil {
		allowed, denied := g.recorder.Wants(x.ID)
		if j.Allow && allowed || !j.Allow && denied {
			if err := g.recorder.Record(r); err != nil {
				return nil, fmt.Errorf("recording the decision: %w", err)
			}
		}
	}
	if v.Action == exchange.Unable {
		if err == nil {
			err = errors.New(v.Reason)
		}
		return j, err
	}
	if obj, ok := result.(ast.Object); ok {
		if t := obj.Get(ast.StringTerm("obligations")); t != nil {
			if j.Obligations, err = ast.JSON(t.Value); err != nil {
				return nil, fmt.Errorf("writing the obligations: %w", err)
			}
		}
	}
	return j, nil
}

// Input is a decoded document as an evaluation takes it.
func Input(v *value.Value) ast.Value { return valueTerm(v).Value }

// OperationValue is the operation part of the input for an operation of the
// document, nil when it has none of that id.
func (g *Guard) OperationValue(id string) *ast.Term {
	if g.record.api == nil {
		return nil
	}
	for _, op := range g.record.api.Operations {
		if op.ID == id && op.Index < len(g.operations) {
			return g.operations[op.Index]
		}
	}
	return nil
}
