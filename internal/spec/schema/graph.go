package schema

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// edge is one way from a schema to another that applies to the same value.
type edge struct {
	to *Schema
	// exact: that the inner occurrence counts as satisfied changes nothing,
	// because A = A and X is what A = X means.
	exact bool
	// intended: a discriminator's base and the schemas that extend it refer to
	// each other by design.
	intended bool
}

// inPlace lists the schemas that s may apply to the same value.
func (s *Schema) inPlace() []edge {
	a := s.app
	if a == nil {
		return nil
	}
	var out []edge
	add := func(to *Schema, exact, intended bool) {
		if to != nil {
			out = append(out, edge{to, exact, intended})
		}
	}
	add(a.ref, true, false)
	add(a.dynamic, true, false)
	for _, t := range a.allOf {
		add(t, true, false)
	}
	for _, list := range [][]*Schema{a.anyOf, a.oneOf} {
		for _, t := range list {
			add(t, false, a.chooser != nil)
		}
	}
	if a.chooser != nil {
		for _, t := range a.chooser.schemas {
			add(t, false, true)
		}
	}
	add(a.not, false, false)
	add(a.ifs, false, false)
	add(a.then, false, false)
	add(a.otherwise, false, false)
	for i := range a.dependent {
		add(a.dependent[i].schema, true, false)
	}
	return out
}

// loops marks the schemas that can apply to one value again without progress
// (Tarjan's strongly connected components) and reports the loops.
func (c *Compiler) loops() {
	dynamic := map[string][]*Schema{}
	for name := range c.dynamic {
		for _, r := range c.resources {
			if t := r.dynamic[name]; t != nil {
				dynamic[name] = append(dynamic[name], t)
			}
		}
	}
	t := tarjan{index: map[*Schema]int{}, low: map[*Schema]int{}, on: map[*Schema]bool{}, dynamic: dynamic}
	for _, s := range c.fresh {
		if t.index[s] == 0 && s.app != nil {
			t.visit(s)
		}
	}
	for _, loop := range t.loops {
		c.reportLoop(loop)
	}
}

type tarjan struct {
	index, low map[*Schema]int
	on         map[*Schema]bool
	stack      []*Schema
	next       int
	dynamic    map[string][]*Schema
	loops      [][]*Schema
}

func (t *tarjan) edges(s *Schema) []edge {
	out := s.inPlace()
	if s.app != nil && s.app.dynamicName != "" {
		for _, d := range t.dynamic[s.app.dynamicName] {
			out = append(out, edge{to: d, exact: true})
		}
	}
	return out
}

func (t *tarjan) visit(s *Schema) {
	t.next++
	t.index[s], t.low[s] = t.next, t.next
	t.stack = append(t.stack, s)
	t.on[s] = true
	self := false
	for _, e := range t.edges(s) {
		switch {
		case e.to == s:
			self = true
		case t.index[e.to] == 0:
			t.visit(e.to)
			t.low[s] = min(t.low[s], t.low[e.to])
		case t.on[e.to]:
			t.low[s] = min(t.low[s], t.index[e.to])
		}
	}
	if t.low[s] != t.index[s] {
		return
	}
	var loop []*Schema
	for {
		last := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		t.on[last] = false
		loop = append(loop, last)
		if last == s {
			break
		}
	}
	if len(loop) > 1 || self {
		t.loops = append(t.loops, loop)
	}
}

func (c *Compiler) reportLoop(loop []*Schema) {
	exact, intended := true, false
	slices.SortFunc(loop, func(a, b *Schema) int { return int(a.order - b.order) })
	in := map[*Schema]bool{}
	for _, s := range loop {
		s.cyclic = true
		in[s] = true
	}
	ruled := false
	for _, s := range loop {
		ruled = ruled || s.ruled()
		for _, e := range s.inPlace() {
			if in[e.to] {
				exact = exact && (e.exact || e.intended)
				intended = intended || e.intended
			} else {
				ruled = true
			}
		}
	}
	at := place{res: loop[0].res, ptr: loop[0].ptr}
	var names []string
	for _, s := range loop {
		names = append(names, s.ptr)
	}
	route := strings.Join(names, ", ")
	switch {
	case intended && exact:
	case !ruled:
		c.report(at, "", Fatal, "circular_ref", "these schemas only refer to each other, so anything is accepted: %s", route)
	case exact:
		c.report(at, "", Warning, "circular_ref", "these schemas apply each other to the same value; each is applied once: %s", route)
	default:
		c.report(at, "", Degraded, "circular_ref",
			"these schemas apply each other to the same value; an inner occurrence counts as satisfied: %s", route)
	}
}

