package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// translated is an ECMA-262 pattern (the u flag's semantics, with the lenient
// parts of Annex B) in another engine's syntax. Every class is spelled out, so
// that no engine's own idea of \d, \w, \s, dot or $ counts.
type translated struct {
	text string
	// backtracks: it uses look-around or back-references, which RE2 has not.
	backtracks bool
	// foreign names what is not ECMA-262 in it but was understood, "" for nothing.
	foreign string
}

// spaces is ECMA-262's \s (WhiteSpace and LineTerminator), and its complement.
const (
	spaces    = `\x{9}-\x{d} \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	notSpaces = `\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}` +
		`\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
	notLineEnds = `[^\x{a}\x{d}\x{2028}\x{2029}]`
	noRune      = `[^\x{0}-\x{10ffff}]`
	anyRune     = `[\x{0}-\x{10ffff}]`
)

// engine is what a pattern is written for.
type engine uint8

const (
	forRE2  engine = iota // Go's regexp
	forNET                // dlclark/regexp2, without options
	forTree               // Go's regexp, look-around left out: for making strings, not for judging them
)

// around is where a look-around group began, to cut it out of what was written.
type around struct{ depth, length int }

type ecma struct {
	src      string
	engine   engine
	at       int
	out      bytes.Buffer
	looks    []around // look-around being left out
	depth    int
	quant    bool // something that a quantifier may follow was just written
	t        translated
	captures int
	named    int
	foreign  []string
}

var errPattern = errors.New("not a regular expression")

// translate turns an ECMA-262 pattern into an engine's syntax.
func translate(src string, to engine) (translated, error) {
	e := &ecma{src: src, engine: to}
	if !utf8.ValidString(src) {
		return translated{}, fmt.Errorf("%w: invalid UTF-8", errPattern)
	}
	for e.at < len(e.src) {
		if err := e.next(); err != nil {
			return translated{}, fmt.Errorf("at byte %d: %w", e.at, err)
		}
	}
	if e.depth != 0 {
		return translated{}, fmt.Errorf("%w: a group is not closed", errPattern)
	}
	e.t.text = e.out.String()
	e.t.foreign = strings.Join(e.foreign, ", ")
	return e.t, nil
}

// put writes what is in Go's syntax, in the syntax of the engine.
func (e *ecma) put(s string) {
	if e.engine != forNET {
		e.out.WriteString(s)
		return
	}
	for {
		before, rest, found := strings.Cut(s, `\x{`)
		e.out.WriteString(before)
		if !found {
			return
		}
		var digits string
		digits, s, _ = strings.Cut(rest, "}")
		r, _ := strconv.ParseUint(digits, 16, 32)
		if r > 0xFFFF {
			e.out.WriteRune(rune(r))
		} else {
			fmt.Fprintf(&e.out, `\u%04x`, r)
		}
	}
}

func (e *ecma) note(what string) {
	for _, f := range e.foreign {
		if f == what {
			return
		}
	}
	e.foreign = append(e.foreign, what)
}

