package mutation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// point is one place of a module that can be changed.
type point struct {
	row   int
	what  string // "dropped: lib.has_role(\"staff\")"
	apply func()
}

// points are all changes to a module. Applying one changes the module itself.
func points(m *ast.Module) []point {
	p := &pointer{module: m}
	for i, r := range m.Rules {
		text := fmt.Sprintf("rule %s removed", r.Head.Ref())
		if !r.Default {
			p.add(r.Location, text, func() { m.Rules = slices.Delete(m.Rules, i, i+1) })
		}
		p.head(r)
		for rule := r; rule != nil; rule = rule.Else {
			if rule.Default {
				continue
			}
			p.body(&rule.Body)
		}
	}
	return p.out
}

type pointer struct {
	module *ast.Module
	out    []point
}

func (p *pointer) add(at *ast.Location, what string, apply func()) {
	row := 0
	if at != nil {
		row = at.Row
	}
	p.out = append(p.out, point{row, what, apply})
}

// generated reports a body that a person did not write: decision := true.
func generated(b ast.Body) bool {
	if len(b) != 1 {
		return false
	}
	t, ok := b[0].Terms.(*ast.Term)
	return ok && t.Value.Compare(ast.Boolean(true)) == 0
}

func (p *pointer) body(b *ast.Body) {
	if generated(*b) {
		return
	}
	for i, e := range *b {
		text := source(e)
		_, declares := e.Terms.(*ast.SomeDecl)
		switch {
		case declares && e.Terms.(*ast.SomeDecl).Symbols != nil && !calls(e):
			continue // some x: a name and no condition
		case len(*b) > 1:
			p.add(e.Location, "dropped: "+text, func() { *b = slices.Delete(*b, i, i+1) })
		default:
			p.add(e.Location, "dropped: "+text, func() { (*b)[0] = ast.NewExpr(ast.BooleanTerm(true)) })
		}
		if !declares && !e.IsAssignment() {
			p.add(e.Location, "negated: "+text, func() { e.Negated = !e.Negated })
		}
		p.comparison(e)
		if !speaks(e) {
			p.literals(e)
		}
		switch t := e.Terms.(type) {
		case *ast.Every:
			p.body(&t.Body)
		case *ast.Term:
			p.comprehensions(t)
		case []*ast.Term:
			for _, term := range t {
				p.comprehensions(term)
			}
		}
	}
}

// calls reports whether a declaration is one with a collection: some x in xs.
func calls(e *ast.Expr) bool {
	d, ok := e.Terms.(*ast.SomeDecl)
	if !ok || len(d.Symbols) != 1 {
		return false
	}
	_, ok = d.Symbols[0].Value.(ast.Call)
	return ok
}

func (p *pointer) comprehensions(t *ast.Term) {
	switch v := t.Value.(type) {
	case *ast.ArrayComprehension:
		p.body(&v.Body)
	case *ast.SetComprehension:
		p.body(&v.Body)
	case *ast.ObjectComprehension:
		p.body(&v.Body)
	case ast.Call:
		for _, a := range v[1:] {
			p.comprehensions(a)
		}
	}
}

// neighbours of a comparison: what a slip would have made of it.
var neighbours = map[string]string{"equal": "neq", "neq": "equal", "lt": "lte", "lte": "lt", "gt": "gte", "gte": "gt"}

var symbols = map[string]string{"equal": "==", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}

func (p *pointer) comparison(e *ast.Expr) {
	terms, ok := e.Terms.([]*ast.Term)
	if !ok || len(terms) != 3 {
		return
	}
	op := terms[0].Value.String()
	other, ok := neighbours[op]
	if !ok || op == "equal" || op == "neq" { // to swap these is to negate
		return
	}
	p.add(e.Location, fmt.Sprintf("%s became %s: %s", symbols[op], symbols[other], source(e)), func() {
		terms[0] = ast.NewTerm(ast.Ref{ast.VarTerm(other)})
	})
}

// speaks reports an expression that only makes words for people.
func speaks(e *ast.Expr) bool {
	if !e.IsCall() {
		return false
	}
	for _, t := range e.Terms.([]*ast.Term) {
		if call, ok := t.Value.(ast.Call); ok && wording(call[0].Value.String()) {
			return true
		}
	}
	return wording(e.Operator().String())
}

func wording(name string) bool {
	return name == "sprintf" || name == "print" || name == "trace" || name == "concat"
}

