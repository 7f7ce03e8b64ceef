package straight

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// The built-in functions that programs call: those whose result hangs on their
// operands alone. The commonest are done here.
var (
	yes = ast.InternedTerm(true)
	no  = ast.InternedTerm(false)

	native = map[string]func(a []*ast.Term) *ast.Term{
		ast.Equal.Name:         compared(func(n int) bool { return n == 0 }),
		ast.NotEqual.Name:      compared(func(n int) bool { return n != 0 }),
		ast.LessThan.Name:      compared(func(n int) bool { return n < 0 }),
		ast.LessThanEq.Name:    compared(func(n int) bool { return n <= 0 }),
		ast.GreaterThan.Name:   compared(func(n int) bool { return n > 0 }),
		ast.GreaterThanEq.Name: compared(func(n int) bool { return n >= 0 }),
		ast.Member.Name:        func(a []*ast.Term) *ast.Term { return boolean(contains(a[1], a[0])) },
		ast.IsNumber.Name:      is[ast.Number],
		ast.IsString.Name:      is[ast.String],
		ast.IsBoolean.Name:     is[ast.Boolean],
		ast.IsArray.Name:       is[*ast.Array],
		ast.IsObject.Name:      is[ast.Object],
		ast.IsSet.Name:         is[ast.Set],
		ast.IsNull.Name:        is[ast.Null],
	}

	pure = []*ast.Builtin{
		ast.Count, ast.Sum, ast.Max, ast.Min, ast.Plus, ast.Minus, ast.Multiply, ast.Divide, ast.Rem, ast.Abs,
		ast.StartsWith, ast.EndsWith, ast.Contains, ast.Lower, ast.Upper, ast.Concat, ast.Split, ast.Substring,
		ast.Trim, ast.TrimLeft, ast.TrimPrefix, ast.TrimRight, ast.TrimSuffix, ast.TrimSpace,
		ast.ToNumber, ast.JSONMarshal, ast.ObjectGet, ast.ArrayConcat, ast.Intersection, ast.Union, ast.And, ast.Or,
	}
)

func boolean(b bool) *ast.Term {
	if b {
		return yes
	}
	return no
}

func compared(holds func(int) bool) func(a []*ast.Term) *ast.Term {
	return func(a []*ast.Term) *ast.Term { return boolean(holds(a[0].Value.Compare(a[1].Value))) }
}

func is[V ast.Value](a []*ast.Term) *ast.Term {
	_, ok := a[0].Value.(V)
	return boolean(ok)
}

func contains(collection, t *ast.Term) bool {
	switch c := collection.Value.(type) {
	case ast.Set:
		return c.Contains(t)
	case *ast.Array:
		return c.Until(func(e *ast.Term) bool { return e.Value.Compare(t.Value) == 0 })
	case ast.Object:
		return c.Until(func(_, e *ast.Term) bool { return e.Value.Compare(t.Value) == 0 })
	}
	return false
}

// call is a built-in function, as a condition or with a result.
func (s *scope) call(terms []*ast.Term) (step, error) {
	name := terms[0].Value.String()
	b := ast.BuiltinMap[name]
	if b == nil {
		return nil, left("%s is called", name)
	}
	f := native[name]
	if f == nil {
		known := false
		for _, p := range pure {
			known = known || p == b
		}
		of := topdown.GetBuiltin(name)
		if !known || of == nil {
			return nil, left("%s is called", name)
		}
		f = func(a []*ast.Term) *ast.Term {
			var out *ast.Term
			// What it refuses it leaves without a result, and that is OPA's to judge.
			if err := of(topdown.BuiltinContext{}, a, func(t *ast.Term) error { out = t; return nil }); err != nil {
				return nil
			}
			return out
		}
	}
	n := b.Decl.Arity()
	if len(terms) < n+1 || len(terms) > n+2 {
		return nil, left("%s has another number of operands", name)
	}
	operands := make([]term, n)
	for i := range operands {
		var err error
		if operands[i], err = s.term(terms[i+1]); err != nil {
			return nil, err
		}
	}
	accept := isTrue
	if len(terms) == n+2 {
		var err error
		if accept, err = s.accept(terms[n+1]); err != nil {
			return nil, err
		}
	}
	return test(func(m *machine, fr []*ast.Term) bool {
		from := len(m.args)
		defer func() { m.args = m.args[:from] }()
		for _, o := range operands {
			v := o(m, fr)
			if v == nil {
				return false
			}
			m.args = append(m.args, v)
		}
		if !m.charge(m.args[from:]) {
			return false
		}
		v := f(m.args[from:])
		if v == nil {
			m.unsure = true
			return false
		}
		return accept(m, fr, v)
	}), nil
}
