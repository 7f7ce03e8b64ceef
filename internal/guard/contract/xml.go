package contract

import (
	"sync"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// RequestXML returns what the document says of the elements of an XML request
// body, nil when it says nothing. It is what value.XMLWith needs to read a
// document the way that its schema means it.
func (g *Guard) RequestXML(op *spec.Operation, mediaType string) value.XMLShape {
	if op == nil || op.Body == nil {
		return nil
	}
	return g.xml.of(mediaTypeFor(op.Body.Content, mediaType))
}

// AnswerXML is RequestXML for an answer.
func (g *Guard) AnswerXML(op *spec.Operation, status int, mediaType string) value.XMLShape {
	if op == nil || g.api == nil {
		return nil
	}
	r := g.ops[op.Index].declared(status)
	if r == nil {
		return nil
	}
	return g.xml.of(mediaTypeFor(r.Content, mediaType))
}

// xmlShapes makes the shape of each schema once.
type xmlShapes struct {
	mu   sync.Mutex
	made map[*schema.Schema]*xmlShape
}

func (t *xmlShapes) of(m *spec.MediaType) value.XMLShape {
	if m == nil || m.Schema == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made == nil {
		t.made = map[*schema.Schema]*xmlShape{}
	}
	return t.shape(m.Schema)
}

// xmlShape is one schema in the words of XML. It is complete before it is shared.
type xmlShape struct {
	kind       value.Kind
	attributes map[xmlName]string
	children   map[xmlName]value.XMLChild
	item       *xmlShape // of an array
}

type xmlName struct{ space, local string }

// Kind says what an element is.
func (s *xmlShape) Kind() value.Kind { return s.kind }

// Attribute returns the property that an attribute is.
func (s *xmlShape) Attribute(space, local string) string {
	if p, ok := s.attributes[xmlName{space, local}]; ok {
		return p
	}
	return s.attributes[xmlName{"", local}]
}

// Child returns what a child element is. A schema that states no namespace takes
// the element in any.
func (s *xmlShape) Child(space, local string) value.XMLChild {
	if s.kind == value.Array {
		if s.item == nil {
			return value.XMLChild{}
		}
		return value.XMLChild{Shape: s.item}
	}
	c, ok := s.children[xmlName{space, local}]
	if !ok {
		c = s.children[xmlName{"", local}]
	}
	return c
}

// shape makes the shape of a schema. The lock is held. A schema that holds itself
// finds its own shape, which is being filled.
func (t *xmlShapes) shape(s *schema.Schema) *xmlShape {
	if s == nil {
		return nil
	}
	if done := t.made[s]; done != nil {
		return done
	}
	out := &xmlShape{kind: value.String}
	t.made[s] = out
	switch s.Type() {
	case "array":
		out.kind = value.Array
		out.item = t.shape(s.Items())
		return out
	case "object":
		out.kind = value.Object
	case "":
		if len(s.Properties()) > 0 || len(s.Alternatives()) > 0 {
			out.kind = value.Object
		}
	}
	out.attributes, out.children = map[xmlName]string{}, map[xmlName]value.XMLChild{}
	t.addProperties(out, s, 0)
	return out
}

// maxAlternatives bounds how deep alternatives of alternatives are followed.
const maxAlternatives = 8

// addProperties adds what a schema says of members. Where alternatives name one
// element differently the first counts; the schema judges what comes of it.
func (t *xmlShapes) addProperties(out *xmlShape, s *schema.Schema, depth int) {
	for _, p := range s.Properties() {
		x := readXML(p.Schema)
		name := xmlName{x.space, p.Name}
		if x.name != "" {
			name.local = x.name
		}
		if x.attribute {
			if _, known := out.attributes[name]; !known {
				out.attributes[name] = p.Name
			}
			continue
		}
		child := value.XMLChild{Property: p.Name, Shape: t.shape(p.Schema)}
		if p.Schema.Type() == "array" && !x.wrapped {
			// The items stand beside the other members, each under its own name.
			items := p.Schema.Items()
			name = xmlName{x.space, p.Name}
			if items != nil {
				if i := readXML(items); i.name != "" {
					name = xmlName{i.space, i.name}
				}
			}
			child.List, child.Shape = true, t.shape(items)
		}
		if child.Shape == (*xmlShape)(nil) {
			child.Shape = nil // an interface that holds a nil pointer is not nil
		}
		if _, known := out.children[name]; !known {
			out.children[name] = child
		}
	}
	if depth >= maxAlternatives {
		return
	}
	for _, list := range s.Alternatives() {
		for _, alternative := range list {
			if alternative != nil {
				t.addProperties(out, alternative, depth+1)
			}
		}
	}
}

// xmlNotes is OpenAPI's XML Object.
type xmlNotes struct {
	name, space        string
	attribute, wrapped bool
}

func readXML(s *schema.Schema) xmlNotes {
	if s == nil {
		return xmlNotes{}
	}
	x := s.Extension("xml")
	return xmlNotes{
		name: x.Get("name").Str(), space: x.Get("namespace").Str(),
		attribute: x.Get("attribute").IsTrue(), wrapped: x.Get("wrapped").IsTrue(),
	}
}

// wrongRoot reports whether an XML document's root element is not the one that
// its schema names. A schema that names none takes any.
func wrongRoot(root *value.Value, s *schema.Schema) bool {
	want := readXML(s).name
	return want != "" && root.Name != want
}
