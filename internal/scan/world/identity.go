package world

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/value"
)

// attributesOf is the member that holds the fields of an object whose identifier stands
// beside it: "attributes" of JSON:API and of Strapi, "properties" of GeoJSON, "fields" of
// Airtable. An empty object where there is none. Paths may take a name that stands there
// (a slug) rather than the identifier.
func attributesOf(node *value.Value) *value.Value {
	if id := node.Get("id"); id != nil && (id.Kind == value.String || id.Kind == value.Number) {
		for _, name := range []string{"attributes", "properties", "fields"} {
			if k := node.Get(name); k != nil && k.Kind == value.Object {
				return k
			}
		}
	}
	return &value.Value{Kind: value.Object}
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
		add(attributesOf(v).Get(name))
	}
	name := squeezed(r.Name)
	last := name
	if w := wordsOf(r.Name); len(w) > 0 {
		last = w[len(w)-1]
	}
	for _, want := range []string{"id", name + "id", last + "id", "uuid", name + "uuid", "guid", "slug", name + "number", name + "no", name + "code", name + "key", name + "slug", "key", "code", "number", "reference", "ref", name + "ref"} {
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
	attributes := attributesOf(node)
	for i := range attributes.Kids {
		if k := &attributes.Kids[i]; k.Kind != value.Array && k.Kind != value.Object && k.Kind != value.Null {
			o.fields[k.Name] = string(value.Append(nil, k))
		}
	}
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
			under := ""
			if node.Get(k.Name) != k {
				under = "/" + value.EscapeToken(attributes.Name)
			}
			o.sources[k.Name] = source{at: at + under + "/" + value.EscapeToken(k.Name)}
		}
	}
	if len(o.ids) == 0 {
		if k, where, id := addressIn(node, o.Resource); k != nil {
			o.ids[k.Name], o.sources[k.Name] = k.Text, source{at: at + where}
			o.ids[partKey(k.Name)], o.sources[partKey(k.Name)] = id, source{at: at + where, pattern: addressPart}
		}
	}
	o.ID = o.ids[o.idField()]
}

// idField is the name of the identifier that paths take.
func (o *Object) idField() string { return idField(o.Resource, o.ids) }

func idField(r *graph.Resource, ids map[string]string) string {
	for _, name := range r.IDs {
		if ids[name] != "" {
			return name
		}
	}
	best, at := "", 1<<20
	for _, name := range sortedKeys(ids) {
		rank := 10
		switch s := squeezed(name); {
		case s == "id":
			rank = 0
		case s == squeezed(r.Name)+"id":
			rank = 1
		case strings.HasSuffix(s, "id"):
			rank = 2
		}
		if rank < at {
			best, at = name, rank
		}
	}
	return best
}
