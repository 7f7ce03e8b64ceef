package schema

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/crenel-project/crenel/internal/value"
)

// state is one validation under way. It walks twice at most: first only for a
// verdict, without allocating, and when that is "no" again to say why.
type state struct {
	strict    bool
	policy    bool // strict, or a direction, or MayWrite
	dir       Direction
	mayWrite  func([]string) bool
	steps     int
	depth     int
	aborted   string // why the walk was given up, which refuses the value
	record    bool
	maxFaults int
	faults    []Fault
	path      []string
	scope     []*resource // the dynamic scope, kept only when track
	track     bool
	active    []application // of cyclic schemas
	set       []*Schema     // judge's stack
	words     []uint64      // the arena of bit sets
	name      value.Value   // what propertyNames looks at
	location  *Schema       // the outermost schema at the present value
}

type application struct {
	s *Schema
	v *value.Value
}

const (
	defaultSteps = 1_000_000
	maxDepth     = 4096
)

var states = sync.Pool{New: func() any { return &state{} }}

var noOptions Options

// Validate walks v and returns the faults found, nil when it fits. It is safe
// for concurrent use and does not allocate when v fits.
//
// Direction, Strict and MayWrite never change which branch of oneOf, anyOf or
// if applies: JSON Schema alone decides that, and the rest is judged over all
// schemas that apply. So a property that only a branch declares which does not
// match is unknown, and one that any matching branch marks readOnly is refused.
// The exception is OpenAPI's own: a required property that is readOnly is not
// required in a Request (writeOnly: Response). readOnly, writeOnly and
// x-crenel-writable-by count when they stand in the property's schema or are
// reached from it by $ref and allOf.
func (s *Schema) Validate(v *value.Value, o *Options) []Fault {
	if s.trivial {
		return nil
	}
	if o == nil {
		o = &noOptions
	}
	st := states.Get().(*state)
	st.begin(s, o)
	ok := st.eval(s, v, nil, st.policy) && st.aborted == ""
	var faults []Fault
	if !ok {
		faults = st.explain(s, v, o)
	}
	st.mayWrite, st.faults, st.location = nil, nil, nil
	st.name = value.Value{}
	clear(st.active[:cap(st.active)])
	st.active = st.active[:0]
	states.Put(st)
	return faults
}

// Valid reports whether v fits, without saying why it does not.
func (s *Schema) Valid(v *value.Value, o *Options) bool {
	if s.trivial {
		return true
	}
	if o == nil {
		o = &noOptions
	}
	st := states.Get().(*state)
	st.begin(s, o)
	ok := st.eval(s, v, nil, st.policy) && st.aborted == ""
	st.mayWrite, st.location = nil, nil
	st.name = value.Value{}
	clear(st.active[:cap(st.active)])
	st.active = st.active[:0]
	states.Put(st)
	return ok
}

func (st *state) begin(s *Schema, o *Options) {
	st.strict, st.dir, st.mayWrite = o.Strict, o.Direction, o.MayWrite
	st.policy = o.Strict || o.Direction != Neither || o.MayWrite != nil
	st.steps = o.MaxSteps
	if st.steps <= 0 {
		st.steps = defaultSteps
	}
	st.maxFaults = max(o.MaxFaults, 1)
	st.depth, st.aborted, st.record = 0, "", false
	st.path, st.scope, st.active, st.set, st.words = st.path[:0], st.scope[:0], st.active[:0], st.set[:0], st.words[:0]
	st.location = s
	st.track = s.res != nil && s.res.usesDynamic
}

// explain walks again and gathers the faults. A value that was refused is
// refused whatever this walk finds, so it always returns at least one.
func (st *state) explain(s *Schema, v *value.Value, o *Options) []Fault {
	why := st.aborted
	st.begin(s, o)
	st.record = true
	st.eval(s, v, nil, st.policy)
	if st.aborted != "" {
		why = st.aborted
	}
	if why != "" {
		f := Fault{Keyword: why, Pointer: st.pointer(), SchemaPath: s.ptr}
		switch why {
		case "pattern":
			f.Message, f.TimedOut = "a pattern did not finish in time; the value is refused undecided", true
		default:
			f.Message = "the value is too complex to be checked within the limits; it is refused undecided"
		}
		st.faults = append([]Fault{f}, st.faults...)
	}
	if len(st.faults) == 0 {
		st.faults = append(st.faults, Fault{Keyword: "schema", SchemaPath: s.ptr, Message: "the value does not fit its schema"})
	}
	if len(st.faults) > st.maxFaults {
		st.faults = st.faults[:st.maxFaults]
	}
	return st.faults
}

