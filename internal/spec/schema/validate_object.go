package schema

import (
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/value"
)

// runeCount counts code points, or returns a number that decides the bounds
// just as well without counting.
func runeCount(s string, low, high int) int {
	// A string of n bytes holds between n/4 and n code points.
	if len(s) < low {
		return len(s)
	}
	if high < 0 {
		if len(s) >= 4*low {
			return low
		}
	} else if len(s) <= high && len(s) >= 4*low {
		return low
	}
	return utf8.RuneCountInString(s)
}

// evaluated says which members of an object, or elements of an array, some
// schema has looked at (core, section 11).
type evaluated struct {
	bits []uint64
	all  bool
}

func (e *evaluated) mark(i int) {
	if e != nil {
		e.bits[i>>6] |= 1 << (i & 63)
	}
}

func (e *evaluated) has(i int) bool { return e.all || e.bits[i>>6]&(1<<(i&63)) != 0 }

func (e *evaluated) merge(o *evaluated) {
	if o.all {
		e.all = true
		return
	}
	for i, w := range o.bits {
		e.bits[i] |= w
	}
}

// newEvaluated takes a cleared set from the arena; the caller gives it back by
// cutting st.words to its old length.
func (st *state) newEvaluated(n int) evaluated {
	low := len(st.words)
	for range (n + 63) / 64 {
		st.words = append(st.words, 0)
	}
	return evaluated{bits: st.words[low:]}
}

func (st *state) array(s *Schema, v *value.Value, seen *evaluated, sole bool) bool {
	r := s.arr
	ok := true
	if len(v.Kids) < r.min {
		if !st.record {
			return false
		}
		ok = st.fault(s, "minItems", "at least %d elements are needed", r.min)
	}
	if r.max >= 0 && len(v.Kids) > r.max {
		if !st.record {
			return false
		}
		return st.fault(s, "maxItems", "at most %d elements are allowed", r.max)
	}
	location := st.location
	for i := range v.Kids {
		sub := r.items
		if i < len(r.prefix) {
			sub = r.prefix[i]
		}
		if sub == nil {
			if i >= len(r.prefix) {
				break
			}
			continue
		}
		seen.mark(i)
		if sub.trivial {
			continue
		}
		st.pushIndex(i)
		st.location = sub
		if sole && sub.noted.acts && !st.mayCarry(sub) {
			ok = false
		}
		if (ok || st.record) && !st.eval(sub, &v.Kids[i], nil, sole) {
			ok = false
		}
		st.location = location
		st.pop()
		if !ok && (!st.record || st.full()) {
			return false
		}
	}
	if r.contains != nil && !st.contains(s, v, seen) {
		ok = false
	}
	if r.unique && len(v.Kids) > 1 {
		if _, _, repeated := value.Repeated(v.Kids); !repeated {
			return ok
		}
		if !st.record {
			return false
		}
		ok = st.fault(s, "uniqueItems", "no two elements may be equal")
	}
	return ok
}

func (st *state) contains(s *Schema, v *value.Value, seen *evaluated) bool {
	r := s.arr
	n := 0
	for i := range v.Kids {
		if st.quiet(r.contains, &v.Kids[i], nil) {
			n++
			seen.mark(i)
		}
		if seen == nil && n >= r.minContains && r.maxContains < 0 {
			break
		}
	}
	if n < r.minContains {
		return st.record && st.fault(s, "contains", "at least %d elements must fit the schema of contains", r.minContains)
	}
	if r.maxContains >= 0 && n > r.maxContains {
		return st.record && st.fault(s, "maxContains", "at most %d elements may fit the schema of contains", r.maxContains)
	}
	return true
}

// quiet applies s where a "no" is no fault: nothing is recorded, and no policy judged.
func (st *state) quiet(s *Schema, v *value.Value, seen *evaluated) bool {
	record, location := st.record, st.location
	st.record = false
	if seen == nil { // another value than the present one
		st.location = s
	}
	ok := st.eval(s, v, seen, false)
	st.record, st.location = record, location
	return ok && st.aborted == ""
}

func (st *state) object(s *Schema, v *value.Value, seen *evaluated, sole bool) bool {
	r := s.obj
	ok := true
	if len(v.Kids) < r.min {
		if !st.record {
			return false
		}
		ok = st.fault(s, "minProperties", "at least %d properties are needed", r.min)
	}
	if r.max >= 0 && len(v.Kids) > r.max {
		if !st.record {
			return false
		}
		return st.fault(s, "maxProperties", "at most %d properties are allowed", r.max)
	}
	var fixed [4]uint64
	var present []uint64
	if r.needsSeen {
		if n := len(r.required[0]); n <= len(fixed) {
			present = fixed[:n]
		} else {
			present = make([]uint64, n)
		}
	}
	for i := range v.Kids {
		if !st.member(s, &v.Kids[i], i, present, seen, sole) {
			ok = false
			if !st.record || st.full() {
				return false
			}
		}
	}
	if r.needsSeen && !st.requirements(s, present) {
		ok = false
	}
	return ok
}

