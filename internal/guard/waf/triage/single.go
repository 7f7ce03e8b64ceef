package triage

import (
	"regexp/syntax"
	_ "unsafe" // for go:linkname

	"github.com/crenel-project/crenel/internal/guard/waf/triage/automaton"
	"github.com/crenel-project/crenel/internal/guard/waf/triage/sqli"
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
		var wrong marks
		for c := range 256 {
			if !r.operator.Evaluate(quiet{}, string([]byte{byte(c)})) {
				r.allowed[c/64] |= 1 << (c % 64)
				continue
			}
			wrong |= markOf[c]
		}
		r.clean = ^wrong
	}
	if expr := "(?sm)" + r.argument; r.name == "rx" && r.negated && r.decoding && !engineReadsBytes(expr) {
		if set, err := setOf([]automaton.Expression{{Text: expr}}, false); err == nil { // otherwise the engine's matcher says
			r.must = set
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
		return sqlTable.Silent(text)
	}
	return false
}

// hit reports whether the rule matches a text.
func (r *rule) hit(text string, p *profile) bool {
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

var sqlTable = sqli.NewTable(sqlWords)

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
