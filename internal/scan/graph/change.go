package graph

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"hash"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// Change is what a newer description says otherwise of one operation.
type Change struct {
	Op     *Op    `json:"-"` // of the newer one; nil when it was removed
	Method string `json:"method"`
	Path   string `json:"path"`
	// What says which parts differ: "added"; "removed"; or some of "parameters",
	// "body", "answers", "security", "deprecation", "callbacks".
	What []string `json:"what"`
}

// Changes compares two descriptions, operation by operation, in the newer one's
// order and then the removed ones. Schemas are compared by what they allow, with
// all that they refer to; texts for people, examples, servers and the names of
// path variables do not count.
func Changes(was, is *Graph) []Change {
	old := map[string]*Op{}
	for _, op := range was.Ops {
		old[changeKey(op)] = op
	}
	var out []Change
	for _, op := range is.Ops {
		c := Change{Op: op, Method: op.Method, Path: op.Path}
		before := old[changeKey(op)]
		delete(old, changeKey(op))
		if before == nil {
			c.What = []string{"added"}
		} else {
			a, b := printsOf(before), printsOf(op)
			for i, part := range parts {
				if a[i] != b[i] {
					c.What = append(c.What, part.name)
				}
			}
		}
		if c.What != nil {
			out = append(out, c)
		}
	}
	for _, op := range was.Ops {
		if old[changeKey(op)] == op {
			out = append(out, Change{Method: op.Method, Path: op.Path, What: []string{"removed"}})
		}
	}
	return out
}

var rePathVariable = regexp.MustCompile(`\{[^{}/]*\}`)

// changeKey is a method and a path; path variables have no names.
func changeKey(op *Op) string {
	return op.Method + " " + rePathVariable.ReplaceAllString(strings.TrimRight(op.Path, "/"), "{}")
}

// parts are what is told apart in an operation.
var parts = []struct {
	name string
	say  func(p *fingerprint, op *Op)
}{
	{"parameters", func(p *fingerprint, op *Op) {
		for i, v := range op.PathParams {
			p.say("path %d", i)
			p.parameter(v)
		}
		var others []*spec.Parameter
		for _, v := range op.Parameters {
			if v.In != "path" {
				others = append(others, v)
			}
		}
		slices.SortStableFunc(others, func(a, b *spec.Parameter) int { return cmp.Or(cmp.Compare(a.In, b.In), cmp.Compare(a.Name, b.Name)) })
		for _, v := range others {
			p.say("%s %q", v.In, v.Name)
			p.parameter(v)
		}
	}},
	{"body", func(p *fingerprint, op *Op) {
		if op.Body != nil {
			p.say("required %v", op.Body.Required)
			p.content(op.Body.Content)
		}
	}},
	{"answers", func(p *fingerprint, op *Op) {
		list := slices.Clone(op.Responses)
		slices.SortStableFunc(list, func(a, b *spec.Response) int { return cmp.Compare(a.Status, b.Status) })
		for _, r := range list {
			p.say("status %s", r.Status)
			for _, h := range r.Headers {
				p.say("header %q", strings.ToLower(h.Name))
				p.parameter(h)
			}
			p.content(r.Content)
			for _, l := range r.Links {
				p.say("link %q", l.Name)
			}
		}
	}},
	{"security", func(p *fingerprint, op *Op) {
		p.say("public %v declared %v header %v", op.Public, op.SecurityDeclared, op.AuthorizationHeader)
		for _, alternative := range op.Security {
			p.say("or")
			for _, use := range alternative {
				s := use.Scheme
				p.say("%s %s %s %s %s", s.Type, s.Scheme, s.In, s.Key, s.BearerFormat)
				scopes := slices.Clone(use.Scopes)
				slices.Sort(scopes)
				p.say("%q", scopes)
			}
		}
	}},
	{"deprecation", func(p *fingerprint, op *Op) { p.say("%v", op.Deprecated) }},
	{"callbacks", func(p *fingerprint, op *Op) {
		for _, c := range op.Callbacks {
			p.say("%q %q %q", c.Name, c.Expression, c.Methods)
		}
	}},
}

