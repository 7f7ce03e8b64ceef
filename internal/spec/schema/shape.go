package schema

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/crenel-project/crenel/internal/value"
)

// Shape is what a schema says of one place in a value, before the value is
// known: all alternatives are kept open. It answers, while walking a body,
// whether a member is declared and whether a leaf is pinned down so far that it
// cannot be an attack. Shapes are made on demand, once each, and are safe for
// concurrent use.
type Shape struct {
	terms  []*Schema // always apply, $ref and allOf followed
	groups []group
	id     int32
	shapes *shapes
	pinned bool
	open   bool // see Open
	// writeOnly: some alternative says that the value is never answered.
	writeOnly bool
	mu        sync.RWMutex
	names     map[string]*Shape // of declared names
	items     map[int]*Shape
	prefix    int // elements with a schema of their own
}

// group is one choice: of its members one applies, or, when optional, perhaps none.
type group struct {
	shapes   []*Shape
	optional bool
}

// shapes interns: equal shapes are one, so that recursive schemas have finitely
// many and a caller cannot make their number grow with the depth of a body.
type shapes struct {
	mu      sync.Mutex
	byKey   map[string]*Shape
	next    int32
	unknown *Shape
}

// mostShapes bounds memory where alternatives multiply; beyond it nothing is
// declared or pinned, which is the strict reading.
const mostShapes = 50_000

func newShapes() *shapes {
	t := &shapes{byKey: map[string]*Shape{}, next: 1}
	t.unknown = &Shape{shapes: t, open: true}
	return t
}

// Shape returns the shape of the values that s describes.
func (s *Schema) Shape() *Shape {
	if sh := s.shape.Load(); sh != nil {
		return sh
	}
	sh := s.res.shapes.of([]*Schema{s}, nil, map[*Schema]bool{})
	s.shape.Store(sh)
	return sh
}

// alternative is the shape of one branch; only in a loop does it depend on what
// is above it.
func (t *shapes) alternative(s *Schema, above map[*Schema]bool) *Shape {
	if !s.cyclic {
		return s.Shape()
	}
	return t.of([]*Schema{s}, nil, above)
}

// of returns the shape for schemas that all apply, beside choices inherited.
func (t *shapes) of(set []*Schema, groups []group, above map[*Schema]bool) *Shape {
	var terms []*Schema
	for _, s := range set {
		for _, u := range s.together() {
			if !u.trivial && !slices.Contains(terms, u) {
				terms = append(terms, u)
			}
		}
	}
	slices.SortFunc(terms, func(a, b *Schema) int { return int(a.order - b.order) })
	for _, u := range terms {
		groups = append(groups, t.choices(u, above)...)
	}
	if len(terms) == 0 && len(groups) == 0 {
		return t.unknown
	}
	if len(terms) == 0 && len(groups) == 1 && len(groups[0].shapes) == 1 && !groups[0].optional {
		return groups[0].shapes[0]
	}
	return t.intern(terms, groups)
}

func (t *shapes) intern(terms []*Schema, groups []group) *Shape {
	var key strings.Builder
	for _, u := range terms {
		key.WriteString(strconv.Itoa(int(u.order)))
		key.WriteByte(',')
	}
	var parts []string
	for i := range groups {
		g := &groups[i]
		slices.SortFunc(g.shapes, func(a, b *Shape) int { return int(a.id - b.id) })
		g.shapes = slices.Compact(g.shapes)
		var part strings.Builder
		if g.optional {
			part.WriteByte('?')
		}
		for _, s := range g.shapes {
			part.WriteString(strconv.Itoa(int(s.id)))
			part.WriteByte('|')
		}
		parts = append(parts, part.String())
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(parts[a], parts[b]) })
	var sorted []group
	last := ""
	for n, i := range order {
		if n > 0 && parts[i] == last {
			continue
		}
		last = parts[i]
		key.WriteByte(';')
		key.WriteString(last)
		sorted = append(sorted, groups[i])
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if sh := t.byKey[key.String()]; sh != nil {
		return sh
	}
	if len(t.byKey) >= mostShapes {
		return t.unknown
	}
	sh := &Shape{terms: terms, groups: sorted, id: t.next, shapes: t}
	t.next++
	sh.pinned = sh.computePinned()
	sh.open = sh.computeOpen()
	for _, u := range terms {
		sh.writeOnly = sh.writeOnly || u.noted.writeOnly
	}
	for i := range sorted {
		for _, b := range sorted[i].shapes {
			sh.writeOnly = sh.writeOnly || b.writeOnly
		}
	}
	for _, u := range terms {
		if u.arr != nil {
			sh.prefix = max(sh.prefix, len(u.arr.prefix))
		}
	}
	for i := range sorted {
		for _, b := range sorted[i].shapes {
			sh.prefix = max(sh.prefix, b.prefix)
		}
	}
	t.byKey[key.String()] = sh
	return sh
}

