package source

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// bodyFromParameters makes a request body of body and formData parameters, which
// are version 2's.
func (d *repairer) bodyFromParameters(op *value.Value, at string) {
	ps := op.Get("parameters")
	kept := list()
	kept.Start, kept.End = ps.Start, ps.End
	form := object()
	var required []value.Value
	var body *value.Value
	file := false
	for i := range ps.Kids {
		p := &ps.Kids[i]
		switch strOf(p, "in") {
		case "body":
			body = p
		case "formData":
			s := object()
			if inner := p.Get("schema"); isObject(inner) {
				s = *inner
			} else {
				for _, k := range p.Kids {
					switch k.Name {
					case "name", "in", "required", "example":
					default:
						s.Kids = append(s.Kids, k)
					}
				}
			}
			s.Start, s.End = p.Start, p.End
			file = file || strOf(&s, "type") == "file" || strOf(&s, "format") == "binary"
			put(&form, strOf(p, "name"), s)
			if strOf(p, "required") == "true" {
				required = append(required, text(strOf(p, "name")))
			}
		default:
			kept.Kids = append(kept.Kids, *p)
		}
	}
	if body == nil && len(form.Kids) == 0 {
		return
	}
	if op.Get("requestBody") == nil {
		rb := object(named("required", yes()))
		if body != nil {
			s := value.Value{Kind: value.Object}
			if inner := body.Get("schema"); inner != nil {
				s = *inner
			}
			media := "application/json"
			if c := op.Get("consumes"); isList(c) && len(c.Kids) > 0 {
				media = c.Kids[0].Text
			}
			put(&rb, "content", object(named(media, object(named("schema", s)))))
			rb.Start, rb.End = body.Start, body.End
		} else {
			s := object(named("type", text("object")), named("properties", form))
			if len(required) > 0 {
				put(&s, "required", list(required...))
			}
			media := "application/x-www-form-urlencoded"
			if file {
				media = "multipart/form-data"
			}
			put(&rb, "content", object(named(media, object(named("schema", s)))))
		}
		put(op, "requestBody", rb)
	}
	put(op, "parameters", kept)
	d.repaired(op.Get("parameters"), at+"/parameters", "parameters in body or formData are of version 2; they were read as the requestBody")
}

// bodyParameter makes version 2's body parameter of a requestBody.
func (d *repairer) bodyParameter(op *value.Value, at string) {
	rb := op.Get("requestBody")
	content := rb.Get("content")
	if !isObject(content) || len(content.Kids) == 0 {
		return
	}
	ps := op.Get("parameters")
	if isList(ps) && slices.ContainsFunc(ps.Kids, func(p value.Value) bool { return strOf(&p, "in") == "body" || strOf(&p, "in") == "formData" }) {
		return
	}
	p := object(named("in", text("body")), named("name", text("body")), named("required", yes()))
	if s := content.Kids[0].Get("schema"); s != nil {
		put(&p, "schema", *s)
	}
	p.Start, p.End = rb.Start, rb.End
	out := list()
	if isList(ps) {
		out.Kids = slices.Clone(ps.Kids)
	}
	out.Kids = append(out.Kids, p)
	put(op, "parameters", out)
	if op.Get("consumes") == nil {
		put(op, "consumes", list(text(content.Kids[0].Name)))
	}
	drop(op, "requestBody")
	d.repaired(rb, at+"/requestBody", "requestBody is of version 3; it was read as a parameter in body")
}

// body repairs a request body.
func (d *repairer) body(rb *value.Value, at string) {
	if c := rb.Get("content"); c == nil {
		d.wrapContent(rb, at)
	}
	d.content(rb.Get("content"), at+"/content")
}

