package schema

import (
	"math/bits"

	"github.com/crenel-project/crenel/internal/value"
)

func trailing(w uint64) int { return bits.TrailingZeros64(w) }

// branch applies one alternative: what it evaluated counts only if it fits.
func (st *state) branch(s *Schema, v *value.Value, seen *evaluated) bool {
	if seen == nil {
		return st.inPlace(s, v, nil)
	}
	mark := len(st.words)
	own := st.newEvaluated(len(v.Kids))
	ok := st.inPlace(s, v, &own)
	if ok {
		seen.merge(&own)
	}
	st.words = st.words[:mark]
	return ok
}

func (st *state) inPlace(s *Schema, v *value.Value, seen *evaluated) bool {
	record := st.record
	st.record = false
	ok := st.eval(s, v, seen, false)
	st.record = record
	return ok && st.aborted == ""
}

// applicators applies the schemas that apply to the same value.
func (st *state) applicators(s *Schema, v *value.Value, seen *evaluated) bool {
	a := s.app
	ok := true
	stop := func() bool { return !ok && (!st.record || st.full()) }
	if a.ref != nil && !st.eval(a.ref, v, seen, false) {
		ok = false
	}
	if a.dynamic != nil && !stop() && !st.eval(st.dynamicTarget(a), v, seen, false) {
		ok = false
	}
	for _, sub := range a.allOf {
		if stop() {
			return false
		}
		if !st.eval(sub, v, seen, false) {
			ok = false
		}
	}
	if stop() {
		return false
	}
	picked := (*Schema)(nil)
	if a.chooser != nil {
		picked = a.chooser.pick(v)
	}
	if picked != nil {
		if !st.eval(picked, v, seen, false) {
			ok = false
		}
	}
	if a.anyOf != nil && (picked == nil || a.oneOf != nil) && !st.anyOf(s, v, seen) {
		ok = false
	}
	if a.oneOf != nil && picked == nil && !st.oneOf(s, v, seen) {
		ok = false
	}
	if a.not != nil && !stop() {
		before := st.aborted
		if st.inPlace(a.not, v, nil) || st.aborted != before {
			if !st.record {
				return false
			}
			ok = st.fault(s, "not", "it must not fit the schema of not")
		}
	}
	if a.ifs != nil && !stop() && !st.conditional(s, v, seen) {
		ok = false
	}
	if v.Kind == value.Object {
		for i := range a.dependent {
			if stop() {
				return false
			}
			if v.Get(a.dependent[i].name) != nil && !st.eval(a.dependent[i].schema, v, seen, false) {
				ok = false
			}
		}
	}
	return ok
}

func (st *state) conditional(s *Schema, v *value.Value, seen *evaluated) bool {
	a := s.app
	if a.then == nil && a.otherwise == nil && seen == nil {
		return true
	}
	next := a.otherwise
	if st.branch(a.ifs, v, seen) {
		next = a.then
	}
	return next == nil || st.eval(next, v, seen, false)
}

func (st *state) anyOf(s *Schema, v *value.Value, seen *evaluated) bool {
	found := false
	for _, sub := range s.app.anyOf {
		if st.branch(sub, v, seen) {
			found = true
			if seen == nil {
				return true
			}
		}
	}
	return found || st.alternatives(s, "anyOf", s.app.anyOf, v)
}

func (st *state) oneOf(s *Schema, v *value.Value, seen *evaluated) bool {
	found := 0
	for _, sub := range s.app.oneOf {
		if st.branch(sub, v, seen) {
			if found++; found > 1 {
				return st.record && st.fault(s, "oneOf", "it fits more than one of the alternatives, and must fit exactly one")
			}
		}
	}
	return found == 1 || st.alternatives(s, "oneOf", s.app.oneOf, v)
}

