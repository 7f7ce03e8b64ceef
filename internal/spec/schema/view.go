package schema

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// Property is one declared member of an object.
type Property struct {
	Name     string
	Schema   *Schema
	Required bool
}

// Bounds are a schema's limits, each the tightest that $ref and allOf bring
// together. Counts are -1, and numbers "", where there is none.
type Bounds struct {
	MinLength, MaxLength               int
	MinItems, MaxItems                 int
	MinProperties, MaxProperties       int
	Minimum, Maximum                   string // as JSON numbers
	ExclusiveMinimum, ExclusiveMaximum string
	MultipleOf                         []string // all must divide
	UniqueItems                        bool
}

// together lists s and all that it applies by $ref and allOf, each once: the
// schemas that always apply.
func (s *Schema) together() []*Schema {
	if s.app == nil {
		return []*Schema{s}
	}
	out := []*Schema{s}
	add := func(t *Schema) {
		if t != nil && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	for i := 0; i < len(out); i++ {
		if a := out[i].app; a != nil {
			add(a.ref)
			add(a.dynamic)
			for _, t := range a.allOf {
				add(t)
			}
		}
	}
	return out
}

// kindsTogether is what every schema that always applies allows.
func (s *Schema) kindsTogether() (kinds kindSet, whole bool) {
	kinds = anyKind
	for _, t := range s.together() {
		kinds &= t.kinds
		whole = whole || t.whole
	}
	return kinds, whole
}

// Type is the one type that a value must have ("integer", "object", …), null
// aside; "" when several or all are allowed. Like all that follows here it sees
// through $ref and allOf.
func (s *Schema) Type() string { return s.textual().one }

// textual is what typing a text needs to know of a schema, found once.
type textual struct {
	one     string // of Type
	scalars kindSet
}

func (s *Schema) textual() *textual {
	t := s.texts.Load()
	if t == nil {
		t = &textual{one: s.oneType(), scalars: s.scalars(map[*Schema]bool{})}
		s.texts.Store(t)
	}
	return t
}

func (s *Schema) oneType() string {
	if types := s.Types(); len(types) == 1 {
		return types[0]
	} else if len(types) == 2 && types[0] == "null" {
		return types[1]
	}
	return ""
}

// Types are the types allowed, in the order null, boolean, integer or number,
// string, array, object. A schema that does not restrict them allows all.
func (s *Schema) Types() []string {
	kinds, whole := s.kindsTogether()
	var out []string
	for k := value.Null; k <= value.Object; k++ {
		switch {
		case kinds&kindOf(k) == 0:
		case k == value.Number && whole:
			out = append(out, "integer")
		default:
			out = append(out, k.String())
		}
	}
	return out
}

// Anything reports whether s accepts every value.
func (s *Schema) Anything() bool { return s.trivial }

// Nothing reports whether s is the schema false.
func (s *Schema) Nothing() bool { return s.never }

// Properties are the declared members, those of $ref and allOf included, in
// document order. A name that several declare comes once, with the first schema.
// Members that only an alternative declares are not here: see Alternatives.
func (s *Schema) Properties() []Property {
	var out []Property
	at := map[string]int{}
	required := map[string]bool{}
	for _, t := range s.together() {
		if t.obj == nil || t.obj.table == nil {
			continue
		}
		for i, name := range t.obj.table.list {
			if t.obj.needsSeen && t.obj.required[Neither][i/64]&(1<<(i%64)) != 0 {
				required[name] = true
			}
			if p := t.obj.props[i]; p != nil {
				if _, known := at[name]; !known {
					at[name] = len(out)
					out = append(out, Property{Name: name, Schema: p})
				}
			}
		}
	}
	for i := range out {
		out[i].Required = required[out[i].Name]
	}
	return out
}

// Required are the names that must be present, declared or not.
func (s *Schema) Required() []string {
	var out []string
	for _, t := range s.together() {
		if t.obj == nil || !t.obj.needsSeen {
			continue
		}
		for i, name := range t.obj.table.list {
			if t.obj.required[Neither][i/64]&(1<<(i%64)) != 0 && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Declared finds what s says of a member: the schema of its property, of a
// matching pattern, or of additionalProperties; of $ref and allOf first, then of
// the alternatives. ok is false when nothing declares the name; the schema is
// nil when it is known but several alternatives say different things of it.
func (s *Schema) Declared(name string) (sub *Schema, ok bool) {
	return s.declared(name, map[*Schema]bool{})
}

func (s *Schema) declared(name string, done map[*Schema]bool) (*Schema, bool) {
	var additional *Schema
	for _, t := range s.together() {
		done[t] = true
		if t.obj == nil {
			continue
		}
		if sub := t.obj.named(name); sub != nil {
			return sub, true
		}
		if a := t.obj.additional; a != nil && !a.never && additional == nil {
			additional = a
		}
	}
	var found *Schema
	known := false
	for _, t := range s.together() {
		for _, e := range t.alternatives() {
			if done[e] {
				continue
			}
			done[e] = true
			sub, ok := e.declared(name, done)
			switch {
			case !ok:
			case !known:
				found, known = sub, true
			case sub != found:
				return nil, true
			}
		}
	}
	if known {
		return found, true
	}
	return additional, additional != nil
}

// named is the schema of a property, or of the first pattern that matches.
func (o *objectRules) named(name string) *Schema {
	if at := o.table.find(name); at >= 0 && o.props[at] != nil {
		return o.props[at]
	}
	for i := range o.patterns {
		if fits, _ := o.patterns[i].pattern.match(name); fits {
			return o.patterns[i].schema
		}
	}
	return nil
}

// alternatives lists the schemas that s may apply, but not always does.
func (s *Schema) alternatives() []*Schema {
	a := s.app
	if a == nil {
		return nil
	}
	out := slices.Concat(a.anyOf, a.oneOf)
	if a.chooser != nil {
		out = append(out, a.chooser.schemas...)
	}
	for _, t := range []*Schema{a.ifs, a.then, a.otherwise} {
		if t != nil {
			out = append(out, t)
		}
	}
	for i := range a.dependent {
		out = append(out, a.dependent[i].schema)
	}
	return out
}

// Alternatives are the oneOf and anyOf lists that apply, each of which a value
// must fit one of (oneOf: exactly one).
func (s *Schema) Alternatives() [][]*Schema {
	var out [][]*Schema
	for _, t := range s.together() {
		if t.app == nil {
			continue
		}
		if t.app.oneOf != nil {
			out = append(out, t.app.oneOf)
		}
		if t.app.anyOf != nil {
			out = append(out, t.app.anyOf)
		}
	}
	return out
}

// AllowsUnknown reports whether Strict lets members pass that are not declared:
// the schema says additionalProperties or unevaluatedProperties itself (and not
// false), or declares no property.
func (s *Schema) AllowsUnknown() bool {
	declares := false
	for _, t := range s.together() {
		if t.obj != nil {
			if t.obj.additional != nil {
				return !t.obj.additional.never
			}
			declares = declares || t.obj.declares
		}
		if t.app != nil && t.app.restProps != nil {
			return !t.app.restProps.never
		}
	}
	return !declares
}

// Additional is the schema of members that are not declared, nil when not stated.
func (s *Schema) Additional() *Schema {
	for _, t := range s.together() {
		if t.obj != nil && t.obj.additional != nil {
			return t.obj.additional
		}
	}
	return nil
}

// Items is the schema of an array's elements after PrefixItems, nil when not stated.
func (s *Schema) Items() *Schema {
	for _, t := range s.together() {
		if t.arr != nil && t.arr.items != nil {
			return t.arr.items
		}
	}
	return nil
}

// PrefixItems are the schemas of an array's first elements.
func (s *Schema) PrefixItems() []*Schema {
	for _, t := range s.together() {
		if t.arr != nil && t.arr.prefix != nil {
			return t.arr.prefix
		}
	}
	return nil
}

// Enum are the values allowed, nil when they are not listed. A const is an enum of one.
func (s *Schema) Enum() []*value.Value {
	for _, t := range s.together() {
		if t.constant != nil {
			return t.constant.values
		}
	}
	for _, t := range s.together() {
		if t.enum != nil {
			return t.enum.values
		}
	}
	return nil
}

// Format is the value of format, asserted or not.
func (s *Schema) Format() string {
	f := s.annotation("format").Str()
	switch media := strings.ToLower(s.annotation("contentMediaType").Str()); {
	case f != "":
	case s.annotation("type").Str() == "file":
		f = "binary" // OpenAPI 2.0's word for a file, in a document of 3.x
	case media == "application/octet-stream" || media == "application/pdf" || strings.HasPrefix(media, "image/") || strings.HasPrefix(media, "audio/") || strings.HasPrefix(media, "video/"):
		if s.annotation("contentEncoding") == nil {
			f = "binary" // what OpenAPI 3.1 writes in the place of that format
		}
	}
	return f
}

// Pattern is the pattern that strings must match, "" for none; see Patterns.
func (s *Schema) Pattern() string {
	if all := s.Patterns(); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Patterns are all patterns that a string must match.
func (s *Schema) Patterns() []string {
	var out []string
	for _, t := range s.together() {
		if t.str != nil && t.str.pattern != nil {
			out = append(out, t.str.pattern.source)
		}
	}
	return out
}

// Bounds returns the limits of sizes and numbers.
func (s *Schema) Bounds() Bounds {
	b := Bounds{MinLength: -1, MaxLength: -1, MinItems: -1, MaxItems: -1, MinProperties: -1, MaxProperties: -1}
	low := func(p *int, n int) {
		if n > 0 {
			*p = max(*p, n)
		}
	}
	high := func(p *int, n int) {
		if n >= 0 && (*p < 0 || n < *p) {
			*p = n
		}
	}
	var lowest, highest, above, below *bound
	for _, t := range s.together() {
		if t.str != nil {
			low(&b.MinLength, t.str.min)
			high(&b.MaxLength, t.str.max)
		}
		if t.arr != nil {
			low(&b.MinItems, t.arr.min)
			high(&b.MaxItems, t.arr.max)
			b.UniqueItems = b.UniqueItems || t.arr.unique
		}
		if t.obj != nil {
			low(&b.MinProperties, t.obj.min)
			high(&b.MaxProperties, t.obj.max)
		}
		if n := t.num; n != nil {
			for _, m := range []*bound{n.min, n.low} {
				if m != nil {
					lowest = raise(lowest, m)
				}
			}
			for _, m := range []*bound{n.max, n.high} {
				if m != nil {
					highest = lower(highest, m)
				}
			}
			if n.above != nil {
				above = raise(above, n.above)
			}
			if n.below != nil {
				below = lower(below, n.below)
			}
			if n.multiple != nil {
				b.MultipleOf = append(b.MultipleOf, n.multiple.text)
			}
		}
	}
	for _, x := range []struct {
		b  *bound
		to *string
	}{{lowest, &b.Minimum}, {highest, &b.Maximum}, {above, &b.ExclusiveMinimum}, {below, &b.ExclusiveMaximum}} {
		if x.b != nil {
			*x.to = x.b.text
		}
	}
	return b
}

// ReadOnly reports whether the value must not be sent in requests.
func (s *Schema) ReadOnly() bool { return s.noted.readOnly }

// WriteOnly reports whether the value must not be sent in responses.
func (s *Schema) WriteOnly() bool { return s.noted.writeOnly }

// WritableBy are lists of roles: of each the caller needs one to write the value.
func (s *Schema) WritableBy() [][]string { return s.noted.writableBy }

// annotation finds a member of the schema document, through $ref and allOf.
func (s *Schema) annotation(name string) *value.Value {
	for _, t := range s.together() {
		if v := t.src.Get(name); v != nil {
			return v
		}
	}
	return nil
}

// Extension returns an extension's value ("x-…"), or nil.
func (s *Schema) Extension(name string) *value.Value { return s.annotation(name) }

// Description returns the schema's own description.
func (s *Schema) Description() string { return s.annotation("description").Str() }

// Default returns the value of default, or nil.
func (s *Schema) Default() *value.Value { return s.annotation("default") }

// Examples returns the values of example and examples.
func (s *Schema) Examples() []*value.Value {
	var out []*value.Value
	if v := s.annotation("example"); v != nil {
		out = append(out, v)
	}
	if v := s.annotation("examples"); v != nil && v.Kind == value.Array {
		out = append(out, pointers(v)...)
	}
	return out
}

// URI is the document that the schema stands in, Pointer its place there.
func (s *Schema) URI() string { return s.res.doc }

// Pointer is the JSON pointer of the schema in its document.
func (s *Schema) Pointer() string { return s.ptr }
