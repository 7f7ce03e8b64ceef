package spec

import (
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// How far a body's fields are followed. Schemas of real APIs refer to one
// another in circles and without end; what lies deeper is not described.
const (
	maxFieldDepth  = 5    // properties on the way to a field, lists not counted
	maxFieldVisits = 1500 // properties looked at for one body
	maxFields      = 256  // fields kept for one body
)

// meaning fills in what parameters and bodies mean, once all operations are known.
func (b *builder) meaning() {
	shapes := map[string][]Field{}
	about := map[*MediaType]string{}
	for i := range b.routes {
		op := b.routes[i].op
		objects(op, b.routes[i].tmpl)
		b.parameterMeaning(op)
		note := func(list []*MediaType) {
			for _, m := range list {
				if _, ok := about[m]; !ok {
					about[m] = op.Resource
				}
			}
		}
		if op.Body != nil {
			note(op.Body.Content)
		}
		for _, r := range op.Responses {
			note(r.Content)
		}
	}
	for _, m := range b.media {
		n := b.lookup(m.at)
		if !n.isObject() {
			continue
		}
		resource := about[m.mt]
		key := n.uri() + "\x00" + resource
		fields, ok := shapes[key]
		if !ok {
			w := fieldWalk{b: b, index: map[string]int{}, left: maxFieldVisits}
			w.walk(n, resource)
			if w.full {
				b.report(Warning, "spec.fields_truncated", m.at, "the schema is so large that the meaning of fields (owners, data classes) is known for the first %d and %d levels only", maxFields, maxFieldDepth)
			}
			fields = w.fields
			shapes[key] = fields
		}
		m.mt.Fields = fields
	}
}

// parameterMeaning gives parameters their object and class.
func (b *builder) parameterMeaning(op *Operation) {
	for _, p := range op.Parameters {
		if p.meant {
			continue
		}
		p.meant = true
		p.Shape.settle(p.Schema, 0)
		if p.Object == nil && p.In != "path" {
			p.Object = refOf(p.Name)
		}
		if p.Class == ClassNone {
			p.Class = classOf(p.Name, "", p.format, p.typ)
		}
	}
}

// fieldWalk gathers the fields of one body, those nearer to the root first.
type fieldWalk struct {
	b      *builder
	fields []Field
	index  map[string]int
	queue  []fieldStep
	left   int
	full   bool
}

// fieldStep is a schema to look into. holder is the resource that the object it
// describes is of: the operation's, or what the property is called.
type fieldStep struct {
	n       node
	pointer string
	holder  string
	depth   int
	from    *fieldStep
}

func (w *fieldWalk) walk(n node, resource string) {
	w.queue = append(w.queue, fieldStep{n: n, holder: resource})
	for len(w.queue) > 0 && w.left >= 0 {
		step := w.queue[0]
		w.queue = w.queue[1:]
		w.schema(step)
	}
	w.full = w.full || w.left < 0
}

// schema adds the fields of one schema.
func (w *fieldWalk) schema(s fieldStep) {
	if s.n = w.b.lookup(s.n); !s.n.isObject() {
		return
	}
	for up := s.from; up != nil; up = up.from {
		if up.n.v == s.n.v {
			return // it holds itself
		}
	}
	declared := w.owner(s.n)
	envelope := s.depth == 0 && w.envelope(s.n)
	s.n.get("properties").each(func(name string, p node) {
		if w.left--; w.left < 0 {
			return
		}
		at := s.pointer + "/" + value.EscapeToken(name)
		q := w.b.lookup(p)
		holder, inner := s.holder, resourceName(name)
		if envelope {
			if holder = ""; wrappers[name] {
				inner = s.holder
			}
		}
		w.property(name, at, holder, p, q, declared)
		w.later(fieldStep{n: q, pointer: at, holder: inner, depth: s.depth + 1, from: &s})
	})
	if items := s.n.get("items"); items.ok() {
		w.schema(fieldStep{n: items, pointer: s.pointer + "/*", holder: s.holder, depth: s.depth, from: &s})
	}
	if more := s.n.get("additionalProperties"); more.isObject() {
		w.later(fieldStep{n: more, pointer: s.pointer + "/*", holder: s.holder, depth: s.depth + 1, from: &s})
	}
	for _, k := range []string{"allOf", "oneOf", "anyOf"} {
		s.n.get(k).each(func(_ string, part node) {
			if w.left--; w.left >= 0 {
				w.schema(fieldStep{n: part, pointer: s.pointer, holder: s.holder, depth: s.depth, from: &s})
			}
		})
	}
}

// wrappers are members that hold what an answer is about, beside page numbers and the like.
var wrappers = map[string]bool{"items": true, "data": true, "results": true, "result": true, "records": true, "entries": true, "list": true, "content": true, "value": true, "values": true,
	"rows": true, "elements": true, "hits": true, "objects": true, "documents": true, "collection": true, "_embedded": true, "embedded": true, "payload": true, "response": true, "body": true}

// envelope reports whether an object wraps the resource and is not one itself.
func (w *fieldWalk) envelope(n node) bool {
	found, identified := false, false
	n.get("properties").each(func(name string, p node) {
		if noun, ok := idOf(name, false); ok && noun == "" {
			identified = true // an object that has items, such as an order
		}
		if !wrappers[name] {
			return
		}
		if q := w.b.lookup(p); q.isObject() {
			t := schemaType(q)
			found = found || t == "object" || t == "array" && w.b.lookup(q.get("items")).isObject() && schemaType(w.b.lookup(q.get("items"))) == "object"
		}
	})
	return found && !identified
}

// later puts a schema into the queue when it can hold fields.
func (w *fieldWalk) later(s fieldStep) {
	if !s.n.isObject() {
		return
	}
	for _, k := range []string{"properties", "items", "allOf", "oneOf", "anyOf", "additionalProperties", "$ref"} {
		if !s.n.has(k) {
			continue
		}
		if s.depth > maxFieldDepth {
			w.full = true
			return
		}
		w.queue = append(w.queue, s)
		return
	}
}

// owner is the field that x-crenel-owner names, on a schema of objects: a name or a pointer.
func (w *fieldWalk) owner(n node) string {
	return strings.TrimPrefix(n.get("x-crenel-owner").v.Str(), "/")
}

func (w *fieldWalk) property(name, pointer, holder string, p, q node, declaredOwner string) {
	if !q.isObject() {
		return
	}
	f := Field{Pointer: pointer}
	flag := func(k string) bool { return p.get(k).v.IsTrue() || q.get(k).v.IsTrue() }
	f.ReadOnly, f.WriteOnly = flag("readOnly"), flag("writeOnly")
	typ := schemaType(q)
	leaf := q
	if typ == "array" {
		leaf = w.b.lookup(q.get("items"))
		if leaf.isObject() {
			typ = schemaType(leaf)
			f.Pointer += "/*"
		}
	}
	if typ != "object" && typ != "array" {
		format := ""
		if leaf.isObject() {
			format = leaf.str("format")
		}
		f.Class = classOf(name, holder, format, typ)
		if typ != "boolean" {
			f.Object = fieldRef(name, holder)
			f.Owner = isOwner(name, holder) && f.Pointer == pointer
		}
		if c := DataClass(q.str("x-crenel-class")); c != "" {
			f.Class = c
		}
	}
	switch mark := q.get("x-crenel-owner").v; {
	case mark != nil && mark.Kind == value.Bool:
		f.Owner = mark.IsTrue()
	case declaredOwner != "":
		f.Owner = declaredOwner == name
	}
	if f.Object == nil && !f.Owner && f.Class == ClassNone && !f.ReadOnly && !f.WriteOnly {
		return
	}
	w.keep(f)
}

func (w *fieldWalk) keep(f Field) {
	if i, ok := w.index[f.Pointer]; ok { // alternatives of oneOf: what any of them says holds
		old := &w.fields[i]
		if old.Object == nil {
			old.Object = f.Object
		}
		if old.Class == ClassNone {
			old.Class = f.Class
		}
		old.Owner = old.Owner || f.Owner
		old.ReadOnly, old.WriteOnly = old.ReadOnly && f.ReadOnly, old.WriteOnly && f.WriteOnly
		return
	}
	if len(w.fields) >= maxFields {
		w.full = true
		return
	}
	w.index[f.Pointer] = len(w.fields)
	w.fields = append(w.fields, f)
}

// fieldRef is the object that a field of a body names.
func fieldRef(name, holder string) *ObjectRef {
	noun, ok := idOf(name, false)
	switch {
	case !ok || notResources[noun]:
		return nil
	case noun != "":
		return &ObjectRef{Resource: noun, Param: strings.Clone(name)}
	case holder != "" && !notResources[holder]:
		return &ObjectRef{Resource: holder, Param: strings.Clone(name)}
	}
	return nil
}

// schemaType is the type of a schema; of several (3.1) the first that is not null.
func schemaType(n node) string {
	t := n.get("type").v
	switch {
	case t == nil:
		switch {
		case n.has("properties") || n.has("allOf") || n.has("additionalProperties"):
			return "object"
		case n.has("items"):
			return "array"
		}
		return ""
	case t.Kind == value.String:
		return t.Text
	}
	for i := range t.Kids {
		if t.Kids[i].Text != "null" {
			return t.Kids[i].Text
		}
	}
	return "null"
}