// choices are the alternatives that one schema brings. above are the schemas
// being taken apart already: a loop adds nothing.
func (t *shapes) choices(s *Schema, above map[*Schema]bool) []group {
	a := s.app
	if a == nil || above[s] {
		return nil
	}
	above[s] = true
	defer delete(above, s)
	var out []group
	add := func(list []*Schema, optional bool) {
		g := group{optional: optional}
		for _, b := range list {
			if b != nil && !b.never {
				g.shapes = append(g.shapes, t.alternative(b, above))
			}
		}
		if g.shapes != nil {
			out = append(out, g)
		}
	}
	add(a.anyOf, false)
	add(a.oneOf, false)
	if a.chooser != nil && a.oneOf == nil && a.anyOf == nil {
		add(a.chooser.schemas, true)
	}
	add([]*Schema{a.ifs, a.then, a.otherwise}, true)
	for i := range a.dependent {
		add([]*Schema{a.dependent[i].schema}, true)
	}
	return out
}

// Pinned reports whether any scalar that fits here is harmless by its form: an
// integer, number, boolean, null, date, UUID, address or listed value, or a
// string whose pattern allows nothing but letters, digits and -_.:
func (sh *Shape) Pinned() bool { return sh.pinned }

func (sh *Shape) computePinned() bool {
	for _, s := range sh.terms {
		if s.pins() {
			return true
		}
	}
	for i := range sh.groups {
		g := &sh.groups[i]
		all := !g.optional
		for _, b := range g.shapes {
			all = all && b.pinned
		}
		if all {
			return true
		}
	}
	return false
}

// pins is Pinned for the rules of s itself.
func (s *Schema) pins() bool {
	if s.enum != nil || s.constant != nil || s.never || s.kinds&kindOf(value.String) == 0 {
		return true
	}
	return s.str != nil && (s.str.format != nil && s.str.format.pinned || s.str.pattern != nil && s.str.pattern.pinned)
}

// Pinned reports whether any scalar that fits s is harmless by its form; see
// Shape.Pinned, which is cheaper on the hot path.
func (s *Schema) Pinned() bool { return s.Shape().Pinned() }

// Open reports whether members may be present that nothing declares: some
// alternative says so, or nothing declares any.
func (sh *Shape) Open() bool { return sh.open }

func (sh *Shape) computeOpen() bool {
	declares := false
	for _, s := range sh.terms {
		if s.obj != nil {
			if s.obj.additional != nil {
				return !s.obj.additional.never
			}
			declares = declares || s.obj.declares
		}
		if s.app != nil && s.app.restProps != nil {
			return !s.app.restProps.never
		}
	}
	for i := range sh.groups {
		for _, b := range sh.groups[i].shapes {
			if b == sh.shapes.unknown {
				continue
			}
			if b.declares() && b.open {
				return true
			}
			declares = declares || b.declares()
		}
	}
	return !declares
}

func (sh *Shape) declares() bool {
	for _, s := range sh.terms {
		if s.obj != nil && (s.obj.declares || s.obj.additional != nil) {
			return true
		}
	}
	for i := range sh.groups {
		for _, b := range sh.groups[i].shapes {
			if b.declares() {
				return true
			}
		}
	}
	return false
}

