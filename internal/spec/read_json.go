package spec

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/value"
)

// jsonReader reads a JSON document that a person wrote and a guard will obey.
// value.JSON is for what attackers send: it refuses where this one goes on and
// reports (duplicate keys, bad UTF-8, a byte order mark, comments and commas
// too many are the common slips), because every slip of a document should be
// told at once.
type jsonReader struct {
	src    string
	pos    int
	nodes  int
	limits treeLimits
	path   []string
	kids   []value.Value // children of the containers being read
	report func(severity Severity, code string, offset int, pointer, message string)
}

// treeLimits bound one document.
type treeLimits struct {
	depth int
	nodes int
}

// readError is why a document cannot be read at all.
type readError struct {
	offset  int
	pointer string
	message string
}

func (e *readError) Error() string { return e.message }

func readJSON(src string, limits treeLimits, report func(Severity, string, int, string, string)) (*value.Value, *readError) {
	r := &jsonReader{src: src, limits: limits, report: report}
	var v value.Value
	err := r.value(&v, 0)
	if err != nil {
		return nil, err
	}
	r.space()
	if r.pos < len(r.src) {
		return nil, r.fail("something follows the end of the document")
	}
	return &v, nil
}

func (r *jsonReader) fail(message string) *readError {
	return &readError{offset: r.pos, pointer: r.pointer(), message: message}
}

func (r *jsonReader) pointer() string {
	var b strings.Builder
	for _, t := range r.path {
		b.WriteByte('/')
		b.WriteString(value.EscapeToken(t))
	}
	return b.String()
}

// space skips white space and, with a report, comments.
func (r *jsonReader) space() {
	for r.pos < len(r.src) {
		switch r.src[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		case '/':
			var end int
			switch {
			case strings.HasPrefix(r.src[r.pos:], "//"):
				end = strings.IndexByte(r.src[r.pos:], '\n')
			case strings.HasPrefix(r.src[r.pos:], "/*"):
				end = strings.Index(r.src[r.pos:], "*/")
				if end >= 0 {
					end += 2
				}
			default:
				return
			}
			if end < 0 {
				end = len(r.src) - r.pos
			}
			r.report(Warning, "spec.json_comment", r.pos, r.pointer(), "JSON has no comments; it was skipped")
			r.pos += end
		default:
			return
		}
	}
}

func (r *jsonReader) value(v *value.Value, depth int) *readError {
	if depth > r.limits.depth {
		return r.fail("nested deeper than " + strconv.Itoa(r.limits.depth) + " levels")
	}
	r.nodes++
	if r.nodes > r.limits.nodes {
		return r.fail("more than " + strconv.Itoa(r.limits.nodes) + " values")
	}
	r.space()
	if r.pos >= len(r.src) {
		return r.fail("the document ends where a value should stand")
	}
	start := r.pos
	var err *readError
	switch c := r.src[r.pos]; {
	case c == '{':
		v.Kind = value.Object
		err = r.container(v, '}', depth)
	case c == '[':
		v.Kind = value.Array
		err = r.container(v, ']', depth)
	case c == '"':
		v.Kind = value.String
		v.Text, err = r.str()
	case c == '-' || '0' <= c && c <= '9':
		end := r.pos
		for end < len(r.src) && strings.IndexByte("+-.eE0123456789", r.src[end]) >= 0 {
			end++
		}
		text := r.src[r.pos:end]
		if !isNumber(text) {
			return r.fail("not a number as JSON writes it")
		}
		v.Kind, v.Text, r.pos = value.Number, text, end
	default:
		for _, word := range []struct {
			text string
			kind value.Kind
		}{{"true", value.Bool}, {"false", value.Bool}, {"null", value.Null}} {
			if strings.HasPrefix(r.src[r.pos:], word.text) {
				v.Kind = word.kind
				if word.kind == value.Bool {
					v.Text = word.text
				}
				r.pos += len(word.text)
				v.Start, v.End = uint32(start), uint32(r.pos)
				return nil
			}
		}
		return r.fail("no JSON value starts like this")
	}
	v.Start, v.End = uint32(start), uint32(r.pos)
	return err
}