func (st *state) pointer() string {
	if len(st.path) == 0 {
		return ""
	}
	var b strings.Builder
	for _, token := range st.path {
		b.WriteByte('/')
		b.WriteString(value.EscapeToken(token))
	}
	return b.String()
}

// fault records one fault (only while recording) and returns false.
func (st *state) fault(s *Schema, keyword, format string, args ...any) bool {
	if len(st.faults) < st.maxFaults {
		path := s.ptr
		if !s.never {
			path += "/" + keyword
		}
		st.faults = append(st.faults, Fault{Keyword: keyword, Pointer: st.pointer(), SchemaPath: path, Message: fmt.Sprintf(format, args...)})
	}
	return false
}

func (st *state) full() bool { return len(st.faults) >= st.maxFaults }

func (st *state) abort(why string) bool {
	if st.aborted == "" {
		st.aborted = why
	}
	return false
}

func (st *state) push(token string) {
	if st.record {
		st.path = append(st.path, token)
	}
}

func (st *state) pushIndex(i int) {
	if st.record {
		st.path = append(st.path, strconv.Itoa(i))
	}
}

func (st *state) pop() {
	if st.record {
		st.path = st.path[:len(st.path)-1]
	}
}

// eval applies s to v. seen, when not nil, gathers which members or elements of
// v were evaluated. sole says that no other schema applies to v and that a
// fault here is final: then policy is judged in the same walk.
func (st *state) eval(s *Schema, v *value.Value, seen *evaluated, sole bool) bool {
	if s.trivial {
		return true
	}
	if s.kinds&kindOf(v.Kind) == 0 {
		if !st.record {
			return false
		}
		if s.never {
			return st.fault(s, "false", "nothing is allowed here")
		}
		return st.fault(s, "type", "%s is needed, not %s", s.typeText(), v.Kind)
	}
	if st.steps--; st.steps < 0 {
		return st.abort("complexity")
	}
	if s.plain {
		return st.body(s, v, seen, sole)
	}
	return st.special(s, v, seen, sole)
}

// special is eval for the schemas that need more than their own rules: loops,
// dynamic scope, several schemas on one value.
func (st *state) special(s *Schema, v *value.Value, seen *evaluated, sole bool) bool {
	if st.depth++; st.depth > maxDepth {
		return st.abort("depth")
	}
	defer func() { st.depth-- }()
	if s.cyclic {
		for i := len(st.active) - 1; i >= 0; i-- {
			if st.active[i].v == v && st.active[i].s == s {
				return true // being applied already: adds nothing
			}
		}
		st.active = append(st.active, application{s, v})
		defer func() { st.active = st.active[:len(st.active)-1] }()
	}
	if st.track && (len(st.scope) == 0 || st.scope[len(st.scope)-1] != s.res) {
		st.scope = append(st.scope, s.res)
		defer func() { st.scope = st.scope[:len(st.scope)-1] }()
	}
	if !sole || !s.complex {
		return st.body(s, v, seen, sole)
	}
	if !st.body(s, v, seen, false) {
		return false
	}
	if v.Kind != value.Object && v.Kind != value.Array {
		return true
	}
	low := len(st.set)
	st.set = append(st.set, s)
	ok := st.judge(v, low)
	st.set = st.set[:low]
	return ok
}

