package value

import (
	"strconv"
	"strings"
	"unsafe"
)

// Kind is the JSON type of a Value.
type Kind uint8

// The kinds of a Value. The zero Value is Null.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String returns the JSON Schema name of the kind: "null", "boolean", "number",
// "string", "array" or "object".
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "boolean"
	case Number:
		return "number"
	case String:
		return "string"
	case Array:
		return "array"
	case Object:
		return "object"
	}
	return "invalid"
}

// Value is one node of a decoded document: an HTTP body, a parameter, or an
// OpenAPI document. It is immutable once decoded. Its strings may share memory
// with the buffer it was decoded from, so that buffer must not change either.
type Value struct {
	// Name is the member's name when the value is a member of an object.
	Name string
	// Text is the decoded text of a String, the literal of a Number exactly as
	// it was sent ("1e2", "-0"), or "true" or "false" of a Bool.
	Text string
	// Kids are an Array's elements or an Object's members, in document order.
	Kids []Value
	// Start and End are the byte offsets of the value (not of its name) in the
	// source: source[Start:End]. Both are 0 when the value has no source, such
	// as one built from a parameter.
	Start, End uint32
	Kind       Kind
	// Untyped says that a String comes from a format without types (a form field,
	// an XML element or attribute), so that a schema may read "5" as a number.
	Untyped bool
	// File says that a String stands for a file part of a multipart body. Its
	// Text is empty, not the content; Start and End are where the content lies.
	File bool
}

// Get returns the member called name of an Object, or nil. It scans the members
// in order: use it for a few look-ups, not for each member of a large object.
func (v *Value) Get(name string) *Value {
	if v == nil || v.Kind != Object {
		return nil
	}
	for i := range v.Kids {
		if v.Kids[i].Name == name {
			return &v.Kids[i]
		}
	}
	return nil
}

// At follows a JSON pointer (RFC 6901) from v and returns the value there, or nil.
func (v *Value) At(pointer string) *Value {
	for pointer != "" {
		if v == nil || pointer[0] != '/' {
			return nil
		}
		token := pointer[1:]
		if i := strings.IndexByte(token, '/'); i >= 0 {
			token, pointer = token[:i], token[i:]
		} else {
			pointer = ""
		}
		switch v.Kind {
		case Object:
			v = v.Get(UnescapeToken(token))
		case Array:
			n, err := strconv.Atoi(token)
			if err != nil || n < 0 || n >= len(v.Kids) || (len(token) > 1 && token[0] == '0') {
				return nil
			}
			v = &v.Kids[n]
		default:
			return nil
		}
	}
	return v
}

// IsTrue reports whether v is the boolean true.
func (v *Value) IsTrue() bool { return v != nil && v.Kind == Bool && v.Text == "true" }

// Str returns the text of a String, else "".
func (v *Value) Str() string {
	if v == nil || v.Kind != String {
		return ""
	}
	return v.Text
}

// EscapeToken writes one reference token of a JSON pointer (RFC 6901 section 3).
func EscapeToken(s string) string {
	if strings.IndexByte(s, '~') < 0 && strings.IndexByte(s, '/') < 0 {
		return s
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// UnescapeToken reads one reference token of a JSON pointer (RFC 6901 section 4).
func UnescapeToken(s string) string {
	if strings.IndexByte(s, '~') < 0 {
		return s
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
}

// shared is src as a string in the same memory.
func shared(src []byte) string { return unsafe.String(unsafe.SliceData(src), len(src)) }
