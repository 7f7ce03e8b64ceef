package filter

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/value"
)

// comparisons are the built-in functions that compare, and what they are with
// their operands exchanged.
var comparisons = map[string]struct{ op, mirrored Op }{
	"eq": {Eq, Eq}, "equal": {Eq, Eq}, "assign": {Eq, Eq}, "neq": {Ne, Ne},
	"lt": {Lt, Gt}, "lte": {Le, Ge}, "gt": {Gt, Lt}, "gte": {Ge, Le},
}

var textual = map[string]Op{"startswith": StartsWith, "endswith": EndsWith, "contains": Contains}

var typeTests = map[string]string{
	"is_string": "string", "is_number": "number", "is_boolean": "boolean", "is_null": "null", "is_array": "array", "is_object": "object",
}

// call translates a call of a built-in function. One that is written with its
// result behind its operands, f(x, y) for f(x) = y, is a comparison with it.
func (t *translator) call(e *ast.Expr, bound map[ast.Var]*ast.Term) (Cond, error) {
	name := e.Operator().String()
	args := make([]*ast.Term, len(e.Operands()))
	for i, o := range e.Operands() {
		args[i] = resolve(o, bound)
	}
	b := ast.BuiltinMap[name]
	if cmp, ok := comparisons[name]; ok && len(args) == 2 {
		return t.compare(e, cmp.op, cmp.mirrored, args[0], args[1], bound)
	}
	if b == nil {
		return Cond{}, untranslatable(e, "a function over rows that cannot be taken apart")
	}
	arity := len(b.Decl.FuncArgs().Args)
	switch {
	case name == ast.JSONMarshal.Name && len(args) == arity+1:
		return t.marshalled(e, args[0], args[1])
	case len(args) == arity+1:
		if v, ok := constant(args[arity]); ok && v.Kind == value.Bool {
			c, err := t.predicate(e, name, args[:arity])
			if err != nil {
				return Cond{}, err
			}
			if !v.IsTrue() {
				c = not(c)
			}
			return c, nil
		}
	case len(args) == arity:
		return t.predicate(e, name, args)
	}
	return Cond{}, untranslatable(e, "this function of a row has no counterpart")
}

// compare translates a comparison of two terms.
func (t *translator) compare(e *ast.Expr, op, mirrored Op, a, b *ast.Term, bound map[ast.Var]*ast.Term) (Cond, error) {
	if v, ok := a.Value.(ast.Var); ok && op == Eq {
		return t.name(e, v, b, bound)
	}
	if v, ok := b.Value.(ast.Var); ok && op == Eq {
		return t.name(e, v, a, bound)
	}
	if c, ok, err := t.marshalOperand(e, op, a, b); ok || err != nil {
		return c, err
	}
	fa, aIsField := t.fieldOf(a)
	fb, bIsField := t.fieldOf(b)
	va, aIsConst := constant(a)
	vb, bIsConst := constant(b)
	switch {
	case aIsField && bIsField:
		return Cond{Op: op, Field: fa, Other: fb}, nil
	case aIsField && bIsConst:
		return scalar(e, Cond{Op: op, Field: fa, Value: vb})
	case aIsConst && bIsField:
		return scalar(e, Cond{Op: mirrored, Field: fb, Value: va})
	case aIsConst && bIsConst:
		c := Cond{Op: op, Value: vb}
		switch c.on(&va) {
		case yes:
			return always, nil
		case no:
			return never, nil
		case unknown:
		}
	}
	return Cond{}, untranslatable(e, "compares what is neither a field nor known")
}

func scalar(e *ast.Expr, c Cond) (Cond, error) {
	if c.Value.Kind >= value.Array {
		return Cond{}, untranslatable(e, "compares a field with a list or an object")
	}
	return c, nil
}

// name lets a variable stand for a term, which must be there.
func (t *translator) name(e *ast.Expr, v ast.Var, term *ast.Term, bound map[ast.Var]*ast.Term) (Cond, error) {
	if other, isVar := term.Value.(ast.Var); isVar && other.Equal(v) {
		return always, nil
	}
	bound[v] = term
	if f, ok := t.fieldOf(term); ok {
		return Cond{Op: Exists, Field: f}, nil
	}
	if _, ok := constant(term); ok {
		return always, nil
	}
	return Cond{}, untranslatable(e, "gives a name to what is neither a field nor known")
}

