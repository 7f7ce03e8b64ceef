package spec

import (
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// schema has the schema at n compiled into *dst once all documents are known.
func (b *builder) schema(n node, dst **schema.Schema) {
	b.schemas = append(b.schemas, schemaJob{at: n, dst: dst})
}

// parameter20 does the same for what 2.0 writes into a parameter or header itself.
func (b *builder) parameter20(p *Parameter, n node) {
	at := b.synthetic(n, b.schemaOf20(n))
	b.schema(at, &p.Schema)
	b.describeSchema(p, at)
}

// notSchema are the members of a 2.0 parameter that are not of its schema.
var notSchema = map[string]bool{"name": true, "in": true, "description": true, "required": true,
	"collectionFormat": true, "allowEmptyValue": true, "example": true, "examples": true, "schema": true}

// schemaOf20 is the schema that a 2.0 parameter or header holds, as a schema of its own.
func (b *builder) schemaOf20(n node) value.Value {
	if n.has("schema") { // written as 3.0 does: common enough to be read as it was meant
		b.report(Warning, "spec.bad_parameter", n, "only a body parameter has a schema in OpenAPI 2.0; it is taken as meant")
		return b.absolute(n.doc, *n.get("schema").v)
	}
	out := value.Value{Kind: value.Object, Start: n.v.Start, End: n.v.End}
	for i := range n.v.Kids {
		k := n.v.Kids[i]
		if notSchema[k.Name] {
			continue
		}
		out.Kids = append(out.Kids, b.absolute(n.doc, k))
	}
	if t := out.Get("type"); t.Str() == "file" {
		// As OpenAPI 3 says it, so that nobody takes the file for text.
		t.Text = "string"
		if f := out.Get("format"); f != nil {
			f.Text = "binary"
		} else {
			out.Kids = append(out.Kids, value.Value{Name: "format", Kind: value.String, Text: "binary"})
		}
	}
	return out
}

// absolute copies a tree with its $refs made absolute, so that it can stand in another document.
func (b *builder) absolute(d *document, v value.Value) value.Value {
	if len(v.Kids) == 0 {
		return v
	}
	kids := make([]value.Value, len(v.Kids))
	for i, k := range v.Kids {
		if k.Name == "$ref" && k.Kind == value.String {
			if uri, pointer, err := resolveURI(d.uri, k.Text); err == nil {
				k.Text = uri + "#" + pointer
			}
		}
		kids[i] = b.absolute(d, k)
	}
	v.Kids = kids
	return v
}

// synthetic makes a document of a schema that stands in none. Its lines and its
// name are those of the document it was made from.
func (b *builder) synthetic(from node, v value.Value) node {
	d := &document{uri: fmt.Sprintf("urn:crenel:schema:%d", len(b.made)), name: from.doc.name, root: &v, lines: from.doc.lines,
		byName: map[*value.Value]map[string]*value.Value{}, byPtr: map[string]*value.Value{}, origin: from.ptr}
	b.made = append(b.made, d)
	return node{doc: d, v: &v}
}

// compile compiles every schema that something uses, each once.
func (b *builder) compile() {
	dialect := map[Version]schema.Dialect{OpenAPI20: schema.OpenAPI20, OpenAPI30: schema.OpenAPI30, OpenAPI31: schema.OpenAPI31}[b.api.Version]
	c := schema.NewCompiler(dialect, b.l.opts.Schema)
	docs := map[string]*document{}
	for _, d := range b.l.order {
		docs[d.uri] = d
		c.AddResource(d.uri, d.root)
	}
	for _, d := range b.made {
		docs[d.uri] = d
		c.AddResource(d.uri, d.root)
	}
	for _, job := range b.schemas {
		s, problems := c.Compile(job.at.doc.uri + "#" + fragment(job.at.ptr))
		*job.dst = s
		for _, p := range problems {
			b.l.problems.add(schemaProblem(p, docs[p.URI], job.at))
		}
	}
	for _, f := range b.afterCompile {
		f()
	}
}

// schemaProblem gives a problem of a schema its place in the documents.
func schemaProblem(p schema.Problem, d *document, used node) Problem {
	out := Problem{Code: p.Code, Message: p.Message, Place: used.place()}
	switch p.Severity {
	case schema.Warning:
		out.Severity = Warning
	case schema.Degraded:
		out.Severity = Degraded
	default:
		out.Severity = Fatal
	}
	if d != nil {
		v, at := d.at(p.Pointer), p.Pointer
		for v == nil && at != "" { // a keyword that is missing: the nearest value that is there
			at = at[:strings.LastIndexByte(at, '/')]
			v = d.at(at)
		}
		out.Place = d.place(v, p.Pointer)
	}
	return out
}

// fragment writes a JSON pointer as a URI's fragment.
func fragment(pointer string) string {
	return strings.NewReplacer("%", "%25", "#", "%23").Replace(pointer)
}