// alternatives explains why no alternative fits: by the faults of the only one
// that has the value's type, when there is one.
func (st *state) alternatives(s *Schema, keyword string, list []*Schema, v *value.Value) bool {
	if !st.record {
		return false
	}
	var only *Schema
	for _, sub := range list {
		if sub.kinds&kindOf(v.Kind) == 0 {
			continue
		}
		if only != nil {
			only = nil
			break
		}
		only = sub
	}
	if only != nil && !only.trivial {
		before := len(st.faults)
		st.eval(only, v, nil, false)
		if len(st.faults) > before {
			return false
		}
	}
	return st.fault(s, keyword, "it fits none of the %d alternatives", len(list))
}

// dynamicTarget searches the dynamic scope, outermost first (core, section 8.2.3.2).
func (st *state) dynamicTarget(a *applicators) *Schema {
	if a.dynamicName != "" {
		for _, r := range st.scope {
			if t := r.dynamic[a.dynamicName]; t != nil {
				return t
			}
		}
	}
	return a.dynamic
}

// rest applies unevaluatedProperties and unevaluatedItems.
func (st *state) rest(s *Schema, v *value.Value, seen *evaluated) bool {
	sub, keyword := s.app.restProps, "unevaluatedProperties"
	if v.Kind == value.Array {
		sub, keyword = s.app.restItems, "unevaluatedItems"
	}
	ok := true
	location := st.location
	for i := range v.Kids {
		if seen.has(i) {
			continue
		}
		if v.Kind == value.Object {
			st.push(v.Kids[i].Name)
		} else {
			st.pushIndex(i)
		}
		if sub.never {
			ok = st.record && st.fault(s, keyword, "it is not declared")
		} else {
			st.location = sub
			if !st.eval(sub, &v.Kids[i], nil, false) {
				ok = false
			}
			st.location = location
		}
		st.pop()
		if !ok && (!st.record || st.full()) {
			return false
		}
	}
	return ok
}

// judge applies policy to v, to which the schemas st.set[low:] apply. All of
// them have accepted v already.
func (st *state) judge(v *value.Value, low int) bool {
	if st.depth++; st.depth > maxDepth {
		return st.abort("depth")
	}
	defer func() { st.depth-- }()
	st.expand(v, low)
	high := len(st.set)
	defer func() { st.set = st.set[:high] }()
	declares := false
	for _, s := range st.set[low:high] {
		declares = declares || s.obj != nil && s.obj.declares
	}
	ok := true
	for i := range v.Kids {
		k := &v.Kids[i]
		if st.steps--; st.steps < 0 {
			return st.abort("complexity")
		}
		var known bool
		if v.Kind == value.Object {
			known = st.membersOf(k, low, high) && !st.alikeAny(k.Name, low, high)
			st.push(k.Name)
		} else {
			known = st.elementsOf(v, i, low, high)
			st.pushIndex(i)
		}
		if !known && declares && v.Kind == value.Object && (st.strict || st.alikeAny(k.Name, low, high)) {
			if !st.record {
				return false
			}
			ok = st.fault(st.set[low], "unknownProperty", "the property is not declared")
		}
		for _, s := range st.set[high:] {
			if s.noted.acts && !st.mayCarry(s) {
				ok = false
			}
		}
		if (ok || st.record) && len(st.set) > high && (k.Kind == value.Object || k.Kind == value.Array) && !st.judge(k, high) {
			ok = false
		}
		st.pop()
		st.set = st.set[:high]
		if !ok && (!st.record || st.full()) {
			return false
		}
	}
	return ok
}

// alikeAny reports whether none of the schemas in st.set[low:high] declares the
// name, by itself or by a pattern, and one of them declares it in another case.
func (st *state) alikeAny(name string, low, high int) bool {
	if st.dir != Request {
		return false
	}
	alike := false
	for _, s := range st.set[low:high] {
		if s.obj == nil {
			continue
		}
		if at := s.obj.table.find(name); at >= 0 && s.obj.props[at] != nil {
			return false
		}
		alike = alike || st.alike(s.obj, name)
	}
	if !alike {
		return false
	}
	for _, s := range st.set[low:high] {
		if s.obj == nil {
			continue
		}
		for i := range s.obj.patterns {
			if fits, _ := s.obj.patterns[i].pattern.match(name); fits {
				return false
			}
		}
	}
	return true
}

