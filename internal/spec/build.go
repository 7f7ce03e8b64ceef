package spec

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// builder walks the documents once and makes the model. Whatever it meets, it
// goes on: what is missing or wrong is reported, and left out or read in the
// way that lets fewer requests through.
type builder struct {
	l       *loader
	root    node
	base    *url.URL // where the root document was fetched from, when that is an address
	api     *API
	routes  []route
	ids     map[string]*Operation
	params  map[string]*Parameter // by URI of the $ref that leads to it
	resps   map[string]*Response
	bodies  map[string]*Body
	headers map[string]*Parameter
	schemas []schemaJob
	made    []*document // schemas that stand in no document of their own
	media   []mediaSchema
	links   []linkTarget
	// afterCompile runs when the schemas of this build are compiled.
	afterCompile []func()
	global       struct {
		security           []Requirement
		public, declared   bool
		consumes, produces []string
		servers            []Server
	}
}

// schemaJob is a schema that is compiled once all are known.
type schemaJob struct {
	at  node
	dst **schema.Schema
}

// mediaSchema remembers where a media type's schema stands, for its Fields.
type mediaSchema struct {
	mt *MediaType
	at node
}

type linkTarget struct {
	link *Link
	id   string
	ref  string
	at   node
}

func newBuilder(l *loader, root *document) *builder {
	b := &builder{l: l, root: node{doc: root, v: root.root},
		ids: map[string]*Operation{}, params: map[string]*Parameter{}, resps: map[string]*Response{},
		bodies: map[string]*Body{}, headers: map[string]*Parameter{}}
	if isRemote(root.uri) {
		b.base, _ = url.Parse(root.uri)
	}
	return b
}

func (b *builder) report(s Severity, code string, at node, format string, args ...any) {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	b.l.problems.add(Problem{Severity: s, Code: code, Place: at.place(), Message: message})
}

func (b *builder) describe(name string) {
	b.api = &API{Source: name, Schemas: map[string]*schema.Schema{}, SecuritySchemes: map[string]*SecurityScheme{}}
	info := b.root.get("info")
	b.api.Title, b.api.Description, b.api.APIVersion = info.str("title"), info.str("description"), scalarText(info.get("version").v)
	if !info.isObject() {
		b.report(Warning, "spec.missing_field", b.root, "info is missing; it should be an object with title and version")
	}
	b.api.Extensions = extensions(b.root)
}

// makeAPI is the whole walk.
func (b *builder) makeAPI(name string) (*API, error) {
	version, err := b.version()
	if err != nil {
		return nil, err
	}
	b.describe(name)
	b.api.Version = version

	if b.api.Version == OpenAPI20 {
		b.global.consumes, b.global.produces = b.strings(b.root.get("consumes")), b.strings(b.root.get("produces"))
		b.global.servers = b.servers20()
		b.securitySchemes(b.root.get("securityDefinitions"))
	} else {
		b.global.servers = b.servers(b.root.get("servers"))
		if b.global.servers == nil {
			b.global.servers = []Server{b.server(b.root, "/")}
		}
		b.securitySchemes(b.root.get("components").get("securitySchemes"))
	}
	b.api.Servers = b.global.servers
	b.global.security, b.global.public, b.global.declared = b.security(b.root.get("security"))

	paths := b.root.get("paths")
	switch {
	case !paths.ok() && b.api.Version != OpenAPI31:
		b.report(Fatal, "spec.missing_field", b.root, "paths is missing; it should be an object with one member for each path")
	case paths.ok() && !paths.isObject():
		b.report(Fatal, "spec.wrong_type", paths, "paths should be an object with one member for each path, not %s", kindName(paths.v))
	}
	paths.each(func(path string, item node) {
		if !strings.HasPrefix(path, "x-") {
			b.pathItem(path, item)
		}
	})
	b.root.get("webhooks").each(func(name string, _ node) { b.api.Webhooks = append(b.api.Webhooks, name) })
	if len(b.api.Operations) == 0 {
		b.report(Fatal, "spec.no_operations", b.root, "the document declares no operation that can be used")
	}
	b.componentSchemas()
	b.resolveLinks()
	b.api.router = newRouter(b.routes, b.l.problems.add)
	b.compile()
	b.meaning() // after compile: it copies parameters that several operations share
	for _, d := range b.l.order {
		b.api.Documents = append(b.api.Documents, d.name)
	}
	return b.api, nil
}