// ruled reports whether s says anything itself.
func (s *Schema) ruled() bool {
	return s.kinds != anyKind || s.whole || s.enum != nil || s.constant != nil || s.num != nil || s.str != nil ||
		s.arr != nil || s.obj != nil || s.app != nil && (s.app.restProps != nil || s.app.restItems != nil)
}

// settle completes the fresh schemas with what depends on others.
func (c *Compiler) settle() {
	for _, s := range c.fresh {
		s.tidy()
	}
	done := map[*Schema]bool{}
	for _, s := range c.fresh {
		s.gather(done)
	}
	for _, s := range c.fresh {
		s.exemptions()
	}
}

// tidy drops empty applicators and notes which short cuts hold.
func (s *Schema) tidy() {
	a := s.app
	if a != nil && len(s.inPlace()) == 0 && a.restProps == nil && a.restItems == nil {
		s.app = nil
	}
	if n := s.num; n != nil {
		n.allInt = true
		for _, b := range []*bound{n.min, n.max, n.above, n.below, n.multiple, n.low, n.high} {
			n.allInt = n.allInt && (b == nil || b.isInt)
		}
	}
	s.complex = s.app != nil || s.obj != nil && len(s.obj.patterns) > 0 || s.arr != nil && s.arr.contains != nil
	s.plain = !s.complex && !s.cyclic && !s.res.usesDynamic
	s.trivial = s.trivial || !s.ruled() && s.app == nil && !s.noted.readOnly && !s.noted.writeOnly && s.noted.writableBy == nil && !s.never
}

// gather merges the acting annotations of what s applies by $ref and allOf.
func (s *Schema) gather(done map[*Schema]bool) {
	if done[s] {
		return
	}
	done[s] = true
	n := &s.noted
	if s.app != nil {
		take := func(t *Schema) {
			t.gather(done)
			n.readOnly = n.readOnly || t.noted.readOnly
			n.writeOnly = n.writeOnly || t.noted.writeOnly
			n.writableBy = append(n.writableBy, t.noted.writableBy...)
		}
		if s.app.ref != nil {
			take(s.app.ref)
		}
		for _, t := range s.app.allOf {
			take(t)
		}
	}
	n.acts = n.readOnly || n.writeOnly || n.writableBy != nil
}

// exemptions takes readOnly properties out of what a Request requires, and
// writeOnly ones out of what a Response does.
func (s *Schema) exemptions() {
	o := s.obj
	if o == nil || !o.needsSeen {
		return
	}
	for i, p := range o.props {
		if p == nil {
			continue
		}
		if p.noted.readOnly {
			o.required[Request] = clearBit(o.required[Request], i)
		}
		if p.noted.writeOnly {
			o.required[Response] = clearBit(o.required[Response], i)
		}
	}
}

func clearBit(set []uint64, i int) []uint64 {
	if i/64 < len(set) {
		set[i/64] &^= 1 << (i % 64)
	}
	return set
}

// exempts reports whether some schema that may apply beside s to the same
// object declares the property as one that does not travel in this direction.
func (s *Schema) exempts(name string, d Direction) bool {
	return s.search(map[*Schema]bool{}, func(t *Schema) bool {
		if t.obj == nil {
			return false
		}
		i := t.obj.table.find(name)
		if i < 0 || t.obj.props[i] == nil {
			return false
		}
		n := &t.obj.props[i].noted
		return d == Request && n.readOnly || d == Response && n.writeOnly
	})
}

// search walks s and all it may apply in place until found says so.
func (s *Schema) search(done map[*Schema]bool, found func(*Schema) bool) bool {
	if s == nil || done[s] {
		return false
	}
	done[s] = true
	if found(s) {
		return true
	}
	for _, e := range s.inPlace() {
		if e.to.search(done, found) {
			return true
		}
	}
	return false
}

// typeText names the types that s allows.
func (s *Schema) typeText() string {
	var names []string
	for k := value.Null; k <= value.Object; k++ {
		if s.kinds&kindOf(k) == 0 {
			continue
		}
		if k == value.Number && s.whole {
			names = append(names, "integer")
			continue
		}
		names = append(names, k.String())
	}
	return strings.Join(names, " or ")
}
