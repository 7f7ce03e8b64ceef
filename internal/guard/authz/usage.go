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

// inputUsage finds all references to input in what was compiled.
func inputUsage(c *ast.Compiler) usage {
	u := usage{parts: map[string]map[string]bool{}}
	root := ast.InputRootDocument.Value
	see := func(r ast.Ref) {
		if r[0].Value.Compare(root) != 0 {
			return
		}
		u.see(r)
	}
	for _, m := range c.Modules {
		inRef := map[*ast.Term]bool{}
		ast.WalkTerms(m, func(t *ast.Term) bool {
			switch v := t.Value.(type) {
			case ast.Ref:
				see(v)
				inRef[v[0]] = true
			case ast.Var:
				if v.Equal(root) && !inRef[t] {
					u.all = true
				}
			}
			return false
		})
	}
	return u
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
