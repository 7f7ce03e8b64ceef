package triage

import (
	"math"
	"slices"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// decoders are transformations that leave a plain text as it is.
var decoders = map[string]bool{
	"urlDecodeUni": true, "urlDecode": true, "htmlEntityDecode": true, "jsDecode": true, "cssDecode": true, "escapeSeqDecode": true,
	"removeNulls": true, "replaceNulls": true, "utf8toUnicode": true, "replaceComments": true, "removeComments": true, "removeCommentsChar": true,
}

// anyCase are transformations that do the same to upper and lower case, or make
// lower case of both: before them, letters' case can as well be left as it is if
// patterns do not tell it apart.
var anyCase = map[string]bool{"removeWhitespace": true, "compressWhitespace": true, "cmdLine": true, "normalizePath": true, "normalisePath": true}

// residual is what a list of transformations comes to on plain texts: without the
// decoders, as long as what is before them keeps a text plain, and without making
// lower case, if patterns take upper case for it (lower).
func residual(names []string) (rest []string, lower bool) {
	plain := true
	for i, n := range names {
		switch {
		case plain && decoders[n]:
		case n == "lowercase" && plain && !slices.ContainsFunc(names[i+1:], func(n string) bool { return n != "lowercase" && !decoders[n] && !anyCase[n] }):
			lower = true
		case n == "lowercase":
			rest = append(rest, n)
		default:
			plain = false
			rest = append(rest, n)
		}
	}
	return rest, lower
}

// anyCaseCmdLine is cmdLine without making lower case.
const anyCaseCmdLine = "cmdLine of any case"

// caseless puts anyCaseCmdLine in the place of cmdLine where nothing that follows
// tells case apart. Patterns must take upper case for lower then.
func caseless(names []string) (_ []string, lower bool) {
	for i := len(names) - 1; i >= 0; i-- {
		if names[i] == "cmdLine" {
			names = slices.Clone(names)
			names[i] = anyCaseCmdLine
			return names, true
		}
		if !anyCase[names[i]] {
			break
		}
	}
	return names, false
}

// profile is what is in a text.
type profile struct {
	has   bytesOf
	ascii bool
	plain bool // every decoder leaves it as it is
}

func (p *profile) contains(c byte) bool { return p.has[c/64]&(1<<(c%64)) != 0 }

func profileOf(s string) (p profile) {
	for i := 0; i < len(s); i++ {
		p.has[s[i]/64] |= 1 << (s[i] % 64)
	}
	p.ascii = p.has[2]|p.has[3] == 0
	p.plain = p.ascii && !p.contains(0) && !p.contains('%') && !p.contains('+') && !p.contains('&') && !p.contains('\\') && !p.comments(s)
	return p
}

// comments reports whether there is what begins or ends a comment.
func (p *profile) comments(s string) bool {
	if p.contains('#') {
		return true
	}
	if !p.contains('*') && !p.contains('-') {
		return false
	}
	for i := 0; i+1 < len(s); i++ {
		switch c, d := s[i], s[i+1]; c {
		case '*', '-':
			if d == '/' || d == '-' {
				return true
			}
		case '/':
			if d == '*' {
				return true
			}
		}
	}
	return false
}

// idleness is what texts a transformation leaves as they are.
type idleness uint8

const (
	never     idleness = iota
	noPercent          // those without % and +
	noAmpersand
	noBackslash
	noNull
	inASCII
	noComment
	noUpper // and in ASCII
)

var idles = map[string]idleness{
	"urlDecodeUni": noPercent, "urlDecode": noPercent, "htmlEntityDecode": noAmpersand,
	"jsDecode": noBackslash, "cssDecode": noBackslash, "escapeSeqDecode": noBackslash, "removeNulls": noNull, "replaceNulls": noNull, "utf8toUnicode": inASCII,
	"replaceComments": noComment, "removeComments": noComment, "removeCommentsChar": noComment, "lowercase": noUpper,
}

// idle reports whether a transformation leaves a text as it is.
func (p *profile) idle(n idleness, s string) bool {
	switch n {
	case noPercent:
		return !p.contains('%') && !p.contains('+')
	case noAmpersand:
		return !p.contains('&')
	case noBackslash:
		return !p.contains('\\')
	case noNull:
		return !p.contains(0)
	case inASCII:
		return p.ascii
	case noComment:
		return !p.comments(s)
	case noUpper:
		return p.ascii && p.has['A'/64]&((1<<26-1)<<('A'%64)) == 0
	}
	return false
}

// narrowing are transformations that take away, or put a space or other letters.
var narrowing = map[string]bool{"removeWhitespace": true, "compressWhitespace": true, anyCaseCmdLine: true}

// shrinking are transformations whose outcome has no more characters than the text.
var shrinking = map[string]bool{
	"urlDecodeUni": true, "urlDecode": true, "jsDecode": true, "removeNulls": true, "replaceNulls": true,
	"removeWhitespace": true, "compressWhitespace": true, "base64Decode": true,
}

// view is what a list of transformations makes of a text; lists that begin alike
// share it as far as they are.
type view struct {
	name  string
	step  plugintypes.Transformation
	wants [flavours]bool // rules of these look at it
	// needs is what a text must hold one byte of for the patterns of a flavour to
	// match, unless any text may.
	needs [flavours]bytesOf
	any   [flavours]bool
	kids  []*view

	// What is known of the transformation:
	quick   func(*scan, string) string
	idle    idleness
	shrinks bool // the outcome has no more characters
	narrows bool // the outcome holds nothing but common bytes and what the text held
	// least is how many characters a text must have for a pattern to match it or what comes of it.
	least int
}

// measure sets least, here and below; own is the shortest match of each flavour's
// patterns at each view.
func (v *view) measure(own map[*view]int) {
	least, wanted := own[v]
	if !wanted {
		least = math.MaxInt
	}
	for _, k := range v.kids {
		k.measure(own)
		if k.shrinks {
			least = min(least, k.least)
		} else {
			least = 0
		}
	}
	v.least = least
}

func (v *view) path(names []string, chain []plugintypes.Transformation) *view {
	if len(names) == 0 {
		return v
	}
	i := slices.IndexFunc(v.kids, func(k *view) bool { return k.name == names[0] })
	if i < 0 {
		i = len(v.kids)
		n := names[0]
		v.kids = append(v.kids, &view{name: n, step: chain[0], quick: quickly[n], idle: idles[n], shrinks: shrinking[n], narrows: narrowing[n]})
	}
	return v.kids[i].path(names[1:], chain[1:])
}

// asks reports whether a pattern of a flavour may match a text at all.
func (v *view) asks(fl int, p *profile) bool {
	return v.any[fl] || v.wants[fl] && v.needs[fl].meets(&p.has)
}

// barren reports whether no pattern, here and below, may match what comes of a text.
func (v *view) barren(p *profile) bool {
	if !v.narrows {
		return false
	}
	for fl := range v.wants {
		if v.asks(fl, p) {
			return false
		}
	}
	for _, k := range v.kids {
		if !k.barren(p) {
			return false
		}
	}
	return true
}

// apply makes the view of a text.
func (v *view) apply(s *scan, text string, p *profile) (out string, _ profile) {
	if p.idle(v.idle, text) {
		return text, *p
	}
	if v.quick != nil && (p.ascii || v.name == "removeWhitespace") {
		out = v.quick(s, text)
	} else {
		var err error
		if out, _, err = v.step(text); err != nil {
			return text, *p // what fails leaves the text as it is, as in the engine
		}
	}
	if len(out) == len(text) && out == text {
		return text, *p
	}
	return out, profileOf(out)
}

// quickly are transformations of texts in ASCII without an allocation: the same as the
// engine's, by a fuzz test.
var quickly = map[string]func(*scan, string) string{
	"removeWhitespace":   removeWhitespace,
	"compressWhitespace": compressWhitespace,
	anyCaseCmdLine:       cmdLine,
	"base64Decode":       base64Decode,
	"normalizePath":      normalizePath,
	"normalisePath":      normalizePath,
	"normalizePathWin":   normalizePathWin,
	"normalisePathWin":   normalizePathWin,
}

// made is what a transformation has appended to the arena from a place on.
func (s *scan) made(from int) string {
	if from == len(s.arena) {
		return ""
	}
	return unsafe.String(&s.arena[from], len(s.arena)-from) //nolint:gosec // not written to before the next text
}

func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// It reads any text: what base64Decode makes is none in ASCII mostly.
func removeWhitespace(s *scan, text string) string {
	i := 0
	for i < len(text) && text[i] < utf8.RuneSelf && !space(text[i]) {
		i++
	}
	if i == len(text) {
		return text
	}
	from := len(s.arena)
	s.arena = append(s.arena, text[:i]...)
	for _, r := range text[i:] {
		switch {
		case r < utf8.RuneSelf:
			if !space(byte(r)) {
				s.arena = append(s.arena, byte(r))
			}
		case !unicode.IsSpace(r):
			s.arena = utf8.AppendRune(s.arena, r)
		}
	}
	return s.made(from)
}

func compressWhitespace(s *scan, text string) string {
	same := true
	for i := 0; same && i < len(text); i++ {
		same = !space(text[i]) || text[i] == ' ' && (i == 0 || text[i-1] != ' ')
	}
	if same {
		return text
	}
	from := len(s.arena)
	in := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if !space(c) {
			s.arena = append(s.arena, c)
		} else if !in {
			s.arena = append(s.arena, ' ')
		}
		in = space(c)
	}
	return s.made(from)
}

