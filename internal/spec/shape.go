package spec

import (
	"strings"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// Shape is what a schema lets a value look like, as far as the text of a
// parameter or form needs to know to be taken apart: "1,2" is a list or a text.
// The zero Shape is "anything".
type Shape struct {
	Scalar, Array, Object bool
	Items                 *Shape            // nil when unknown
	Properties            map[string]*Shape // declared ones
	Open                  bool              // an object may have others
	// Type is the one type that a text of this shape always is ("string",
	// "integer", "number" or "boolean"), "" where only the schema can tell. It is
	// known of parameters.
	Type string
}

// Any reports whether nothing is known.
func (s *Shape) Any() bool { return s == nil || !s.Scalar && !s.Array && !s.Object }

// settle fills in Type, so that a request need not ask the schema.
func (s *Shape) settle(c *schema.Schema, depth int) {
	if s == nil || c == nil || depth > maxShapeDepth {
		return
	}
	if types := c.Types(); len(types) == 1 {
		switch t := types[0]; t {
		case "string", "integer", "number", "boolean":
			s.Type = t
			return
		}
	}
	if len(c.Alternatives()) > 0 {
		return
	}
	if len(c.PrefixItems()) == 0 {
		s.Items.settle(c.Items(), depth+1)
	}
	for name, p := range s.Properties {
		if sub, ok := c.Declared(name); ok {
			p.settle(sub, depth+1)
		}
	}
}

const (
	maxShapeDepth = 6
	maxShapeNodes = 400
)

// shape reads the shape of the schema at n.
func (b *builder) shape(n node) *Shape {
	s, left := &Shape{}, maxShapeNodes
	b.addShape(s, n, 0, &left)
	return s
}

// addShape adds what the schema at n allows to s. Schemas that must hold together
// are joined as if either may: a shape only says how to read, the schema judges.
func (b *builder) addShape(s *Shape, n node, depth int, left *int) {
	if *left--; depth > maxShapeDepth || *left < 0 {
		return
	}
	n = b.lookup(n)
	if !n.isObject() {
		return
	}
	types, object, array := false, false, false
	typed := func(t string) {
		types = true
		switch t {
		case "array":
			s.Array, array = true, true
		case "object":
			s.Object, object = true, true
		default:
			s.Scalar = true
		}
	}
	switch t := n.get("type").v; {
	case t == nil:
	case t.Kind == value.String:
		typed(t.Text)
	case t.Kind == value.Array:
		for i := range t.Kids {
			typed(t.Kids[i].Text)
		}
	}
	if !types {
		switch {
		case n.has("properties") || n.has("additionalProperties"):
			s.Object, object = true, true
		case n.has("items"):
			s.Array, array = true, true
		case n.has("enum") || n.has("format") || n.has("pattern") || n.has("const"):
			s.Scalar = true
		}
	}
	if array && n.has("items") {
		if s.Items == nil {
			s.Items = &Shape{}
		}
		b.addShape(s.Items, n.get("items"), depth+1, left)
	}
	if object {
		more := n.get("additionalProperties")
		if !(more.ok() && more.v.Kind == value.Bool && more.v.Text == "false") && (more.ok() || !n.has("properties")) {
			s.Open = true
		}
		n.get("properties").each(func(name string, p node) {
			if s.Properties == nil {
				s.Properties = map[string]*Shape{}
			}
			key := strings.Clone(name)
			if s.Properties[key] == nil {
				s.Properties[key] = &Shape{}
			}
			b.addShape(s.Properties[key], p, depth+1, left)
		})
	}
	for _, k := range []string{"allOf", "oneOf", "anyOf"} {
		n.get(k).each(func(_ string, p node) { b.addShape(s, p, depth+1, left) })
	}
}

// lookup follows $ref without a report: the schema compiler reports those of schemas.
func (b *builder) lookup(n node) node {
	for range maxRefHops {
		if !n.isObject() {
			return n
		}
		ref := n.doc.member(n.v, "$ref")
		if ref == nil || ref.Kind != value.String {
			return n
		}
		uri, pointer, err := resolveURI(n.doc.uri, ref.Text)
		if err != nil {
			return node{doc: n.doc, ptr: n.ptr}
		}
		d := b.l.docs[uri]
		if d == nil {
			return node{doc: n.doc, ptr: n.ptr}
		}
		n = node{doc: d, v: d.at(pointer), ptr: pointer}
	}
	return node{doc: n.doc, ptr: n.ptr}
}
