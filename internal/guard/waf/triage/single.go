package triage

import (
	"regexp/syntax"
	"strings"
	_ "unsafe" // for go:linkname
)

// What no automaton can express is evaluated by the engine's operators, one text
// after the other. Some of them find nothing in most texts for reasons that are
// quicker to see.

// note finds out what quiet leans on.
func (r *rule) note() {
	r.decoding = true
	for _, names := range r.names {
		for _, n := range names {
			r.decoding = r.decoding && decoders[n]
		}
	}
	if r.name == "validateByteRange" && r.decoding && !r.negated {
		// It looks at each byte for itself.
		for c := range 256 {
			if !r.operator.Evaluate(quiet{}, string([]byte{byte(c)})) {
				r.allowed[c/64] |= 1 << (c % 64)
			}
		}
	}
}

// quiet reports whether it is plain to see that the rule does not match.
func (r *rule) quiet(text string, p *profile) bool {
	if !p.plain || !r.decoding || r.negated {
		return false
	}
	switch r.name {
	case "validateByteRange":
		return p.within(&r.allowed)
	case "detectXSS":
		// What counts is a tag, a comment or a document type, which begin with <, or the
		// value of an attribute that has a name, which stands behind =.
		return !p.contains('<') && !p.contains('=')
	case "detectSQLi":
		return p.quietSQL(text)
	}
	return false
}

// hit reports whether the rule matches a text.
func (r *rule) hit(s *scan, text string, p *profile) bool {
	if r.name == "detectSQLi" && r.decoding && p.plain && p.within(&sql.allowed) {
		// It looks up each word in upper case, and without quotes, escapes and comments
		// case is nothing else to it: so it need not make each word anew.
		from := len(s.arena)
		for i := range len(text) {
			c := text[i]
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			s.arena = append(s.arena, c)
		}
		text = s.made(from)
	}
	if r.decoding && p.plain {
		return r.evaluate(text)
	}
	return r.matches(text)
}

// within reports whether a text has no other bytes.
func (p *profile) within(bytes *[4]uint64) bool {
	for i := range p.has {
		if p.has[i]&^bytes[i] != 0 {
			return false
		}
	}
	return true
}

// sqlWords is the table of libinjection, which is what the engine asks: words and
// phrases, and behind a 0 the sequences of kinds of tokens that are SQL.
//
//go:linkname sqlWords github.com/corazawaf/libinjection-go.sqlKeywords
var sqlWords map[string]byte

// sql is what quietSQL knows of the table.
var sql = readSQL(sqlWords)

type sqlFacts struct {
	usable  bool
	allowed [4]uint64    // bytes that quietSQL understands
	words   [1024]uint64 // hashes of all words that stand in the table
}

// Bytes of which libinjection makes names (N), numbers (1), dots, commas and, in
// variables, V; and those of which it makes operators (O) and colons.
const (
	sqlPlain     = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ \t\r\n,."
	sqlVariable  = '@'
	sqlOperators = "-/:"
)

func readSQL(table map[string]byte) *sqlFacts {
	f := &sqlFacts{usable: len(table) > 0}
	for _, c := range []byte(sqlPlain + sqlOperators + string(sqlVariable)) {
		f.allowed[c/64] |= 1 << (c % 64)
	}
	within := func(s, kinds string) bool { return strings.Trim(s, kinds) == "" }
	for key, kind := range table {
		if kinds, ok := strings.CutPrefix(key, "0"); ok && kind == 'F' {
			// A text of nothing but names and numbers must never be SQL by itself.
			f.usable = f.usable && !within(kinds, "N1V,.") && !within(kinds, "N1O,.:")
			continue
		}
		eachWord(key, func(h uint32, _ bool) bool {
			f.words[h/64] |= 1 << (h % 64)
			return true
		})
	}
	return f
}

// eachWord calls do with a hash of 16 bits, whatever the case, of each run of
// letters, digits and _, and whether it begins with a letter or is a number.
func eachWord(s string, do func(hash uint32, simple bool) bool) bool {
	for i := 0; i < len(s); {
		if !wordByte(s[i]) {
			i++
			continue
		}
		first, letters := s[i], false
		h := uint32(2166136261)
		for ; i < len(s) && wordByte(s[i]); i++ {
			letters = letters || s[i] > '9'
			h = (h ^ uint32(s[i]|0x20)) * 16777619
		}
		if !do((h>>16^h)&0xffff, first > '9' && first != '_' || !letters) {
			return false
		}
	}
	return true
}

func wordByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_'
}

// quietSQL reports whether libinjection certainly sees no SQL: a text without
// quotes, brackets, comments and all but the simplest operators, none of whose words
// stands in its table, alone or in a phrase. It then makes nothing but names,
// numbers and such of it, and no sequence of these alone is SQL.
func (p *profile) quietSQL(text string) bool {
	if !sql.usable || !p.within(&sql.allowed) || p.contains(sqlVariable) && (p.contains('-') || p.contains('/') || p.contains(':')) {
		return false
	}
	return eachWord(text, func(h uint32, simple bool) bool {
		return simple && sql.words[h/64]&(1<<(h%64)) == 0
	})
}

// shortest is how many characters an expression's matches have at least.
func shortest(expr string) int {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0
	}
	return atLeast(re)
}

func atLeast(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return atLeast(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * atLeast(re.Sub[0])
	case syntax.OpConcat:
		n := 0
		for _, s := range re.Sub {
			n += atLeast(s)
		}
		return n
	case syntax.OpAlternate:
		n := atLeast(re.Sub[0])
		for _, s := range re.Sub[1:] {
			n = min(n, atLeast(s))
		}
		return n
	}
	return 0
}
