package spec

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

func (b *builder) body(at node) *Body {
	n := b.object(at, "a request body")
	if !n.ok() {
		// Something was meant to be sent; what, nobody knows. An empty body refuses any.
		return &Body{Required: true}
	}
	key := n.uri()
	if body := b.bodies[key]; body != nil {
		return body
	}
	body := &Body{Required: b.boolean(n, "required", false)}
	b.bodies[key] = body
	if !n.has("content") {
		b.report(Degraded, "spec.missing_field", n, "a request body should have content; it takes no media type")
	}
	body.Content = b.content(n.get("content"))
	return body
}

func (b *builder) response(at, op node) *Response {
	n := b.object(at, "a response")
	if !n.ok() {
		return nil
	}
	key := n.uri()
	if b.api.Version == OpenAPI20 {
		key += "\x00" + strings.Join(b.produces(op), ",") // a 2.0 response takes its media types from its operation
	}
	if r := b.resps[key]; r != nil {
		return r
	}
	r := &Response{Description: n.str("description"), Headers: b.headersOf(n.get("headers"))}
	b.resps[key] = r
	if b.api.Version == OpenAPI20 {
		r.Content = b.content20(n, b.produces(op))
		return r
	}
	r.Content = b.content(n.get("content"))
	r.Links = b.linksOf(n.get("links"))
	return r
}

// content reads the media types of a body.
func (b *builder) content(at node) []*MediaType {
	if at.ok() && !at.isObject() {
		b.report(Degraded, "spec.wrong_type", at, "content should be an object of media types, not %s", kindName(at.v))
		return nil
	}
	var out []*MediaType
	at.each(func(name string, n node) {
		if strings.HasPrefix(name, "x-") && !strings.Contains(name, "/") {
			return
		}
		n = b.object(n, "a media type")
		mt := &MediaType{Type: b.mediaTypeName(at, name)}
		if mt.Type == "" {
			return
		}
		if slices.ContainsFunc(out, func(o *MediaType) bool { return o.Type == mt.Type }) {
			b.report(Warning, "spec.bad_media_type", n, "%s is declared twice, apart from parameters; the first is taken", mt.Type)
			return
		}
		out = append(out, mt)
		if n.has("schema") {
			b.mediaSchema(mt, n.get("schema"))
		}
		mt.Examples = b.examples(n)
		mt.Encoding = b.encoding(n.get("encoding"))
	})
	return out
}

// mediaSchema gives a media type its schema.
func (b *builder) mediaSchema(mt *MediaType, at node) {
	b.schema(at, &mt.Schema)
	b.media = append(b.media, mediaSchema{mt, at})
	if strings.HasPrefix(mt.Type, "multipart/") || mt.Type == "application/x-www-form-urlencoded" || strings.HasSuffix(mt.Type, "xml") {
		mt.Shape = b.shape(at)
	}
}

