package matrix

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/spec"
)

// cast is who and what takes part in the calls of one operation. All names are
// such that the operation's schemas accept them where they stand.
type cast struct {
	subject, colleague, stranger, nobody string
	tenant, elsewhere                    string
	objects                              []string // ids in the call that are of no owner
}

// owner is whom the object belongs to in a relation, of is "subject" or "tenant".
func (c *cast) owner(of, relation string) string {
	if of == "tenant" {
		switch relation {
		case Own, Tenant:
			return c.tenant
		case Other:
			return c.elsewhere
		}
		return c.nobody
	}
	switch relation {
	case Own:
		return c.subject
	case Tenant:
		return c.colleague
	case Other:
		return c.stranger
	}
	return c.nobody
}

// kind says what an id is.
func (c *cast) kind(id string) string {
	switch {
	case slices.Contains(c.objects, id):
		return "object"
	case id == c.subject:
		return "subject"
	case id == c.tenant:
		return "tenant"
	}
	return ""
}

// owned is what a table says of the call's object, like what it says of others.
func (c *cast) owned(name string, like ast.Value, relation string) ast.Value {
	of, _ := spec.NamesOwner(name)
	who := c.owner(of, relation)
	switch like := like.(type) {
	case ast.Number:
		if number(who) {
			return ast.Number(who)
		}
	case *ast.Array:
		return ast.NewArray(ast.StringTerm(who))
	case ast.Object:
		return c.record(like, relation)
	}
	return ast.String(who)
}

// record is a record of the object with the owners of a relation in it.
func (c *cast) record(like ast.Object, relation string) ast.Value {
	out := ast.NewObject()
	like.Foreach(func(k, t *ast.Term) {
		name, _ := k.Value.(ast.String)
		of, names := spec.NamesOwner(withoutID(string(name)))
		if !names {
			out.Insert(k, t)
			return
		}
		who := c.owner(of, relation)
		switch t.Value.(type) {
		case ast.Number:
			if number(who) {
				out.Insert(k, ast.NewTerm(ast.Number(who)))
				return
			}
		case *ast.Array:
			out.Insert(k, ast.NewTerm(ast.NewArray(ast.StringTerm(who))))
			return
		}
		out.Insert(k, ast.StringTerm(who))
	})
	return out
}

// belongings is what a table says of the caller: a list of what is theirs, or a record.
func (c *cast) belongings(name string, like ast.Value, has bool, roles []string) ast.Value {
	switch like := like.(type) {
	case ast.Object:
		out := ast.NewObject()
		known := false
		like.Foreach(func(k, t *ast.Term) {
			key, _ := k.Value.(ast.String)
			switch of, names := spec.NamesOwner(withoutID(string(key))); {
			case strings.Contains(string(key), "role"):
				known = true
				out.Insert(k, ast.NewTerm(texts(roles)))
			case names && of == "tenant":
				known = true
				out.Insert(k, ast.StringTerm(c.tenant))
			default:
				out.Insert(k, t)
			}
		})
		if known {
			return out
		}
		out = ast.NewObject()
		if has {
			for _, id := range c.objects {
				out.Insert(ast.StringTerm(id), ast.BooleanTerm(true))
			}
		}
		return out
	case ast.String, ast.Number, ast.Boolean:
		if of, _ := spec.NamesOwner(name); of == "tenant" {
			return ast.String(c.tenant)
		}
		return like
	}
	if strings.Contains(name, "role") {
		return texts(roles)
	}
	if has {
		return texts(c.objects)
	}
	return ast.NewArray()
}

func texts(list []string) *ast.Array {
	out := make([]*ast.Term, len(list))
	for i, s := range list {
		out[i] = ast.StringTerm(s)
	}
	return ast.NewArray(out...)
}

// withoutID is the noun of an identifier's name: customer of customer_id.
func withoutID(name string) string {
	for _, end := range []string{"_id", "Id", "ID", "_uuid"} {
		if noun, ok := strings.CutSuffix(name, end); ok && noun != "" {
			return noun
		}
	}
	return name
}

func number(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == "" && s[0] != '0'
}
