package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// Specialising a policy is OPA's own partial evaluation, as opa build
// --optimize does it: the rules are evaluated once at load as far as they can be
// without input and data, so that a decision does not call the same small
// functions over and over. What is left is a policy of the same meaning.

const (
	specialPackage = "crenel_specialized"
	specialRule    = "decision"
	// Bounds: a policy that grows beyond them is evaluated as written.
	specializeTimeout = time.Second
	specialRules      = 2000
	// OPA's partial evaluation follows every path from rule to rule, without looking
	// at the clock: where two rules each refer twice to the next, and so on for forty
	// rules, it would never end.
	specialPaths = 100_000
)

var errNotSpecialized = errors.New("not specialised")

// specialize returns a compiler and the reference of the rule that decides in
// it, for a policy compiled as c.
func specialize(ctx context.Context, c *ast.Compiler, modules map[string]*ast.Module, data *documents, beside []*ast.Term, decision ast.Ref) (*ast.Compiler, ast.Ref, error) {
	if n := paths(c, decision); n >= specialPaths {
		return nil, nil, fmt.Errorf("%w: its rules refer to each other in too many ways", errNotSpecialized)
	}
	ctx, cancel := context.WithTimeout(ctx, specializeTimeout)
	defer cancel()
	partial, err := rego.New(
		rego.Compiler(c), rego.Store(data), rego.Transaction(moment{}), rego.SetRegoVersion(ast.RegoV1),
		rego.StrictBuiltinErrors(true), // what fails whatever the input must not become undefined
		rego.ParsedQuery(ast.NewBody(ast.Equality.Expr(ast.NewTerm(resultVar), ast.NewTerm(decision)))),
		rego.ParsedUnknowns(beside),
	).Partial(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNotSpecialized, err)
	}
	rules := len(partial.Queries)
	for _, m := range partial.Support {
		rules += len(m.Rules)
	}
	if rules > specialRules {
		return nil, nil, fmt.Errorf("%w: it would be %d rules", errNotSpecialized, rules)
	}
	all := with(modules)
	for i, m := range partial.Support {
		all[fmt.Sprintf("specialized_%d.rego", i)] = m
	}
	if ref := onlyRef(partial.Queries); ref != nil {
		out, err := recompile(ctx, all, data)
		return out, ref, err
	}
	head, err := ast.ParseModuleWithOpts("specialized.rego", "package "+specialPackage, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, nil, err
	}
	for _, body := range partial.Queries {
		head.Rules = append(head.Rules, &ast.Rule{
			Head: ast.NewHead(ast.Var(specialRule), nil, ast.NewTerm(resultVar)), Body: body, Module: head,
		})
	}
	all["specialized.rego"] = head
	out, err := recompile(ctx, all, data)
	return out, ast.MustParseRef("data." + specialPackage + "." + specialRule), err
}

// paths counts in how many ways rules can be come to from a reference, up to specialPaths.
func paths(c *ast.Compiler, from ast.Ref) int {
	known := map[*ast.Rule]int{}
	var of func(r *ast.Rule) int
	along := func(ref ast.Ref) int {
		n := 0
		for _, r := range c.GetRulesDynamicWithOpts(ref, ast.RulesOptions{}) {
			n = min(n+of(r), specialPaths)
		}
		return n
	}
	of = func(r *ast.Rule) int {
		if n, ok := known[r]; ok {
			return n
		}
		known[r] = 0 // rules are never recursive; while it is counted it is not counted again
		n := 1
		ast.WalkRefs(r, func(ref ast.Ref) bool {
			if ref.HasPrefix(ast.DefaultRootRef) {
				n = min(n+along(ref), specialPaths)
			}
			return false
		})
		known[r] = n
		return n
	}
	return along(from)
}

func recompile(ctx context.Context, modules map[string]*ast.Module, data *documents) (*ast.Compiler, error) {
	c := newCompiler(ctx, data)
	if c.Compile(modules); c.Failed() {
		return nil, fmt.Errorf("%w: %w", errNotSpecialized, c.Errors)
	}
	return c, nil
}

// onlyRef returns the rule that all of the decision was left to, nil when the
// queries say more than that.
func onlyRef(queries []ast.Body) ast.Ref {
	if len(queries) != 1 || len(queries[0]) != 1 {
		return nil
	}
	e := queries[0][0]
	if !e.IsEquality() || e.Negated || len(e.With) > 0 {
		return nil
	}
	a, b := e.Operand(0), e.Operand(1)
	if b.Value.Compare(resultVar) == 0 {
		a, b = b, a
	}
	ref, ok := b.Value.(ast.Ref)
	if a.Value.Compare(resultVar) != 0 || !ok || !ref.IsGround() || !ref.HasPrefix(ast.DefaultRootRef) {
		return nil
	}
	return ref
}

// unknowns are what a decision is made on: the input, and all data. Data that
// lie beside packages are named below where the two part.
func unknowns(modules map[string]*ast.Module, data *documents) []*ast.Term {
	out := []*ast.Term{ast.NewTerm(ast.InputRootRef)}
	shared := func(p ast.Ref) bool {
		for _, m := range modules {
			if m.Package.Path.HasPrefix(p) {
				return true
			}
		}
		return false
	}
	var descend func(path ast.Ref, at ast.Object)
	descend = func(path ast.Ref, at ast.Object) {
		at.Foreach(func(key, v *ast.Term) {
			p := path.Append(key)
			below, ok := v.Value.(ast.Object)
			if ok && shared(p) {
				descend(p, below)
			} else {
				out = append(out, ast.NewTerm(p))
			}
		})
	}
	descend(ast.DefaultRootRef, data.tree)
	for i := range data.tables {
		path := ast.DefaultRootRef
		for _, step := range data.tables[i].path {
			path = path.Append(ast.StringTerm(step))
		}
		out = append(out, ast.NewTerm(path))
	}
	return out
}

// shape is a text that is the same for the same unknowns.
func shape(unknowns []*ast.Term) string {
	list := make([]string, len(unknowns))
	for i, t := range unknowns {
		list[i] = t.String()
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}