func (b *builder) version() (Version, error) {
	if !b.root.isObject() {
		return 0, fmt.Errorf("%s: the document is %s, not an OpenAPI description, which is an object", b.root.doc.name, kindName(b.root.v))
	}
	at, text := b.root.get("openapi"), scalarText(b.root.get("openapi").v)
	if !at.ok() {
		at, text = b.root.get("swagger"), scalarText(b.root.get("swagger").v)
	}
	if at.ok() && at.v.Kind != value.String {
		b.report(Warning, "spec.wrong_type", at, "the version should be a string: quote it")
	}
	switch {
	case b.root.has("openapi") && (text == "3.0" || strings.HasPrefix(text, "3.0.")):
		return OpenAPI30, nil
	case b.root.has("openapi") && (text == "3.1" || strings.HasPrefix(text, "3.1.")):
		return OpenAPI31, nil
	case b.root.has("openapi") && strings.HasPrefix(text, "3."):
		b.report(Degraded, "spec.unknown_version", at, "OpenAPI %s is not known; it is read as 3.1", text)
		return OpenAPI31, nil
	case !b.root.has("openapi") && (text == "2" || strings.HasPrefix(text, "2.0")):
		return OpenAPI20, nil
	case text != "":
		return 0, fmt.Errorf("%s: version %q cannot be read; 2.0, 3.0 and 3.1 can", b.root.doc.name, text)
	case b.root.get("paths").isObject():
		b.report(Degraded, "spec.unknown_version", b.root, `neither openapi nor swagger says which version this is; it is read as 3.0: add openapi: "3.0.3"`)
		return OpenAPI30, nil
	}
	return 0, fmt.Errorf("%s: it has no openapi, swagger or paths member, so it is not an OpenAPI description", b.root.doc.name)
}

const maxRefHops = 32

// resolve follows $ref from n to what it names. A $ref that leads nowhere is
// reported and the result is not ok.
func (b *builder) resolve(n node) node {
	from := n
	for hop := 0; n.isObject(); hop++ {
		ref := n.doc.member(n.v, "$ref")
		if ref == nil {
			return n
		}
		if ref.Kind != value.String {
			b.report(Degraded, "spec.wrong_type", n, "$ref should be a string")
			return node{doc: n.doc, ptr: n.ptr}
		}
		if hop == maxRefHops {
			b.report(Degraded, "spec.ref_cycle", from, "$ref leads round in a circle")
			return node{doc: from.doc, ptr: from.ptr}
		}
		uri, pointer, err := resolveURI(n.doc.uri, ref.Text)
		if err != nil {
			b.report(Degraded, "spec.unresolved_ref", n, "$ref %q is no URI reference", ref.Text)
			return node{doc: n.doc, ptr: n.ptr}
		}
		d, err := b.l.open(uri)
		if err != nil {
			b.report(Degraded, "spec.unresolved_ref", n, "$ref %q cannot be read: %v", ref.Text, err)
			return node{doc: n.doc, ptr: n.ptr}
		}
		v := d.at(pointer)
		if v == nil {
			b.report(Degraded, "spec.unresolved_ref", n, "$ref %q leads nowhere: %s has nothing at %q", ref.Text, d.name, pointer)
			return node{doc: n.doc, ptr: n.ptr}
		}
		n = node{doc: d, v: v, ptr: pointer}
	}
	return n
}

