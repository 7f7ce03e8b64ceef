package graph

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// How far schemas are followed. Those of real APIs refer to one another in
// circles and without end; what lies deeper matters little to an attacker.
const (
	maxLeafDepth  = 6    // properties on the way to a leaf
	maxLeafVisits = 3000 // schemas looked at for one body
	maxLeaves     = 256  // kept for one body, those nearer to the root first
)

// leaf is one value that a schema describes.
type leaf struct {
	pointer, name       string
	required            bool
	readOnly, writeOnly bool
	schema              *schema.Schema
	typ, format         string
	// holder is the property that the object around it hangs on, "" for the
	// root; holderType the name of that object's schema, "" when it has none.
	holder, holderType string
	// under is the pointer of the object around it.
	under string
}

// values are the texts that a leaf is one of, where its schema lists them.
func (l *leaf) values() []string {
	if l.schema == nil || l.typ != "string" {
		return nil
	}
	var out []string
	for _, v := range l.schema.Enum() {
		if v.Kind == value.String {
			out = append(out, v.Text)
		}
	}
	return out
}

// leaves are the values of one schema, with what is known of its root.
type leaves struct {
	list     []leaf
	answered string // "object", "list", "other", "none": as Op.Answered
	listAt   string
	rootType string   // name of the root's schema, or of its elements
	objects  []string // names of all schemas of objects met
}

// leafCache walks each schema once: answers of one API repeat the same few.
type leafCache map[*schema.Schema]*leaves

func (c leafCache) of(s *schema.Schema) *leaves {
	if l, ok := c[s]; ok {
		return l
	}
	w := leafWalk{index: map[string]int{}, left: maxLeafVisits}
	w.run(s)
	l := &leaves{list: w.out, objects: w.objects, rootType: typeName(s)}
	l.describe(s)
	c[s] = l
	return l
}

type leafStep struct {
	s                          *schema.Schema
	pointer, name, holder, typ string // typ: name of the schema of the object around it
	self                       string // name of the schema that s is an alternative of
	under                      string
	required                   bool
	depth                      int
	readOnly, writeOnly        bool
	up                         *leafStep
}

type leafWalk struct {
	out     []leaf
	index   map[string]int
	queue   []*leafStep
	objects []string
	left    int
}

func (w *leafWalk) run(s *schema.Schema) {
	w.queue = append(w.queue, &leafStep{s: s, required: true})
	for len(w.queue) > 0 && w.left > 0 && len(w.out) < maxLeaves {
		step := w.queue[0]
		w.queue = w.queue[1:]
		w.visit(step)
	}
}

func (w *leafWalk) visit(st *leafStep) {
	w.left--
	s := st.s
	if s == nil {
		w.leaf(st, "", "")
		return
	}
	for up := st.up; up != nil; up = up.up {
		if up.s == s {
			return // it holds itself
		}
	}
	if s.ReadOnly() {
		st.readOnly = true
	}
	if s.WriteOnly() {
		st.writeOnly = true
	}
	props, items, prefix := s.Properties(), s.Items(), s.PrefixItems()
	var branches []*schema.Schema
	var scalar *schema.Schema // the first alternative that is a scalar
	for _, list := range s.Alternatives() {
		for _, a := range list {
			switch t := a.Type(); {
			case t == "null" || a.Nothing():
			case isScalar(t):
				if scalar == nil {
					scalar = a
				}
			default:
				branches = append(branches, a)
			}
		}
	}
	typ := s.Type()
	switch {
	case typ == "array" || typ == "" && (items != nil || len(prefix) > 0) && len(props) == 0:
		w.elements(st, items, prefix)
		return
	case len(props) > 0:
		w.members(st, props)
	}
	alone := len(branches) == 1 && scalar == nil
	for _, b := range branches {
		w.visit(&leafStep{s: b, pointer: st.pointer, name: st.name, holder: st.holder, typ: st.typ, self: st.own(), under: st.under, required: st.required && alone,
			depth: st.depth, readOnly: st.readOnly, writeOnly: st.writeOnly, up: st})
		if w.left <= 0 {
			return
		}
	}
	if scalar != nil && len(branches) > 0 && st.pointer != "" { // an id, or the object in its place
		w.leaf(st, scalar.Type(), scalar.Format())
	}
	if len(props) > 0 || len(branches) > 0 {
		return
	}
	if more := s.Additional(); more != nil && !more.Nothing() && !more.Anything() && st.depth < maxLeafDepth {
		w.queue = append(w.queue, &leafStep{s: more, pointer: st.pointer + "/*", name: st.name, holder: st.name, under: st.pointer, depth: st.depth + 1, up: st})
		return
	}
	format := s.Format()
	if typ == "" && scalar != nil {
		typ = scalar.Type()
		if format == "" {
			format = scalar.Format()
		}
	}
	if typ == "" {
		typ = enumType(s)
	}
	w.leaf(st, typ, format)
}

