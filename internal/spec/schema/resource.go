package schema

import (
	"embed"
	"fmt"
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// resource is one schema resource (JSON Schema core, section 4.3.5): a document,
// or a part of one that has an $id of its own.
type resource struct {
	uri     string // without fragment
	doc     string // URI of the document it stands in
	root    *value.Value
	ptr     string // of root in its document
	dialect Dialect
	vocab   vocabulary
	anchors map[string]place
	dyn     map[string]place
	// dynamic holds the compiled $dynamicAnchors whose names some $dynamicRef uses.
	dynamic map[string]*Schema
	// children lists, for a discriminator, the schemas that extend another by allOf.
	children map[string][]string
	shapes   *shapes // of the whole compiler
	// usesDynamic: some schema of the compiler has a $dynamicRef that searches.
	usesDynamic bool
}

// place is one schema in its document.
type place struct {
	v   *value.Value
	res *resource
	ptr string
}

func (p place) child(v *value.Value, token string) place {
	return place{v: v, res: p.res, ptr: p.ptr + "/" + value.EscapeToken(token)}
}

func (p place) index(v *value.Value, keyword string, i int) place {
	return place{v: v, res: p.res, ptr: fmt.Sprintf("%s/%s/%d", p.ptr, value.EscapeToken(keyword), i)}
}

//go:embed metaschema
var metaschemas embed.FS

// metaschema returns the embedded document of a standard metaschema.
func metaschema(uri string) *value.Value {
	var file string
	switch {
	case uri == "http://json-schema.org/draft-04/schema":
		file = "draft4.json"
	case strings.HasPrefix(uri, "https://json-schema.org/draft/2020-12/"):
		file = strings.TrimPrefix(uri, "https://json-schema.org/draft/") + ".json"
		file = "draft" + file
	default:
		return nil
	}
	b, err := metaschemas.ReadFile("metaschema/" + file)
	if err != nil {
		return nil
	}
	v, err := value.JSON(b, value.Limits{})
	if err != nil {
		return nil
	}
	return v
}

// AddResource makes a document known under a URI: to refer to and to compile
// from. The document must not change afterwards. A second document under the
// same URI replaces the first only when nothing was compiled from it yet; add
// all documents before the first Compile.
func (c *Compiler) AddResource(uri string, doc *value.Value) {
	uri, _ = splitFragment(uri)
	r := &resource{uri: uri, doc: uri, root: doc, dialect: c.dialect, vocab: everything, shapes: c.shapes}
	c.resources[uri] = r
	if normal := c.absolute("", uri); normal != uri {
		c.resources[normal] = r // as references to it come out of RFC 3986
	}
	p := place{v: doc, res: r}
	if doc.Get("openapi") != nil || doc.Get("swagger") != nil {
		if r.dialect.idKeyword() == "" {
			return
		}
		for _, at := range [][2]string{{"components", "schemas"}, {"definitions", ""}} {
			v, q := doc.Get(at[0]), p.child(nil, at[0])
			if at[1] != "" {
				v, q = v.Get(at[1]), q.child(nil, at[1])
			}
			if v == nil || v.Kind != value.Object {
				continue
			}
			q.v = v
			for i := range v.Kids {
				c.scan(q.child(&v.Kids[i], v.Kids[i].Name), 0)
			}
		}
		return
	}
	c.dialectOf(r)
	c.scan(p, 0)
}

// dialectOf reads $schema: which dialect and vocabularies a resource uses.
func (c *Compiler) dialectOf(r *resource) {
	named := r.root.Get("$schema").Str()
	if named == "" {
		return
	}
	uri, _ := splitFragment(named)
	switch uri {
	case "http://json-schema.org/draft-04/schema", "https://json-schema.org/draft-04/schema":
		if !r.dialect.openAPI() {
			r.dialect, r.vocab = Draft4, everything
		}
		return
	case "https://json-schema.org/draft/2020-12/schema":
		if r.dialect == Draft4 {
			r.dialect = Draft202012
		}
		r.vocab = everything
		return
	case "https://spec.openapis.org/oas/3.1/dialect/base":
		return
	}
	meta := c.resources[uri]
	if meta == nil || r.dialect.old() {
		if !r.dialect.openAPI() {
			c.report(place{res: r, ptr: r.ptr}, "$schema", Warning, "unknown_dialect",
				"$schema names %q, which is not known here; the schema is read as %s", named, r.dialect)
		}
		return
	}
	list := meta.root.Get("$vocabulary")
	if list == nil || list.Kind != value.Object {
		return
	}
	r.vocab = vocabulary{}
	for i := range list.Kids {
		v := &list.Kids[i]
		switch name, ok := strings.CutPrefix(v.Name, vocabularyPrefix); {
		case ok && name == "applicator":
			r.vocab.applicator = true
		case ok && name == "validation":
			r.vocab.validation = true
		case ok && name == "unevaluated":
			r.vocab.unevaluated = true
		case ok && name == "format-assertion":
			r.vocab.formatAssertion = true
		case ok && (name == "core" || name == "meta-data" || name == "content" || name == "format-annotation"):
		case v.IsTrue():
			c.report(place{res: r, ptr: r.ptr}, "$schema", Degraded, "unknown_vocabulary",
				"the metaschema demands the vocabulary %q, which is not known here; its keywords are ignored", v.Name)
		}
	}
}

// The keywords whose values are schemas, by shape.
var (
	holdsSchema = map[string]bool{"not": true, "if": true, "then": true, "else": true, "additionalProperties": true,
		"contains": true, "propertyNames": true, "unevaluatedProperties": true, "unevaluatedItems": true,
		"additionalItems": true, "contentSchema": true}
	holdsList = map[string]bool{"allOf": true, "anyOf": true, "oneOf": true, "prefixItems": true}
	holdsMap  = map[string]bool{"properties": true, "patternProperties": true, "$defs": true, "definitions": true,
		"dependentSchemas": true, "dependencies": true}
)

// maxNesting bounds the walk over a schema document; decoders bound documents lower.
const maxNesting = 512

// scan finds the identifiers below p: $id, $anchor and $dynamicAnchor (draft 4: id).
func (c *Compiler) scan(p place, depth int) {
	key := p.res.dialect.idKeyword()
	if key == "" || p.v == nil || p.v.Kind != value.Object || depth > maxNesting || c.scanned[p.v] {
		return
	}
	c.scanned[p.v] = true
	_, isRef := member(p.v, "$ref")
	if id := p.v.Get(key); id != nil && id.Kind == value.String && !(key == "id" && isRef) {
		p = c.identify(p, key, id.Text)
	}
	if key == "$id" {
		if a := p.v.Get("$anchor").Str(); a != "" {
			p.res.anchors = put(p.res.anchors, a, p)
		}
		if a := p.v.Get("$dynamicAnchor").Str(); a != "" {
			p.res.dyn = put(p.res.dyn, a, p)
			if _, taken := p.res.anchors[a]; !taken {
				p.res.anchors = put(p.res.anchors, a, p)
			}
		}
	}
	for i := range p.v.Kids {
		k := &p.v.Kids[i]
		q := p.child(k, k.Name)
		switch {
		case k.Kind == value.Object && (holdsSchema[k.Name] || k.Name == "items"):
			c.scan(q, depth+1)
		case k.Kind == value.Array && (holdsList[k.Name] || k.Name == "items"):
			for j := range k.Kids {
				c.scan(p.index(&k.Kids[j], k.Name, j), depth+1)
			}
		case k.Kind == value.Object && holdsMap[k.Name]:
			for j := range k.Kids {
				c.scan(q.child(&k.Kids[j], k.Kids[j].Name), depth+1)
			}
		}
	}
}

// identify registers p under its own URI and returns it as the root of a resource.
func (c *Compiler) identify(p place, key, id string) place {
	uri, fragment := splitFragment(id)
	if uri == "" {
		if key == "id" && fragment != "" {
			p.res.anchors = put(p.res.anchors, fragment, p)
		}
		return p
	}
	full := c.absolute(p.res.uri, uri)
	r := p.res
	if p.v != r.root || r.ptr != p.ptr {
		r = &resource{doc: p.res.doc, root: p.v, ptr: p.ptr, dialect: p.res.dialect, vocab: p.res.vocab, shapes: c.shapes}
		c.dialectOf(r)
	}
	r.uri = full
	if old := c.resources[full]; old != nil && old.root != p.v {
		c.report(p, key, Warning, "duplicate_id", "%s %q is already taken by %s%s; the first counts", key, full, old.doc, old.ptr)
	} else {
		c.resources[full] = r
	}
	c.identified[p.v] = r
	p.res = r
	if key == "id" && fragment != "" {
		r.anchors = put(r.anchors, fragment, p)
	}
	return p
}

func put(m map[string]place, name string, p place) map[string]place {
	if m == nil {
		m = map[string]place{}
	}
	if _, taken := m[name]; !taken {
		m[name] = p
	}
	return m
}

func member(v *value.Value, name string) (*value.Value, bool) {
	m := v.Get(name)
	return m, m != nil
}

func splitFragment(uri string) (base, fragment string) {
	base, fragment, _ = strings.Cut(uri, "#")
	if strings.IndexByte(fragment, '%') >= 0 {
		if plain, err := url.PathUnescape(fragment); err == nil {
			fragment = plain
		}
	}
	return base, fragment
}

// absolute resolves a reference against a base URI (RFC 3986, section 5).
func (c *Compiler) absolute(base, ref string) string {
	if ref == "" {
		return base
	}
	key := [2]string{base, ref}
	if full, ok := c.joined[key]; ok {
		return full
	}
	full := ref
	if u, err := url.Parse(ref); err == nil {
		if b, err := url.Parse(base); err == nil {
			full = b.ResolveReference(u).String()
		}
	}
	c.joined[key] = full
	return full
}

// resolve finds what a reference in p.res names.
func (c *Compiler) resolve(res *resource, ref string) (place, error) {
	base, fragment := splitFragment(ref)
	r := res
	if base != "" || res.root == nil {
		full := c.absolute(res.uri, base)
		if r = c.resources[full]; r == nil && strings.Contains(base, ":") {
			r = c.resources[base]
		}
		if r == nil {
			if m := metaschema(full); m != nil {
				c.AddResource(full, m)
				r = c.resources[full]
				if strings.Contains(full, "2020-12") {
					r.dialect = Draft202012
				} else {
					r.dialect = Draft4
				}
			}
		}
		if r == nil {
			if p, ok := c.named(res, ref); ok {
				return p, nil
			}
			return place{}, fmt.Errorf("no document %q is loaded", full)
		}
	}
	switch {
	case fragment == "":
		return place{v: r.root, res: r, ptr: r.ptr}, nil
	case fragment[0] == '/':
		return c.walk(r, fragment)
	}
	if p, ok := r.anchors[fragment]; ok {
		return p, nil
	}
	if p, ok := c.named(res, fragment); ok {
		return p, nil
	}
	return place{}, fmt.Errorf("%q has no anchor %q", r.uri, fragment)
}

// named finds a schema by its bare name among an OpenAPI document's: not a
// reference by any standard, but common and unambiguous.
func (c *Compiler) named(res *resource, name string) (place, bool) {
	if !res.dialect.openAPI() || strings.ContainsAny(name, "/#:") {
		return place{}, false
	}
	doc := c.resources[res.doc]
	if doc == nil {
		return place{}, false
	}
	for _, at := range []string{"/components/schemas", "/definitions"} {
		if v := doc.root.At(at).Get(name); v != nil {
			return place{v: v, res: doc, ptr: at + "/" + value.EscapeToken(name)}, true
		}
	}
	return place{}, false
}

// walk follows a JSON pointer from a resource's root, noting the resources it enters.
func (c *Compiler) walk(r *resource, pointer string) (place, error) {
	key := pointerKey{r, pointer}
	if p, ok := c.walked[key]; ok {
		return p, nil
	}
	p := place{v: r.root, res: r, ptr: r.ptr}
	for rest := pointer; rest != ""; {
		token := rest[1:]
		if i := strings.IndexByte(token, '/'); i >= 0 {
			token, rest = token[:i], token[i:]
		} else {
			rest = ""
		}
		next := c.child(p.v, token)
		if next == nil {
			return place{}, fmt.Errorf("there is nothing at %q in %q", p.ptr+"/"+token, r.doc)
		}
		p = place{v: next, res: p.res, ptr: p.ptr + "/" + token}
		if in := c.identified[next]; in != nil {
			p.res = in
		}
	}
	c.walked[key] = p
	return p, nil
}

// wide is from how many members on an object is looked up by an index: each schema of a
// description is walked to from the root, past the list of all its paths.
const wide = 64

// child is the member of v that a token of a JSON pointer names, or nil.
func (c *Compiler) child(v *value.Value, token string) *value.Value {
	if v == nil || v.Kind != value.Object || len(v.Kids) < wide {
		return v.At("/" + token)
	}
	index := c.indexes[v]
	if index == nil {
		index = make(map[string]*value.Value, len(v.Kids))
		for i := range v.Kids {
			if k := &v.Kids[i]; index[k.Name] == nil {
				index[k.Name] = k
			}
		}
		if c.indexes == nil {
			c.indexes = map[*value.Value]map[string]*value.Value{}
		}
		c.indexes[v] = index
	}
	return index[value.UnescapeToken(token)]
}
