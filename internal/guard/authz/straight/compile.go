package straight

import (
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// ErrLeft is why a policy is left to OPA.
var ErrLeft = errors.New("left to the interpreter")

func left(what string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrLeft, fmt.Sprintf(what, a...))
}

// Compile makes a program of the rule that decides, as it stands in a compiler
// that has compiled it. The error, an [ErrLeft], says what of it is left to OPA.
func Compile(c *ast.Compiler, decision ast.Ref) (*Program, error) {
	cc := &compiling{c: c, p: &Program{}, at: map[string]int{}}
	if _, err := cc.named(decision); err != nil {
		return nil, err
	}
	p := cc.p
	p.pool.New = func() any {
		return &machine{p: p, known: make([]known, len(p.rules)), stack: make([]*ast.Term, 0, 64)}
	}
	return p, nil
}

type compiling struct {
	c  *ast.Compiler
	p  *Program
	at map[string]int // rules by reference
}

// named compiles the rules of a reference.
func (cc *compiling) named(ref ast.Ref) (int, error) {
	key := ref.String()
	if i, ok := cc.at[key]; ok {
		return i, nil
	}
	node := cc.node(ref)
	if node == nil || len(node.Children) > 0 || len(node.Values) == 0 {
		return 0, left("%s is more than a rule", ref)
	}
	i := len(cc.p.rules)
	r := &rule{}
	cc.at[key], cc.p.rules = i, append(cc.p.rules, r)
	for _, one := range node.Values {
		if one.Head.RuleKind() != ast.SingleValue || len(one.Head.Args) > 0 || !one.Head.Ref().IsGround() {
			return 0, left("%s is not a complete rule", ref)
		}
		if one.Default {
			if !one.Head.Value.IsGround() || calls(one.Head.Value) {
				return 0, left("the default of %s is computed", ref)
			}
			r.fallback = one.Head.Value
			continue
		}
		c, err := cc.clause(one)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", one.Head.Name, err)
		}
		r.clauses = append(r.clauses, c)
	}
	return i, nil
}

// calls: what a term is has to be computed.
func calls(t *ast.Term) bool {
	found := false
	ast.WalkTerms(t, func(t *ast.Term) bool {
		switch t.Value.(type) {
		case ast.Call, ast.Ref, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			found = true
		}
		return found
	})
	return found
}

// node is the rule tree's at a ground reference below data; nil: no rule lies there or below.
func (cc *compiling) node(ref ast.Ref) *ast.TreeNode {
	node := cc.c.RuleTree
	for _, t := range ref {
		if node = node.Child(t.Value); node == nil {
			return nil
		}
	}
	return node
}