// cmdLine leaves letters as they are, see anyCaseCmdLine.
func cmdLine(s *scan, text string) string {
	same := true
	for i := 0; same && i < len(text); i++ {
		switch text[i] {
		case '"', '\'', '\\', '^', ',', ';', '\t', '\r', '\n':
			same = false
		case ' ':
			same = i+1 == len(text) || text[i+1] != ' ' && text[i+1] != '/' && text[i+1] != '('
		}
	}
	if same {
		return text
	}
	from := len(s.arena)
	in := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '"', '\'', '\\', '^':
			continue
		case ' ', ',', ';', '\t', '\r', '\n':
			if !in {
				s.arena = append(s.arena, ' ')
			}
			in = true
			continue
		case '/', '(':
			if in {
				s.arena = s.arena[:len(s.arena)-1]
			}
		}
		in = false
		s.arena = append(s.arena, c)
	}
	return s.made(from)
}

// base64Decode decodes up to what is no letter of the code.
func base64Decode(s *scan, text string) string {
	from := len(s.arena)
	bits, n := uint32(0), 0
	put := func(c byte) { s.arena = append(s.arena, c) }
	for i := 0; i < len(text); i++ {
		var v byte
		switch c := text[i]; {
		case c == '\r' || c == '\n':
			continue
		case c >= 'A' && c <= 'Z':
			v = c - 'A'
		case c >= 'a' && c <= 'z':
			v = c - 'a' + 26
		case c >= '0' && c <= '9':
			v = c - '0' + 52
		case c == '+':
			v = 62
		case c == '/':
			v = 63
		default:
			i = len(text)
			continue
		}
		bits = bits<<6 | uint32(v)
		if n++; n == 4 {
			put(byte(bits >> 16))
			put(byte(bits >> 8))
			put(byte(bits))
			bits, n = 0, 0
		}
	}
	switch n {
	case 2:
		put(byte(bits >> 4))
	case 3:
		put(byte(bits >> 10))
		put(byte(bits >> 2))
	}
	return s.made(from)
}

