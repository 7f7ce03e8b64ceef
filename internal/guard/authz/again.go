package authz

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/access"
	"github.com/crenel-project/crenel/internal/spec"
)

// Recorded is what a recorded decision was made on.
type Recorded struct {
	Input    ast.Value
	Time     time.Time
	Observed builtins.NDBCache
	Reads    []Read
}

// Outcome is a decision made again.
type Outcome struct {
	// Rule that decided; "" when the document's own policy decided alone.
	Rule        string
	Result      ast.Value // nil when it was undefined or failed
	Err         error
	Verdict     exchange.Verdict
	Obligations exchange.Obligations
	Took        time.Duration // of the policy alone
	// Guessed says that rows of tables were asked for that are not known.
	Guessed bool
}

// againLimit is how long a decision that is made again may take: one that is slow
// is measured, not refused.
const againLimit = 5 * time.Second

// Again makes a recorded decision with the guard's document and config, and with
// p: nil stands for no policy. With a tracer p is evaluated as it was written.
func (g *Guard) Again(ctx context.Context, p *Policy, r *Recorded, tracer topdown.QueryTracer) (*Outcome, error) {
	x, err := g.exchange(r)
	if err != nil {
		return nil, err
	}
	v := builtin(g.demands.For(x.Operation), &x.Identity, g.realm)
	if v.Action != exchange.Allow || p == nil {
		return &Outcome{Verdict: v}, nil
	}
	return g.again(ctx, x, p, r, tracer), nil
}

// Again makes a recorded decision with the policy alone.
func (p *Policy) Again(ctx context.Context, r *Recorded, tracer topdown.QueryTracer) *Outcome {
	return (&Guard{realm: "api"}).again(ctx, &exchange.Exchange{}, p, r, tracer)
}

func (g *Guard) again(ctx context.Context, x *exchange.Exchange, p *Policy, r *Recorded, tracer topdown.QueryTracer) *Outcome {
	o := &Outcome{Rule: p.rule}
	e := Evaluation{Input: r.Input, Now: r.Time, Limit: againLimit, Tracer: tracer, Observed: cloneCache(r.Observed)}
	if len(r.Reads)+len(p.data.tables) > 0 {
		e.Reads = &Reads{List: r.Reads, Replay: true}
	}
	begin := time.Now()
	o.Result, o.Err = p.Evaluate(ctx, &e)
	o.Took = time.Since(begin)
	o.Verdict = g.read(x, p, o.Result, o.Err)
	if g.rows != nil && o.Verdict.Action == exchange.Allow {
		o.Verdict = g.filterRows(ctx, x, p, r.Time, o.Verdict, &e)
	}
	o.Obligations = x.Obligations
	o.Guessed = e.Reads != nil && e.Reads.Partial
	return o
}

// UsesBody reports whether the policy looks at bodies at all.
func (p *Policy) UsesBody() bool { return p.uses.part("body") }

// cloneCache: an evaluation adds to the cache what it does not find.
func cloneCache(c builtins.NDBCache) builtins.NDBCache {
	out := builtins.NDBCache{}
	for name, calls := range c {
		calls.Foreach(func(k, v *ast.Term) { out.Put(name, k.Value, v.Value) })
	}
	return out
}

// exchange makes of a recorded input what the document's own policy looks at.
func (g *Guard) exchange(r *Recorded) (*exchange.Exchange, error) {
	in, ok := r.Input.(ast.Object)
	if !ok {
		return nil, fmt.Errorf("the recorded input is not an object but %s", ast.ValueName(r.Input))
	}
	x := &exchange.Exchange{}
	if t := in.Get(name("identity")); t != nil {
		id, err := readIdentity(t.Value)
		if err != nil {
			return nil, fmt.Errorf("the recorded identity: %w", err)
		}
		x.Identity = *id
	}
	if t := in.Get(name("operation")); t != nil {
		if op, ok := t.Value.(ast.Object); ok {
			x.Operation = g.operation(textAt(op, "method"), textAt(op, "path"))
		}
	}
	return x, nil
}

func textAt(o ast.Object, key string) string {
	if t := o.Get(name(key)); t != nil {
		s, _ := t.Value.(ast.String)
		return string(s)
	}
	return ""
}

// operation finds an operation by its method and template; nil when the document
// has none, or no longer.
func (g *Guard) operation(method, path string) *spec.Operation {
	if g.record.api == nil {
		return nil
	}
	i := slices.IndexFunc(g.record.api.Operations, func(op *spec.Operation) bool { return op.Method == method && op.Path == path })
	if i < 0 {
		return nil
	}
	return g.record.api.Operations[i]
}

// recordedIdentity is an identity as identityTerm writes it.
type recordedIdentity struct {
	Verified bool               `json:"verified"`
	Method   string             `json:"method"`
	Subject  string             `json:"subject"`
	Issuer   string             `json:"issuer"`
	ClientID string             `json:"client_id"`
	Tenant   string             `json:"tenant"`
	Roles    []string           `json:"roles"`
	Scopes   []string           `json:"scopes"`
	Schemes  []string           `json:"schemes"`
	Also     []recordedIdentity `json:"also"`
}

func readIdentity(v ast.Value) (*exchange.Identity, error) {
	j, err := ast.JSON(v)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	var r recordedIdentity
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	return r.identity(), nil
}

func (r *recordedIdentity) identity() *exchange.Identity {
	id := &exchange.Identity{
		Subject: r.Subject, Issuer: r.Issuer, Method: r.Method, Verified: r.Verified, ClientID: r.ClientID,
		Tenant: r.Tenant, Roles: r.Roles, Scopes: r.Scopes, Schemes: r.Schemes,
	}
	for i := range r.Also {
		id.Also = append(id.Also, *r.Also[i].identity())
	}
	return id
}

// ForReplay makes a guard that makes recorded decisions again by policies that it
// is given: the document and the config's own demands, and no policy that decides.
func ForReplay(o Options) (*Guard, error) {
	g := &Guard{realm: "api", timeout: againLimit, now: time.Now, record: recording{api: o.API}}
	var err error
	if g.demands, err = access.New(o.API, o.Overrides, o.Authenticates); err != nil {
		return nil, fmt.Errorf("authz: %w", err)
	}
	if g.filters, g.rows, err = newRowFilters(o.Config.Filters, o.API); err != nil {
		return nil, fmt.Errorf("authz: %w", err)
	}
	return g, nil
}
