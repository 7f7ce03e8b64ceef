package contract

import (
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// typedBody gives a body's tree the types that its schema declares. JSON has its
// types already. A form and an XML document hold nothing but text: "5" becomes
// the number 5 where the schema wants a number, and a field that is sent once
// becomes an array where it wants an array.
func (g *Guard) typedBody(b *exchange.Body) (*value.Value, []schema.Fault) {
	if b.Root == nil {
		return nil, []schema.Fault{{Keyword: "type", Message: "the body has no content that could be read"}}
	}
	switch {
	case b.MediaType == "application/x-www-form-urlencoded" || b.MediaType == "multipart/form-data":
		v, faults := g.typedForm(b)
		return &v, faults
	case isXML(b.MediaType):
		if wrongRoot(b.Root, b.Declared.Schema) {
			return nil, []schema.Fault{{Keyword: "xml", Message: "the root element should be " + readXML(b.Declared.Schema).name}}
		}
		v := typedTree(b.Root, b.Declared.Schema, 0)
		return &v, nil
	case b.Root.Untyped:
		v := typedTree(b.Root, b.Declared.Schema, 0)
		return &v, nil
	}
	return b.Root, nil
}

func isXML(mediaType string) bool {
	n := len(mediaType)
	return mediaType == "application/xml" || mediaType == "text/xml" || n > 4 && mediaType[n-4:] == "+xml"
}

func isJSON(mediaType string) bool {
	n := len(mediaType)
	return mediaType == "application/json" || mediaType == "text/json" || n > 5 && mediaType[n-5:] == "+json"
}

// maxTyped is how deep text is typed: deeper trees keep their text, which their
// schema then refuses.
const maxTyped = 64

// typedTree types every text of a tree by its schema.
func typedTree(v *value.Value, s *schema.Schema, depth int) value.Value {
	if s == nil || depth > maxTyped {
		return *v
	}
	if s.Type() == "array" && v.Kind != value.Array {
		one := typedTree(v, s.Items(), depth+1)
		one.Name = ""
		return value.Value{Kind: value.Array, Name: v.Name, Kids: []value.Value{one}, Start: v.Start, End: v.End}
	}
	out := *v
	switch v.Kind {
	case value.String:
		if typed, ok := s.Coerce(v.Text); ok {
			typed.Name, typed.Start, typed.End = v.Name, v.Start, v.End
			return typed
		}
	case value.Array:
		out.Kids = make([]value.Value, len(v.Kids))
		for i := range v.Kids {
			out.Kids[i] = typedTree(&v.Kids[i], s.Items(), depth+1)
		}
	case value.Object:
		out.Kids = make([]value.Value, len(v.Kids))
		for i := range v.Kids {
			k := &v.Kids[i]
			out.Kids[i] = *k
			if sub, ok := s.Declared(k.Name); ok {
				out.Kids[i] = typedTree(k, sub, depth+1)
				out.Kids[i].Name = k.Name
			}
		}
	}
	return out
}