// Member returns the shape of a member, and whether anything declares it: a
// property, a matching pattern or additionalProperties that is not false, of any
// alternative. Of what is not declared nothing is known.
func (sh *Shape) Member(name string) (sub *Shape, declared bool) {
	if sh == sh.shapes.unknown {
		return sh, false
	}
	sh.mu.RLock()
	sub = sh.names[name]
	sh.mu.RUnlock()
	if sub != nil {
		return sub, true
	}
	sub, declared, listed := sh.member(name)
	if listed { // a name of the schema, so there are finitely many
		sh.mu.Lock()
		if sh.names == nil {
			sh.names = map[string]*Shape{}
		}
		sh.names[strings.Clone(name)] = sub
		sh.mu.Unlock()
	}
	return sub, declared
}

// Lists reports whether the schema itself names the member: it is no name of the
// caller's making.
func (sh *Shape) Lists(name string) bool {
	if sh == nil || sh == sh.shapes.unknown {
		return false
	}
	_, _ = sh.Member(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.names[name] != nil
}

func (sh *Shape) member(name string) (sub *Shape, declared, listed bool) {
	var set []*Schema
	for _, s := range sh.terms {
		if s.obj == nil {
			continue
		}
		mine := false
		if at := s.obj.table.find(name); at >= 0 && s.obj.props[at] != nil {
			mine, listed = true, true
			set = append(set, s.obj.props[at])
		} else if s.obj.requires(at) {
			declared, listed = true, true
		}
		for i := range s.obj.patterns {
			if fits, _ := s.obj.patterns[i].pattern.match(name); fits {
				mine = true
				set = append(set, s.obj.patterns[i].schema)
			}
		}
		if !mine && s.obj.additional != nil && !s.obj.additional.never {
			mine = true
			set = append(set, s.obj.additional)
		}
		declared = declared || mine
	}
	var groups []group
	for i := range sh.groups {
		g := &sh.groups[i]
		sum := group{optional: g.optional}
		takes := false
		for _, b := range g.shapes {
			if b == sh.shapes.unknown {
				sum.shapes = append(sum.shapes, b)
				continue
			}
			c, ok, l := b.member(name)
			takes, listed = takes || ok, listed || l
			sum.shapes = append(sum.shapes, c)
		}
		if takes {
			groups = append(groups, sum)
			declared = true
		}
	}
	if !declared {
		for _, s := range sh.terms {
			if s.app != nil && s.app.restProps != nil && !s.app.restProps.never {
				declared = true
				set = append(set, s.app.restProps)
			}
		}
	}
	if !declared {
		return sh.shapes.unknown, false, false
	}
	return sh.shapes.of(set, groups, map[*Schema]bool{}), true, listed
}

// Item returns the shape of an array's element.
func (sh *Shape) Item(i int) *Shape {
	if sh == sh.shapes.unknown {
		return sh
	}
	i = min(i, sh.prefix)
	sh.mu.RLock()
	sub := sh.items[i]
	sh.mu.RUnlock()
	if sub != nil {
		return sub
	}
	sub = sh.item(i)
	sh.mu.Lock()
	if sh.items == nil {
		sh.items = map[int]*Shape{}
	}
	sh.items[i] = sub
	sh.mu.Unlock()
	return sub
}

func (sh *Shape) item(i int) *Shape {
	var set []*Schema
	for _, s := range sh.terms {
		switch {
		case s.arr == nil:
		case i < len(s.arr.prefix):
			set = append(set, s.arr.prefix[i])
		case s.arr.items != nil:
			set = append(set, s.arr.items)
		}
	}
	var groups []group
	for j := range sh.groups {
		g := &sh.groups[j]
		sum := group{optional: g.optional}
		known := false
		for _, b := range g.shapes {
			c := b.Item(i)
			known = known || c != sh.shapes.unknown
			sum.shapes = append(sum.shapes, c)
		}
		if known {
			groups = append(groups, sum)
		}
	}
	if set == nil && groups == nil {
		for _, s := range sh.terms {
			if s.app != nil && s.app.restItems != nil {
				set = append(set, s.app.restItems)
			}
		}
	}
	return sh.shapes.of(set, groups, map[*Schema]bool{})
}
