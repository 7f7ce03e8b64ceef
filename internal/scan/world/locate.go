package world

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/value"
)

// objectIn finds the object of a resource in an answer: the answer itself, or a member.
func objectIn(v *value.Value, r *graph.Resource) (*value.Value, string) {
	return objectWithin(v, r, "", 0)
}

func objectWithin(v *value.Value, r *graph.Resource, at string, depth int) (*value.Value, string) {
	if depth > 3 {
		return nil, ""
	}
	if v.Kind == value.Array && len(v.Kids) == 1 {
		return objectWithin(&v.Kids[0], r, at+"/0", depth+1)
	}
	if v.Kind != value.Object {
		return nil, ""
	}
	try := func(k *value.Value) (*value.Value, string) {
		return objectWithin(k, r, at+"/"+value.EscapeToken(k.Name), depth+1)
	}
	named := func(k *value.Value) bool {
		return squeezed(singular(strings.ToLower(k.Name))) == squeezed(r.Name)
	}
	for i := range v.Kids {
		if k := &v.Kids[i]; k.Kind == value.Object && named(k) {
			if n, p := try(k); n != nil {
				return n, p
			}
		}
	}
	if len(idsOf(v, r)) > 0 {
		return v, at
	}
	for i := range v.Kids {
		if k := &v.Kids[i]; (k.Kind == value.Object || k.Kind == value.Array) && slices.Contains(wrappers, strings.ToLower(k.Name)) {
			if n, p := try(k); n != nil {
				return n, p
			}
		}
	}
	var only *value.Value
	for i := range v.Kids {
		if v.Kids[i].Kind == value.Object {
			if only != nil {
				return nil, ""
			}
			only = &v.Kids[i]
		}
	}
	if only != nil {
		return try(only)
	}
	return nil, ""
}

// idsOf lists the members of a node that identify it, the best first.
func idsOf(v *value.Value, r *graph.Resource) []*value.Value {
	var out []*value.Value
	add := func(k *value.Value) {
		if k != nil && (k.Kind == value.String || k.Kind == value.Number) && k.Text != "" && len(k.Text) < 200 && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	for _, name := range r.IDs {
		add(v.Get(name))
	}
	name := squeezed(r.Name)
	last := name
	if w := wordsOf(r.Name); len(w) > 0 {
		last = w[len(w)-1]
	}
	for _, want := range []string{"id", name + "id", last + "id", "uuid", name + "uuid", "guid", "slug", name + "number", name + "no", name + "code", name + "key", name + "slug", "key", "code", "number", "reference"} {
		for i := range v.Kids {
			if squeezed(v.Kids[i].Name) == want {
				add(&v.Kids[i])
			}
		}
	}
	return out
}

// identify fills an object's identifiers and fields from a node that shows it.
func (w *World) identify(o *Object, node *value.Value, at string) {
	for i := range node.Kids {
		k := &node.Kids[i]
		switch k.Kind {
		case value.Array, value.Null:
		case value.Object: // an owner may be named one level below: author/username
			for j := range k.Kids {
				if n := &k.Kids[j]; n.Kind != value.Array && n.Kind != value.Object && n.Kind != value.Null {
					o.fields[k.Name+"/"+n.Name] = string(value.Append(nil, n))
				}
			}
		default:
			o.fields[k.Name] = string(value.Append(nil, k))
		}
	}
	for _, k := range idsOf(node, o.Resource) {
		if o.ids[k.Name] == "" {
			o.ids[k.Name] = k.Text
			o.sources[k.Name] = source{at: at + "/" + value.EscapeToken(k.Name)}
		}
	}
	o.ID = o.ids[o.idField()]
}

// idField is the name of the identifier that paths take.
func (o *Object) idField() string { return idField(o.Resource, o.ids) }