func (t *translator) fieldOf(term *ast.Term) (Field, bool) {
	r, ok := term.Value.(ast.Ref)
	if !ok {
		return nil, false
	}
	return t.field(r)
}

// predicate translates a function that says yes or no.
func (t *translator) predicate(e *ast.Expr, name string, args []*ast.Term) (Cond, error) {
	if want, ok := typeTests[name]; ok {
		if f, ok := t.fieldOf(args[0]); ok {
			return Cond{Op: Type, Field: f, Value: value.Value{Kind: value.String, Text: want}}, nil
		}
		if v, ok := constant(args[0]); ok {
			if v.Kind.String() == want {
				return always, nil
			}
			return never, nil
		}
	}
	if op, ok := textual[name]; ok {
		f, isField := t.fieldOf(args[0])
		v, isConst := constant(args[1])
		if isField && isConst && v.Kind == value.String {
			return Cond{Op: op, Field: f, Value: v}, nil
		}
	}
	if name == ast.Member.Name {
		return t.member(e, args[0], args[1])
	}
	return Cond{}, untranslatable(e, fmt.Sprintf("%s of a row has no counterpart", name))
}

func (t *translator) member(e *ast.Expr, element, list *ast.Term) (Cond, error) {
	f, isField := t.fieldOf(element)
	v, isConst := constant(list)
	switch {
	case isField && isConst && v.Kind == value.Array:
		for i := range v.Kids {
			if v.Kids[i].Kind >= value.Array {
				return Cond{}, untranslatable(e, "looks for a field in lists of lists")
			}
		}
		if len(v.Kids) == 0 {
			return never, nil
		}
		return Cond{Op: In, Field: f, Value: v}, nil
	case isField && isConst && v.Kind == value.Object:
		kids := make([]value.Value, len(v.Kids))
		for i := range v.Kids {
			kids[i] = v.Kids[i]
			kids[i].Name = ""
		}
		return t.member(e, element, ast.NewTerm(ast.MustInterfaceToValue((&value.Value{Kind: value.Array, Kids: kids}).ToAny())))
	}
	f, isField = t.fieldOf(list)
	v, isConst = constant(element)
	if isField && isConst && v.Kind < value.Array {
		return Cond{Op: Has, Field: f, Value: v}, nil
	}
	return Cond{}, untranslatable(e, "this membership has no counterpart")
}

// marshalled translates json.marshal(field) = text, by which ids are compared
// whatever their type is: the field is the value that the text is written of.
func (t *translator) marshalled(e *ast.Expr, field, text *ast.Term) (Cond, error) {
	f, isField := t.fieldOf(field)
	v, isConst := constant(text)
	if !isField || !isConst {
		return Cond{}, untranslatable(e, "json.marshal of a row is compared with what is not known")
	}
	if v.Kind != value.String {
		return never, nil
	}
	want, _ := value.JSON([]byte(v.Text), value.Limits{})
	if want == nil || want.Kind >= value.Array || string(value.Append(nil, want)) != v.Text {
		return never, nil // no scalar is written so
	}
	return Cond{Op: Eq, Field: f, Value: *want}, nil
}

// marshalOperand is marshalled for json.marshal(field) == text, written as a comparison.
func (t *translator) marshalOperand(e *ast.Expr, op Op, a, b *ast.Term) (c Cond, is bool, err error) {
	for range 2 {
		if call, ok := a.Value.(ast.Call); ok && len(call) == 2 && call[0].String() == ast.JSONMarshal.Name {
			if op != Eq && op != Ne {
				return Cond{}, true, untranslatable(e, "orders json.marshal of a row")
			}
			c, err = t.marshalled(e, call[1], b)
			if err == nil && op == Ne {
				return Cond{}, true, untranslatable(e, "write not json.marshal(…) == …")
			}
			return c, true, err
		}
		a, b = b, a
	}
	return Cond{}, false, nil
}
