package impact

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
)

// Case is one recorded decision.
type Case struct {
	ID        string
	API       string
	Operation string
	Time      time.Time
	On        *authz.Recorded
	Before    Answer
	// Policy and Data are the revisions that decided; "" when no policy was asked.
	Policy, Data string
	// Inexact says that what it was made on is not known whole; WithoutBody that the
	// call had a body which nobody had read.
	Inexact, WithoutBody bool
}

// Answer is what was decided.
type Answer struct {
	Allowed bool
	Code    string
	// Result is what the policy said; nil when it said nothing.
	Result ast.Value
	// Obligations as JSON; "" when there are none.
	Obligations string
}

// AnswerOf is what an outcome came to.
func AnswerOf(o *authz.Outcome) Answer {
	a := Answer{Allowed: o.Verdict.Action == exchange.Allow, Code: o.Verdict.Code, Result: o.Result}
	if a.Allowed && !o.Obligations.Empty() {
		if b, err := json.Marshal(&o.Obligations); err == nil {
			a.Obligations = string(b)
		}
	}
	return a
}

// timedOut decisions say how busy the machine was, and not what the policy says.
func (a Answer) timedOut() bool { return a.Code == "authz.timeout" }

// CaseOf reads a recorded decision.
func CaseOf(e *decisionlog.Event) (*Case, error) {
	about := e.About()
	c := &Case{
		ID: e.DecisionID, API: about.API, Operation: about.Operation, Time: e.Timestamp, Policy: about.Policy, Data: about.Data,
		Inexact: about.Inexact || len(e.Erased)+len(e.Masked) > 0, WithoutBody: about.WithoutBody,
		Before: Answer{Allowed: about.Allowed, Code: about.Code},
	}
	var err error
	if c.On, err = e.Recorded(); err != nil {
		if c.Inexact {
			return c, nil // masked: there is nothing to make it again on
		}
		return nil, err
	}
	if c.Before.Result, err = e.ResultValue(); err != nil {
		return nil, err
	}
	if len(e.MappedResult) > 0 {
		var b bytes.Buffer
		if err := json.Compact(&b, e.MappedResult); err != nil {
			return nil, err
		}
		c.Before.Obligations = b.String()
	}
	return c, nil
}

// liveCase is a decision that was made just now.
func liveCase(api string, r *authz.Record) *Case {
	c := &Case{
		ID: r.Exchange.ID, API: api, Time: r.Time, WithoutBody: r.WithoutBody,
		On:     &authz.Recorded{Input: r.Input, Time: r.Time, Observed: r.Observed},
		Before: AnswerOf(&authz.Outcome{Verdict: r.Verdict, Result: r.Result, Obligations: r.Obligations}),
	}
	if r.Exchange.Operation != nil {
		c.Operation = r.Exchange.Operation.ID
	}
	if r.Reads != nil {
		c.On.Reads = r.Reads.List
		// A live candidate has the tables themselves: reads that were not kept are made.
	}
	return c
}

// Caller is who made the call, and in which roles, for people.
func (c *Case) Caller() string {
	if c.On == nil {
		return "(masked)"
	}
	text := func(name string) string {
		v, err := c.On.Input.Find(ast.Ref{ast.InternedTerm("identity"), ast.StringTerm(name)})
		if err != nil {
			return ""
		}
		s, _ := v.(ast.String)
		return string(s)
	}
	if s := text("subject"); s != "" {
		return s
	}
	if s := text("client_id"); s != "" {
		return "client " + s
	}
	if text("method") != "" {
		return "(no name)"
	}
	return "(nobody)"
}

// Decider makes recorded decisions again.
type Decider interface {
	// Decide returns nil when the case is not the Decider's: no policy of it is kept.
	Decide(ctx context.Context, c *Case, tracer topdown.QueryTracer) (*authz.Outcome, error)
}

// With decides by the guard's document and config and by one policy, whatever
// decided before. A nil Guard stands for the policy alone.
type With struct {
	Guard  *authz.Guard
	Policy *authz.Policy
}

// Decide implements [Decider].
func (w With) Decide(ctx context.Context, c *Case, tracer topdown.QueryTracer) (*authz.Outcome, error) {
	if w.Guard == nil {
		return w.Policy.Again(ctx, c.On, tracer), nil
	}
	return w.Guard.Again(ctx, w.Policy, c.On, tracer)
}

// UsesBody reports whether the policy looks at bodies.
func (w With) UsesBody(*Case) bool { return w.Policy != nil && w.Policy.UsesBody() }

// canonical is a value as JSON: what was recorded has arrays where a policy has sets.
func canonical(v ast.Value) string {
	j, err := ast.JSON(v)
	if err != nil {
		return v.String()
	}
	b, err := json.Marshal(j)
	if err != nil {
		return v.String()
	}
	return string(b)
}