// own is the name of the schema that a step is at.
func (st *leafStep) own() string {
	if t := typeName(st.s); t != "" {
		return t
	}
	return st.self
}

func isScalar(t string) bool {
	return t == "string" || t == "integer" || t == "number" || t == "boolean"
}

// enumType is the type of all listed values, where only those say it.
func enumType(s *schema.Schema) string {
	typ := ""
	for _, v := range s.Enum() {
		k := v.Kind.String()
		if v.Kind == value.Null {
			continue
		}
		if typ != "" && typ != k {
			return ""
		}
		typ = k
	}
	return typ
}

func (w *leafWalk) members(st *leafStep, props []schema.Property) {
	if st.depth > maxLeafDepth {
		return
	}
	typ := st.own()
	if typ != "" && !slices.Contains(w.objects, typ) {
		w.objects = append(w.objects, typ)
	}
	for i := range props {
		p := &props[i]
		w.queue = append(w.queue, &leafStep{s: p.Schema, pointer: st.pointer + "/" + value.EscapeToken(p.Name), name: p.Name, holder: st.name, typ: typ, under: st.pointer,
			required: st.required && p.Required, depth: st.depth + 1, readOnly: st.readOnly, writeOnly: st.writeOnly, up: st})
	}
}

func (w *leafWalk) elements(st *leafStep, items *schema.Schema, prefix []*schema.Schema) {
	if st.depth > maxLeafDepth {
		return
	}
	all := slices.Clone(prefix)
	if items != nil {
		all = append(all, items)
	}
	if len(all) == 0 {
		all = append(all, nil)
	}
	for _, e := range all {
		w.queue = append(w.queue, &leafStep{s: e, pointer: st.pointer + "/*", name: st.name, holder: st.holder, typ: st.typ, under: st.under,
			required: st.required, depth: st.depth, readOnly: st.readOnly, writeOnly: st.writeOnly, up: st})
	}
}

func (w *leafWalk) leaf(st *leafStep, typ, format string) {
	if i, ok := w.index[st.pointer]; ok { // alternatives: what any of them says holds
		if w.out[i].typ == "" {
			w.out[i].typ, w.out[i].format = typ, format
		}
		return
	}
	w.index[st.pointer] = len(w.out)
	w.out = append(w.out, leaf{pointer: st.pointer, name: st.name, required: st.required, readOnly: st.readOnly, writeOnly: st.writeOnly,
		schema: st.s, typ: typ, format: format, holder: st.holder, holderType: st.typ, under: st.under})
}

// wrappers are members that hold what an answer is about, beside page numbers and the like.
var wrappers = set(`items data results result records entries list content contents value values rows elements hits objects documents collection _embedded embedded payload response body resources edges nodes page member members set`)

// describe finds out what an answer is: an object, a list, and where.
func (l *leaves) describe(s *schema.Schema) {
	l.answered = "other"
	if s == nil || s.Nothing() {
		return
	}
	l.answered, l.listAt, l.rootType = answeredBy(s, "", 0)
	if l.rootType == "" {
		l.rootType = typeName(s)
	}
}