func (cc *compiling) clause(r *ast.Rule) (*clause, error) {
	s := &scope{cc: cc, slots: map[ast.Var]int{}, bound: map[ast.Var]bool{}}
	b, err := s.body(r.Body)
	if err != nil {
		return nil, err
	}
	out := &clause{body: b}
	if out.head, err = s.term(r.Head.Value); err != nil {
		return nil, err
	}
	b.size = len(s.slots)
	if r.Else != nil {
		if out.elses, err = cc.clause(r.Else); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// scope is the variables of a rule: where each lies in the frame, and whether
// what stands before has given it a value. OPA's compiler has put the
// expressions into an order in which that is so.
type scope struct {
	cc    *compiling
	slots map[ast.Var]int
	bound map[ast.Var]bool
}

func (s *scope) slot(v ast.Var) int {
	i, ok := s.slots[v]
	if !ok {
		i = len(s.slots)
		s.slots[v] = i
	}
	return i
}

// free: the term is a variable that has no value yet.
func (s *scope) free(t *ast.Term) (ast.Var, bool) {
	v, ok := t.Value.(ast.Var)
	if !ok || v.Equal(ast.InputRootDocument.Value) || v.Equal(ast.DefaultRootDocument.Value) {
		return "", false
	}
	return v, !s.bound[v]
}

func (s *scope) body(b ast.Body) (*body, error) {
	out := &body{}
	for _, e := range b {
		st, err := s.expr(e)
		if err != nil {
			return nil, err
		}
		out.steps = append(out.steps, st)
	}
	return out, nil
}

func (s *scope) expr(e *ast.Expr) (step, error) {
	if len(e.With) > 0 {
		return nil, left("with")
	}
	if e.Negated {
		return s.not(e)
	}
	switch terms := e.Terms.(type) {
	case *ast.Term:
		return s.truth(terms)
	case []*ast.Term:
		if e.IsEquality() {
			return s.unify(terms[1], terms[2])
		}
		return s.call(terms)
	}
	return nil, left("%s", e)
}

// not holds when the expression has no solution. What it binds is its own.
func (s *scope) not(e *ast.Expr) (step, error) {
	inner := e.Complement()
	bound := s.bound
	s.bound = make(map[ast.Var]bool, len(bound))
	for v, b := range bound {
		s.bound[v] = b
	}
	defer func() { s.bound = bound }()
	b, err := s.body(ast.NewBody(inner))
	if err != nil {
		return nil, err
	}
	return test(func(m *machine, f []*ast.Term) bool { return !b.holds(m, f) && !m.unsure }), nil
}

// truth holds when a term is defined and not false.
func (s *scope) truth(t *ast.Term) (step, error) {
	if ref, ok := t.Value.(ast.Ref); ok && s.loops(ref) {
		return s.each(ref, isTrue)
	}
	get, err := s.term(t)
	if err != nil {
		return nil, err
	}
	return test(func(m *machine, f []*ast.Term) bool {
		v := get(m, f)
		return v != nil && isTrue(m, f, v)
	}), nil
}

func isTrue(_ *machine, _ []*ast.Term, v *ast.Term) bool {
	b, ok := v.Value.(ast.Boolean)
	return !ok || bool(b)
}

// unify is a = b.
func (s *scope) unify(a, b *ast.Term) (step, error) {
	if _, free := s.free(b); free {
		a, b = b, a
	}
	if ref, ok := a.Value.(ast.Ref); ok && s.loops(ref) {
		a, b = b, a
	}
	if ref, ok := b.Value.(ast.Ref); ok && s.loops(ref) {
		// The one side is looped over; the other, if it is a variable, is what is found.
		if v, free := s.free(a); free {
			if slices.ContainsFunc(ref, func(t *ast.Term) bool { return t.Value.Compare(v) == 0 }) {
				return nil, left("%s is looked for within itself", v)
			}
			st, err := s.each(ref, s.set(v))
			s.bound[v] = true
			return st, err
		}
		with, err := s.term(a)
		if err != nil {
			return nil, err
		}
		return s.each(ref, func(m *machine, f []*ast.Term, v *ast.Term) bool {
			w := with(m, f)
			return w != nil && w.Value.Compare(v.Value) == 0
		})
	}
	right, err := s.term(b)
	if err != nil {
		return nil, err
	}
	accept, err := s.accept(a)
	if err != nil {
		return nil, err
	}
	return test(func(m *machine, f []*ast.Term) bool {
		v := right(m, f)
		return v != nil && accept(m, f, v)
	}), nil
}

// accept is what is done with a value: a variable without one takes it, all else
// must be the same.
func (s *scope) accept(t *ast.Term) (func(m *machine, f []*ast.Term, v *ast.Term) bool, error) {
	if v, free := s.free(t); free {
		set := s.set(v)
		s.bound[v] = true
		return set, nil
	}
	want, err := s.term(t)
	if err != nil {
		return nil, err
	}
	return func(m *machine, f []*ast.Term, v *ast.Term) bool {
		w := want(m, f)
		return w != nil && w.Value.Compare(v.Value) == 0
	}, nil
}

func (s *scope) set(v ast.Var) func(m *machine, f []*ast.Term, v *ast.Term) bool {
	i := s.slot(v)
	return func(_ *machine, f []*ast.Term, v *ast.Term) bool {
		f[i] = v
		return true
	}
}