// printsOf are the fingerprints of an operation's parts.
func printsOf(op *Op) []string {
	out := make([]string, len(parts))
	for i, part := range parts {
		p := &fingerprint{h: sha256.New(), seen: map[*schema.Schema]int{}}
		part.say(p, op)
		out[i] = string(p.h.Sum(nil))
	}
	return out
}

// fingerprint takes in what is said. A schema is said once, and then by its
// number in the order in which schemas came, so that what refers to itself ends.
type fingerprint struct {
	h    hash.Hash
	seen map[*schema.Schema]int
}

func (p *fingerprint) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.h, format+"\n", args...)
}

func (p *fingerprint) parameter(v *spec.Parameter) {
	p.say("required %v deprecated %v style %s %v %v %v %s", v.Required, v.Deprecated, v.Style, v.Explode, v.AllowReserved, v.AllowEmptyValue, v.ContentType)
	p.schema(v.Schema)
}

func (p *fingerprint) content(list []*spec.MediaType) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *spec.MediaType) int { return cmp.Compare(a.Type, b.Type) })
	for _, m := range list {
		p.say("type %s", m.Type)
		p.schema(m.Schema)
	}
}

func (p *fingerprint) schema(s *schema.Schema) {
	if s == nil {
		p.say("anything")
		return
	}
	if n, known := p.seen[s]; known {
		p.say("schema %d", n)
		return
	}
	p.seen[s] = len(p.seen)
	p.say("never %v types %q format %q patterns %q bounds %+v read %v write %v by %q unknown %v", s.Nothing(), s.Types(), s.Format(), s.Patterns(), s.Bounds(), s.ReadOnly(), s.WriteOnly(), s.WritableBy(), s.AllowsUnknown())
	required := s.Required()
	slices.Sort(required)
	p.say("required %q", required)
	for _, v := range s.Enum() {
		p.say("enum %d", v.Hash())
	}
	properties := s.Properties()
	slices.SortStableFunc(properties, func(a, b schema.Property) int { return cmp.Compare(a.Name, b.Name) })
	for _, m := range properties {
		p.say("member %q", m.Name)
		p.schema(m.Schema)
	}
	if a := s.Additional(); a != nil {
		p.say("others")
		p.schema(a)
	}
	for _, e := range s.PrefixItems() {
		p.say("element")
		p.schema(e)
	}
	if e := s.Items(); e != nil {
		p.say("elements")
		p.schema(e)
	}
	for _, list := range s.Alternatives() {
		p.say("alternatives %d", len(list))
		for _, a := range list {
			p.schema(a)
		}
	}
}

// Needs are the operations that a world for some operations cannot do without:
// those themselves, what gives the values that they take, what makes, lists,
// reads and deletes the objects that they are about, and so on.
func (g *Graph) Needs(list []*Op) map[*Op]bool {
	need := map[*Op]bool{}
	queue := slices.Clone(list)
	resources := map[*Resource]bool{}
	about := func(r *Resource) {
		for ; r != nil && !resources[r]; r = r.Parent {
			resources[r] = true
			for _, op := range r.Ops {
				if op.Kind == Create || op.Kind == List || op.Kind == Read || op.Kind == Delete {
					queue = append(queue, op)
				}
			}
		}
	}
	for len(queue) > 0 {
		op := queue[0]
		queue = queue[1:]
		if need[op] {
			continue
		}
		need[op] = true
		about(op.About)
		about(op.Parent)
		for _, r := range op.Objects {
			about(r)
		}
		for _, in := range op.Inputs {
			if in.Object != nil {
				about(g.Resource(in.Object.Resource))
			}
			if !in.Required && in.In != "path" {
				continue
			}
			for i, e := range in.Producers {
				if i < 2 { // the best
					queue = append(queue, e.From.Op)
				}
			}
		}
	}
	for _, op := range g.Ops {
		// Sessions are looked after with these.
		if op.Has(Login) || op.Has(Register) || op.Has(WhoAmI) && op.Method == http.MethodGet {
			need[op] = true
		}
	}
	return need
}
