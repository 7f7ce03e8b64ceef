package param

import (
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// maxSteps bounds the work of typing one value: alternatives inside alternatives
// multiply. What is left over stays text, which the validator refuses.
const maxSteps = 20_000

// Typed reads the Untyped texts of v by the schema: "5" is a number where a
// number is asked for. Texts that fit no type stay strings, for the validator
// to refuse. It works on v's children in place. Form fields and the texts of
// XML are typed with it as well.
func Typed(s *schema.Schema, v value.Value) value.Value {
	t := typer{left: maxSteps}
	return t.typed(s, v)
}

type typer struct{ left int }

func (t *typer) typed(s *schema.Schema, v value.Value) value.Value {
	if t.left--; s == nil || t.left < 0 {
		return v
	}
	switch v.Kind {
	case value.String:
		if !v.Untyped || v.File {
			return v
		}
		c, _ := s.Coerce(v.Text)
		c.Name, c.Start, c.End = v.Name, v.Start, v.End
		c.Untyped = c.Kind == value.String
		return c
	case value.Array:
		prefix, items := s.PrefixItems(), s.Items()
		if items == nil && len(prefix) == 0 {
			return t.alternative(s, v)
		}
		for i := range v.Kids {
			sub := items
			if i < len(prefix) {
				sub = prefix[i]
			}
			v.Kids[i] = t.typed(sub, v.Kids[i])
		}
	case value.Object:
		v = t.alternative(s, v)
		for i := range v.Kids {
			if sub, ok := s.Declared(v.Kids[i].Name); ok {
				v.Kids[i] = t.typed(sub, v.Kids[i])
			}
		}
	}
	return v
}

// alternative types v by the first alternative of s that then accepts it.
func (t *typer) alternative(s *schema.Schema, v value.Value) value.Value {
	for _, list := range s.Alternatives() {
		for _, alt := range list {
			c := v
			c.Kids = append([]value.Value(nil), v.Kids...)
			c = t.typed(alt, c)
			if t.left > 0 && alt.Valid(&c, nil) {
				return c
			}
		}
	}
	return v
}
