package graph

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

func bodyContent(op *Op) []*spec.MediaType {
	if op.Body == nil {
		return nil
	}
	return op.Body.Content
}

// Op finds an operation by its method and path template, nil when there is none.
func (g *Graph) Op(method, path string) *Op {
	return g.byRoute[strings.ToUpper(method)+" "+path]
}

// At lists the operations of a path template, in document order.
func (g *Graph) At(path string) []*Op { return g.byPath[path] }

// Resource finds a resource by its name, nil when there is none.
func (g *Graph) Resource(name string) *Resource { return g.byName[name] }

// Spoken finds the resource that an input refers to, nil when it refers to none of
// those that operations speak of.
func (g *Graph) Spoken(in *Input) *Resource {
	if in.Object == nil {
		return nil
	}
	if r := g.byName[in.Object.Resource]; r != nil && r.spoken {
		return r
	}
	return nil
}

// For lists the operations that are for a purpose with at least an even chance,
// the likeliest first.
func (g *Graph) For(p Purpose) []*Op {
	var out []*Op
	for _, op := range g.Ops {
		if op.Has(p) {
			out = append(out, op)
		}
	}
	slices.SortStableFunc(out, func(a, b *Op) int { return cmp.Compare(b.Purposes[p].Score, a.Purposes[p].Score) })
	return out
}

// People are the resources that are callers themselves, those with most operations first.
func (g *Graph) People() []*Resource {
	return g.where(func(r *Resource) bool { return r.IsPerson })
}

// Tenants are the resources that are houses of many callers.
func (g *Graph) Tenants() []*Resource {
	return g.where(func(r *Resource) bool { return r.IsTenant })
}

func (g *Graph) where(is func(*Resource) bool) []*Resource {
	var out []*Resource
	for _, r := range g.Resources {
		if is(r) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *Resource) int { return len(b.Ops) - len(a.Ops) })
	return out
}

// Input finds one of op's inputs by what Where calls it, nil when there is none.
func (op *Op) Input(where string) *Input {
	for _, in := range op.Inputs {
		if in.Where() == where {
			return in
		}
	}
	return nil
}

// Calls reports whether op's path is the name of a remote procedure ("/invoice.get"),
// which says what is done.
func (op *Op) Calls() bool { return op.route.calls() }

// Reads reports whether op changes nothing, as far as its method and kind say.
func (op *Op) Reads() bool {
	switch op.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return op.Kind != Delete && op.Kind != Create && op.Kind != Update
	case http.MethodPost: // "/invoice.get", "/getInvoice"
		return op.Kind == Read || op.Kind == List
	}
	return false
}

// RoleLists are the lists of roles that the description has: the values of each field
// that is called a role, each list once.
func (g *Graph) RoleLists() [][]string { return g.roleLists }

func (b *builder) roleLists() [][]string {
	var out [][]string
	add := func(name string, list []string) {
		if words := spec.Words(name); len(words) == 0 || spec.Singular(words[len(words)-1]) != "role" {
			return
		}
		if len(list) > 1 && !slices.ContainsFunc(out, func(l []string) bool { return slices.Equal(l, list) }) {
			out = append(out, list)
		}
	}
	for _, op := range b.g.Ops {
		for _, in := range op.Inputs {
			if in.Schema == nil {
				continue
			}
			var list []string
			for _, v := range in.Schema.Rules().Enum {
				list = append(list, v.Text)
			}
			add(in.Name, list)
		}
		for _, o := range op.Outputs {
			add(o.Name, o.Values)
		}
	}
	return out
}

// Paths are the paths of the resource's objects as the description writes them, in parts,
// each up to the variable that names one: ["v1", "orders", "{id}"].
func (r *Resource) Paths() [][]string { return r.paths }

func (r *Resource) findPaths() {
	for _, op := range r.Ops {
		if !op.OnObject {
			continue
		}
		for _, p := range slices.Backward(op.PathParams) {
			in := op.Input("path." + p.Name)
			if in == nil || in.Object == nil || in.Object.Resource != r.Name {
				continue
			}
			variable := "{" + p.Name + "}"
			before, _, _ := strings.Cut(op.Path, variable)
			parts := strings.Split(strings.Trim(before+variable, "/"), "/")
			if !slices.ContainsFunc(r.paths, func(o []string) bool { return slices.Equal(o, parts) }) {
				r.paths = append(r.paths, parts)
			}
			break
		}
	}
}