// body applies the rules of s itself.
func (st *state) body(s *Schema, v *value.Value, seen *evaluated, sole bool) bool {
	if s.nullWins && v.Kind == value.Null {
		return true
	}
	ok := true
	if s.enum != nil && !s.enum.has(v) {
		if !st.record {
			return false
		}
		ok = st.fault(s, "enum", "one of the %d listed values is needed", len(s.enum.values))
	}
	if s.constant != nil && !s.constant.has(v) {
		if !st.record {
			return false
		}
		ok = st.fault(s, "const", "the one value allowed is needed")
	}
	var own evaluated
	rest := s.app != nil && (s.app.restProps != nil && v.Kind == value.Object || s.app.restItems != nil && v.Kind == value.Array)
	mark := len(st.words)
	outer := seen
	if rest {
		own = st.newEvaluated(len(v.Kids))
		seen = &own
	}
	switch v.Kind {
	case value.Number:
		if (s.num != nil || s.whole) && !st.number(s, v) {
			ok = false
		}
	case value.String:
		if s.str != nil && !st.text(s, v) {
			ok = false
		}
	case value.Array:
		if s.arr != nil && !st.array(s, v, seen, sole) {
			ok = false
		}
	case value.Object:
		if s.obj != nil && !st.object(s, v, seen, sole) {
			ok = false
		}
	}
	if !ok && (!st.record || st.full()) {
		return false
	}
	if s.app != nil {
		if !st.applicators(s, v, seen) {
			ok = false
		}
		if rest {
			if ok && !st.rest(s, v, &own) {
				ok = false
			}
			if ok && outer != nil {
				outer.all = true
			}
			st.words = st.words[:mark]
		}
	}
	return ok
}

func (st *state) number(s *Schema, v *value.Value) bool {
	n, isSmall := small(v.Text)
	var d value.Decimal
	if !isSmall {
		d = v.Decimal()
	}
	ok := true
	if s.whole && !isSmall && !d.IsInteger() {
		if !st.record {
			return false
		}
		ok = st.fault(s, "type", "integer is needed, not a number with a fraction")
	}
	r := s.num
	if r == nil {
		return ok
	}
	if isSmall && !r.allInt {
		d = v.Decimal()
	}
	if r.min != nil && r.min.compareTo(n, isSmall, &d) < 0 {
		if !st.record {
			return false
		}
		ok = st.fault(s, "minimum", "at least %s is needed", r.min.text)
	}
	if r.max != nil && r.max.compareTo(n, isSmall, &d) > 0 {
		if !st.record {
			return false
		}
		ok = st.fault(s, "maximum", "at most %s is allowed", r.max.text)
	}
	if r.above != nil && r.above.compareTo(n, isSmall, &d) <= 0 {
		if !st.record {
			return false
		}
		ok = st.fault(s, "exclusiveMinimum", "more than %s is needed", r.above.text)
	}
	if r.below != nil && r.below.compareTo(n, isSmall, &d) >= 0 {
		if !st.record {
			return false
		}
		ok = st.fault(s, "exclusiveMaximum", "less than %s is needed", r.below.text)
	}
	if r.multiple != nil {
		var fits bool
		if isSmall && r.multiple.isInt {
			fits = n%r.multiple.n == 0
		} else {
			fits = d.MultipleOf(r.multiple.exact)
		}
		if !fits {
			if !st.record {
				return false
			}
			ok = st.fault(s, "multipleOf", "a multiple of %s is needed", r.multiple.text)
		}
	}
	if r.low != nil && (r.low.compareTo(n, isSmall, &d) < 0 || r.high.compareTo(n, isSmall, &d) > 0) {
		if !st.record {
			return false
		}
		ok = st.fault(s, "format", "outside the range of %s", r.format)
	}
	return ok
}

func (st *state) text(s *Schema, v *value.Value) bool {
	r := s.str
	ok := true
	if r.min > 0 || r.max >= 0 {
		n := runeCount(v.Text, r.min, r.max)
		if n < r.min {
			if !st.record {
				return false
			}
			ok = st.fault(s, "minLength", "at least %d characters are needed", r.min)
		}
		if r.max >= 0 && n > r.max {
			if !st.record {
				return false
			}
			return st.fault(s, "maxLength", "at most %d characters are allowed", r.max)
		}
	}
	if r.format != nil && !r.format.check(v.Text) {
		if !st.record {
			return false
		}
		ok = st.fault(s, "format", "not of the format %s", r.format.name)
	}
	if r.pattern != nil {
		fits, late := r.pattern.match(v.Text)
		if late {
			return st.abort("pattern")
		}
		if !fits {
			if !st.record {
				return false
			}
			ok = st.fault(s, "pattern", "it must match %q", r.pattern.source)
		}
	}
	return ok
}
