package spec

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// paramDecl is a parameter as it is declared: what it is called decides whether
// it takes another's place, before anything else of it is read.
type paramDecl struct {
	name, in string
	at       node
}

// parameterList reads which parameters a list declares.
func (b *builder) parameterList(list node) []paramDecl {
	if !list.ok() {
		return nil
	}
	if list.v.Kind != value.Array {
		b.report(Degraded, "spec.wrong_type", list, "parameters should be a list, not %s; its members are read as one", kindName(list.v))
		if list.v.Kind != value.Object {
			return nil
		}
	}
	var out []paramDecl
	list.each(func(_ string, n node) {
		p := b.object(n, "a parameter")
		if !p.ok() {
			return
		}
		d := paramDecl{name: p.str("name"), in: p.str("in"), at: p}
		switch {
		case d.in == "body" && b.api.Version == OpenAPI20:
			d.name = ""
		case d.name == "":
			b.report(Degraded, "spec.missing_field", p, "a parameter should have a name; it is left out")
			return
		case d.in == "formData" && b.api.Version == OpenAPI20:
		case slices.Contains([]string{"path", "query", "header", "cookie"}, strings.ToLower(d.in)):
			if d.in != strings.ToLower(d.in) {
				b.report(Warning, "spec.bad_parameter", p, "in should be written in lower case")
			}
			d.in = strings.ToLower(d.in)
		default:
			b.report(Degraded, "spec.bad_parameter", p, `in is %q; it should be "path", "query", "header" or "cookie". The parameter %q is left out`, d.in, d.name)
			return
		}
		if i := slices.IndexFunc(out, func(o paramDecl) bool { return o.name == d.name && o.in == d.in }); i >= 0 {
			b.report(Warning, "spec.duplicate_parameter", p, "the parameter %q in %s is declared twice; the last one counts", d.name, d.in)
			out[i] = d
			return
		}
		out = append(out, d)
	})
	return out
}

// parameter reads one parameter. Those that components share are read once.
func (b *builder) parameter(d paramDecl) *Parameter {
	key := d.at.uri()
	if p, ok := b.params[key]; ok {
		return p
	}
	p := b.readParameter(d.at, d.name, d.in)
	if d.in == "header" && b.api.Version != OpenAPI20 {
		switch strings.ToLower(d.name) {
		case "accept", "content-type", "authorization":
			b.report(Warning, "spec.header_parameter_ignored", d.at, "a header parameter called %s is ignored, as OpenAPI says: content and security describe it", d.name)
			p = nil
		}
	}
	b.params[key] = p
	return p
}

// readParameter reads a parameter, or a response header (in is "header").
func (b *builder) readParameter(n node, name, in string) *Parameter {
	p := &Parameter{Name: strings.Clone(name), In: in, Description: strings.Clone(n.str("description")),
		Required: b.boolean(n, "required", false), Deprecated: b.boolean(n, "deprecated", false),
		AllowEmptyValue: b.boolean(n, "allowEmptyValue", false), Place: n.place()}
	if in == "path" && !p.Required {
		b.report(Warning, "spec.bad_parameter", n, "the path parameter %q should say required: true; it is required", name)
		p.Required = true
	}
	if b.api.Version == OpenAPI20 {
		b.style20(p, n)
		if e := n.get("x-example"); e.ok() {
			p.Example = cloneValue(e.v)
		}
		b.parameter20(p, n)
		return p
	}
	p.AllowReserved = b.boolean(n, "allowReserved", false)
	p.Style = map[string]string{"path": "simple", "query": "form", "header": "simple", "cookie": "form"}[in]
	if s := n.str("style"); s != "" && s != p.Style {
		if styleFits(s, in) {
			p.Style = strings.Clone(s)
		} else {
			b.report(Degraded, "spec.bad_style", n, "style %q is not for a parameter in %s; it is read as %s", s, in, p.Style)
		}
	}
	p.Explode = b.boolean(n, "explode", p.Style == "form" || p.Style == "deepObject")
	b.parameterSchema(p, n)
	examples := b.examples(n)
	if len(examples) > 0 {
		p.Example = examples[0]
	}
	return p
}