// wrapContent puts a schema that stands without a media type under application/json.
func (d *repairer) wrapContent(v *value.Value, at string) {
	for i := range v.Kids { // {"application/json": {…}} without content
		if strings.Contains(v.Kids[i].Name, "/") && v.Kids[i].Kind == value.Object {
			put(v, "content", object(v.Kids[i]))
			d.repaired(v, at, "a media type stands without content around it; it was read as content")
			return
		}
	}
	var s *value.Value
	if inner := v.Get("schema"); isObject(inner) {
		s = inner
	} else if v.Get("type") != nil && v.Get("properties") != nil || v.Get("type") != nil && v.Get("items") != nil {
		bare := object()
		for _, k := range v.Kids {
			if k.Name != "description" && k.Name != "headers" && k.Name != "required" || k.Name == "required" && k.Kind == value.Array {
				bare.Kids = append(bare.Kids, k)
			}
		}
		bare.Start, bare.End = v.Start, v.End
		s = &bare
	}
	if s == nil {
		ex := v.Get("example")
		if ex == nil {
			ex = v.Get("examples")
		}
		if isObject(ex) || isList(ex) {
			if inner := ex.Get("application/json"); inner != nil { // version 2's examples by media type
				ex = inner
			}
			inferred := infer(ex, "").schema()
			s = &inferred
		}
	}
	if s == nil {
		return
	}
	put(v, "content", object(named("application/json", object(named("schema", *s)))))
	d.repaired(v, at, "a schema stands where content with a media type should; it was read as application/json")
}

// content repairs media types.
func (d *repairer) content(c *value.Value, at string) {
	if !isObject(c) {
		return
	}
	if c.Get("schema") != nil && isObject(c.Get("schema")) {
		inner := object(named("schema", *c.Get("schema")))
		put(c, "application/json", inner)
		drop(c, "schema")
		d.repaired(c, at, "content holds a schema without a media type; it was read as application/json")
	}
	for i := range c.Kids {
		m := &c.Kids[i]
		here := join(at, m.Name)
		if m.Kind != value.Object || m.Get("$ref") != nil && m.Get("schema") == nil && !strings.Contains(strOf(m, "$ref"), "schemas") && !strings.Contains(strOf(m, "$ref"), "definitions") {
			continue
		}
		if m.Get("schema") == nil && (m.Get("type") != nil || m.Get("properties") != nil || m.Get("$ref") != nil || m.Get("allOf") != nil || m.Get("oneOf") != nil) {
			bare := *m
			bare.Name = ""
			name, start, end := m.Name, m.Start, m.End
			*m = object(named("schema", bare))
			m.Name, m.Start, m.End = name, start, end
			d.repaired(m, here, "a schema stands where a media type's object should; it was read as its schema")
		}
		if m.Get("schema") == nil {
			d.schemaOfExamples(m, here)
		}
		if s := m.Get("schema"); s != nil {
			d.schema(s, here+"/schema", 0)
			d.membersOfExample(s, m.Get("example"), here+"/schema")
		}
	}
}

// membersOfExample gives an object of which only an example says what it holds the
// members of that example: generators of descriptions from recorded calls write so.
// Where the description says what members without a name are, it is a map, and stays one.
func (d *repairer) membersOfExample(s, ex *value.Value, at string) {
	if !isObject(s) || !isObject(ex) || strOf(s, "type") != "object" || isObject(s.Get("additionalProperties")) {
		return
	}
	for _, k := range []string{"$ref", "properties", "patternProperties", "allOf", "oneOf", "anyOf"} {
		if v := s.Get(k); v != nil && (k != "properties" || len(v.Kids) > 0) {
			return
		}
	}
	of := infer(ex, "").schema()
	props := of.Get("properties")
	if props == nil || len(props.Kids) == 0 {
		return
	}
	put(s, "properties", *props)
	if need := of.Get("required"); need != nil && s.Get("required") == nil {
		put(s, "required", *need)
	}
	d.repaired(s, at, "an object's members are only in its example; they were read from there")
}

// schemaOfExamples makes a schema where only examples say what a body holds.
func (d *repairer) schemaOfExamples(m *value.Value, at string) {
	var sum *shape
	add := func(v *value.Value) {
		if v == nil {
			return
		}
		if v.Kind == value.String { // JSON in a text, often
			if t := strings.TrimSpace(v.Text); t != "" && (t[0] == '{' || t[0] == '[') {
				if inner, err := spec.ReadTree([]byte(v.Text), "example.json", spec.LoadOptions{}); err == nil {
					v = inner
				}
			}
		}
		sum = sum.merge(infer(v, ""))
	}
	add(m.Get("example"))
	if es := m.Get("examples"); isObject(es) {
		for i := range es.Kids {
			if v := es.Kids[i].Get("value"); v != nil {
				add(v)
			} else if es.Kids[i].Get("$ref") == nil && es.Kids[i].Get("externalValue") == nil && es.Kids[i].Kind == value.Object {
				add(&es.Kids[i])
			}
		}
	}
	if sum == nil {
		return
	}
	put(m, "schema", sum.schema())
	d.repaired(m, at, "there is an example and no schema; one was made of it")
}
