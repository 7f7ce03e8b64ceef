package schema

import (
	"github.com/crenel-project/crenel/internal/value"
)

// Coerce types the text of a parameter or form field by the schema: the one
// scalar type that the text can have and the schema accepts. Number literals are
// JSON's, booleans "true" and "false", null the empty text; nothing is trimmed
// or guessed ("1" is never a boolean, "01" never a number). Where several types
// fit, the one that the whole schema accepts wins, in the order null, boolean,
// number, string. ok is false when no scalar type of the schema fits the text;
// the value then is the text as a string, for the validator to refuse.
func (s *Schema) Coerce(raw string) (v value.Value, ok bool) {
	text := value.Value{Kind: value.String, Text: raw}
	kinds := s.textual().scalars
	first := -1
	var candidates [4]value.Value
	n := 0
	add := func(k value.Kind, fits bool) {
		if fits && kinds&kindOf(k) != 0 {
			candidates[n] = value.Value{Kind: k, Text: raw}
			n++
		}
	}
	add(value.Null, raw == "" || raw == "null" && kinds&kindOf(value.String) == 0)
	add(value.Bool, raw == "true" || raw == "false")
	add(value.Number, value.IsNumber(raw))
	add(value.String, true)
	for i := range candidates[:n] {
		if candidates[i].Kind == value.Null {
			candidates[i].Text = ""
		}
		if s.Valid(&candidates[i], nil) {
			return candidates[i], true
		}
		if first < 0 {
			first = i
		}
	}
	if first >= 0 {
		return candidates[first], true // typed, and refused for another reason
	}
	return text, false
}

// scalars is the union of the scalar types that the alternatives allow, within
// what the schemas that always apply allow.
func (s *Schema) scalars(done map[*Schema]bool) kindSet {
	kinds, _ := s.kindsTogether()
	for _, t := range s.together() {
		if done[t] || t.app == nil {
			continue
		}
		done[t] = true
		for _, list := range [][]*Schema{t.app.anyOf, t.app.oneOf} {
			if list == nil {
				continue
			}
			var union kindSet
			for _, b := range list {
				union |= b.scalars(done)
			}
			kinds &= union
		}
	}
	return kinds & (kindOf(value.Null) | kindOf(value.Bool) | kindOf(value.Number) | kindOf(value.String))
}