func styleFits(style, in string) bool {
	switch style {
	case "simple":
		return in == "path" || in == "header"
	case "label", "matrix":
		return in == "path"
	case "form":
		return in == "query" || in == "cookie"
	case "spaceDelimited", "pipeDelimited", "deepObject":
		return in == "query"
	}
	return false
}

func (b *builder) parameterSchema(p *Parameter, n node) {
	switch {
	case n.has("schema"):
		b.schema(n.get("schema"), &p.Schema)
		b.describeSchema(p, n.get("schema"))
		if n.has("content") {
			b.report(Warning, "spec.bad_parameter", n, "the parameter %q has schema and content; content is ignored", p.Name)
		}
	case n.has("content"):
		content := n.get("content")
		if !content.isObject() || len(content.v.Kids) == 0 {
			b.report(Degraded, "spec.wrong_type", content, "content should be an object with one media type; any text is taken")
			return
		}
		if len(content.v.Kids) > 1 {
			b.report(Warning, "spec.bad_parameter", content, "content of a parameter should have one media type; the first is taken")
		}
		first := content.v.Kids[0].Name
		p.ContentType = b.mediaTypeName(content, first)
		if mt := content.get(first); mt.has("schema") {
			b.schema(mt.get("schema"), &p.Schema)
		}
	case n.has("type"):
		b.report(Degraded, "spec.bad_parameter", n, "the parameter %q has type where OpenAPI 3 wants a schema; it is read as one", p.Name)
		b.parameter20(p, n)
	default:
		b.report(Degraded, "spec.missing_field", n, "the parameter %q has neither schema nor content; any text is taken", p.Name)
	}
}

// describeSchema keeps of a parameter's schema what must be known without validating.
func (b *builder) describeSchema(p *Parameter, at node) {
	p.Shape = b.shape(at)
	if s := b.lookup(at); s.isObject() {
		p.format, p.typ = strings.Clone(s.str("format")), strings.Clone(schemaType(s))
		p.Class = DataClass(strings.Clone(s.str("x-crenel-class")))
	}
}

// style20 turns 2.0's collectionFormat into a style.
func (b *builder) style20(p *Parameter, n node) {
	p.Style = map[string]string{"path": "simple", "query": "form", "header": "simple", "cookie": "form"}[p.In]
	switch f := n.str("collectionFormat"); f {
	case "", "csv":
	case "ssv":
		p.Style = "spaceDelimited"
	case "pipes":
		p.Style = "pipeDelimited"
	case "tsv":
		p.Style = "tabDelimited"
	case "multi":
		p.Explode = true
		if p.In != "query" {
			p.Explode = false
			b.report(Degraded, "spec.bad_style", n, "collectionFormat multi is only for query and formData; the parameter %q is read as csv", p.Name)
		}
	default:
		b.report(Degraded, "spec.bad_style", n, "collectionFormat %q is not known; it should be csv, ssv, tsv, pipes or multi. It is read as csv", f)
	}
}

// headersOf reads the headers of a response or of an encoding.
func (b *builder) headersOf(at node) []*Parameter {
	var out []*Parameter
	at.each(func(name string, n node) {
		h := b.object(n, "a header")
		if !h.ok() || strings.EqualFold(name, "content-type") {
			return
		}
		key := h.uri() + "\x00" + name
		p := b.headers[key]
		if p == nil {
			p = b.readParameter(h, name, "header")
			b.headers[key] = p
		}
		out = append(out, p)
	})
	return out
}

// examples reads example and examples of a parameter or media type.
func (b *builder) examples(n node) []*value.Value {
	var out []*value.Value
	if e := n.get("example"); e.ok() {
		out = append(out, cloneValue(e.v))
	}
	list := n.get("examples")
	if !list.isObject() {
		return out
	}
	list.each(func(_ string, e node) {
		if e = b.object(e, "an example"); e.has("value") {
			out = append(out, cloneValue(e.get("value").v))
		}
	})
	return out
}
