package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/access"
	"github.com/crenel-project/crenel/internal/spec"
)

// Name is the guard's name in configs, codes and records.
const Name = "authz"

const defaultTimeout = 50 * time.Millisecond

// quiet are metrics that cost nothing.
var quiet = metrics.NoOp()

// Options are what the guard is made from.
type Options struct {
	API       *spec.API // nil when the API has no document
	Config    config.Authz
	Overrides []config.OperationOverride
	// Authenticates says that the API's authn has any method: then operations on
	// whose security the document is silent need a caller too.
	Authenticates bool
	Realm         string // named in challenges; default: the document's title
	Log           *slog.Logger
	Now           func() time.Time // default time.Now
}

// Guard is the compiled authz guard of one API. It is safe for concurrent use.
type Guard struct {
	demands    *access.Table
	realm      string
	policy     *policy // nil when there is none but the built-in one
	body       bool    // the policy looks at bodies, and may
	timeout    time.Duration
	operations []*ast.Term // by Operation.Index
	log        *slog.Logger
	now        func() time.Time
}

var _ interface {
	Steps() []guard.Step
	Close()
} = (*Guard)(nil)

// New compiles the guard, and runs the tests that lie beside its policies. The
// error names every mistake and every test that failed.
func New(o Options) (*Guard, error) {
	g := &Guard{log: o.Log, now: o.Now, timeout: o.Config.Timeout, realm: quotable(o.Realm)}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.timeout == 0 {
		g.timeout = defaultTimeout
	}
	if g.realm == "" && o.API != nil {
		g.realm = quotable(o.API.Title)
	}
	if g.realm == "" {
		g.realm = "api"
	}
	var errs []error
	var err error
	if g.demands, err = access.New(o.API, o.Overrides, o.Authenticates); err != nil {
		errs = append(errs, err)
	}
	if len(o.Config.Policies) > 0 {
		if err := g.loadPolicy(&o); err != nil {
			errs = append(errs, err)
		}
	} else if len(o.Config.Data) > 0 {
		errs = append(errs, errors.New("data without policies: nothing would read it"))
	}
	if err := errors.Join(errs...); err != nil {
		g.Close()
		return nil, fmt.Errorf("authz: %w", err)
	}
	return g, nil
}

func (g *Guard) loadPolicy(o *Options) error {
	ctx := context.Background()
	src, err := load(o.Config.Policies, o.Config.Data)
	if err != nil {
		return err
	}
	if g.policy, err = src.compile(ctx, o.Config.Query); err != nil {
		return err
	}
	if err := src.passTests(ctx); err != nil {
		return err
	}
	g.body = (o.Config.Body == nil || *o.Config.Body) && g.policy.uses.part("body")
	if o.API != nil && g.policy.uses.part("operation") {
		g.operations = make([]*ast.Term, len(o.API.Operations))
		for i, op := range o.API.Operations {
			g.operations[i] = newOperationTerm(op)
		}
	}
	return nil
}

// Close lets go of the policy's data.
func (g *Guard) Close() { g.policy.close() }

// Steps are the guard's places in the chain: one for operations whose body the
// policy looks at, one for all others.
func (g *Guard) Steps() []guard.Step {
	return []guard.Step{
		{
			Guard: Name, Phase: exchange.RequestBody, Needs: exchange.None, Rule: g.rule,
			Applies: func(op *spec.Operation) bool {
				return !g.wantsBody(op) && (g.policy != nil || !g.demands.For(op).Public)
			},
		},
		{Guard: Name, Phase: exchange.RequestBody, Needs: exchange.Buffered, Rule: g.rule, Applies: g.wantsBody},
		// It needs no body of its own: an exchange with answer rules has it held.
		{Guard: Name, Phase: exchange.ResponseBody, Needs: exchange.None, Rule: checkAnswer, Applies: func(*spec.Operation) bool { return g.policy != nil }},
	}
}

// wantsBody reports whether the policy may look at the operation's body. A body
// whose media types have no tree (files, images) is never read for it.
func (g *Guard) wantsBody(op *spec.Operation) bool {
	if !g.body || op == nil || op.Body == nil {
		return false
	}
	for _, m := range op.Body.Content {
		if hasTree(m.Type) {
			return true
		}
	}
	return false
}

func hasTree(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "text/xml", "text/plain", "*/*", "application/*":
		return true
	}
	return strings.HasSuffix(mediaType, "+json") || strings.HasSuffix(mediaType, "+xml")
}

// rule decides on one call.
func (g *Guard) rule(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	if v := builtin(g.demands.For(x.Operation), &x.Identity, g.realm); v.Action != exchange.Allow || g.policy == nil {
		return v
	}
	return g.decide(ctx, x, nil)
}

// decide asks the user's policy.
func (g *Guard) decide(ctx context.Context, x *exchange.Exchange, tracer topdown.QueryTracer) exchange.Verdict {
	now := g.now()
	result, err := g.policy.evaluate(ctx, g.build(x, g.policy.uses, now, g.body), now, g.timeout, tracer)
	switch {
	case errors.Is(err, errUndefined):
		return exchange.Refuse("authz.undefined", "", g.policy.rule+" is undefined for this call")
	case err != nil && topdown.IsCancel(err):
		return exchange.Undecided("authz.timeout", fmt.Sprintf("%s took longer than %s", g.policy.rule, g.timeout))
	case err != nil:
		return exchange.Undecided("authz.error", "evaluating "+g.policy.rule+": "+err.Error())
	}
	d, err := readDecision(result)
	if err != nil {
		return exchange.Undecided("authz.error", g.policy.rule+": "+err.Error())
	}
	return g.verdict(x, d)
}

func (g *Guard) verdict(x *exchange.Exchange, d *decision) exchange.Verdict {
	if d.stepUp != nil {
		v := exchange.Refuse("authz.step_up", "", orElse(d.reason, "the policy demands a fresher or stronger authentication"))
		v.Header = map[string]string{"WWW-Authenticate": d.stepUp.challenge(g.realm)}
		v.Detail = d.detail
		return v
	}
	if !d.allow {
		v := exchange.Refuse("authz.denied", "", orElse(d.reason, g.policy.rule+" does not allow it"))
		v.Detail = d.detail
		return v
	}
	x.Obligations = d.obligations
	return exchange.Verdict{Reason: d.reason, Detail: d.detail}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
