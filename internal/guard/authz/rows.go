package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"golang.org/x/net/http/httpguts"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz/filter"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// Who applies a filter.
const (
	asAnswer = "answer"
	asHeader = "header"
	asQuery  = "query"
)

// Names of a filter's header and parameter when the config gives none.
const (
	filterHeader    = "X-Crenel-Filter"
	filterParameter = "filter"
)

const (
	defaultFilterRule = "data.crenel.authz.filter"
	defaultUnknown    = "input.row"
)

// rowFilter is one filter of the config.
type rowFilter struct {
	cfg      config.AuthzFilter
	rule     ast.Ref
	masks    ast.Ref // nil when there are none
	unknowns []ast.Ref
	terms    []*ast.Term // the same
}

// operationFilter is a filter at one operation that it is for.
type operationFilter struct {
	*rowFilter
	list   string                  // where the answer's list is
	owners map[string]filter.Field // what owner and tenant are called in its elements
	many   map[string]bool         // of which there are several
}

// FilterHeaders are the headers in which filters go to the upstream. None that a
// client sends may arrive there.
func FilterHeaders(c config.Authz) []string {
	var out []string
	for i := range c.Filters {
		if f := &c.Filters[i]; f.As == asHeader {
			out = append(out, orElse(f.Name, filterHeader))
		}
	}
	return out
}

// newRowFilters compiles the config's filters, by operation. The error names
// every operation at which one has no place.
func newRowFilters(list []config.AuthzFilter, api *spec.API) (all []*rowFilter, byOperation [][]*operationFilter, err error) {
	if len(list) == 0 {
		return nil, nil, nil
	}
	if api == nil {
		return nil, nil, errors.New("filters are for operations of a document, and the API has none")
	}
	byOperation = make([][]*operationFilter, len(api.Operations))
	var errs []error
	for i := range list {
		f, err := newRowFilter(list[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("filters[%d]: %w", i, err))
			continue
		}
		all = append(all, f)
		found := false
		for _, op := range api.Operations {
			if !f.cfg.Matches(op.ID, op.Method, op.Path) {
				continue
			}
			found = true
			of, err := f.at(op)
			if err != nil {
				errs = append(errs, fmt.Errorf("filters[%d] at %s: %w", i, op.ID, err))
				continue
			}
			byOperation[op.Index] = append(byOperation[op.Index], of)
		}
		if !found {
			errs = append(errs, fmt.Errorf("filters[%d]: the document has none of the operations %s", i, strings.Join(f.cfg.Operations, ", ")))
		}
	}
	return all, byOperation, errors.Join(errs...)
}

func newRowFilter(c config.AuthzFilter) (*rowFilter, error) {
	f := &rowFilter{cfg: c}
	var err error
	if f.rule, err = ast.ParseRef(orElse(c.Rule, defaultFilterRule)); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	if c.Masks != "" {
		if f.masks, err = ast.ParseRef(c.Masks); err != nil {
			return nil, fmt.Errorf("masks: %w", err)
		}
	}
	names := c.Unknowns
	if len(names) == 0 {
		names = []string{defaultUnknown}
	}
	for _, u := range names {
		ref, err := ast.ParseRef(u)
		if err != nil {
			return nil, fmt.Errorf("unknowns: %w", err)
		}
		f.unknowns = append(f.unknowns, ref)
		f.terms = append(f.terms, ast.NewTerm(ref))
	}
	return f, nil
}

// at places the filter at an operation.
func (f *rowFilter) at(op *spec.Operation) (*operationFilter, error) {
	o := &operationFilter{rowFilter: f, owners: map[string]filter.Field{}, many: map[string]bool{}}
	lists := op.Lists()
	switch {
	case f.cfg.List == "/":
	case f.cfg.List != "":
		o.list = f.cfg.List
	case len(lists) == 1:
		o.list = lists[0]
	case f.cfg.As != asAnswer && f.cfg.As != "" && f.masks == nil:
	case len(lists) == 0:
		return nil, errors.New("the document has no list of objects in its answer: set list to the list's JSON pointer")
	default:
		return nil, fmt.Errorf("the document has several lists in its answer, %s: set list to one of them", strings.Join(lists, " and "))
	}
	for _, owner := range op.OwnerFields() {
		if !owner.InList || owner.List != o.list {
			continue
		}
		name := "owner"
		if owner.Of == "tenant" {
			name = "tenant"
		}
		if o.owners[name] != nil {
			o.many[name] = true
		}
		o.owners[name] = pathOf(owner.Field)
	}
	return o, nil
}

func pathOf(pointer string) filter.Field {
	var f filter.Field
	for _, t := range tokensOf(pointer) {
		f = append(f, value.UnescapeToken(t))
	}
	return f
}

