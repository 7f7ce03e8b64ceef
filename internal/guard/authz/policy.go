package authz

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"

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

// sources are policies and data as loaded, not compiled.
type sources struct {
	modules map[string]*ast.Module // the user's, without tests
	tests   map[string]*ast.Module
	library map[string]*ast.Module
	data    map[string]any
}

// load reads policies (Rego files and directories) and data (JSON and YAML files
// and directories, a directory's name becoming a key, as OPA does it).
func load(policyPaths, dataPaths []string) (*sources, error) {
	s := &sources{modules: map[string]*ast.Module{}, tests: map[string]*ast.Module{}, library: map[string]*ast.Module{}}
	rego, err := loader.NewFileLoader().WithRegoVersion(ast.RegoV1).WithCapabilities(capabilities()).Filtered(policyPaths,
		func(_ string, info fs.FileInfo, _ int) bool {
			return !info.IsDir() && !strings.HasSuffix(info.Name(), ".rego")
		})
	if err != nil {
		return nil, fmt.Errorf("loading policies: %w", err)
	}
	for name, f := range rego.Modules {
		if strings.HasPrefix(f.Parsed.Package.Path.String()+".", policies.LibPackage+".") {
			return nil, fmt.Errorf("loading policies: %s: package %s is Crenel's own; use another name", name, f.Parsed.Package.Path)
		}
		if strings.HasSuffix(name, testFileSuffix) {
			s.tests[name] = f.Parsed
		} else {
			s.modules[name] = f.Parsed
		}
	}
	if len(s.modules) == 0 {
		return nil, fmt.Errorf("loading policies: no Rego file in %s", strings.Join(policyPaths, ", "))
	}
	s.data = map[string]any{}
	if len(dataPaths) > 0 {
		data, err := loader.NewFileLoader().Filtered(dataPaths,
			func(_ string, info fs.FileInfo, _ int) bool {
				n := info.Name()
				return !info.IsDir() && !strings.HasSuffix(n, ".json") && !strings.HasSuffix(n, ".yaml") && !strings.HasSuffix(n, ".yml")
			})
		if err != nil {
			return nil, fmt.Errorf("loading data: %w", err)
		}
		s.data = data.Documents
	}
	lib, err := policies.Lib()
	if err != nil {
		return nil, fmt.Errorf("loading the library: %w", err)
	}
	for name, text := range lib {
		if strings.HasSuffix(name, testFileSuffix) {
			continue
		}
		m, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			return nil, fmt.Errorf("loading the library: %w", err)
		}
		s.library[name] = m
	}
	return s, nil
}

// store puts the data into memory, as values that an evaluation reads as they are.
func (s *sources) store() storage.Store {
	return inmem.NewFromObjectWithOpts(s.data, inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(true))
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

func newCompiler(ctx context.Context, store storage.Store, txn storage.Transaction) *ast.Compiler {
	return ast.NewCompiler().WithCapabilities(capabilities()).WithDefaultRegoVersion(ast.RegoV1).
		WithPathConflictsCheck(storage.NonEmpty(ctx, store, txn))
}

// policy is a user's policy, compiled. It is immutable and safe for concurrent use.
type policy struct {
	evaluator           // specialised where that can be done
	asWritten evaluator // for traces that a person reads
	// notSpecialized says why the policy is evaluated as written, nil when it is not.
	notSpecialized error

	store storage.Store
	txn   storage.Transaction // one for all evaluations: nothing is ever written
	uses  usage
	rule  string // that decides
}

// compile makes the policy ready. The error lists every mistake with its place.
func (s *sources) compile(ctx context.Context, query string) (*policy, error) {
	p := &policy{store: s.store()}
	txn, err := p.store.NewTransaction(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening data: %w", err)
	}
	p.txn = txn
	modules := s.modules
	if usesLibrary(s.modules) {
		modules = with(s.modules, s.library)
	}
	compiler := newCompiler(ctx, p.store, txn)
	if compiler.Compile(modules); compiler.Failed() {
		return nil, fmt.Errorf("compiling policies: %w", compiler.Errors)
	}
	if p.rule, err = decisionRule(compiler, query); err != nil {
		return nil, err
	}
	ref, err := ast.ParseRef(p.rule)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", p.rule, err)
	}
	p.uses = inputUsage(compiler, ref)
	if p.asWritten, err = newEvaluator(compiler, ref); err != nil {
		return nil, fmt.Errorf("query %s: %w", p.rule, err)
	}
	p.evaluator = p.asWritten
	c, special, err := specialize(ctx, compiler, modules, s.data, p.store, txn, ref)
	if err == nil {
		var e evaluator
		if e, err = newEvaluator(c, special); err == nil {
			p.evaluator = e
		}
	}
	p.notSpecialized = err
	return p, nil
}

// evaluator is a compiled query.
type evaluator struct {
	query    ast.Body
	queries  ast.QueryCompiler
	compiler *ast.Compiler
}

func newEvaluator(c *ast.Compiler, rule ast.Ref) (evaluator, error) {
	e := evaluator{compiler: c, queries: c.QueryCompiler()}
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

// close lets go of the data.
func (p *policy) close() {
	if p != nil {
		p.store.Abort(context.Background(), p.txn)
	}
}

var errUndefined = errors.New("the policy made no decision")

// evaluate returns what the decision rule says. With a tracer the policy is
// evaluated as it was written; so it is when the specialised one fails, because
// an error should name the rules that a person wrote.
func (p *policy) evaluate(ctx context.Context, input ast.Value, now time.Time, limit time.Duration, tracer topdown.QueryTracer) (ast.Value, error) {
	if tracer == nil {
		v, err := p.run(ctx, &p.evaluator, input, now, limit, nil)
		if err == nil || errors.Is(err, errUndefined) || topdown.IsCancel(err) {
			return v, err
		}
	}
	return p.run(ctx, &p.asWritten, input, now, limit, tracer)
}

func (p *policy) run(ctx context.Context, e *evaluator, input ast.Value, now time.Time, limit time.Duration, tracer topdown.QueryTracer) (ast.Value, error) {
	w := workspaces.Get().(*workspace)
	defer w.release()
	w.rules.Push()
	w.stop = deadline{at: time.Now().Add(limit)}
	q := topdown.NewQuery(e.query).WithQueryCompiler(e.queries).WithCompiler(e.compiler).WithStore(p.store).WithTransaction(p.txn).
		WithInput(ast.NewTerm(input)).WithTime(now).WithCancel(&w.stop).WithMetrics(quiet).WithStrictBuiltinErrors(true).
		WithVirtualCache(&w.rules).WithBaseCache(&w.data)
	if tracer != nil {
		q = q.WithQueryTracer(tracer)
	}
	var out ast.Value
	err := q.Iter(ctx, func(r topdown.QueryResult) error {
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
