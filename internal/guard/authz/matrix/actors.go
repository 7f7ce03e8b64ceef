package matrix

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/spec"
)

// maxActors bounds the table; beyond it the first by name are taken, and Derive says so.
const maxActors = 64

// words are the roles and scopes that policies, document and config name.
type wordList struct {
	roles, scopes []string
	found         []Word
}

// Word is a role or scope that a policy names.
type Word struct {
	Kind string // "role" or "scope"
	Text string
	At   *ast.Location
}

// Named are the roles and scopes that a document and a config name: demanded by
// operations, declared by schemes, in extensions and overrides.
func Named(api *spec.API, overrides []config.OperationOverride) (roles, scopes []string) {
	w := namedBy(api, overrides)
	for _, s := range api.SecuritySchemes {
		for scope := range s.Scopes {
			w.add("scope", scope)
		}
	}
	return w.roles, w.scopes
}

// NamedIn are the roles and scopes that policies name, with their places.
func NamedIn(modules map[string]*ast.Module) []Word {
	w := &wordList{}
	w.namedIn(modules)
	return w.found
}

func (w *wordList) add(kind, word string) {
	list := &w.roles
	if kind == "scope" {
		list = &w.scopes
	}
	if word != "" && !slices.Contains(*list, word) {
		*list = append(*list, word)
	}
}

// namedBy gathers the words of the document and the config.
func namedBy(api *spec.API, overrides []config.OperationOverride) *wordList {
	w := &wordList{}
	for _, o := range overrides {
		for _, r := range o.Roles {
			w.add("role", r)
		}
		for _, list := range o.WritableBy {
			for _, r := range list {
				w.add("role", r)
			}
		}
	}
	for _, op := range api.Operations {
		for _, alternative := range op.Security {
			for _, use := range alternative {
				scoped := use.Scheme.Type == "oauth2" || use.Scheme.Type == "openIdConnect"
				for _, s := range use.Scopes {
					if scoped {
						w.add("scope", s)
					} else {
						w.add("role", s)
					}
				}
			}
		}
		for name, v := range op.Extensions {
			if kind := kindOf(name); kind != "" {
				eachText(v, func(s string) { w.add(kind, s) })
			}
		}
	}
	return w
}

// kindOf tells by a name whether it is about roles or scopes.
func kindOf(name string) string {
	switch name = strings.ToLower(name); {
	case strings.Contains(name, "role"):
		return "role"
	case strings.Contains(name, "scope"):
		return "scope"
	}
	return ""
}

func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, e := range v {
			eachText(e, f)
		}
	}
}

// namedIn adds what the policies name: texts that are compared with the caller's
// roles or scopes, or handed to functions about them.
func (w *wordList) namedIn(modules map[string]*ast.Module) {
	for _, m := range modules {
		ast.WalkRules(m, func(r *ast.Rule) bool {
			// Variables that stand for a role: some role in input.identity.roles.
			vars := map[ast.Var]string{}
			ast.WalkExprs(r, func(e *ast.Expr) bool {
				if kind := exprKind(e, nil); kind != "" {
					for v := range named(e) {
						vars[v] = kind
					}
				}
				return false
			})
			if kind := kindOf(string(r.Head.Name)); kind != "" && len(r.Head.Args) > 0 {
				for _, a := range r.Head.Args {
					if v, ok := a.Value.(ast.Var); ok {
						vars[v] = kind
					}
				}
			}
			ast.WalkExprs(r, func(e *ast.Expr) bool {
				if kind := exprKind(e, vars); kind != "" {
					w.literals(e, kind)
				}
				return false
			})
			return false
		})
	}
}

// exprKind says whether an expression is about roles or scopes: by the input that
// it looks at, the function that it calls, or a variable that stands for one.
func exprKind(e *ast.Expr, vars map[ast.Var]string) string {
	kind := ""
	see := func(k string) {
		if kind == "" {
			kind = k
		}
	}
	if e.IsCall() {
		if op := e.Operator(); len(op) > 1 {
			if s, ok := op[len(op)-1].Value.(ast.String); ok {
				see(kindOf(string(s)))
			}
		} else if len(op) == 1 {
			see(kindOf(op.String()))
		}
	}
	ast.WalkRefs(e, func(r ast.Ref) bool {
		if len(r) > 2 && r[0].Equal(ast.InputRootDocument) {
			if s, ok := r[2].Value.(ast.String); ok && r[1].Value.Compare(ast.String("identity")) == 0 {
				see(kindOf(string(s)))
			}
		}
		return false
	})
	for v := range named(e) {
		see(vars[v])
	}
	return kind
}

// named are the variables of an expression, without those that references begin with.
func named(e *ast.Expr) ast.VarSet {
	visitor := ast.NewVarVisitor().WithParams(ast.VarVisitorParams{SkipRefHead: true, SkipRefCallHead: true})
	visitor.Walk(e)
	out := ast.NewVarSet()
	for v := range visitor.Vars() {
		if !v.IsWildcard() {
			out.Add(v)
		}
	}
	return out
}

// literals adds the texts that stand in an expression by themselves, not as steps of references.
func (w *wordList) literals(e *ast.Expr, kind string) {
	steps := map[*ast.Term]bool{}
	ast.WalkRefs(e, func(r ast.Ref) bool {
		for _, t := range r {
			steps[t] = true
		}
		return false
	})
	ast.WalkTerms(e, func(t *ast.Term) bool {
		if s, ok := t.Value.(ast.String); ok && !steps[t] {
			w.add(kind, string(s))
			w.found = append(w.found, Word{kind, string(s), t.Location})
		}
		return false
	})
}

// actors are the callers of the table. Roles come with all scopes, so that their
// cells show what the role does; scopes without a role.
func (w *wordList) actors() []Actor {
	slices.Sort(w.roles)
	slices.Sort(w.scopes)
	out := []Actor{
		{Name: "anonymous", Means: "nobody is identified", anonymous: true},
		{Name: "user", Means: "signed in, without a role or scope"},
	}
	means := "signed in with this role"
	if len(w.scopes) > 0 {
		means += " and every scope"
	}
	for _, r := range w.roles {
		out = append(out, Actor{Name: "role " + r, Means: means, roles: []string{r}, scopes: w.scopes})
	}
	for _, s := range w.scopes {
		out = append(out, Actor{Name: "scope " + s, Means: "signed in with this scope alone, without a role", scopes: []string{s}})
	}
	if len(w.scopes) > 1 {
		out = append(out, Actor{Name: "scopes", Means: "signed in with every scope, without a role", scopes: w.scopes})
	}
	return out
}