// literals changes texts, numbers and booleans of a condition, and takes elements
// out of lists that stand in it.
func (p *pointer) literals(e *ast.Expr) {
	var walk func(t *ast.Term, set func(*ast.Term))
	walk = func(t *ast.Term, set func(*ast.Term)) {
		switch v := t.Value.(type) {
		case ast.String:
			p.add(orElse(t.Location, e.Location), fmt.Sprintf("%s became another text: %s", t, source(e)), func() { set(ast.StringTerm(string(v) + " (mutant)")) })
		case ast.Number:
			p.add(orElse(t.Location, e.Location), fmt.Sprintf("%s became one more: %s", t, source(e)), func() { set(ast.NumberTerm(more(v))) })
		case ast.Boolean:
			p.add(orElse(t.Location, e.Location), fmt.Sprintf("%s became %v: %s", t, !bool(v), source(e)), func() { set(ast.BooleanTerm(!bool(v))) })
		case ast.Set:
			v.Foreach(func(gone *ast.Term) {
				if ast.IsScalar(gone.Value) {
					p.add(orElse(t.Location, e.Location), fmt.Sprintf("%s taken out: %s", gone, source(e)), func() {
						left := ast.NewSet()
						v.Foreach(func(o *ast.Term) {
							if !o.Equal(gone) {
								left.Add(o)
							}
						})
						set(ast.NewTerm(left))
					})
				}
			})
		case *ast.Array:
			for i := range v.Len() {
				if gone := v.Elem(i); ast.IsScalar(gone.Value) {
					p.add(orElse(t.Location, e.Location), fmt.Sprintf("%s taken out: %s", gone, source(e)), func() {
						var left []*ast.Term
						for j := range v.Len() {
							if j != i {
								left = append(left, v.Elem(j))
							}
						}
						set(ast.NewTerm(ast.NewArray(left...)))
					})
				}
			}
		case ast.Call:
			for i := 1; i < len(v); i++ {
				walk(v[i], func(n *ast.Term) { v[i] = n })
			}
		}
	}
	switch terms := e.Terms.(type) {
	case []*ast.Term:
		for i := 1; i < len(terms); i++ {
			walk(terms[i], func(n *ast.Term) { terms[i] = n })
		}
	case *ast.SomeDecl:
		for _, s := range terms.Symbols {
			if call, ok := s.Value.(ast.Call); ok {
				for i := 1; i < len(call); i++ {
					walk(call[i], func(n *ast.Term) { call[i] = n })
				}
			}
		}
	}
}

func orElse(a, b *ast.Location) *ast.Location {
	if a != nil && a.Row > 0 {
		return a
	}
	return b
}

func more(n ast.Number) json.Number {
	if i, ok := n.Int64(); ok {
		return json.Number(strconv.FormatInt(i+1, 10))
	}
	f, _ := n.Float64()
	return json.Number(strconv.FormatFloat(f+1, 'g', -1, 64))
}

// head changes what a rule says: true for false, and obligations that it demands.
func (p *pointer) head(r *ast.Rule) {
	v := r.Head.Value
	if v == nil {
		return
	}
	switch val := v.Value.(type) {
	case ast.Boolean:
		// A rule without a value is one that is true: removing it says the same.
		if r.Default || !bool(val) {
			p.add(r.Location, fmt.Sprintf("%s became %v", r.Head.Ref(), !bool(val)), func() { r.Head.Value = ast.BooleanTerm(!bool(val)) })
		}
	case ast.Object:
		p.decision(r, val)
	}
}

func (p *pointer) decision(r *ast.Rule, val ast.Object) {
	val.Foreach(func(k, t *ast.Term) {
		key, _ := k.Value.(ast.String)
		switch v := t.Value.(type) {
		case ast.Boolean:
			p.add(orElse(t.Location, r.Location), fmt.Sprintf("%s became %v", string(key), !bool(v)), func() { r.Head.Value = ast.NewTerm(replaced(val, k, ast.BooleanTerm(!bool(v)))) })
		case ast.Object:
			if key != "obligations" {
				return
			}
			v.Foreach(func(name, _ *ast.Term) {
				p.add(orElse(name.Location, r.Location), fmt.Sprintf("obligation %s removed", name), func() {
					r.Head.Value = ast.NewTerm(replaced(val, k, ast.NewTerm(replaced(v, name, nil))))
				})
			})
		default:
			if key == "obligations" {
				p.add(orElse(t.Location, r.Location), "the obligations removed", func() { r.Head.Value = ast.NewTerm(replaced(val, k, nil)) })
			}
		}
	})
}

// replaced is an object with another value of a key, or without it.
func replaced(o ast.Object, key, with *ast.Term) ast.Object {
	out := ast.NewObject()
	o.Foreach(func(k, t *ast.Term) {
		switch {
		case !k.Equal(key):
			out.Insert(k, t)
		case with != nil:
			out.Insert(k, with)
		}
	})
	return out
}

// source is an expression as a person wrote it.
func source(e *ast.Expr) string {
	text := ""
	if e.Location != nil {
		text = strings.Join(strings.Fields(string(e.Location.Text)), " ")
	}
	if text == "" {
		text = e.String()
	}
	if len(text) > 100 {
		text = text[:97] + "..."
	}
	return text
}
