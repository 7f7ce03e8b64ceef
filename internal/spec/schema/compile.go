package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/value"
)

// CompilerOptions are what a Compiler is told beyond its dialect. The zero value is good.
type CompilerOptions struct {
	// Formats says whether format refuses values. By default it does in the
	// OpenAPI dialects and is an annotation in the plain drafts.
	Formats FormatUse
	// PatternTimeout bounds one match; 0 means 50 ms.
	PatternTimeout time.Duration
}

// FormatUse says whether format is asserted.
type FormatUse uint8

// The uses of format.
const (
	FormatByDialect FormatUse = iota
	FormatAsserted
	FormatIgnored
)

// Compiler turns schema documents into Schemas. It is not safe for concurrent
// use, and must not compile while a Schema it made is validating: schemas that
// use $dynamicRef learn of resources added later.
type Compiler struct {
	dialect Dialect
	opts    CompilerOptions

	resources  map[string]*resource
	identified map[*value.Value]*resource
	scanned    map[*value.Value]bool
	joined     map[[2]string]string
	walked     map[pointerKey]place
	indexes    map[*value.Value]map[string]*value.Value // of wide objects, by name
	built      map[*value.Value]*Schema
	patterns   map[string]*pattern
	fresh      []*Schema // built since the last Compile, for finish
	problems   []Problem
	dynamic    map[string]bool // names that some $dynamicRef uses
	depth      int
	order      int32
	shapes     *shapes
}

type pointerKey struct {
	res     *resource
	pointer string
}

// NewCompiler returns a compiler whose documents are in dialect d unless their
// $schema says otherwise.
func NewCompiler(d Dialect, o CompilerOptions) *Compiler {
	if o.PatternTimeout <= 0 {
		o.PatternTimeout = 50 * time.Millisecond
	}
	return &Compiler{
		dialect: d, opts: o,
		resources:  map[string]*resource{},
		identified: map[*value.Value]*resource{},
		scanned:    map[*value.Value]bool{},
		joined:     map[[2]string]string{},
		walked:     map[pointerKey]place{},
		built:      map[*value.Value]*Schema{},
		patterns:   map[string]*pattern{},
		dynamic:    map[string]bool{},
		shapes:     newShapes(),
	}
}

// Compile compiles the schema at uri, which may end in a fragment: a JSON
// pointer or an anchor. It always returns a usable Schema: each keyword that
// cannot be used is left out and reported, and a reference that leads nowhere
// accepts anything and is reported as Fatal at its place. A problem is
// reported by the call that first reaches it.
func (c *Compiler) Compile(uri string) (*Schema, []Problem) {
	base, _ := splitFragment(uri)
	root := &resource{uri: base, doc: base, dialect: c.dialect, vocab: everything, shapes: c.shapes}
	p, err := c.resolve(root, uri)
	var s *Schema
	if err != nil {
		c.report(place{res: root}, "", Fatal, "unresolved_ref", "%v", err)
		s = c.anything(place{res: root})
	} else {
		c.scan(p, 0)
		s = c.at(p)
	}
	c.finish()
	problems := c.problems
	c.problems = nil
	return s, problems
}

func (c *Compiler) report(p place, keyword string, sev Severity, code, format string, args ...any) {
	ptr := p.ptr
	if keyword != "" {
		ptr += "/" + value.EscapeToken(keyword)
	}
	c.problems = append(c.problems, Problem{Severity: sev, Code: "schema." + code, URI: p.res.doc, Pointer: ptr,
		Message: fmt.Sprintf(format, args...)})
}

func (c *Compiler) make(p place) *Schema {
	c.order++
	s := &Schema{kinds: anyKind, res: p.res, ptr: p.ptr, src: p.v, order: c.order}
	c.fresh = append(c.fresh, s)
	return s
}

func (c *Compiler) anything(p place) *Schema {
	s := c.make(p)
	s.trivial = true
	return s
}

// at returns the schema at p, following references that stand alone, so that
// they cost nothing when validating.
func (c *Compiler) at(p place) *Schema {
	var chain []*value.Value
	var s *Schema
	for s == nil {
		if known := c.built[p.v]; known != nil {
			s = known
			break
		}
		if in := c.identified[p.v]; in != nil {
			p.res = in
		}
		ref, lone := c.loneRef(p)
		if !lone {
			s = c.build(p)
			break
		}
		if slices.Contains(chain, p.v) {
			c.report(p, "$ref", Fatal, "circular_ref", "the reference %q leads back to itself; it needs a schema to refer to", ref)
			s = c.anything(p)
			break
		}
		chain = append(chain, p.v)
		next, err := c.resolve(p.res, ref)
		if err != nil {
			c.report(p, "$ref", Fatal, "unresolved_ref", "the reference %q cannot be resolved: %v", ref, err)
			s = c.anything(p)
			break
		}
		c.scan(next, 0)
		if next.res != p.res && len(p.res.dyn) > 0 {
			s = c.build(p) // the dynamic scope must see p's resource entered
			break
		}
		p = next
	}
	for _, v := range chain {
		c.built[v] = s
	}
	return s
}

