package spec

import (
	"strings"
)

// template is a parsed path template: "/users/{id}:activate" is two segments,
// the second of a variable and a literal.
type template struct {
	segments []segment
	vars     []string // names of the variables, from left to right
	// tail is what stands after "?" or "#": no part of a path, but used by some
	// documents to tell operations apart.
	tail    string
	faults  []string // what is wrong with it, for people
	literal int      // bytes of literal text
}

// segment is what stands between two slashes: literal texts and variables in
// turn. lits has one element more than there are variables; lits[0] is the text
// before the first variable.
type segment struct {
	lits []string
}

func (s *segment) vars() int { return len(s.lits) - 1 }

// plain reports whether the segment is one variable and nothing else.
func (s *segment) plain() bool { return len(s.lits) == 2 && s.lits[0] == "" && s.lits[1] == "" }

// literalLen is how many bytes of the segment are fixed.
func (s *segment) literalLen() int {
	n := 0
	for _, l := range s.lits {
		n += len(l)
	}
	return n
}

// match reports whether text (percent-decoded) fits the segment, and appends the
// variables' values to values when that is not nil. Each variable takes at least
// one byte and as few as it can, the last one what is left. Taking the leftmost
// place for each literal is enough to find a match whenever there is one, so it
// never goes back: the cost is the length of text.
func (s *segment) match(text string, values *[]string) bool {
	last := len(s.lits) - 1
	if last == 0 {
		return text == s.lits[0]
	}
	if !strings.HasPrefix(text, s.lits[0]) {
		return false
	}
	text = text[len(s.lits[0]):]
	if !strings.HasSuffix(text, s.lits[last]) {
		return false
	}
	end := len(text) - len(s.lits[last])
	for i := 1; i < last; i++ {
		if end < 1 {
			return false
		}
		at := strings.Index(text[1:end], s.lits[i])
		if at < 0 {
			return false
		}
		at++
		if values != nil {
			*values = append(*values, text[:at])
		}
		at += len(s.lits[i])
		text, end = text[at:], end-at
	}
	if end < 1 {
		return false
	}
	if values != nil {
		*values = append(*values, text[:end])
	}
	return true
}

// parseTemplate reads a path template. It always returns one that can be routed
// on: what it cannot read as a variable it takes as literal text, and says so.
func parseTemplate(path string) template {
	var t template
	if path == "" || path[0] != '/' {
		t.faults = append(t.faults, "the path should start with a slash")
		path = "/" + path
	}
	seg := segment{}
	lit := strings.Builder{}
	flushLiteral := func() {
		text, ok := unescapePath(lit.String())
		if !ok {
			t.faults = append(t.faults, "the path holds a % that starts no percent-encoding; it should be written %25")
		}
		t.literal += len(text)
		seg.lits = append(seg.lits, text)
		lit.Reset()
	}
	seen := map[string]bool{}
	for i := 1; i < len(path); {
		switch c := path[i]; c {
		case '/':
			flushLiteral()
			t.segments = append(t.segments, seg)
			seg = segment{}
			i++
		case '?', '#':
			t.tail = path[i:]
			i = len(path)
		case '{':
			end := strings.IndexByte(path[i:], '}')
			name := ""
			if end > 0 {
				name = path[i+1 : i+end]
			}
			if name == "" || strings.IndexByte(name, '{') >= 0 {
				t.faults = append(t.faults, "a { opens no variable; a variable is written {name}")
				lit.WriteByte(c)
				i++
				continue
			}
			if len(seg.lits) > 0 && lit.Len() == 0 {
				t.faults = append(t.faults, "two variables stand side by side, so where one ends is a guess; put literal text between them")
			}
			if k := name[len(name)-1]; k == '+' || k == '*' || name[0] == '+' {
				t.faults = append(t.faults, "{"+name+"} asks for several segments, which OpenAPI does not have; it matches one segment")
			}
			if seen[name] {
				t.faults = append(t.faults, "the variable {"+name+"} stands in the path twice")
			}
			seen[name] = true
			flushLiteral()
			t.vars = append(t.vars, name)
			i += end + 1
		case '}':
			t.faults = append(t.faults, "a } closes no variable; a variable is written {name}")
			fallthrough
		default:
			lit.WriteByte(c)
			i++
		}
	}
	flushLiteral()
	t.segments = append(t.segments, seg)
	return t
}

// shape is the template with its variables' names taken out: two templates of
// one shape match the same paths.
func (t *template) shape() string {
	var b strings.Builder
	for i := range t.segments {
		b.WriteByte('/')
		for j, l := range t.segments[i].lits {
			if j > 0 {
				b.WriteByte(0)
			}
			b.WriteString(strings.ReplaceAll(l, "/", "\x01"))
		}
	}
	return b.String()
}

// compareTemplates orders templates so that the more specific comes first: from
// left to right, literal text before text with variables (the more literal
// bytes the sooner) before a whole variable.
func compareTemplates(a, b *template) int {
	for i := range min(len(a.segments), len(b.segments)) {
		x, y := &a.segments[i], &b.segments[i]
		if d := x.rank() - y.rank(); d != 0 {
			return d
		}
		if d := y.literalLen() - x.literalLen(); d != 0 && x.rank() == 1 {
			return d
		}
	}
	return 0
}

func (s *segment) rank() int {
	switch {
	case s.vars() == 0:
		return 0
	case !s.plain():
		return 1
	}
	return 2
}

// unescapePath decodes the percent-encoding of a path or a part of one. It
// returns s itself and false when an escape is broken.
func unescapePath(s string) (string, bool) {
	at := strings.IndexByte(s, '%')
	if at < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	out = append(out, s[:at]...)
	for i := at; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return s, false
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return s, false
		}
		out = append(out, byte(hi<<4|lo))
		i += 2
	}
	return string(out), true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Expand fills the operation's path template in: values are percent-encoded, in
// the order of PathParams. Base paths are the servers' to add. What stands after
// "?" or "#" in a template is left out.
func (op *Operation) Expand(values []string) string {
	t := parseTemplate(op.Path)
	var b strings.Builder
	next := 0
	for i := range t.segments {
		b.WriteByte('/')
		for j, l := range t.segments[i].lits {
			if j > 0 {
				if next < len(values) {
					b.WriteString(values[next])
				}
				next++
			}
			writeEscaped(&b, l)
		}
	}
	return b.String()
}

// writeEscaped percent-encodes what a path segment cannot hold (RFC 3986, pchar).
func writeEscaped(b *strings.Builder, s string) {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte("0123456789ABCDEF"[c>>4])
		b.WriteByte("0123456789ABCDEF"[c&15])
	}
}
