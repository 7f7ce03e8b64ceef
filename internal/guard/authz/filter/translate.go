package filter

import (
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/value"
)

// maxNodes bounds a condition: a policy that enumerates a table makes one as
// large as the table.
const maxNodes = 10_000

// ErrUntranslatable is in every error of Translate.
var ErrUntranslatable = errors.New("what the policy leaves open about a row cannot be translated")

// Translate makes a condition of what partial evaluation left: the queries, of
// which one must hold, and the rules that they refer to. unknowns are the
// references that stand for rows; with one of them a field is the path below it,
// with several the path below input.
func Translate(queries []ast.Body, support []*ast.Module, unknowns []ast.Ref) (Cond, error) {
	t := &translator{unknowns: unknowns, rules: map[string][]*ast.Rule{}}
	for _, m := range support {
		for _, r := range m.Rules {
			name := m.Package.Path.Extend(r.Head.Ref()).String()
			t.rules[name] = append(t.rules[name], r)
		}
	}
	c, err := t.any(queries, nil)
	if err != nil {
		return Cond{}, fmt.Errorf("%w: %w", ErrUntranslatable, err)
	}
	return c, nil
}

type translator struct {
	unknowns []ast.Ref
	rules    map[string][]*ast.Rule
	open     []string // rules being translated
	nodes    int
}

// any translates bodies of which one must hold.
func (t *translator) any(bodies []ast.Body, bound map[ast.Var]*ast.Term) (Cond, error) {
	out := make([]Cond, 0, len(bodies))
	for _, b := range bodies {
		c, err := t.all(b, bound)
		if err != nil {
			return Cond{}, err
		}
		out = append(out, c)
	}
	return or(out...), nil
}

// all translates one body. Variables that only give a name to a value are replaced.
func (t *translator) all(body ast.Body, outer map[ast.Var]*ast.Term) (Cond, error) {
	bound := map[ast.Var]*ast.Term{}
	for v, term := range outer {
		bound[v] = term
	}
	var out []Cond
	for _, e := range body {
		if t.nodes++; t.nodes > maxNodes {
			return Cond{}, fmt.Errorf("it has more than %d parts", maxNodes)
		}
		if e.Negated {
			positive := e.Complement()
			c, err := t.expr(positive, cloned(bound))
			if err != nil {
				return Cond{}, err
			}
			// OPA looks up the operands of a function before it negates the call: with a
			// field that is not there, neither the call holds nor its negation.
			if e.IsCall() && !e.IsEquality() {
				for _, o := range e.Operands() {
					if f, ok := t.fieldOf(resolve(o, bound)); ok {
						out = append(out, Cond{Op: Exists, Field: f})
					}
				}
			}
			out = append(out, not(c))
			continue
		}
		c, err := t.expr(e, bound)
		if err != nil {
			return Cond{}, err
		}
		out = append(out, c)
	}
	return and(out...), nil
}

func cloned(m map[ast.Var]*ast.Term) map[ast.Var]*ast.Term {
	out := make(map[ast.Var]*ast.Term, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func untranslatable(e fmt.Stringer, why string) error { return fmt.Errorf("%s: %s", e, why) }

// expr translates one expression that is not negated.
func (t *translator) expr(e *ast.Expr, bound map[ast.Var]*ast.Term) (Cond, error) {
	if len(e.With) > 0 {
		return Cond{}, untranslatable(e, `"with" on rows is not supported`)
	}
	switch terms := e.Terms.(type) {
	case *ast.Term:
		return t.truth(e, resolve(terms, bound), bound)
	case []*ast.Term:
		return t.call(e, bound)
	case *ast.Every:
		return Cond{}, untranslatable(e, `"every" over rows is not supported`)
	}
	return Cond{}, untranslatable(e, "is not supported")
}

// resolve replaces a variable that stands for something.
func resolve(term *ast.Term, bound map[ast.Var]*ast.Term) *ast.Term {
	for {
		v, ok := term.Value.(ast.Var)
		if !ok || bound[v] == nil {
			return term
		}
		term = bound[v]
	}
}

// truth translates a value that stands alone: it holds when it is there and is not false.
func (t *translator) truth(e *ast.Expr, term *ast.Term, bound map[ast.Var]*ast.Term) (Cond, error) {
	switch v := term.Value.(type) {
	case ast.Boolean:
		if v {
			return always, nil
		}
		return never, nil
	case ast.Ref:
		if f, ok := t.field(v); ok {
			return Cond{Op: Truthy, Field: f}, nil
		}
		if v.HasPrefix(ast.DefaultRootRef) {
			return t.rule(e, v)
		}
	case ast.Call:
		return t.call(&ast.Expr{Terms: []*ast.Term(v), Location: e.Location}, bound)
	default:
		if term.IsGround() {
			return always, nil
		}
	}
	return Cond{}, untranslatable(e, "is not supported")
}

// rule translates a rule of the support modules: one of its bodies must hold.
func (t *translator) rule(e *ast.Expr, ref ast.Ref) (Cond, error) {
	name := ref.String()
	rules := t.rules[name]
	if len(rules) == 0 {
		return Cond{}, untranslatable(e, "this rule cannot be taken apart; one with else, or with a function over rows?")
	}
	for _, o := range t.open {
		if o == name {
			return Cond{}, untranslatable(e, "refers to itself")
		}
	}
	t.open = append(t.open, name)
	defer func() { t.open = t.open[:len(t.open)-1] }()
	var list []Cond
	for _, r := range rules {
		isTrue := r.Head.Value != nil && r.Head.Value.Value.Compare(ast.Boolean(true)) == 0
		isFalse := r.Head.Value != nil && r.Head.Value.Value.Compare(ast.Boolean(false)) == 0
		switch {
		case r.Default && isFalse:
			continue
		case r.Default || !isTrue || r.Else != nil || len(r.Head.Args) > 0 || r.Head.Key != nil:
			return Cond{}, untranslatable(e, "a rule about rows must be true or undefined, without else")
		}
		c, err := t.all(r.Body, nil)
		if err != nil {
			return Cond{}, err
		}
		list = append(list, c)
	}
	return or(list...), nil
}

// field is the path of a reference into a row.
func (t *translator) field(r ast.Ref) (Field, bool) {
	for _, u := range t.unknowns {
		if !r.HasPrefix(u) || len(r) == len(u) {
			continue
		}
		from := len(u)
		if len(t.unknowns) > 1 {
			from = 1
		}
		var f Field
		for _, term := range r[from:] {
			s, ok := term.Value.(ast.String)
			if !ok {
				return nil, false
			}
			f = append(f, string(s))
		}
		return f, true
	}
	return nil, false
}

// constant is a term that does not depend on rows.
func constant(term *ast.Term) (value.Value, bool) {
	if !term.IsGround() {
		return value.Value{}, false
	}
	v := term.Value
	if s, ok := v.(ast.Set); ok {
		v = s.Sorted()
	}
	switch v.(type) {
	case ast.Ref, ast.Call, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
		return value.Value{}, false
	}
	j, err := ast.JSON(v)
	if err != nil {
		return value.Value{}, false
	}
	return value.FromAny(j), true
}