// answeredBy looks for the list of objects that an answer is, or wraps.
func answeredBy(s *schema.Schema, at string, depth int) (answered, listAt, name string) {
	if items, isList := listOf(s); isList {
		return "list", at, typeName(items)
	}
	props := s.Properties()
	if len(props) == 0 {
		for _, alts := range s.Alternatives() {
			for _, a := range alts {
				if t := a.Type(); t != "null" && depth < 3 {
					if answered, listAt, name = answeredBy(a, at, depth+1); answered != "other" {
						return answered, listAt, name
					}
				}
			}
		}
		if t := s.Type(); t == "object" {
			return "object", "", typeName(s)
		}
		return "other", "", ""
	}
	identified := false
	var lists, wraps []schema.Property
	for _, p := range props {
		if p.Schema == nil {
			continue
		}
		if noun, ok := idNoun(p.Name, false); ok && noun == "" {
			identified = true
		}
		if items, isList := listOf(p.Schema); isList && (objectLike(items) || wrappers[strings.ToLower(p.Name)]) {
			lists = append(lists, p)
		} else if objectLike(p.Schema) && wrappers[strings.ToLower(p.Name)] {
			wraps = append(wraps, p)
		}
	}
	if !identified {
		best := -1
		for i, p := range lists {
			if wrappers[strings.ToLower(p.Name)] && (best < 0 || !wrappers[strings.ToLower(lists[best].Name)]) {
				best = i
			}
		}
		if best < 0 && len(lists) == 1 && !richObject(props) {
			best = 0
		}
		if best >= 0 {
			items, _ := listOf(lists[best].Schema)
			return "list", at + "/" + value.EscapeToken(lists[best].Name), typeName(items)
		}
		if len(wraps) > 0 && depth < 2 {
			answered, listAt, name = answeredBy(wraps[0].Schema, at+"/"+value.EscapeToken(wraps[0].Name), depth+1)
			if answered == "list" {
				return answered, listAt, name
			}
			return "object", "", name
		}
		if len(props) == 1 && objectLike(props[0].Schema) { // {"user": {…}}
			if n := typeName(props[0].Schema); n != "" {
				return "object", "", n
			}
		}
	}
	return "object", "", typeName(s)
}

// richObject: it holds more than a list and what goes with one.
func richObject(props []schema.Property) bool {
	own := 0
	for _, p := range props {
		if p.Schema == nil || !isScalar(p.Schema.Type()) {
			continue
		}
		switch m, _ := meaningOf(p.Name, p.Schema.Format(), p.Schema.Type()); m {
		case MeansPage, MeansPageSize, MeansSort, MeansFilter:
		default:
			if !envelopeWords[strings.ToLower(p.Name)] {
				own++
			}
		}
	}
	return own > 1
}

var envelopeWords = set(`success ok status code error errors message msg total count total_count totalcount total_pages totalpages has_more hasmore next previous prev links meta object url took timestamp statuscode status_code last first empty number size numberofelements kind etag nextpagetoken next_page_token`)

func listOf(s *schema.Schema) (items *schema.Schema, ok bool) {
	if s == nil {
		return nil, false
	}
	if items = s.Items(); s.Type() == "array" || items != nil && len(s.Properties()) == 0 {
		return items, true
	}
	return nil, false
}

func objectLike(s *schema.Schema) bool {
	if s == nil {
		return false
	}
	return s.Type() == "object" || s.Type() == "" && (len(s.Properties()) > 0 || len(s.Alternatives()) > 0)
}

// typeName is the resource that a schema in components is called after, "" when
// it stands elsewhere. What generators and authors add to say which form of the
// object it is goes away: UserResponse, CreateUserDto, user_public.
func typeName(s *schema.Schema) string {
	if s == nil {
		return ""
	}
	ptr := s.Pointer()
	i := strings.LastIndexByte(ptr, '/')
	if i < 0 {
		return ""
	}
	switch ptr[:i] {
	case "/components/schemas", "/definitions", "/$defs":
	default:
		return ""
	}
	name := value.UnescapeToken(ptr[i+1:])
	if j := strings.LastIndexAny(name, "./"); j >= 0 && j+1 < len(name) { // java.package.User, app__models__User
		name = name[j+1:]
	}
	if j := strings.LastIndex(name, "__"); j >= 0 && j+2 < len(name) {
		name = name[j+2:]
	}
	w := spec.Words(name)
	for len(w) > 1 && formSuffixes[w[len(w)-1]] {
		w = w[:len(w)-1]
	}
	for len(w) > 1 && formPrefixes[w[0]] {
		w = w[1:]
	}
	if len(w) == 0 {
		return ""
	}
	return spec.ResourceName(strings.Join(w, "_"))
}

var (
	formSuffixes = set(`dto dtos response responses resp res request req model models input output out in schema entity view public private base full short simple detail details detailed
		summary create created creation update updated patch put post get list lists result results item body payload form data info record object obj resource serializer vo bo po read write params
		envelope wrapper collection page paginated def definition json 1 2 3 v 0 minimal extended`)
	formPrefixes = set(`create update new patch put post get list add edit base public private full simple api i dto paginated page minimal partial nullable basic models model schema detailed multiple single`)
)