// column is what the policy's name of a field is where the condition is applied.
func (o *operationFilter) column(f filter.Field) (filter.Field, error) {
	name := f.String()
	inAnswer := o.cfg.As == asAnswer || o.cfg.As == ""
	if mapped, ok := o.cfg.Columns[name]; ok {
		switch {
		case strings.HasPrefix(mapped, "/"):
			return pathOf(mapped), nil
		case inAnswer:
			return filter.Field{mapped}, nil
		}
		return strings.Split(mapped, "."), nil
	}
	if name != "owner" && name != "tenant" || !inAnswer {
		return f, nil
	}
	switch {
	case o.many[name]:
		return nil, fmt.Errorf("several fields of the answer name its %s: say which in columns", name)
	case o.owners[name] == nil:
		return nil, fmt.Errorf("the document does not say which field of the answer names its %s: set columns, or mark the field with x-crenel-owner", name)
	}
	return o.owners[name], nil
}

// question is a rule other than the decision, ready to be asked.
type question struct {
	query   ast.Body
	queries ast.QueryCompiler
	uses    usage
}

// question prepares a rule once for as long as the policy lives.
func (c *code) question(rule ast.Ref) (*question, error) {
	key := rule.String()
	if q, ok := c.questions.Load(key); ok {
		return q.(*question), nil
	}
	compiler := c.asWritten.compiler
	q := &question{queries: compiler.QueryCompiler(), uses: inputUsage(compiler, rule)}
	var err error
	if q.query, err = q.queries.Compile(ast.NewBody(ast.NewExpr(ast.NewTerm(rule)))); err != nil {
		return nil, err
	}
	c.questions.Store(key, q)
	return q, nil
}

// defines says what rules of the filters a policy lacks.
func (p *Policy) defines(list []*rowFilter) error {
	var errs []error
	for _, f := range list {
		for _, rule := range []ast.Ref{f.rule, f.masks} {
			if rule != nil && len(p.asWritten.compiler.GetRulesWithPrefix(rule)) == 0 {
				errs = append(errs, fmt.Errorf("no policy has the rule %s, which a filter asks", rule))
			}
		}
	}
	return errors.Join(errs...)
}

// usesBody reports whether any filter's rule looks at bodies.
func (p *Policy) usesBody(list []*rowFilter) bool {
	return slices.ContainsFunc(list, func(f *rowFilter) bool {
		q, err := p.question(f.rule)
		return err == nil && q.uses.part("body")
	})
}

// Residual evaluates a rule as far as it goes without knowing the unknowns, and
// returns what is left: bodies of which one must hold, and the rules that they
// refer to.
func (p *Policy) Residual(ctx context.Context, rule ast.Ref, unknowns []*ast.Term, e *Evaluation) ([]ast.Body, []*ast.Module, error) {
	q, err := p.question(rule)
	if err != nil {
		return nil, nil, err
	}
	stop := &deadline{at: time.Now().Add(e.Limit)}
	return topdown.NewQuery(q.query).WithQueryCompiler(q.queries).WithCompiler(p.asWritten.compiler).WithStore(p.store(e)).WithTransaction(moment{}).
		WithInput(ast.NewTerm(e.Input)).WithUnknowns(unknowns).WithTime(e.Now).WithCancel(stop).WithMetrics(quiet).WithStrictBuiltinErrors(true).PartialRun(ctx)
}

// filterRows asks the operation's filters, for a call that is allowed, and adds
// what they say to its obligations. on, which may be nil, is an evaluation whose
// input is whole.
func (g *Guard) filterRows(ctx context.Context, x *exchange.Exchange, p *Policy, now time.Time, v exchange.Verdict, on *Evaluation) exchange.Verdict {
	if x.Operation == nil || x.Operation.Index >= len(g.rows) {
		return v
	}
	for _, f := range g.rows[x.Operation.Index] {
		if refused := g.filterBy(ctx, x, p, now, f, on); refused.Action != exchange.Allow {
			return refused
		}
	}
	return v
}

func (g *Guard) filterBy(ctx context.Context, x *exchange.Exchange, p *Policy, now time.Time, f *operationFilter, on *Evaluation) exchange.Verdict {
	rule := f.rule.String()
	untranslatable := func(err error) exchange.Verdict {
		return exchange.Refuse("authz.filter", "", rule+": "+err.Error())
	}
	q, err := p.question(f.rule)
	if err != nil {
		return exchange.Undecided("authz.error", "compiling "+rule+": "+err.Error())
	}
	e := g.rowsEvaluation(x, q, now, on)
	bodies, support, err := p.Residual(ctx, f.rule, f.terms, e)
	if err != nil {
		return g.failed(rule, err)
	}
	cond, err := filter.Translate(bodies, support, f.unknowns)
	if err != nil {
		return untranslatable(err)
	}
	if cond.Never() {
		return exchange.Refuse("authz.denied", "", rule+" lets the caller see nothing of the list")
	}
	cond = cond.Typed(f.cfg.Types)
	if cond, err = cond.Rename(f.column); err != nil {
		return untranslatable(err)
	}
	if cond.Never() {
		return exchange.Refuse("authz.denied", "", rule+" lets the caller see nothing of the list, for the types of its columns")
	}
	if err := f.apply(&cond, &x.Obligations); err != nil {
		return untranslatable(err)
	}
	if f.masks == nil {
		return exchange.Verdict{}
	}
	return g.maskBy(ctx, x, p, now, f, on)
}

