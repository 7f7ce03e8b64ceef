package source

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// lenientJSON makes strict JSON of what people and JavaScript write: comments,
// trailing and missing commas, quotes of other kinds, bare names, undefined and
// NaN, line breaks inside strings. Lines stay where they are. It returns nil
// when that is not enough to make an object or a list of it, and says what it did.
func lenientJSON(data []byte) (out []byte, what string) {
	l := lenient{src: data, did: []string{}}
	l.out.Grow(len(data) + len(data)/16)
	if !l.run() {
		return nil, ""
	}
	return l.out.Bytes(), strings.Join(l.did, ", ")
}

type lenient struct {
	src  []byte
	pos  int
	out  bytes.Buffer
	did  []string
	open []byte
	// comma is where in out an unfinished comma stands, -1 for none; after says
	// that a value has ended, so that another needs a comma.
	comma int
	after bool
}

func (l *lenient) note(s string) {
	if !slices.Contains(l.did, s) {
		l.did = append(l.did, s)
	}
}

func (l *lenient) run() bool {
	l.comma = -1
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			l.out.WriteByte(c)
			l.pos++
		case c == 0xc2 && bytes.HasPrefix(l.src[l.pos:], []byte("\u00a0")):
			l.out.WriteString("  ")
			l.pos += 2
		case c == '/' && l.pos+1 < len(l.src) && (l.src[l.pos+1] == '/' || l.src[l.pos+1] == '*'):
			l.comment()
		case c == '#':
			l.note("comments left out")
			l.skipLine()
		case len(l.open) == 0 && l.after:
			l.pos = len(l.src) // what follows the document: ";", a call's ")"
			l.note("text after its end left out")
		case c == '{' || c == '[':
			l.value()
			l.open = append(l.open, c)
			l.out.WriteByte(c)
			l.pos++
			l.after = false
		case c == '}' || c == ']':
			if len(l.open) == 0 {
				return false
			}
			l.dropComma()
			want := byte('}')
			if l.open[len(l.open)-1] == '[' {
				want = ']'
			}
			if c != want {
				return false
			}
			l.open = l.open[:len(l.open)-1]
			l.out.WriteByte(c)
			l.pos++
			l.after = true
		case c == ',':
			if l.comma >= 0 || !l.after {
				l.note("needless commas left out")
				l.out.WriteByte(' ')
			} else {
				l.comma = l.out.Len()
				l.out.WriteByte(',')
				l.after = false
			}
			l.pos++
		case c == ':':
			l.out.WriteByte(':')
			l.pos++
			l.after, l.comma = false, -1
		case c == '"' || c == '\'' || c == '`':
			l.value()
			if !l.text(c) {
				return false
			}
			l.after = true
		default:
			l.value()
			if !l.word() {
				return false
			}
			l.after = true
		}
		if len(l.open) > 10_000 {
			return false
		}
	}
	return len(l.open) == 0 && l.after
}

// value is called where a value or a name starts: after another, a comma is missing.
func (l *lenient) value() {
	if l.after && len(l.open) > 0 {
		l.note("missing commas put in")
		l.out.WriteByte(',')
	}
	l.comma = -1
	l.after = false
}

func (l *lenient) dropComma() {
	if l.comma >= 0 {
		l.out.Bytes()[l.comma] = ' '
		l.comma = -1
		l.note("trailing commas left out")
	}
}

func (l *lenient) skipLine() {
	for l.pos < len(l.src) && l.src[l.pos] != '\n' {
		l.pos++
	}
}

func (l *lenient) comment() {
	l.note("comments left out")
	if l.src[l.pos+1] == '/' {
		l.skipLine()
		return
	}
	end := bytes.Index(l.src[l.pos+2:], []byte("*/"))
	stop := len(l.src)
	if end >= 0 {
		stop = l.pos + 2 + end + 2
	}
	for _, c := range l.src[l.pos:stop] {
		if c == '\n' {
			l.out.WriteByte('\n')
		}
	}
	l.pos = stop
}

// text copies a string into JSON's quotes.
func (l *lenient) text(quote byte) bool {
	if quote != '"' {
		l.note("quotes changed")
	}
	l.out.WriteByte('"')
	breaks := 0
	for l.pos++; l.pos < len(l.src); l.pos++ {
		c := l.src[l.pos]
		switch {
		case c == quote:
			l.pos++
			l.out.WriteByte('"')
			for range breaks {
				l.out.WriteByte('\n') // so that lines stay where they were
			}
			return true
		case c == '\\' && l.pos+1 < len(l.src):
			l.pos++
			switch n := l.src[l.pos]; n {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				l.out.WriteByte('\\')
				l.out.WriteByte(n)
			case 'u':
				if l.pos+4 < len(l.src) && isHex4(l.src[l.pos+1:l.pos+5]) {
					l.out.WriteString(`\u`)
				} else {
					l.out.WriteByte('u')
				}
			case '\n':
				breaks++
			default:
				l.note("escapes corrected")
				if n < 0x20 {
					n = ' '
				}
				l.out.WriteByte(n)
			}
		case c == '"':
			l.out.WriteString(`\"`)
		case c == '\n':
			breaks++
			l.note("line breaks inside strings escaped")
			l.out.WriteString(`\n`)
		case c == '\t':
			l.out.WriteString(`\t`)
		case c < 0x20:
			fmt.Fprintf(&l.out, `\u%04x`, c)
		case c < utf8.RuneSelf:
			l.out.WriteByte(c)
		default:
			rn, n := utf8.DecodeRune(l.src[l.pos:])
			l.out.WriteRune(rn)
			l.pos += n - 1
		}
	}
	return false
}

