package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/crenel-project/crenel/internal/guard/authz/straight"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
	"github.com/crenel-project/crenel/policies"
)

const (
	defaultQuery    = "data.crenel.authz.decision"
	shortQuery      = "data.crenel.authz.allow" // taken when there is no decision
	resultVar       = ast.Var("result")
	testFileSuffix  = "_test.rego"
	timeBetweenLook = 32 // steps of an evaluation between two looks at the clock
)

// forbidden built-in functions: a policy decides on what it is given, not on
// what it can fetch, and learns nothing of the process it runs in.
var forbidden = []string{"http.send", "net.lookup_ip_addr", "opa.runtime"}

// capabilities are what a policy may use.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.AllowNet = []string{}
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return slices.Contains(forbidden, b.Name) })
	return c
}

// with joins sets of modules.
func with(sets ...map[string]*ast.Module) map[string]*ast.Module {
	out := map[string]*ast.Module{}
	for _, set := range sets {
		for name, m := range set {
			out[name] = m
		}
	}
	return out
}

func newCompiler(ctx context.Context, data *documents) *ast.Compiler {
	return ast.NewCompiler().WithCapabilities(capabilities()).WithDefaultRegoVersion(ast.RegoV1).
		WithPathConflictsCheck(storage.NonEmpty(ctx, data, moment{}))
}

// code is a user's policy, compiled. It is immutable and safe for concurrent use.
type code struct {
	evaluator // specialised where that can be done
	// straight decides what can be decided without an interpreter; nil: notStraight says why.
	straight    *straight.Program
	notStraight error
	asWritten   evaluator // for traces that a person reads, and other questions than the decision
	// notSpecialized says why the policy is evaluated as written, nil when it is not.
	notSpecialized error
	uses           usage
	rule           string   // that decides
	questions      sync.Map // *question by rule: what is asked beside the decision
	asked          askedQueries
	shape          string   // of the data beside the packages, which the specialised code leans on
	source         source   // for a copy that is kept
	headers        []string // of requests, that the policy sets
	// varies says that a rule calls a function that gives another result another time.
	varies bool
}

// Policy is a policy that can decide: compiled rules and the data they read, of
// one moment. It is immutable and safe for concurrent use. What is collected
// when nobody evaluates it any more needs no closing.
type Policy struct {
	*code
	data      *documents
	revisions map[string]string
	serial    uint64 // counts activations; 0: never activated
}

// Rule is the rule that decides: "data.crenel.authz.decision".
func (p *Policy) Rule() string { return p.rule }

// Revisions are the versions of what it was made of, by source. Read only.
func (p *Policy) Revisions() map[string]string { return p.revisions }

// Serial counts the activations of its engine; 0 for a candidate.
func (p *Policy) Serial() uint64 { return p.serial }

// compile makes the policy ready. The error lists every mistake with its place.
func (s *sources) compile(ctx context.Context, query string) (*Policy, error) {
	if len(s.modules) == 0 {
		return nil, errors.New("there is no policy: none of its sources has a Rego file")
	}
	modules := s.modules
	if usesLibrary(s.modules) {
		modules = with(s.modules, s.library)
	}
	compiler := newCompiler(ctx, s.data)
	if compiler.Compile(modules); compiler.Failed() {
		return nil, fmt.Errorf("compiling policies: %w", compiler.Errors)
	}
	c := &code{}
	var err error
	if c.rule, err = decisionRule(compiler, query); err != nil {
		return nil, err
	}
	ref, err := ast.ParseRef(c.rule)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", c.rule, err)
	}
	c.uses = inputUsage(compiler, ref)
	c.headers = headerNames(s.modules)
	c.source = source{modules: s.modules, texts: s.texts}
	c.varies = slices.ContainsFunc(compiler.Required.Builtins, (*ast.Builtin).IsNondeterministic)
	if c.asWritten, err = newEvaluator(compiler, ref); err != nil {
		return nil, fmt.Errorf("query %s: %w", c.rule, err)
	}
	c.evaluator = c.asWritten
	beside := unknowns(modules, s.data)
	c.shape = shape(beside)
	special, ref, err := specialize(ctx, compiler, modules, s.data, beside, ref)
	if err == nil {
		var e evaluator
		if e, err = newEvaluator(special, ref); err == nil {
			c.evaluator = e
		}
	}
	c.notSpecialized = err
	c.straight, c.notStraight = straight.Compile(c.compiler, c.decides)
	return &Policy{code: c, data: s.data, revisions: s.revisions}, nil
}

// withData is the same code over other data, or false when the data lie
// otherwise beside the packages and the code must be compiled anew.
func (p *Policy) withData(s *sources) (*Policy, bool) {
	modules := s.modules
	if usesLibrary(s.modules) {
		modules = with(s.modules, s.library)
	}
	if shape(unknowns(modules, s.data)) != p.shape {
		return nil, false
	}
	return &Policy{code: p.code, data: s.data, revisions: s.revisions}, true
}

// evaluator is a compiled query.
type evaluator struct {
	query    ast.Body
	decides  ast.Ref
	queries  ast.QueryCompiler
	compiler *ast.Compiler
}

func newEvaluator(c *ast.Compiler, rule ast.Ref) (evaluator, error) {
	e := evaluator{compiler: c, decides: rule, queries: c.QueryCompiler()}
	var err error
	e.query, err = e.queries.Compile(ast.NewBody(ast.Equality.Expr(ast.NewTerm(resultVar), ast.NewTerm(rule))))
	return e, err
}