// container reads an array or object. Its children are gathered on one shared
// stack and copied out once, so that no slice is larger than it need be.
func (r *jsonReader) container(v *value.Value, closer byte, depth int) *readError {
	base := len(r.kids)
	r.pos++
	r.path = append(r.path, "")
	for {
		r.space()
		if r.pos >= len(r.src) {
			return r.fail("the document ends inside an array or object")
		}
		if r.src[r.pos] == closer {
			r.pos++
			break
		}
		if n := len(r.kids) - base; n > 0 {
			if r.src[r.pos] != ',' {
				return r.fail("a comma or " + string(closer) + " should stand here")
			}
			at := r.pos
			r.pos++
			r.space()
			if r.pos < len(r.src) && r.src[r.pos] == closer {
				last := r.path[len(r.path)-1]
				r.path = r.path[:len(r.path)-1]
				r.report(Warning, "spec.json_comma", at, r.pointer(), "a comma stands before the closing bracket; it was skipped")
				r.path = append(r.path, last)
				r.pos++
				break
			}
		}
		var kid value.Value
		if closer == '}' {
			if r.pos >= len(r.src) || r.src[r.pos] != '"' {
				return r.fail("a member's name in double quotes should stand here")
			}
			name, err := r.str()
			if err != nil {
				return err
			}
			kid.Name = name
			r.space()
			if r.pos >= len(r.src) || r.src[r.pos] != ':' {
				return r.fail("a colon should follow the member's name")
			}
			r.pos++
			r.path[len(r.path)-1] = name
		} else {
			r.path[len(r.path)-1] = strconv.Itoa(len(r.kids) - base)
		}
		err := r.value(&kid, depth+1)
		if err != nil {
			return err
		}
		r.kids = append(r.kids, kid)
	}
	r.path = r.path[:len(r.path)-1]
	if n := len(r.kids) - base; n > 0 {
		v.Kids = make([]value.Value, n)
		copy(v.Kids, r.kids[base:])
		clear(r.kids[base:])
	}
	r.kids = r.kids[:base]
	if v.Kind == value.Object {
		v.Kids = dropDuplicates(v.Kids, func(kid *value.Value) {
			r.report(Degraded, "spec.duplicate_key", int(kid.Start), r.pointer()+"/"+value.EscapeToken(kid.Name),
				"the name stands twice in one object; the last one counts, remove the other")
		})
	}
	return nil
}

// dropDuplicates keeps the last of the members of one name, in the place of the
// first, and calls found for each that was dropped.
func dropDuplicates(kids []value.Value, found func(*value.Value)) []value.Value {
	if len(kids) < 2 {
		return kids
	}
	if len(kids) <= 12 {
		clean := true
		for i := range kids {
			for j := range i {
				if kids[j].Name == kids[i].Name {
					clean = false
				}
			}
		}
		if clean {
			return kids
		}
	}
	at := make(map[string]int, len(kids))
	out := kids[:0]
	for _, k := range kids {
		if i, ok := at[k.Name]; ok {
			found(&out[i])
			out[i] = k
			continue
		}
		at[k.Name] = len(out)
		out = append(out, k)
	}
	return out
}

// isNumber reports whether s is a number of RFC 8259.
func isNumber(s string) bool {
	i := 0
	digits := func() bool {
		from := i
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	from := i
	if !digits() || (s[from] == '0' && i > from+1) {
		return false
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(s)
}

func (r *jsonReader) str() (string, *readError) {
	r.pos++
	start := r.pos
	for r.pos < len(r.src) {
		switch c := r.src[r.pos]; {
		case c == '"':
			s := r.src[start:r.pos]
			r.pos++
			return r.clean(s, start), nil
		case c == '\\':
			return r.escaped(start)
		default:
			r.pos++
		}
	}
	return "", r.fail("the document ends inside a string")
}

// clean replaces what is no UTF-8. Control characters in a string are taken as they are.
func (r *jsonReader) clean(s string, offset int) string {
	if utf8.ValidString(s) {
		return s
	}
	r.report(Warning, "spec.invalid_utf8", offset, r.pointer(), "the text is not UTF-8; the bad bytes were replaced")
	return strings.ToValidUTF8(s, "\uFFFD")
}

func (r *jsonReader) escaped(start int) (string, *readError) {
	var b strings.Builder
	b.WriteString(r.src[start:r.pos])
	for r.pos < len(r.src) {
		c := r.src[r.pos]
		if c == '"' {
			r.pos++
			return r.clean(b.String(), start), nil
		}
		r.pos++
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		if r.pos >= len(r.src) {
			break
		}
		e := r.src[r.pos]
		r.pos++
		switch e {
		case '"', '\\', '/':
			b.WriteByte(e)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			c, ok := r.hex4()
			if !ok {
				return "", r.fail(`\u should be followed by four hex digits`)
			}
			if utf16.IsSurrogate(c) && strings.HasPrefix(r.src[r.pos:], `\u`) {
				save := r.pos
				r.pos += 2
				low, ok := r.hex4()
				if pair := utf16.DecodeRune(c, low); ok && pair != utf8.RuneError {
					c = pair
				} else {
					r.pos = save
				}
			}
			b.WriteRune(c)
		default:
			r.pos -= 2
			return "", r.fail("a backslash starts no escape that JSON has")
		}
	}
	return "", r.fail("the document ends inside a string")
}

func (r *jsonReader) hex4() (rune, bool) {
	if r.pos+4 > len(r.src) {
		return 0, false
	}
	n, err := strconv.ParseUint(r.src[r.pos:r.pos+4], 16, 16)
	if err != nil {
		return 0, false
	}
	r.pos += 4
	return rune(n), true
}