// expand adds to st.set[low:] the schemas that apply in place and fit.
func (st *state) expand(v *value.Value, low int) {
	active := len(st.active)
	defer func() { st.active = st.active[:active] }()
	for i := low; i < len(st.set); i++ {
		s := st.set[i]
		if s.app == nil {
			continue
		}
		if s.cyclic {
			st.active = append(st.active, application{s, v})
		}
		tracked := false
		if st.track && (len(st.scope) == 0 || st.scope[len(st.scope)-1] != s.res) {
			st.scope, tracked = append(st.scope, s.res), true
		}
		a := s.app
		st.include(a.ref, low)
		if a.dynamic != nil {
			st.include(st.dynamicTarget(a), low)
		}
		for _, sub := range a.allOf {
			st.include(sub, low)
		}
		picked := (*Schema)(nil)
		if a.chooser != nil {
			picked = a.chooser.pick(v)
			st.include(picked, low)
		}
		if picked == nil || a.oneOf != nil {
			st.includeFitting(a.anyOf, v, low)
		}
		if picked == nil {
			st.includeFitting(a.oneOf, v, low)
		}
		if a.ifs != nil {
			if st.inPlace(a.ifs, v, nil) {
				st.include(a.ifs, low)
				st.include(a.then, low)
			} else {
				st.include(a.otherwise, low)
			}
		}
		if v.Kind == value.Object {
			for j := range a.dependent {
				if v.Get(a.dependent[j].name) != nil {
					st.include(a.dependent[j].schema, low)
				}
			}
		}
		if tracked {
			st.scope = st.scope[:len(st.scope)-1]
		}
	}
}

func (st *state) include(s *Schema, low int) {
	if s == nil || s.trivial {
		return
	}
	for _, t := range st.set[low:] {
		if t == s {
			return
		}
	}
	st.set = append(st.set, s)
}

func (st *state) includeFitting(list []*Schema, v *value.Value, low int) {
	for _, sub := range list {
		if st.inPlace(sub, v, nil) {
			st.include(sub, low)
		}
	}
}

// membersOf pushes what the schemas st.set[low:high] say of a member and
// reports whether any of them knows it.
func (st *state) membersOf(m *value.Value, low, high int) bool {
	known := false
	for i := low; i < high; i++ {
		s := st.set[i]
		if s.obj == nil {
			continue
		}
		mine := false
		if at := s.obj.table.find(m.Name); at >= 0 && s.obj.props[at] != nil {
			mine = true
			st.include(s.obj.props[at], high)
		} else {
			known = known || s.obj.requires(at)
		}
		for j := range s.obj.patterns {
			if fits, _ := s.obj.patterns[j].pattern.match(m.Name); fits {
				mine = true
				st.include(s.obj.patterns[j].schema, high)
			}
		}
		if !mine && s.obj.additional != nil {
			mine = true
			st.include(s.obj.additional, high)
		}
		known = known || mine
	}
	if known {
		return true
	}
	for i := low; i < high; i++ {
		if a := st.set[i].app; a != nil && a.restProps != nil {
			st.include(a.restProps, high)
			known = true
		}
	}
	return known
}

func (st *state) elementsOf(v *value.Value, at, low, high int) bool {
	known := false
	for i := low; i < high; i++ {
		r := st.set[i].arr
		if r == nil {
			continue
		}
		if at < len(r.prefix) {
			st.include(r.prefix[at], high)
			known = true
		} else if r.items != nil {
			st.include(r.items, high)
			known = true
		}
		if r.contains != nil && st.quiet(r.contains, &v.Kids[at], nil) {
			st.include(r.contains, high)
			known = true
		}
	}
	if known {
		return true
	}
	for i := low; i < high; i++ {
		if a := st.set[i].app; a != nil && a.restItems != nil {
			st.include(a.restItems, high)
			known = true
		}
	}
	return known
}
