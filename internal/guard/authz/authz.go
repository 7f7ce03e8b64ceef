package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
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

// filesSource is the source of what the config names files and folders.
const filesSource = "files"

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
	// Feeds give parts of the policy that change while the guard lives: bundles,
	// tables of relations. The guard starts and closes them.
	Feeds []Feed
	// Gates are asked before each activation but the first.
	Gates []Gate
	// Recorder keeps the decisions; nil: they are not kept.
	Recorder Recorder
	Log      *slog.Logger
	Now      func() time.Time // default time.Now
}

// Guard is the compiled authz guard of one API. It is safe for concurrent use.
type Guard struct {
	demands    *access.Table
	realm      string
	engine     *Engine // nil when there is no policy but the built-in one
	feeds      []Feed
	body       bool // the policy may look at bodies, and does as far as is known now
	timeout    time.Duration
	operations []*ast.Term          // by Operation.Index
	filters    []*rowFilter         // of the config
	rows       [][]*operationFilter // by Operation.Index
	recorder   Recorder             // nil: decisions are not kept
	record     recording
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
	g := &Guard{feeds: o.Feeds, log: o.Log, now: o.Now, timeout: o.Config.Timeout, realm: quotable(o.Realm)}
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
	g.recorder, g.record = o.Recorder, recording{body: o.Config.Body == nil || *o.Config.Body, api: o.API}
	if g.demands, err = access.New(o.API, o.Overrides, o.Authenticates); err != nil {
		errs = append(errs, err)
	}
	if len(o.Config.Policies) > 0 || len(o.Feeds) > 0 {
		if err := g.startPolicy(&o); err != nil {
			errs = append(errs, err)
		}
	} else {
		if len(o.Config.Data) > 0 {
			errs = append(errs, errors.New("data without policies: nothing would read it"))
		}
		if len(o.Config.Filters) > 0 {
			errs = append(errs, errors.New("filters without policies: there is no rule to ask"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		g.Close()
		return nil, fmt.Errorf("authz: %w", err)
	}
	return g, nil
}

// startPolicy makes the engine, gives it what is in files and starts what feeds it.
func (g *Guard) startPolicy(o *Options) error {
	ctx := context.Background()
	var list []Source
	files := len(o.Config.Policies)+len(o.Config.Data) > 0
	if files {
		list = append(list, Source{Name: filesSource})
	}
	for _, f := range o.Feeds {
		list = append(list, f.Sources()...)
	}
	var err error
	if g.filters, g.rows, err = newRowFilters(o.Config.Filters, o.API); err != nil {
		return err
	}
	if g.engine, err = NewEngine(o.Config.Query, list, g.log, g.now); err != nil {
		return err
	}
	if len(g.filters) > 0 {
		g.engine.Gate(func(_ context.Context, a *Activation) error { return a.Candidate.defines(g.filters) })
	}
	if files {
		part, err := LoadFiles(o.Config.Policies, o.Config.Data)
		if err != nil {
			return err
		}
		if err := g.engine.Update(ctx, map[string]*Part{filesSource: part}); err != nil {
			return err
		}
	}
	if err := start(ctx, o.Feeds, g.engine); err != nil {
		return err
	}
	for _, gate := range o.Gates {
		g.engine.Gate(gate)
	}
	g.body = o.Config.Body == nil || *o.Config.Body
	if p := g.engine.current.Load(); p != nil && len(o.Feeds) == 0 {
		g.body = g.body && (p.uses.part("body") || p.usesBody(g.filters))
	}
	if o.API != nil {
		g.operations = make([]*ast.Term, len(o.API.Operations))
		for i, op := range o.API.Operations {
			g.operations[i] = newOperationTerm(op)
		}
	}
	return nil
}

// start starts feeds side by side: each may wait for a server.
func start(ctx context.Context, feeds []Feed, e *Engine) error {
	errs := make([]error, len(feeds))
	var wg sync.WaitGroup
	for i, f := range feeds {
		wg.Go(func() { errs[i] = f.Start(ctx, e) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Engine is where the guard's policy is activated; nil when the built-in one is all.
func (g *Guard) Engine() *Engine { return g.engine }

// Ready says what is wrong with what the policy is made of.
func (g *Guard) Ready() error {
	if g.engine == nil {
		return nil
	}
	return g.engine.Ready()
}

// Close ends what feeds the policy.
func (g *Guard) Close() {
	for _, f := range g.feeds {
		if err := f.Close(); err != nil {
			g.log.Warn("closing a source of the policy", "error", err)
		}
	}
	g.feeds = nil
}

// Steps are the guard's places in the chain: one for operations whose body the
// policy looks at, one for all others.
func (g *Guard) Steps() []guard.Step {
	return []guard.Step{
		{
			Guard: Name, Phase: exchange.RequestBody, Needs: exchange.None, Rule: g.rule, Again: g.underWay,
			Applies: func(op *spec.Operation) bool {
				return !g.wantsBody(op) && (g.engine != nil || !g.demands.For(op).Public)
			},
		},
		{Guard: Name, Phase: exchange.RequestBody, Needs: exchange.Buffered, Rule: g.rule, Again: g.underWay, Applies: g.wantsBody},
		// It needs no body of its own: an exchange with answer rules has it held.
		{Guard: Name, Phase: exchange.ResponseBody, Needs: exchange.None, Rule: checkAnswer, Applies: func(*spec.Operation) bool { return g.engine != nil }},
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
	if g.recorder != nil {
		return g.ruleAndRecord(ctx, x)
	}
	return g.ruleOn(ctx, x, nil)
}

// underWay decides once more on an exchange that is under way. It is not recorded as
// a decision: what comes of it is in the completion.
func (g *Guard) underWay(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	return g.ruleOn(ctx, x, nil)
}

// ruleOn asks the document's own policy, and then the user's. r, which may be
// nil, is told what the decision is made on.
func (g *Guard) ruleOn(ctx context.Context, x *exchange.Exchange, r *Record) exchange.Verdict {
	if v := builtin(g.demands.For(x.Operation), &x.Identity, g.realm); v.Action != exchange.Allow || g.engine == nil {
		return v
	}
	return g.decide(ctx, x, nil, r)
}

// Decided is one decision of a policy as it was made.
type Decided struct {
	Exchange *exchange.Exchange // must not be kept
	Policy   *Policy
	Input    ast.Value // those parts that the policy's rules can come to
	Time     time.Time // what the policy took for the present
	Result   ast.Value // nil when Err is not
	Err      error
	Verdict  exchange.Verdict
	Took     time.Duration
	guard    *Guard
}

// Whole is the input with all its parts, for other policies than the one that decided.
func (d *Decided) Whole() ast.Value {
	return d.guard.build(d.Exchange, usage{all: true}, d.Time, d.guard.body)
}

// decide asks the user's policy.
func (g *Guard) decide(ctx context.Context, x *exchange.Exchange, tracer topdown.QueryTracer, r *Record) exchange.Verdict {
	now := g.now()
	p, err := g.engine.Current(now)
	if err != nil {
		return exchange.Undecided("authz.unavailable", err.Error())
	}
	observers := g.engine.observers.Load()
	var begin time.Time
	if observers != nil || r != nil {
		begin = time.Now()
	}
	var e Evaluation
	var on *Evaluation
	if r != nil {
		e = g.recordedEvaluation(x, p, now, r)
		if r.whole {
			on = &e
		}
	} else {
		e = Evaluation{Input: g.build(x, p.uses, now, g.body), Now: now, Limit: g.timeout, Tracer: tracer}
	}
	result, err := p.Evaluate(ctx, &e)
	v := g.read(x, p, result, err)
	if g.rows != nil && v.Action == exchange.Allow && tracer == nil {
		v = g.filterRows(ctx, x, p, now, v, on)
	}
	if r != nil {
		r.Result, r.Err, r.Took = result, err, time.Since(begin)
	}
	if observers != nil && tracer == nil {
		d := &Decided{Exchange: x, Policy: p, Input: e.Input, Time: now, Result: result, Err: err, Verdict: v, Took: time.Since(begin), guard: g}
		for _, f := range *observers {
			f(d)
		}
	}
	return v
}

// read turns what a policy said into a verdict.
func (g *Guard) read(x *exchange.Exchange, p *Policy, result ast.Value, err error) exchange.Verdict {
	switch {
	case errors.Is(err, errUndefined):
		return exchange.Refuse("authz.undefined", "", p.rule+" is undefined for this call")
	case TimedOut(err):
		return exchange.Undecided("authz.timeout", fmt.Sprintf("%s took longer than %s", p.rule, g.timeout))
	case err != nil:
		return exchange.Undecided("authz.error", "evaluating "+p.rule+": "+err.Error())
	}
	d, err := readDecision(result)
	if err != nil {
		return exchange.Undecided("authz.error", p.rule+": "+err.Error())
	}
	return g.verdict(x, p, d)
}

func (g *Guard) verdict(x *exchange.Exchange, p *Policy, d *decision) exchange.Verdict {
	if d.stepUp != nil {
		v := exchange.Refuse("authz.step_up", "", orElse(d.reason, "the policy demands a fresher or stronger authentication"))
		v.Header = map[string]string{"WWW-Authenticate": d.stepUp.challenge(g.realm)}
		v.Detail = d.detail
		v.StepUp = &exchange.StepUp{ACR: d.stepUp.acr, MaxAge: -1}
		if n, err := strconv.ParseInt(d.stepUp.maxAge, 10, 64); err == nil {
			v.StepUp.MaxAge = n
		}
		return v
	}
	if !d.allow {
		v := exchange.Refuse("authz.denied", "", orElse(d.reason, p.rule+" does not allow it"))
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