// decisionRule finds the rule that decides.
func decisionRule(c *ast.Compiler, query string) (string, error) {
	names := []string{query}
	if query == "" || query == defaultQuery {
		names = []string{defaultQuery, shortQuery}
	}
	for _, n := range names {
		ref, err := ast.ParseRef(n)
		if err != nil {
			return "", fmt.Errorf("query %q is not a reference to a rule: %w", n, err)
		}
		if len(c.GetRulesExact(ref)) > 0 {
			return n, nil
		}
	}
	return "", fmt.Errorf("no policy has the rule %s: write package %s with a rule %s, or set query to the rule that decides",
		strings.Join(names, " or "), names[0][len("data."):strings.LastIndexByte(names[0], '.')], names[0][strings.LastIndexByte(names[0], '.')+1:])
}

// usesLibrary reports whether any module may refer to the library.
func usesLibrary(modules map[string]*ast.Module) bool {
	lib := ast.MustParseRef(policies.LibPackage)
	found := false
	for _, m := range modules {
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if !r[0].Equal(ast.DefaultRootDocument) {
				return found
			}
			same := true
			for i := 1; i < len(lib) && i < len(r); i++ {
				if _, constant := r[i].Value.(ast.String); constant && !r[i].Equal(lib[i]) {
					same = false
				}
			}
			found = found || same
			return found
		})
	}
	return found
}

var errUndefined = errors.New("the policy made no decision")

// Evaluation is one question to a policy.
type Evaluation struct {
	Input ast.Value
	Now   time.Time     // what the policy takes for the present
	Limit time.Duration // how long it may take
	// Tracer, when set, is told of every step; then the policy is evaluated as written.
	Tracer topdown.QueryTracer
	// Observed, when set, is filled with the results of built-in functions that give
	// another result another time, or is where they are taken from.
	Observed builtins.NDBCache
	// Reads, when set, is filled with what is read of tables, or is where it is taken from.
	Reads *Reads
}

// Undefined reports whether an evaluation came to no decision at all.
func Undefined(err error) bool { return errors.Is(err, errUndefined) }

// TimedOut reports whether an evaluation was ended for the time it took.
func TimedOut(err error) bool { return err != nil && topdown.IsCancel(err) }

// Evaluate returns what the decision rule says: straight where that can be done,
// else as OPA's evaluator finds it. With a tracer the policy is
// evaluated as it was written; so it is when the specialised one fails, because
// an error should name the rules that a person wrote.
func (p *Policy) Evaluate(ctx context.Context, e *Evaluation) (ast.Value, error) {
	if e.Tracer == nil {
		// What is read of tables has to be noted for a replay: OPA's evaluator does that.
		if p.straight != nil && e.Input != nil && (e.Reads == nil || len(p.data.tables) == 0) {
			if v, sure := p.straight.Run(e.Input, p.data); sure {
				if v == nil {
					return nil, errUndefined
				}
				return v, nil
			}
		}
		v, err := p.run(ctx, &p.evaluator, e)
		if err == nil || errors.Is(err, errUndefined) || topdown.IsCancel(err) {
			return v, err
		}
	}
	return p.run(ctx, &p.asWritten, e)
}

// store is the data that an evaluation reads.
func (p *Policy) store(e *Evaluation) storage.Store {
	if e.Reads != nil {
		return &readStore{documents: p.data, reads: e.Reads}
	}
	return p.data
}

func (p *Policy) run(ctx context.Context, v *evaluator, e *Evaluation) (result ast.Value, err error) {
	w := workspaces.Get().(*workspace)
	defer func() {
		// A table that is too large to be handed out whole says so where OPA leaves no
		// other way, in the midst of a comparison. What was in use is not used again.
		if r := recover(); r != nil {
			cause, ok := r.(error)
			if !ok {
				cause = fmt.Errorf("%v", r)
			}
			result, err = nil, fmt.Errorf("the evaluation broke off: %w", cause)
			return
		}
		w.release()
	}()
	w.rules.Push()
	w.stop = deadline{at: time.Now().Add(e.Limit)}
	q := topdown.NewQuery(v.query).WithQueryCompiler(v.queries).WithCompiler(v.compiler).WithStore(p.store(e)).WithTransaction(moment{}).
		WithTime(e.Now).WithCancel(&w.stop).WithMetrics(quiet).WithStrictBuiltinErrors(true).
		WithVirtualCache(&w.rules).WithBaseCache(&w.data)
	if e.Input != nil {
		q = q.WithInput(ast.NewTerm(e.Input))
	}
	if e.Tracer != nil {
		q = q.WithQueryTracer(e.Tracer)
		if _, all := e.Tracer.(*trace.Recorder); all {
			q = q.WithIndexing(false)
		}
	}
	if e.Observed != nil {
		q = q.WithNDBuiltinCache(e.Observed)
	}
	var out ast.Value
	err = q.Iter(ctx, func(r topdown.QueryResult) error {
		out = r[resultVar].Value
		return nil
	})
	if err != nil {
		return nil, err
	}
	if out == nil {
		return nil, errUndefined
	}
	return out, nil
}

// deadline ends an evaluation that takes too long. OPA asks it at every step, in
// the one goroutine that evaluates; it looks at the clock now and then. That
// costs less than a timer or a goroutine for every decision.
type deadline struct {
	at    time.Time
	steps uint
	over  bool
}

func (d *deadline) Cancel() { d.over = true }

func (d *deadline) Cancelled() bool {
	d.steps++
	if !d.over && d.steps%timeBetweenLook == 0 {
		d.over = !time.Now().Before(d.at)
	}
	return d.over
}