// member applies what s says of one member.
func (st *state) member(s *Schema, m *value.Value, i int, present []uint64, seen *evaluated, sole bool) bool {
	r := s.obj
	ok, known := true, false
	if r.names != nil {
		st.name = value.Value{Kind: value.String, Text: m.Name}
		if !st.quiet(r.names, &st.name, nil) {
			if !st.record {
				return false
			}
			st.push(m.Name)
			ok = st.fault(s, "propertyNames", "the property's name is not allowed")
			st.pop()
		}
	}
	at := r.table.find(m.Name)
	if at >= 0 {
		if present != nil {
			present[at>>6] |= 1 << (at & 63)
		}
		if sub := r.props[at]; sub != nil {
			known = true
			if !st.child(sub, m, sole) {
				ok = false
			}
		}
	}
	for j := range r.patterns {
		fits, late := r.patterns[j].pattern.match(m.Name)
		if late {
			return st.abort("pattern")
		}
		if fits {
			known = true
			if !st.child(r.patterns[j].schema, m, sole) {
				ok = false
			}
		}
	}
	if known {
		seen.mark(i)
		return ok
	}
	if sole && st.dir == Request && st.alike(r, m.Name) {
		return st.unknown(s, m)
	}
	if r.additional == nil {
		if sole && st.strict && r.declares && !r.requires(at) {
			return st.unknown(s, m)
		}
		return ok
	}
	if r.additional.never {
		if !st.record {
			return false
		}
		st.push(m.Name)
		ok = st.fault(s, "additionalProperties", "the property is not declared")
		st.pop()
		return ok
	}
	seen.mark(i)
	return st.child(r.additional, m, sole) && ok
}

// alike reports whether a name that is not declared equals a declared one but for
// case. Decoders in Go and .NET take it for that one, so in a request it would
// carry what no rule of the declared property saw, readOnly first of all (CWE-178).
func (st *state) alike(r *objectRules, name string) bool {
	st.steps -= len(r.props) >> 3
	for i, sub := range r.props {
		if sub != nil && strings.EqualFold(r.table.list[i], name) {
			return true
		}
	}
	return false
}

// requires reports whether the name at this place of the table is required: a
// property that must be there is known, though nothing says what it is.
func (r *objectRules) requires(at int) bool {
	return at >= 0 && r.needsSeen && r.required[Neither][at>>6]&(1<<(at&63)) != 0
}

// child applies sub to a member, and the rules of policy when sole.
func (st *state) child(sub *Schema, m *value.Value, sole bool) bool {
	if sub.trivial {
		return true
	}
	st.push(m.Name)
	location := st.location
	st.location = sub
	ok := true
	if sole && sub.noted.acts && !st.mayCarry(sub) {
		ok = false
	}
	if (ok || st.record) && !st.eval(sub, m, nil, sole) {
		ok = false
	}
	st.location = location
	st.pop()
	return ok
}

func (st *state) unknown(s *Schema, m *value.Value) bool {
	if !st.record {
		return false
	}
	st.push(m.Name)
	st.fault(s, "unknownProperty", "the property is not declared")
	st.pop()
	return false
}

// requirements checks required and dependentRequired.
func (st *state) requirements(s *Schema, present []uint64) bool {
	r := s.obj
	ok := true
	for w, need := range r.required[st.dir] {
		missing := need &^ present[w]
		for missing != 0 {
			bit := missing & -missing
			missing &^= bit
			name := r.table.list[w*64+trailing(bit)]
			if st.dir != Neither && st.location.exempts(name, st.dir) {
				continue
			}
			if !st.record {
				return false
			}
			ok = st.fault(s, "required", "the property %q is missing", name)
		}
	}
	for i := range r.dependent {
		d := &r.dependent[i]
		if present[d.name>>6]&(1<<(d.name&63)) == 0 {
			continue
		}
		for _, n := range d.needs {
			if present[n>>6]&(1<<(n&63)) == 0 {
				if !st.record {
					return false
				}
				ok = st.fault(s, "dependentRequired", "the property %q is missing, which %q needs", r.table.list[n], r.table.list[d.name])
			}
		}
	}
	return ok
}

// mayCarry judges readOnly, writeOnly and x-crenel-writable-by of a member.
func (st *state) mayCarry(s *Schema) bool {
	n := &s.noted
	switch {
	case n.readOnly && st.dir == Request:
		return st.record && st.fault(s, "readOnly", "the property is read-only and must not be sent")
	case n.writeOnly && st.dir == Response:
		return st.record && st.fault(s, "writeOnly", "the property is write-only and must not be answered")
	}
	if st.mayWrite != nil && st.dir != Response {
		for _, roles := range n.writableBy {
			if !st.mayWrite(roles) {
				return st.record && st.fault(s, "writableBy", "the caller holds none of the roles that may write the property")
			}
		}
	}
	return true
}
