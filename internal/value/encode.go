package value

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Append writes v as JSON to dst and returns the extended slice. Numbers keep
// their literal. Bytes that are not UTF-8, which no decoder of this package
// lets into a tree, are written as U+FFFD. It recurses as deep as the tree is.
func Append(dst []byte, v *Value) []byte {
	if v == nil {
		return append(dst, "null"...)
	}
	switch v.Kind {
	case Bool, Number:
		return append(dst, v.Text...)
	case String:
		return AppendString(dst, v.Text)
	case Array:
		dst = append(dst, '[')
		for i := range v.Kids {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = Append(dst, &v.Kids[i])
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i := range v.Kids {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendString(dst, v.Kids[i].Name)
			dst = append(dst, ':')
			dst = Append(dst, &v.Kids[i])
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// AppendString writes s as a JSON string. U+2028 and U+2029 are escaped, so
// that the result is also safe in JavaScript source.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	plain := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < 0x80 {
			i++
			continue
		}
		if c < 0x80 {
			dst = append(dst, s[plain:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			plain = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, s[plain:i]...)
			dst = append(dst, "\uFFFD"...)
			plain = i + n
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[plain:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hex[r&15])
			plain = i + n
		}
		i += n
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

// ToAny turns v into what encoding/json would make of it with UseNumber:
// map[string]any, []any, string, json.Number, bool and nil. For off the hot path.
func (v *Value) ToAny() any {
	if v == nil {
		return nil
	}
	switch v.Kind {
	case Bool:
		return v.Text == "true"
	case Number:
		return json.Number(v.Text)
	case String:
		return v.Text
	case Array:
		out := make([]any, len(v.Kids))
		for i := range v.Kids {
			out[i] = v.Kids[i].ToAny()
		}
		return out
	case Object:
		out := make(map[string]any, len(v.Kids))
		for i := range v.Kids {
			out[v.Kids[i].Name] = v.Kids[i].ToAny()
		}
		return out
	}
	return nil
}

// FromAny is ToAny's inverse and takes any number of Go as well. Members are
// in the order of their names. A number that JSON cannot write (NaN, an
// infinity, a json.Number that is none) and a type that JSON does not have
// become a String of what fmt prints.
func FromAny(a any) Value {
	number := func(s string) Value { return Value{Kind: Number, Text: s} }
	switch a := a.(type) {
	case nil:
		return Value{}
	case Value:
		return a
	case *Value:
		if a == nil {
			return Value{}
		}
		return *a
	case bool:
		return Value{Kind: Bool, Text: strconv.FormatBool(a)}
	case string:
		return Value{Kind: String, Text: a}
	case json.Number:
		if end, _, ok := numberEnd([]byte(a), 0); ok && end == len(a) {
			return number(string(a))
		}
	case float64:
		if !math.IsNaN(a) && !math.IsInf(a, 0) {
			return number(strconv.FormatFloat(a, 'g', -1, 64))
		}
	case float32:
		if f := float64(a); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return number(strconv.FormatFloat(f, 'g', -1, 32))
		}
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return number(fmt.Sprint(a))
	case []string:
		v := Value{Kind: Array, Kids: make([]Value, len(a))}
		for i := range a {
			v.Kids[i] = Value{Kind: String, Text: a[i]}
		}
		return v
	case []any:
		v := Value{Kind: Array, Kids: make([]Value, len(a))}
		for i := range a {
			v.Kids[i] = FromAny(a[i])
		}
		return v
	case map[string]any:
		names := make([]string, 0, len(a))
		for name := range a {
			names = append(names, name)
		}
		slices.Sort(names)
		v := Value{Kind: Object, Kids: make([]Value, len(a))}
		for i, name := range names {
			v.Kids[i] = FromAny(a[name])
			v.Kids[i].Name = name
		}
		return v
	}
	return Value{Kind: String, Text: fmt.Sprint(a)}
}