// mediaTypeName makes a media type or range comparable: lower case, no parameters.
func (b *builder) mediaTypeName(at node, name string) string {
	t, _, _ := strings.Cut(name, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	kind, sub, ok := strings.Cut(t, "/")
	if t == "*" {
		b.report(Warning, "spec.bad_media_type", at, "the media type * is read as */*")
		return "*/*"
	}
	if !ok || kind == "" || sub == "" || strings.ContainsAny(t, " ,\t") {
		b.report(Degraded, "spec.bad_media_type", at, "%q is no media type; it should be like application/json. It is left out", name)
		return ""
	}
	return strings.Clone(t)
}

func (b *builder) encoding(at node) map[string]*Encoding {
	var m map[string]*Encoding
	at.each(func(name string, n node) {
		if !n.isObject() {
			return
		}
		e := &Encoding{ContentType: strings.ToLower(strings.Clone(n.str("contentType"))), Style: strings.Clone(n.str("style"))}
		if e.Style == "" {
			e.Style = "form"
		}
		e.Explode = b.boolean(n, "explode", e.Style == "form")
		e.Headers = b.headersOf(b.object(n.get("headers"), "headers"))
		if m == nil {
			m = map[string]*Encoding{}
		}
		m[strings.Clone(name)] = e
	})
	return m
}

func (b *builder) consumes(op node) []string {
	if op.has("consumes") {
		return b.strings(op.get("consumes"))
	}
	return b.global.consumes
}

func (b *builder) produces(op node) []string {
	if op.has("produces") {
		return b.strings(op.get("produces"))
	}
	return b.global.produces
}

// content20 gives a 2.0 schema the media types that its operation names.
func (b *builder) content20(n node, types []string) []*MediaType {
	if !n.has("schema") {
		return nil
	}
	if len(types) == 0 {
		types = []string{"application/json"}
	}
	var out []*MediaType
	for _, t := range types {
		mt := &MediaType{Type: b.mediaTypeName(n, t)}
		if mt.Type == "" || slices.ContainsFunc(out, func(o *MediaType) bool { return o.Type == mt.Type }) {
			continue
		}
		b.mediaSchema(mt, n.get("schema"))
		if e := n.get("examples").get(t); e.ok() {
			mt.Examples = append(mt.Examples, cloneValue(e.v))
		}
		out = append(out, mt)
	}
	return out
}

// body20 makes a body of 2.0's body and formData parameters.
func (b *builder) body20(op *Operation, n node, decls []paramDecl) {
	var form []paramDecl
	for _, d := range decls {
		switch d.in {
		case "body":
			if op.Body != nil {
				b.report(Degraded, "spec.bad_parameter", d.at, "an operation should have one body; this one is ignored")
				continue
			}
			op.Body = &Body{Required: b.boolean(d.at, "required", false), Content: b.content20(d.at, b.consumes(n))}
		case "formData":
			form = append(form, d)
		}
	}
	if len(form) == 0 {
		return
	}
	if op.Body != nil {
		b.report(Degraded, "spec.bad_parameter", n, "body and formData exclude each other; formData is ignored")
		return
	}
	op.Body = b.form20(n, form)
}

// form20 makes an object schema of the fields of a form.
func (b *builder) form20(n node, form []paramDecl) *Body {
	body := &Body{}
	var properties, required []value.Value
	encoding := map[string]*Encoding{}
	files := false
	for _, d := range form {
		s := b.schemaOf20(d.at)
		s.Name = d.name
		properties = append(properties, s)
		files = files || d.at.str("type") == "file"
		if b.boolean(d.at, "required", false) {
			body.Required = true
			required = append(required, value.Value{Kind: value.String, Text: d.name})
		}
		switch d.at.str("collectionFormat") {
		case "multi":
			encoding[d.name] = &Encoding{Style: "form", Explode: true}
		case "ssv":
			encoding[d.name] = &Encoding{Style: "spaceDelimited"}
		case "pipes":
			encoding[d.name] = &Encoding{Style: "pipeDelimited"}
		case "tsv":
			encoding[d.name] = &Encoding{Style: "tabDelimited"}
		default:
			encoding[d.name] = &Encoding{Style: "form"}
		}
	}
	object := value.Value{Kind: value.Object, Kids: []value.Value{
		{Name: "type", Kind: value.String, Text: "object"},
		{Name: "properties", Kind: value.Object, Kids: properties},
	}}
	if len(required) > 0 {
		object.Kids = append(object.Kids, value.Value{Name: "required", Kind: value.Array, Kids: required})
	}
	at := b.synthetic(n, object)
	var types []string
	for _, t := range b.consumes(n) {
		if t = strings.ToLower(t); strings.HasPrefix(t, "multipart/form-data") || strings.HasPrefix(t, "application/x-www-form-urlencoded") {
			types = append(types, t)
		}
	}
	switch {
	case files:
		types = []string{"multipart/form-data"}
	case len(types) == 0:
		types = []string{"application/x-www-form-urlencoded"}
	}
	for _, t := range types {
		mt := &MediaType{Type: b.mediaTypeName(n, t), Encoding: encoding}
		b.mediaSchema(mt, at)
		body.Content = append(body.Content, mt)
	}
	return body
}
