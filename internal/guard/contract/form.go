package contract

import (
	"maps"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/param"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// formFields are the fields of one form whose text is taken apart by a style
// (OpenAPI's Encoding Object), as parameters that stand in the body.
type formFields struct {
	styled []*spec.Parameter
	types  map[string][]string // the content types that a part may have, by field
}

// newFormFields reads what a media type says of its fields; nil when there is
// nothing to mind.
func newFormFields(m *spec.MediaType) *formFields {
	if m.Shape == nil || len(m.Encoding) == 0 {
		return nil
	}
	f := &formFields{types: map[string][]string{}}
	for _, name := range slices.Sorted(maps.Keys(m.Encoding)) {
		e := m.Encoding[name]
		for t := range strings.SplitSeq(e.ContentType, ",") {
			if t = strings.TrimSpace(t); t != "" {
				f.types[name] = append(f.types[name], t)
			}
		}
		shape := m.Shape.Properties[name]
		if e.ContentType != "" || shape == nil || !shape.Array && !shape.Object {
			continue
		}
		if e.Style == "form" && e.Explode && !shape.Object {
			continue // repeated fields: what every form is read as
		}
		sub, _ := m.Schema.Declared(name)
		f.styled = append(f.styled, &spec.Parameter{Name: name, In: "query", Style: e.Style, Explode: e.Explode, Schema: sub, Shape: shape})
	}
	if len(f.styled) == 0 && len(f.types) == 0 {
		return nil
	}
	return f
}

// typedForm types the fields of a form by their schemas.
func (g *Guard) typedForm(b *exchange.Body) (value.Value, []schema.Fault) {
	out := *b.Root
	if out.Kind != value.Object {
		return out, nil
	}
	var faults []schema.Fault
	f := g.forms[b.Declared]
	out.Kids = slices.Clone(b.Root.Kids)
	if f != nil {
		faults = append(faults, f.partTypes(b)...)
		if len(f.styled) > 0 {
			var more []schema.Fault
			out.Kids, more = f.unstyle(out.Kids)
			faults = append(faults, more...)
		}
	}
	for i := range out.Kids {
		k := &out.Kids[i]
		s, ok := b.Declared.Schema.Declared(k.Name)
		if !ok || s == nil {
			continue
		}
		if !f.takesFile(k.Name) {
			text, fault := textOfFiles(b, k, s)
			if fault != nil {
				faults = append(faults, *fault)
				continue
			}
			k = text
		}
		v, fault := typedField(b, k, s)
		if fault != nil {
			faults = append(faults, *fault)
			continue
		}
		v.Name = k.Name
		out.Kids[i] = v
	}
	return out, faults
}

// unstyle gathers the fields that styles take apart.
func (f *formFields) unstyle(kids []value.Value) ([]value.Value, []schema.Fault) {
	var pairs []value.Pair
	for i := range kids {
		switch k := &kids[i]; {
		case k.File:
		case k.Kind == value.String:
			pairs = append(pairs, value.Pair{Name: k.Name, Value: k.Text})
		case k.Kind == value.Array:
			for j := range k.Kids {
				if e := &k.Kids[j]; e.Kind == value.String && !e.File {
					pairs = append(pairs, value.Pair{Name: k.Name, Value: e.Text})
				}
			}
		}
	}
	var faults []schema.Fault
	src := param.Source{Query: pairs}
	for _, p := range f.styled {
		v, found, err := param.Decode(p, &src)
		if err != nil {
			faults = append(faults, schema.Fault{Keyword: "style", Pointer: "/" + value.EscapeToken(p.Name), Message: err.Message})
			continue
		}
		if !found {
			continue
		}
		kids = slices.DeleteFunc(kids, func(k value.Value) bool { return param.Claims(p, k.Name) })
		v.Name = p.Name
		kids = append(kids, v)
	}
	return kids, faults
}

// partTypes refuses file parts of another content type than the document says.
func (f *formFields) partTypes(b *exchange.Body) []schema.Fault {
	var faults []schema.Fault
	for i := range b.Parts {
		p := &b.Parts[i]
		want := f.types[p.Name]
		if want == nil {
			continue
		}
		got := p.ContentType
		if got == "" {
			got = "text/plain" // RFC 7578 section 4.4
		}
		if !slices.ContainsFunc(want, func(t string) bool { return typeWithin(got, t) }) {
			faults = append(faults, schema.Fault{Keyword: "contentType", Pointer: "/" + value.EscapeToken(p.Name), Message: "the part should be " + strings.Join(want, " or ")})
		}
	}
	return faults
}

// takesFile reports whether the document gives a field a content type that is not
// text.
func (f *formFields) takesFile(name string) bool {
	return f != nil && slices.ContainsFunc(f.types[name], func(t string) bool {
		return !strings.HasPrefix(t, "text/") && t != "application/json"
	})
}

// textOfFiles reads a file part as the text that its field is to hold. Servers hand
// text to the application whether or not its part has a file name; were it a file
// to us, no rule of the schema and no inspection would see it.
func textOfFiles(b *exchange.Body, k *value.Value, s *schema.Schema) (*value.Value, *schema.Fault) {
	if s.Type() == "array" && s.Items() != nil {
		s = s.Items()
	}
	if isFile(s) || !slices.Contains(s.Types(), "string") {
		return k, nil // of a number its schema says what a file is not
	}
	switch {
	case k.Kind == value.Array:
		out := *k
		out.Kids = slices.Clone(k.Kids)
		for i := range out.Kids {
			v, fault := textOfFiles(b, &out.Kids[i], s)
			if fault != nil {
				fault.Pointer = "/" + value.EscapeToken(k.Name)
				return nil, fault
			}
			out.Kids[i] = *v
		}
		return &out, nil
	case !k.File:
		return k, nil
	}
	text, err := value.Text(b.Bytes[k.Start:k.End], value.Limits{})
	if err != nil {
		return nil, &schema.Fault{Keyword: "type", Pointer: "/" + value.EscapeToken(k.Name), Message: "the field is no file (format: binary) but text, which this is not: " + err.Error()}
	}
	out := *k
	out.Text, out.File, out.Untyped = text.Text, false, true
	return &out, nil
}

// isFile reports whether a schema describes a file, or says nothing at all. An
// object in a file part is read as the JSON that it holds.
func isFile(s *schema.Schema) bool {
	switch s.Format() {
	case "binary", "byte", "base64":
		return true
	}
	return s.Anything() || s.Type() == "object" || s.Extension("contentMediaType") != nil || s.Extension("contentEncoding") != nil
}

func typeWithin(mediaType, declared string) bool {
	return declared == mediaType || declared == "*/*" || strings.HasSuffix(declared, "/*") && strings.HasPrefix(mediaType, declared[:len(declared)-1])
}

// typedField types one field. An object has no text of its own in a form: it is
// sent as JSON (OpenAPI 3.1.1, section 4.8.15.1), in a file part as well, which
// is how browsers send a part with a content type.
func typedField(b *exchange.Body, k *value.Value, s *schema.Schema) (value.Value, *schema.Fault) {
	if k.Kind == value.Array && s.Type() == "array" {
		out := *k
		out.Kids = make([]value.Value, len(k.Kids))
		for i := range k.Kids {
			v, fault := typedField(b, &k.Kids[i], s.Items())
			if fault != nil {
				return out, fault
			}
			out.Kids[i] = v
		}
		return out, nil
	}
	if s == nil {
		return *k, nil
	}
	if s.Type() == "array" && s.Items() != nil && s.Items().Type() == "object" && (k.Untyped || k.File) {
		v, fault := typedField(b, k, s.Items())
		if fault != nil || v.Kind == value.Array { // the whole list in one field
			return v, fault
		}
		v.Name = ""
		return value.Value{Kind: value.Array, Name: k.Name, Kids: []value.Value{v}, Start: k.Start, End: k.End}, nil
	}
	if k.Kind != value.String || s.Type() != "object" || !k.Untyped && !k.File {
		return typedTree(k, s, 0), nil
	}
	text := []byte(k.Text)
	if k.File {
		text = b.Bytes[k.Start:k.End]
	}
	v, err := value.JSON(text, value.Limits{})
	if err != nil {
		return *k, &schema.Fault{Keyword: "type", Pointer: "/" + value.EscapeToken(k.Name), Message: "the field should be an object as JSON: " + err.Error()}
	}
	v.Name = k.Name
	return *v, nil
}
