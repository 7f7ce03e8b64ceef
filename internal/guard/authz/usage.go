package authz

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// usage says which parts of the input a policy can ever look at, so that the
// others need not be built, and a body that no rule looks at need not be read.
// It errs towards more: an input that is passed on whole is used whole.
type usage struct {
	all   bool
	parts map[string]map[string]bool // part → field; a nil map means the whole part
}

func (u usage) part(name string) bool {
	_, ok := u.parts[name]
	return u.all || ok
}

func (u usage) field(part, name string) bool {
	fields, ok := u.parts[part]
	return u.all || ok && (fields == nil || fields[name])
}

// inputUsage finds all references to input in the rules that a decision can
// come to.
func inputUsage(c *ast.Compiler, decision ast.Ref) usage {
	u := usage{parts: map[string]map[string]bool{}}
	root := ast.InputRootDocument.Value
	inRef := map[*ast.Term]bool{}
	look := func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Ref:
			inRef[v[0]] = true
			if v[0].Value.Compare(root) == 0 {
				u.see(v)
			}
		case ast.Var:
			if v.Compare(root) == 0 && !inRef[t] {
				u.all = true
			}
		}
		return false
	}
	for r := range Reached(c, c.GetRules(decision)...) {
		ast.WalkTerms(r, look)
	}
	return u
}

// Reached are the rules that rules can come to, these among them.
func Reached(c *ast.Compiler, from ...*ast.Rule) map[*ast.Rule]bool {
	seen := map[*ast.Rule]bool{}
	var follow func(r *ast.Rule)
	follow = func(r *ast.Rule) {
		if seen[r] {
			return
		}
		seen[r] = true
		if r.Else != nil {
			follow(r.Else)
		}
		for next := range c.Graph.Dependencies(r) {
			if n, ok := next.(*ast.Rule); ok {
				follow(n)
			}
		}
	}
	for _, r := range from {
		follow(r)
	}
	return seen
}

func (u *usage) see(r ast.Ref) {
	if len(r) < 2 {
		u.all = true
		return
	}
	part, ok := r[1].Value.(ast.String)
	if !ok {
		u.all = true
		return
	}
	fields, seen := u.parts[string(part)]
	if seen && fields == nil {
		return
	}
	if len(r) < 3 {
		u.parts[string(part)] = nil
		return
	}
	field, ok := r[2].Value.(ast.String)
	if !ok {
		u.parts[string(part)] = nil
		return
	}
	if fields == nil {
		fields = map[string]bool{}
		u.parts[string(part)] = fields
	}
	fields[string(field)] = true
}
