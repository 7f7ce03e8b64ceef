package authz

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// headerNames lists the request headers that policies write out as names of the
// obligation "headers". An upstream that reads one believes that it comes from a
// policy: where the policy sets none for a call, what the client sent under the name
// must not stand in for it (CWE-290). Names that are computed are not found.
func headerNames(modules map[string]*ast.Module) []string {
	f := headerFinder{names: map[string]bool{}, rules: map[string][]*ast.Rule{}, assigned: map[string][]*ast.Term{}, seen: map[string]bool{}}
	for _, m := range modules {
		for _, r := range m.Rules {
			for ; r != nil; r = r.Else {
				if ref := r.Head.Ref(); len(ref) > 0 {
					name := lastName(ref)
					f.rules[name] = append(f.rules[name], r)
				}
			}
		}
	}
	for _, m := range modules {
		ast.WalkExprs(m, func(e *ast.Expr) bool {
			if e.IsAssignment() || e.IsEquality() {
				f.assign(e.Operand(0), e.Operand(1))
				f.assign(e.Operand(1), e.Operand(0))
			}
			return false
		})
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if obj, ok := t.Value.(ast.Object); ok {
				if v := obj.Get(ast.StringTerm("headers")); v != nil {
					f.keys(v)
				}
			}
			return false
		})
	}
	for name, list := range f.rules {
		for _, r := range list {
			// headers["X-Plan"] := "pro", and headers := {"X-Plan": "pro"}
			ref := r.Head.Ref()
			for i := range ref[:len(ref)-1] {
				if text(ref[i]) == "headers" || ref[i].Value.Compare(ast.Var("headers")) == 0 {
					f.add(text(ref[i+1]))
				}
			}
			if name == "headers" && r.Head.Value != nil {
				f.keys(r.Head.Value)
			}
		}
	}
	return slices.Sorted(maps.Keys(f.names))
}

type headerFinder struct {
	names map[string]bool
	// What a name may stand for: rules by the last name of their reference, and what
	// is assigned to a variable, wherever that is.
	rules    map[string][]*ast.Rule
	assigned map[string][]*ast.Term
	seen     map[string]bool // names that were looked into
}

func (f *headerFinder) assign(to, what *ast.Term) {
	if v, ok := to.Value.(ast.Var); ok {
		f.assigned[string(v)] = append(f.assigned[string(v)], what)
	}
}

// keys takes the names of all objects that a term writes out, and of those that the
// rules give to which it refers.
func (f *headerFinder) keys(t *ast.Term) {
	ast.WalkTerms(t, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Object:
			v.Foreach(func(k, _ *ast.Term) { f.add(text(k)) })
			return true
		case ast.Var:
			f.named(string(v))
		case ast.Ref:
			f.named(lastName(v))
		}
		return false
	})
}

// named looks into all that a name may stand for.
func (f *headerFinder) named(name string) {
	if f.seen[name] {
		return
	}
	f.seen[name] = true
	for _, t := range f.assigned[name] {
		f.keys(t)
	}
	for _, r := range f.rules[name] {
		if r.Head.Value != nil {
			f.keys(r.Head.Value)
		}
		if r.Head.Key != nil {
			f.add(text(r.Head.Key))
		}
		if ref := r.Head.Ref(); len(ref) > 1 {
			f.add(text(ref[len(ref)-1]))
		}
	}
}

// clients are fields that clients have a right to send though a policy may change
// them (RFC 9110, Fetch, Trace Context), and those by which credentials come: what
// becomes of these is upstream.credentials' to say.
var clients = map[string]bool{
	"accept": true, "accept-charset": true, "accept-encoding": true, "accept-language": true, "authorization": true, "cache-control": true,
	"cookie": true, "date": true, "dnt": true, "from": true, "max-forwards": true, "origin": true, "pragma": true, "prefer": true, "priority": true,
	"range": true, "referer": true, "save-data": true, "sec-gpc": true, "traceparent": true, "tracestate": true, "user-agent": true,
}

// add takes a name, unless it is none of a header that only policies set.
func (f *headerFinder) add(name string) {
	lower := strings.ToLower(name)
	if name == "" || validHeader(name, "") != nil || clients[lower] || strings.HasPrefix(lower, "if-") || strings.HasPrefix(lower, "content-") {
		return
	}
	f.names[name] = true
}

// text is a term that is a text, "" for any other.
func text(t *ast.Term) string {
	s, _ := t.Value.(ast.String)
	return string(s)
}

// lastName is the last constant of a reference.
func lastName(ref ast.Ref) string {
	for i := len(ref) - 1; i > 0; i-- {
		if s, ok := ref[i].Value.(ast.String); ok {
			return string(s)
		}
	}
	head, _ := ref[0].Value.(ast.Var)
	return string(head)
}

// OwnHeaders are the request headers that the policy in force sets: none that a
// client sends may arrive at the upstream under their names. Read only.
func (g *Guard) OwnHeaders() []string {
	if g.engine == nil {
		return nil
	}
	if p := g.engine.current.Load(); p != nil {
		return p.headers
	}
	return nil
}