// object resolves n and requires an object there. A missing one is no problem.
func (b *builder) object(n node, what string) node {
	if !n.ok() {
		return n
	}
	n = b.resolve(n)
	if n.ok() && !n.isObject() {
		b.report(Degraded, "spec.wrong_type", n, "%s should be an object, not %s", what, kindName(n.v))
		return node{doc: n.doc, ptr: n.ptr}
	}
	return n
}

// boolean reads a flag; missing or wrong it is def.
func (b *builder) boolean(n node, name string, def bool) bool {
	k := n.get(name)
	if !k.ok() {
		return def
	}
	if k.v.Kind == value.Bool {
		return k.v.Text == "true"
	}
	// YAML 1.1 and careless generators write flags as words.
	switch strings.ToLower(k.v.Text) {
	case "true", "yes", "on":
		b.report(Warning, "spec.wrong_type", k, "%s should be true, without quotes", name)
		return true
	case "false", "no", "off":
		b.report(Warning, "spec.wrong_type", k, "%s should be false, without quotes", name)
		return false
	}
	b.report(Degraded, "spec.wrong_type", k, "%s should be true or false; it is read as %v", name, def)
	return def
}

func (b *builder) strings(n node) []string {
	if !n.ok() {
		return nil
	}
	if n.v.Kind != value.Array {
		b.report(Warning, "spec.wrong_type", n, "a list of strings should stand here, not %s", kindName(n.v))
		if n.v.Kind == value.String {
			return []string{n.v.Text}
		}
		return nil
	}
	out := make([]string, 0, len(n.v.Kids))
	for i := range n.v.Kids {
		if n.v.Kids[i].Kind == value.String {
			out = append(out, strings.Clone(n.v.Kids[i].Text))
		}
	}
	return out
}

func (b *builder) componentSchemas() {
	at := b.root.get("components").get("schemas")
	if b.api.Version == OpenAPI20 {
		at = b.root.get("definitions")
	}
	if !at.isObject() {
		return
	}
	names := make([]string, 0, len(at.v.Kids))
	compiled := make([]*schema.Schema, len(at.v.Kids))
	at.each(func(name string, n node) {
		b.schema(n, &compiled[len(names)])
		names = append(names, strings.Clone(name))
	})
	b.afterCompile = append(b.afterCompile, func() {
		for i, name := range names {
			if compiled[i] != nil {
				b.api.Schemas[name] = compiled[i]
			}
		}
	})
}

// extensions are the members whose names start with x-.
func extensions(n node) map[string]any {
	var m map[string]any
	if !n.isObject() {
		return nil
	}
	for i := range n.v.Kids {
		k := &n.v.Kids[i]
		if strings.HasPrefix(k.Name, "x-") {
			if m == nil {
				m = map[string]any{}
			}
			m[strings.Clone(k.Name)] = cloneValue(k).ToAny()
		}
	}
	return m
}

// scalarText is a string, or a number or flag as it was written.
func scalarText(v *value.Value) string {
	if v == nil || v.Kind == value.Array || v.Kind == value.Object {
		return ""
	}
	return strings.Clone(v.Text)
}

func kindName(v *value.Value) string {
	if v == nil {
		return "nothing"
	}
	switch v.Kind {
	case value.Null:
		return "null"
	case value.Array, value.Object:
		return "an " + v.Kind.String()
	}
	return "a " + v.Kind.String()
}

func (b *builder) resolveLinks() {
	for _, t := range b.links {
		switch {
		case t.id != "":
			t.link.Target = b.ids[t.id]
		case t.ref != "":
			if uri, pointer, err := resolveURI(t.at.doc.uri, t.ref); err == nil {
				i := slices.IndexFunc(b.routes, func(r route) bool { return r.uri == uri+"#"+pointer })
				if i >= 0 {
					t.link.Target = b.routes[i].op
				}
			}
		}
		if t.link.Target == nil {
			b.report(Warning, "spec.unresolved_link", t.at, "the link names no operation of this document; operationId or operationRef should")
		}
	}
}