func (g *Guard) rowsEvaluation(x *exchange.Exchange, q *question, now time.Time, on *Evaluation) *Evaluation {
	if on != nil {
		e := *on
		e.Tracer = nil
		return &e
	}
	return &Evaluation{Input: g.build(x, q.uses, now, g.body), Now: now, Limit: g.timeout}
}

// failed is the verdict on a rule whose evaluation failed.
func (g *Guard) failed(rule string, err error) exchange.Verdict {
	if TimedOut(err) {
		return exchange.Undecided("authz.timeout", fmt.Sprintf("%s took longer than %s", rule, g.timeout))
	}
	return exchange.Undecided("authz.error", "evaluating "+rule+": "+err.Error())
}

// apply hands the condition to whom applies it.
func (o *operationFilter) apply(c *filter.Cond, to *exchange.Obligations) error {
	name := o.cfg.Name
	switch o.cfg.As {
	case asHeader:
		text, err := c.Write(o.cfg.Format, o.cfg.Dialect)
		if err != nil {
			return err
		}
		if !httpguts.ValidHeaderFieldValue(text) || strings.ContainsFunc(text, func(r rune) bool { return r > 0x7e }) {
			return errors.New("the condition holds characters that a header cannot; use as: query, or format: ucast")
		}
		set(&to.Headers, orElse(name, filterHeader), text)
	case asQuery:
		if o.cfg.Format == filter.Fields {
			list, err := c.Equalities()
			if err != nil {
				return err
			}
			for _, e := range list {
				set(&to.Query, e.Name, e.Text)
			}
			return nil
		}
		text, err := c.Write(o.cfg.Format, o.cfg.Dialect)
		if err != nil {
			return err
		}
		set(&to.Query, orElse(name, filterParameter), text)
	default:
		if !c.Always() {
			to.Keep = append(to.Keep, exchange.Keep{At: o.list, Where: c})
		}
	}
	return nil
}

func set(m *map[string]string, name, text string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[name] = text
}

// maskBy asks a filter's rule for masks.
func (g *Guard) maskBy(ctx context.Context, x *exchange.Exchange, p *Policy, now time.Time, f *operationFilter, on *Evaluation) exchange.Verdict {
	rule := f.masks.String()
	q, err := p.question(f.masks)
	if err != nil {
		return exchange.Undecided("authz.error", "compiling "+rule+": "+err.Error())
	}
	e, err := newEvaluator(p.asWritten.compiler, f.masks)
	if err != nil {
		return exchange.Undecided("authz.error", "compiling "+rule+": "+err.Error())
	}
	result, err := p.run(ctx, &e, g.rowsEvaluation(x, q, now, on))
	switch {
	case Undefined(err):
		return exchange.Refuse("authz.undefined", "", rule+" is undefined for this call")
	case err != nil:
		return g.failed(rule, err)
	}
	if err := f.mask(result, &x.Obligations); err != nil {
		return exchange.Undecided("authz.error", rule+": "+err.Error())
	}
	return exchange.Verdict{}
}

// mask reads {field: how} and adds it to the obligations.
func (o *operationFilter) mask(v ast.Value, to *exchange.Obligations) error {
	obj, ok := v.(ast.Object)
	if !ok {
		return errors.New("masks are not an object of fields and kinds")
	}
	// A shared decision's slices must not be written to.
	to.Masks, to.Strip = slices.Clone(to.Masks), slices.Clone(to.Strip)
	return obj.Iter(func(k, t *ast.Term) error {
		name, ok := k.Value.(ast.String)
		if !ok {
			return fmt.Errorf("the mask of %s: a field is named by a string", k)
		}
		if inner, ok := t.Value.(ast.Object); ok && inner.Get(ast.StringTerm("kind")) == nil && inner.Get(ast.StringTerm("replace")) == nil {
			return fmt.Errorf("the mask of %s is neither a kind nor {replace: {value}}", k)
		}
		f := filter.Field{string(name)}
		if mapped := o.cfg.Columns[string(name)]; mapped != "" && (o.cfg.As == asAnswer || o.cfg.As == "") {
			var err error
			if f, err = o.column(f); err != nil {
				return err
			}
		}
		at := o.list + "/*"
		for _, step := range f {
			at += "/" + value.EscapeToken(step)
		}
		m, drop, err := readMask(t, at, false)
		switch {
		case err != nil:
			return fmt.Errorf("the mask of %s: %w", k, err)
		case drop:
			to.Strip = append(to.Strip, at)
		default:
			to.Masks = append(to.Masks, m)
		}
		return nil
	})
}
