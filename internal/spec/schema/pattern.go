package schema

import (
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// pattern is one compiled regular expression, by the cheapest means that is exact.
type pattern struct {
	source string
	any    bool  // matches every string
	runs   *runs // a sequence of character classes, matched by hand
	re     *regexp.Regexp
	weight int // instructions of re: what one byte may cost
	slow   *regexp2.Regexp
	limit  time.Duration
	pinned bool // see Schema.Pinned
	parsed *syntax.Regexp
}

// pattern compiles an ECMA-262 pattern, nil and a report when no engine takes it.
func (c *Compiler) pattern(p place, keyword, source string) *pattern {
	if pt, ok := c.patterns[source]; ok && pt != nil {
		return pt
	}
	pt, foreign, err := compilePattern(source, c.opts.PatternTimeout)
	if err != nil {
		c.report(p, keyword, Degraded, "bad_pattern", "the pattern cannot be used and is left out: %v", err)
		return nil
	}
	if foreign != "" {
		c.report(p, keyword, Warning, "pattern_dialect", "the pattern uses what ECMA-262 does not have (%s); read as its author seems to mean", foreign)
	}
	c.patterns[source] = pt
	return pt
}

func compilePattern(source string, limit time.Duration) (*pattern, string, error) {
	text, delimited := source, ""
	if strings.HasPrefix(source, "/^") && strings.HasSuffix(source, "$/") {
		// With its delimiters the pattern could match nothing at all.
		text, delimited = source[1:len(source)-1], "delimiting slashes"
	}
	t, err := translate(text, forRE2)
	if err != nil {
		return nil, "", err
	}
	foreign := t.foreign
	if delimited != "" {
		foreign = strings.TrimSuffix(delimited+", "+foreign, ", ")
	}
	pt := &pattern{source: source, limit: limit}
	if !t.backtracks {
		if parsed, err := syntax.Parse(t.text, syntax.Perl); err == nil {
			pt.parsed = parsed
			pt.pinned = pinnedPattern(parsed)
			pt.runs, pt.any = newRuns(parsed)
		} else if parsed, ok := parseLarge(t.text); ok {
			pt.runs, pt.pinned = parsed, parsed.pinned()
		}
		if pt.any || pt.runs != nil {
			return pt, foreign, nil
		}
		if re, err := regexp.Compile(t.text); err == nil {
			pt.re = re
			if prog, err := syntax.Compile(pt.parsed.Simplify()); err == nil {
				pt.weight = len(prog.Inst)
			}
			return pt, foreign, nil
		}
	}
	net, err := translate(text, forNET)
	if err != nil {
		return nil, "", err
	}
	slow, err := regexp2.Compile(net.text, regexp2.None)
	if err != nil {
		return nil, "", err
	}
	slow.MatchTimeout = limit
	pt.slow = slow
	return pt, foreign, nil
}

// PatternTree parses an ECMA-262 pattern into Go's syntax tree, look-around left
// out and back-references taken as empty: for making strings that may match, to
// be checked against the schema itself.
func PatternTree(source string) (*syntax.Regexp, error) {
	if strings.HasPrefix(source, "/^") && strings.HasSuffix(source, "$/") {
		source = source[1 : len(source)-1]
	}
	t, err := translate(source, forTree)
	if err != nil {
		return nil, err
	}
	text := largeRepeat.ReplaceAllStringFunc(t.text, func(s string) string {
		if strings.HasPrefix(s, `\x`) {
			return s // a character, no count
		}
		return "{0,1000}"
	})
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("parsing the pattern: %w", err)
	}
	return tree, nil
}

// largeRepeat is a count beyond what Go's regexp takes.
var largeRepeat = regexp.MustCompile(`(?:\\x)?\{\d*,?\d{4,}\}`)

// heavy is how many steps (instructions times bytes) are taken without a look at the clock.
const heavy = 1 << 20

// match reports whether s matches, or that the time ran out before that was known.
func (p *pattern) match(s string) (ok, timedOut bool) {
	switch {
	case p.any:
		return true, false
	case p.runs != nil:
		return p.runs.match(s), false
	case p.re != nil:
		if p.weight*len(s) <= heavy {
			return p.re.MatchString(s), false
		}
		r := &timedReader{s: s, until: time.Now().Add(p.limit)}
		ok = p.re.MatchReader(r)
		if r.late {
			return false, true
		}
		return ok, false
	}
	ok, err := p.slow.MatchString(s)
	return ok && err == nil, err != nil
}

// timedReader feeds a regexp and stops when the time is up: Go's regexp is
// linear, but a large program over a long string still takes seconds.
type timedReader struct {
	s     string
	at    int
	count int
	until time.Time
	late  bool
}

// ReadRune implements io.RuneReader.
func (r *timedReader) ReadRune() (rune, int, error) {
	if r.at >= len(r.s) {
		return 0, 0, io.EOF
	}
	if r.count++; r.count&0xff == 0 && time.Now().After(r.until) {
		r.late = true
		return 0, 0, io.EOF
	}
	c, n := utf8.DecodeRuneInString(r.s[r.at:])
	r.at += n
	return c, n, nil
}

// pinnedPattern reports whether every string that matches is made of letters,
// digits and -_.: alone: nothing that could be an attack.
func pinnedPattern(re *syntax.Regexp) bool {
	re = unwrap(re)
	if re.Op == syntax.OpAlternate {
		for _, sub := range re.Sub {
			if !pinnedPattern(sub) {
				return false
			}
		}
		return true
	}
	if re.Op != syntax.OpConcat || len(re.Sub) < 2 {
		return false
	}
	last := len(re.Sub) - 1
	if unwrap(re.Sub[0]).Op != syntax.OpBeginText || unwrap(re.Sub[last]).Op != syntax.OpEndText {
		return false
	}
	for _, sub := range re.Sub[1:last] {
		if !harmless(sub) {
			return false
		}
	}
	return true
}

func unwrap(re *syntax.Regexp) *syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	return re
}

// harmless reports whether re can only match harmless characters.
func harmless(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpNoMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary,
		syntax.OpNoWordBoundary, syntax.OpBeginLine, syntax.OpEndLine:
		return true
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if !harmlessRune(r) || re.Flags&syntax.FoldCase != 0 && r|0x20 == 'k' || re.Flags&syntax.FoldCase != 0 && r|0x20 == 's' {
				return false
			}
		}
		return true
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i+1] > 'z' {
				return false
			}
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if !harmlessRune(r) {
					return false
				}
			}
		}
		return true
	case syntax.OpCapture, syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat, syntax.OpConcat, syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !harmless(sub) {
				return false
			}
		}
		return true
	}
	return false
}

func harmlessRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' || r == ':'
}