// loneRef reports whether p is a reference with nothing beside it that counts.
func (c *Compiler) loneRef(p place) (string, bool) {
	ref := p.v.Get("$ref")
	if p.v.Kind != value.Object || ref == nil || ref.Kind != value.String {
		return "", false
	}
	if p.v.Get("x-crenel-writable-by") != nil {
		return "", false
	}
	if p.res.dialect.old() {
		if p.res.dialect.openAPI() {
			c.ignoredSiblings(p)
		}
		return ref.Text, true
	}
	for i := range p.v.Kids {
		switch n := p.v.Kids[i].Name; n {
		case "$ref", "description", "summary", "title", "$comment", "deprecated", "externalDocs", "example", "examples",
			"default", "$anchor", "$defs", "definitions":
		default:
			if !strings.HasPrefix(n, "x-") {
				return "", false
			}
		}
	}
	return ref.Text, true
}

func (c *Compiler) ignoredSiblings(p place) {
	var lost []string
	for i := range p.v.Kids {
		switch n := p.v.Kids[i].Name; n {
		case "$ref", "description", "summary", "title", "example", "externalDocs", "xml", "default":
		default:
			if !strings.HasPrefix(n, "x-") {
				lost = append(lost, n)
			}
		}
	}
	if lost != nil {
		c.report(p, "$ref", Warning, "ref_siblings", "%s ignores what stands beside $ref: %s; put both into an allOf",
			p.res.dialect, strings.Join(lost, ", "))
	}
}

// build compiles one schema that is not a lone reference.
func (c *Compiler) build(p place) *Schema {
	s := c.make(p)
	c.built[p.v] = s
	switch {
	case p.v.Kind == value.Bool:
		if !p.v.IsTrue() {
			s.never, s.kinds = true, 0
		} else {
			s.trivial = true
		}
		if p.res.dialect.old() && !strings.HasSuffix(p.ptr, "/additionalProperties") && !strings.HasSuffix(p.ptr, "/additionalItems") {
			c.report(p, "", Warning, "boolean_schema", "%s has no boolean schemas; read as draft 2020-12 does", p.res.dialect)
		}
		return s
	case p.v.Kind == value.Null && p.res.dialect.openAPI():
		c.report(p, "", Warning, "null_schema", "null stands where a schema is expected; read as the empty schema")
		s.trivial = true
		return s
	case p.v.Kind != value.Object:
		c.report(p, "", Fatal, "not_a_schema", "a schema is an object, not %s; anything is accepted here", p.v.Kind)
		s.trivial = true
		return s
	}
	if c.depth++; c.depth > maxNesting {
		c.report(p, "", Fatal, "too_deep", "schemas nest deeper than %d; anything is accepted here", maxNesting)
		s.trivial = true
	} else {
		c.keywords(s, p)
	}
	c.depth--
	return s
}

// reference compiles a $ref that has siblings.
func (c *Compiler) reference(p place, keyword string) *Schema {
	v := p.v.Get(keyword)
	if v.Kind != value.String {
		c.report(p, keyword, Fatal, "bad_ref", "%s is a string, not %s; anything is accepted here", keyword, v.Kind)
		return c.anything(p)
	}
	target, err := c.resolve(p.res, v.Text)
	if err != nil {
		c.report(p, keyword, Fatal, "unresolved_ref", "the reference %q cannot be resolved: %v", v.Text, err)
		return c.anything(p)
	}
	c.scan(target, 0)
	return c.at(target)
}

// dynamicReference compiles a $dynamicRef: where it leads at first, and the
// name to search the dynamic scope for when that place is a $dynamicAnchor.
func (c *Compiler) dynamicReference(s *Schema, p place) {
	v := p.v.Get("$dynamicRef")
	s.app.dynamic = c.reference(p, "$dynamicRef")
	if v.Kind != value.String {
		return
	}
	_, name := splitFragment(v.Text)
	target, err := c.resolve(p.res, v.Text)
	if err != nil || name == "" || name[0] == '/' {
		return
	}
	if d, ok := target.res.dyn[name]; ok && d.v == target.v {
		s.app.dynamicName = name
		c.dynamic[name] = true
	}
}

// finish does what needs the whole graph: dynamic anchors, loops, annotations.
func (c *Compiler) finish() {
	for again := len(c.dynamic) > 0; again; {
		again = false
		for _, uri := range slices.Sorted(maps.Keys(c.resources)) {
			r := c.resources[uri]
			for name := range c.dynamic {
				p, ok := r.dyn[name]
				if !ok || r.dynamic[name] != nil {
					continue
				}
				if r.dynamic == nil {
					r.dynamic = map[string]*Schema{}
				}
				r.dynamic[name] = c.at(p)
				again = true
			}
		}
	}
	if len(c.dynamic) > 0 {
		for _, s := range c.fresh {
			s.res.usesDynamic = true
		}
	}
	c.loops()
	c.settle()
	c.fresh = nil
}

var errNotCount = errors.New("a whole number that is not negative is needed")

// count reads a keyword like maxLength.
func count(v *value.Value) (int, error) {
	d, ok := value.ParseDecimal(v.Text)
	if v.Kind != value.Number && v.Kind != value.String || !ok || d.Sign() < 0 || !d.IsInteger() {
		return 0, errNotCount
	}
	if n, ok := d.Int64(); ok {
		return int(min(n, mostCount)), nil
	}
	return mostCount, nil
}

// mostCount is more than anything that is counted can be.
const mostCount = 1 << 60
