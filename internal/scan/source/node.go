package source

import (
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// The makers of tree nodes.

func text(s string) value.Value { return value.Value{Kind: value.String, Text: s} }

func yes() value.Value { return value.Value{Kind: value.Bool, Text: "true"} }

func list(kids ...value.Value) value.Value { return value.Value{Kind: value.Array, Kids: kids} }

func object(kids ...value.Value) value.Value { return value.Value{Kind: value.Object, Kids: kids} }

func named(name string, v value.Value) value.Value {
	v.Name = name
	return v
}

// put sets a member, in the place of one of the same name. Trees read from YAML
// share what aliases name, so the list of members is never appended to in place.
func put(v *value.Value, name string, m value.Value) {
	m.Name = name
	for i := range v.Kids {
		if v.Kids[i].Name == name {
			v.Kids[i] = m
			return
		}
	}
	v.Kids = append(slices.Clip(v.Kids), m)
}

// drop takes a member away.
func drop(v *value.Value, name string) {
	for i := range v.Kids {
		if v.Kids[i].Name == name {
			kids := make([]value.Value, 0, len(v.Kids)-1)
			v.Kids = append(append(kids, v.Kids[:i]...), v.Kids[i+1:]...)
			return
		}
	}
}

// rename changes a member's name, unless another has the new one.
func rename(v *value.Value, from, to string) bool {
	if v.Get(to) != nil {
		return false
	}
	kids := slices.Clone(v.Kids)
	for i := range kids {
		if kids[i].Name == from {
			kids[i].Name = to
			v.Kids = kids
			return true
		}
	}
	return false
}

func isObject(v *value.Value) bool { return v != nil && v.Kind == value.Object }
func isList(v *value.Value) bool   { return v != nil && v.Kind == value.Array }
func isText(v *value.Value) bool   { return v != nil && v.Kind == value.String }

// strOf is a member's text, also of a number or flag; "" when there is none.
func strOf(v *value.Value, name string) string {
	m := v.Get(name)
	if m == nil || m.Kind == value.Object || m.Kind == value.Array || m.Kind == value.Null {
		return ""
	}
	return m.Text
}

func join(pointer, name string) string { return pointer + "/" + value.EscapeToken(name) }

func index(pointer string, i int) string { return pointer + "/" + strconv.Itoa(i) }

// resolves reports whether a local reference leads somewhere.
func resolves(root *value.Value, ref string) bool { return follow(root, ref) != nil }

// follow is what a local reference leads to, nil for nothing.
func follow(root *value.Value, ref string) *value.Value {
	v := root
	for tok := range strings.SplitSeq(strings.TrimPrefix(ref, "#"), "/") {
		if tok == "" && v == root {
			continue
		}
		tok = value.UnescapeToken(tok)
		switch v.Kind {
		case value.Object:
			v = v.Get(tok)
		case value.Array:
			n, err := strconv.Atoi(tok)
			if err != nil || n < 0 || n >= len(v.Kids) {
				return nil
			}
			v = &v.Kids[n]
		default:
			return nil
		}
		if v == nil {
			return nil
		}
	}
	return v
}