func isHex4(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// word reads what stands without quotes: a number, a word of JSON or of
// JavaScript, or a name.
func (l *lenient) word() bool {
	start := l.pos
	for l.pos < len(l.src) && !bytes.ContainsRune([]byte(" \t\r\n,:{}[]\"'`/"), rune(l.src[l.pos])) {
		l.pos++
	}
	w := string(l.src[start:l.pos])
	if w == "" {
		return false
	}
	rest := bytes.TrimLeft(l.src[l.pos:], " \t\r\n")
	isName := len(rest) > 0 && rest[0] == ':' && len(l.open) > 0 && l.open[len(l.open)-1] == '{'
	switch {
	case isName:
		l.note("names put in quotes")
	case w == "true" || w == "false" || w == "null" || isNumber(w):
		l.out.WriteString(w)
		return true
	case w == "True" || w == "False" || w == "None" || w == "undefined" || w == "NaN" || w == "Infinity" || w == "-Infinity":
		l.note("words of other languages read")
		l.out.WriteString(map[string]string{"True": "true", "False": "false"}[w])
		if w[0] != 'T' && w[0] != 'F' {
			l.out.WriteString("null")
		}
		return true
	case w[0] == '+' && isNumber(w[1:]):
		l.out.WriteString(w[1:])
		return true
	case w[0] == '.' && isNumber("0"+w):
		l.out.WriteString("0" + w)
		return true
	default:
		l.note("words put in quotes")
	}
	l.out.Write(value.AppendString(nil, w))
	return true
}

func isNumber(s string) bool {
	i := 0
	digits := func() bool {
		at := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > at
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	zero := i < len(s) && s[i] == '0'
	at := i
	if !digits() || zero && i-at > 1 {
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

// maxYAMLFixes bounds how many lines of a YAML text are corrected, one after another.
const maxYAMLFixes = 60

// fixYAML corrects the lines at which a YAML text cannot be read: tabs, colons
// and other signs in values without quotes.
func (r *reading) fixYAML(data []byte) (*value.Value, []byte) {
	lines := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if len(lines) < 2 {
		return nil, nil
	}
	tabs := 0
	for i, l := range lines {
		indent := len(l) - len(strings.TrimLeft(l, " \t"))
		if strings.Contains(l[:indent], "\t") {
			lines[i] = strings.ReplaceAll(l[:indent], "\t", "  ") + l[indent:]
			if tabs++; tabs == 1 {
				r.repairs = append(r.repairs, Repair{File: r.name, Line: i + 1, What: "lines are indented with tabs; each was read as two spaces"})
			}
		}
	}
	mark := len(r.repairs)
	done := map[int]bool{} // a line that quotes did not help is not helped by more of them
	for range maxYAMLFixes {
		text := []byte(strings.Join(lines, "\n"))
		v, err := spec.ReadTree(text, r.name, r.loadOptions())
		if err == nil {
			return v, text
		}
		var bad *spec.SyntaxError
		if !errors.As(err, &bad) || bad.Line < 1 || bad.Line > len(lines)+1 {
			break
		}
		fixed := false
		for _, i := range []int{bad.Line - 1, bad.Line - 2, bad.Line} {
			if i < 0 || i >= len(lines) || done[i] {
				continue
			}
			done[i] = true
			if l, ok := quoteLine(lines[i]); ok {
				lines[i] = l
				r.repairs = append(r.repairs, Repair{File: r.name, Line: i + 1, What: "the value holds signs that YAML reads otherwise; it was put in quotes"})
				fixed = true
				break
			}
		}
		if !fixed {
			break
		}
	}
	r.repairs = r.repairs[:mark]
	return nil, nil
}

// quoteLine puts the value of a line "name: value" or "- value" into quotes,
// where it has none and holds what YAML would read as something else.
func quoteLine(l string) (string, bool) {
	body := strings.TrimLeft(l, " ")
	prefix := l[:len(l)-len(body)]
	for strings.HasPrefix(body, "- ") {
		rest := strings.TrimLeft(body[2:], " ")
		prefix += body[:len(body)-len(rest)]
		body = rest
	}
	if body == "" || body[0] == '#' {
		return "", false
	}
	name, val := "", body
	if i := strings.Index(body, ": "); i > 0 && !strings.ContainsAny(body[:1], `"'[{`) {
		name, val = body[:i+2], strings.TrimSpace(body[i+2:])
	}
	if val == "" || strings.ContainsAny(val[:1], `"|>`) || val[0] == '\'' && strings.HasSuffix(val, "'") && len(val) > 1 && !strings.Contains(val[1:len(val)-1], "'") {
		return "", false
	}
	if name == "" && prefix == l[:len(l)-len(body)] && !strings.HasPrefix(strings.TrimLeft(l, " "), "- ") {
		return "", false // a bare line: no value of anything
	}
	if !strings.ContainsAny(val, ":#@`%&*!?|>'{}[],\\") {
		return "", false
	}
	return prefix + name + "'" + strings.ReplaceAll(strings.Trim(val, "'"), "'", "''") + "'", true
}