// cleanPath reports whether a path has nothing to be normalized: no empty segments,
// and none that begin with a dot.
func cleanPath(text string) bool {
	if text == "" {
		return true
	}
	last := byte('/')
	for i := range len(text) {
		c := text[i]
		if (c == '/' || c == '.') && last == '/' && (c == '.' || i > 0) {
			return false
		}
		last = c
	}
	return last != '/'
}

// Paths that are clean are quick; the others are the engine's affair.
func normalizePath(_ *scan, text string) string {
	if cleanPath(text) {
		return text
	}
	out, _, err := enginePath(text)
	if err != nil {
		return text
	}
	return out
}

func normalizePathWin(_ *scan, text string) string {
	if cleanPath(text) && !windowsPath(text) {
		return text
	}
	out, _, err := engineWinPath(text)
	if err != nil {
		return text
	}
	return out
}

// windowsPath reports whether there is what Windows reads otherwise than others: a
// backslash, a colon, a dot or a space at the end of a segment.
func windowsPath(text string) bool {
	last := byte(0)
	for i := range len(text) {
		c := text[i]
		if c == '\\' || c == ':' || c == '/' && (last == '.' || last == ' ') {
			return true
		}
		last = c
	}
	return last == '.' || last == ' '
}

var enginePath, engineWinPath = engines("normalizePath"), engines("normalizePathWin")

func engines(name string) plugintypes.Transformation {
	t, err := engineTransformation(name)
	if err != nil {
		panic(err) // the engine has always had it
	}
	return t
}