func (e *ecma) next() error {
	c := e.src[e.at]
	switch c {
	case '(':
		return e.open()
	case ')':
		if e.depth == 0 {
			return fmt.Errorf("%w: unmatched )", errPattern)
		}
		e.depth--
		e.emit(")", true)
		if n := len(e.looks); n > 0 && e.looks[n-1].depth == e.depth {
			e.out.Truncate(e.looks[n-1].length)
			e.out.WriteString("(?:)")
			e.looks = e.looks[:n-1]
		}
	case '[':
		return e.class()
	case '\\':
		return e.escape()
	case '.':
		e.emit(notLineEnds, true)
	case '^':
		e.emit(`\A`, false)
	case '$':
		e.emit(`\z`, false)
	case '|':
		e.emit("|", false)
	case '*', '+', '?':
		return e.quantifier(string(c))
	case '{':
		if q := braces(e.src[e.at:]); q != "" {
			return e.quantifier(q)
		}
		e.emit(`\{`, true)
	case '}', ']':
		e.emit(`\`+string(c), true)
	default:
		r, n := utf8.DecodeRuneInString(e.src[e.at:])
		e.put(literal(r))
		e.at += n
		e.quant = true
	}
	return nil
}

func (e *ecma) emit(s string, quant bool) {
	e.put(s)
	e.at++
	e.quant = quant
}

// braces returns the quantifier {n}, {n,} or {n,m} that s starts with, or "".
func braces(s string) string {
	i := 1
	digits := func() int {
		start := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i - start
	}
	if digits() == 0 {
		return ""
	}
	if i < len(s) && s[i] == ',' {
		i++
		digits()
	}
	if i < len(s) && s[i] == '}' {
		return s[:i+1]
	}
	return ""
}

func (e *ecma) quantifier(q string) error {
	if !e.quant {
		return fmt.Errorf("%w: nothing to repeat", errPattern)
	}
	e.out.WriteString(q)
	e.at += len(q)
	if e.at < len(e.src) {
		switch e.src[e.at] {
		case '?': // greed changes no verdict, only where a match ends
			e.at++
		case '+':
			return fmt.Errorf("%w: possessive quantifiers are not ECMA-262", errPattern)
		}
	}
	e.quant = false
	return nil
}

func (e *ecma) open() error {
	rest := e.src[e.at:]
	e.depth++
	e.quant = false
	for _, look := range []string{"(?=", "(?!", "(?<=", "(?<!"} {
		if strings.HasPrefix(rest, look) {
			e.t.backtracks = true
			if e.engine == forTree {
				e.looks = append(e.looks, around{e.depth - 1, e.out.Len()})
			}
			e.out.WriteString(e.or("(?:", look))
			e.at += len(look)
			return nil
		}
	}
	switch {
	case strings.HasPrefix(rest, "(?:"):
		e.out.WriteString("(?:")
		e.at += 3
	case strings.HasPrefix(rest, "(?<"), strings.HasPrefix(rest, "(?P<"):
		end := strings.IndexByte(rest, '>')
		if end < 0 {
			return fmt.Errorf("%w: a group's name is not closed", errPattern)
		}
		open := rest[:end+1]
		if rest[2] == 'P' {
			e.note("(?P<name>")
			open = "(?" + open[3:]
		}
		e.named++
		e.out.WriteString(e.or("(?:", open))
		e.at += end + 1
	case strings.HasPrefix(rest, "(?"):
		return e.flags(rest)
	default:
		e.captures++
		e.out.WriteString(e.or("(?:", "("))
		e.at++
	}
	return nil
}

// or returns what the engine needs: look-around and captures matter to one only.
func (e *ecma) or(re2, net string) string {
	if e.engine != forNET {
		return re2
	}
	return net
}

// flags reads (?i) and (?i:…): other languages' syntax (and ES2025's).
func (e *ecma) flags(rest string) error {
	i := 2
	for i < len(rest) && strings.IndexByte("ims-u", rest[i]) >= 0 {
		i++
	}
	if i == len(rest) || rest[i] != ')' && rest[i] != ':' || i == 2 {
		return fmt.Errorf("%w: unknown group", errPattern)
	}
	set := strings.ReplaceAll(rest[2:i], "u", "")
	if set != "i" && set != "" && set != "s" {
		return fmt.Errorf("%w: the flags %q change what ^, $ and . mean", errPattern, set)
	}
	e.note("inline flags")
	set = strings.ReplaceAll(set, "s", "")
	e.at += i + 1
	if rest[i] == ')' {
		e.depth--
		if set != "" {
			e.out.WriteString("(?" + set + ")")
		}
		return nil
	}
	e.out.WriteString("(?" + set + ":")
	return nil
}

// literal writes one rune so that it means itself.
func literal(r rune) string {
	if r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' {
		if r < ' ' || r == 0x7f {
			return fmt.Sprintf(`\x{%x}`, r)
		}
		return `\` + string(r)
	}
	return string(r)
}

// escape reads one escape outside a class.
func (e *ecma) escape() error {
	if e.at+1 == len(e.src) {
		return fmt.Errorf("%w: a lone backslash at the end", errPattern)
	}
	c := e.src[e.at+1]
	switch c {
	case 'b':
		e.at++
		e.emit(e.or(`\b`, `(?:(?<=[0-9A-Z_a-z])(?![0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?=[0-9A-Z_a-z]))`), false)
		return nil
	case 'B':
		e.at++
		e.emit(e.or(`\B`, `(?:(?<=[0-9A-Z_a-z])(?=[0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?![0-9A-Z_a-z]))`), false)
		return nil
	case 'A':
		e.note(`\A`)
		e.at++
		e.emit(`\A`, false)
		return nil
	case 'z', 'Z':
		e.note(`\` + string(c))
		e.at++
		e.emit(`\z`, false)
		return nil
	case 'k', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return e.backReference()
	}
	set, r, isSet, err := e.atom(false)
	if err != nil {
		return err
	}
	e.quant = true
	switch {
	case isSet:
		e.put("[" + set + "]")
	case surrogate(r):
		e.put(noRune) // no string that reaches us holds one
	default:
		e.put(literal(r))
	}
	return nil
}

// backReference reads \1 or \k<name>.
func (e *ecma) backReference() error {
	rest := e.src[e.at:]
	end := 2
	if rest[1] == 'k' {
		gt := strings.IndexByte(rest, '>')
		if gt < 0 || rest[2] != '<' {
			return fmt.Errorf(`%w: \k needs a name`, errPattern)
		}
		end = gt + 1
	} else {
		for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
			end++
		}
		if n, err := strconv.Atoi(rest[1:end]); err != nil || n > e.captures || e.named > 0 {
			return fmt.Errorf(`%w: %s refers to no numbered group before it`, errPattern, rest[:end])
		}
	}
	e.t.backtracks = true
	e.out.WriteString(e.or("(?:)", rest[:end]))
	e.at += end
	if e.engine == forNET && e.at < len(e.src) && e.src[e.at] >= '0' && e.src[e.at] <= '9' {
		e.out.WriteString("(?:)")
	}
	e.quant = true
	return nil
}

func surrogate(r rune) bool { return r >= 0xD800 && r <= 0xDFFF }

// atom reads one escape: a set of runes in Go's class syntax, or one rune.
func (e *ecma) atom(inClass bool) (set string, r rune, isSet bool, err error) {
	c := e.src[e.at+1]
	e.at += 2
	switch c {
	case 'd':
		return `0-9`, 0, true, nil
	case 'D':
		return `\x{0}-/:-\x{10ffff}`, 0, true, nil
	case 'w':
		return `0-9A-Z_a-z`, 0, true, nil
	case 'W':
		return `\x{0}-/:-@\[-\^` + "`" + `\{-\x{10ffff}`, 0, true, nil
	case 's':
		return spaces, 0, true, nil
	case 'S':
		return notSpaces, 0, true, nil
	case 'h':
		e.note(`\h`)
		return ` \x{9}`, 0, true, nil
	case 'p', 'P':
		set, err = e.property(c)
		return set, 0, true, err
	case 't':
		return "", '\t', false, nil
	case 'n':
		return "", '\n', false, nil
	case 'v':
		return "", '\v', false, nil
	case 'f':
		return "", '\f', false, nil
	case 'r':
		return "", '\r', false, nil
	case 'b': // only inside a class
		return "", '\b', false, nil
	case '0':
		return "", e.octal(), false, nil
	case 'c':
		if e.at < len(e.src) && isLetter(e.src[e.at]) {
			r = rune(e.src[e.at] % 32)
			e.at++
			return "", r, false, nil
		}
		return "", 0, false, fmt.Errorf(`%w: \c needs a letter`, errPattern)
	case 'x':
		if strings.HasPrefix(e.src[e.at:], "{") {
			e.note(`\x{…}`)
			r, err = e.hex(0)
			return "", r, false, err
		}
		r, err = e.hex(2)
		return "", r, false, err
	case 'u':
		if strings.HasPrefix(e.src[e.at:], "{") {
			r, err = e.hex(0)
			return "", r, false, err
		}
		if r, err = e.hex(4); err != nil {
			return "", 0, false, err
		}
		if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(e.src[e.at:], `\u`) {
			mark := e.at
			e.at += 2
			low, lowErr := e.hex(4)
			if lowErr == nil && low >= 0xDC00 && low < 0xE000 {
				return "", (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, false, nil
			}
			e.at = mark
		}
		return "", r, false, nil
	}
	if isLetter(c) || c >= '1' && c <= '9' && !inClass {
		return "", 0, false, fmt.Errorf(`%w: \%c means nothing`, errPattern, c)
	}
	e.at--
	r, n := utf8.DecodeRuneInString(e.src[e.at:])
	e.at += n
	return "", r, false, nil
}

// octal reads what follows \0: Annex B's legacy octal digits, or nothing.
func (e *ecma) octal() rune {
	var r rune
	for i := 0; i < 2 && e.at < len(e.src) && e.src[e.at] >= '0' && e.src[e.at] <= '7'; i++ {
		r = r*8 + rune(e.src[e.at]-'0')
		e.at++
	}
	return r
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// hex reads n hexadecimal digits, or {…} when n is 0.
func (e *ecma) hex(n int) (rune, error) {
	rest := e.src[e.at:]
	skip := n
	if n == 0 {
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return 0, fmt.Errorf("%w: a brace is not closed", errPattern)
		}
		rest, n, skip = rest[1:], end-1, end+1
	}
	if n <= 0 || n > len(rest) {
		return 0, fmt.Errorf("%w: hexadecimal digits are missing", errPattern)
	}
	r, err := strconv.ParseUint(rest[:n], 16, 32)
	if err != nil || r > unicode.MaxRune {
		return 0, fmt.Errorf("%w: %q is no code point", errPattern, rest[:n])
	}
	e.at += skip
	return rune(r), nil
}
