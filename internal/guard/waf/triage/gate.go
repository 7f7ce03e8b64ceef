package triage

import (
	"slices"
	"sync/atomic"

	"github.com/crenel-project/crenel/internal/guard/waf/triage/automaton"
)

// gate tells of most texts of a kind at one reading that a sieve finds nothing in them: of those
// in plain ASCII where nothing that transformations make can be matched, either. Of others it
// reads what decoders make of them, see opening. Whatever it cannot tell, the sieve finds out. It never says quiet of a text in which the sieve
// would find something.
//
// What transformations make of a text need mostly not be made. Those that only take
// blanks or quotes out have a loose form of each pattern in the automaton of the text as
// it is. Paths that are clean stay as they are. What is left is told by the signs
// that a pattern needs, and what base64 holds is short.
type gate struct {
	pair    [2]*automaton.Automaton // the expressions and the word lists
	byByte  *automaton.Automaton    // the bytewise patterns
	opening opening                 // what decoders make of texts before all else
	walks   []walk                  // how paths are normalized
	bytes   signs                   // of the bytewise patterns
	paths   signs                   // of patterns that look at normalized paths
	windows signs                   // at such of Windows
	rest    signs                   // of those for which all this does not hold
	base64  signs                   // of what looks behind base64
	least   int                     // the shortest match of those
	single  []*rule                 // that are evaluated text by text
	sql     bool                    // libinjection must find nothing, either
	told    [1 << toldBits]atomic.Pointer[told]
}

// toldBits is how many kinds of texts are remembered, as a power of two.
const toldBits = 8

// complete makes the gate ready, once the sieve is compiled.
func (g *gate) complete(v *sieve, kind Kind) {
	g.pair = [2]*automaton.Automaton{v.books[expressions].set, v.books[wordLists].set}
	g.byByte = v.books[bytewise].set
	for _, r := range v.single {
		if !r.at[kind] {
			continue
		}
		if r.name == "detectSQLi" && r.decoding && !r.negated {
			g.sql = true
		} else {
			g.single = append(g.single, r)
		}
	}
}

// looseForms are what a text may hold for what some transformations take out or put in
// order. Transformations that change nothing in plain texts are left out before.
var looseForms = map[string]automaton.Loose{
	"removeWhitespace":   {Gaps: " \t\n\v\f\r"},
	"compressWhitespace": {Blanks: " \t\n\v\f\r"},
	anyCaseCmdLine:       {Gaps: `"'\^`, Blanks: " ,;\t\r\n", Before: "/("},
}

// note takes a pattern in that looks at what rest makes of plain texts, and returns
// the form to add to the automaton, if there is one.
func (g *gate) note(rest []string, p pattern) (form automaton.Loose, add bool) {
	need := signsOf(p.text)
	for len(rest) > 0 && percent[rest[len(rest)-1]] && !slices.Contains(rest, "base64Decode") {
		rest = rest[:len(rest)-1] // nothing before it makes what it decodes
	}
	if p.flavour == bytewise {
		g.bytes = g.bytes.or(need)
	}
	if len(rest) == 0 {
		return form, false
	}
	last := rest[len(rest)-1]
	loose, known := looseForms[rest[0]]
	switch {
	case p.flavour == bytewise:
	case g.noteBase64(rest, p, need):
		return form, false
	case windowsPaths[last] && len(rest) == 1 && p.flavour == wordLists:
		g.windows = g.windows.or(need)
		g.walk(rest)
		return form, false
	case paths[last] && len(rest) == 1:
		g.paths = g.paths.or(need)
		g.walk(rest)
		return form, false
	case paths[last] && len(rest) == 2 && known:
		g.paths = g.paths.or(need)
		g.walk(rest)
		return loose, true
	case len(rest) == 1 && known:
		return loose, true
	}
	if slices.ContainsFunc(rest, func(n string) bool { return !keepsSigns[n] }) {
		need = noSigns
	}
	g.rest = g.rest.or(need)
	return form, false
}

// noteBase64 takes a pattern in that looks behind base64, if it is one.
func (g *gate) noteBase64(rest []string, p pattern, need signs) bool {
	if rest[0] == "removeWhitespace" {
		rest = rest[1:]
	}
	if len(rest) == 0 || rest[0] != "base64Decode" {
		return false
	}
	// First what decodes what codedInBase64 sees, then what only takes away: the other way
	// round there may be more to decode than is seen.
	narrowed := false
	for _, n := range rest[1:] {
		if !seenInBase64[n] && !behindBase64[n] || seenInBase64[n] && narrowed {
			return false
		}
		narrowed = narrowed || behindBase64[n]
	}
	if n := shortest(p.text); len(g.base64) == 0 || n < g.least {
		g.least = n
	}
	g.base64 = g.base64.or(need)
	return true
}

// percent are transformations that decode what follows a sign of their own.
var percent = map[string]bool{
	"urlDecodeUni": true, "urlDecode": true, "htmlEntityDecode": true, "jsDecode": true, "cssDecode": true, "escapeSeqDecode": true,
	"removeNulls": true, "replaceNulls": true, "utf8toUnicode": true,
}

// What the gate knows behind base64Decode: decoders of what codedInBase64 sees, and what
// only takes away.
var (
	seenInBase64 = map[string]bool{"urlDecodeUni": true, "jsDecode": true}
	behindBase64 = map[string]bool{"removeWhitespace": true, "replaceComments": true}
)

// keepsSigns are those of which the outcome holds no sign that a plain text did not.
var keepsSigns = map[string]bool{
	"removeWhitespace": true, "compressWhitespace": true, anyCaseCmdLine: true, "lowercase": true,
	"normalizePath": true, "normalisePath": true, "normalizePathWin": true, "normalisePathWin": true,
	"urlDecodeUni": true, "urlDecode": true, "htmlEntityDecode": true, "jsDecode": true, "cssDecode": true, "escapeSeqDecode": true,
	"removeNulls": true, "replaceNulls": true, "replaceComments": true, "removeComments": true, "removeCommentsChar": true,
}

var (
	paths        = map[string]bool{"normalizePath": true, "normalisePath": true}
	windowsPaths = map[string]bool{"normalizePathWin": true, "normalisePathWin": true}
)

// told is what a text's bytes alone tell of it.
type told struct {
	marks   marks
	loud    bool // a pattern that the gate does not know may match
	bytes   bool // or a bytewise one
	unclean bool // or if it is no clean path
}

func (g *gate) tell(m marks) *told {
	return &told{marks: m, loud: g.rest.metBy(m), bytes: g.bytes.metBy(m), unclean: g.paths.metBy(m) || g.windows.metBy(m)}
}

// quiet reports whether the sieve certainly finds nothing in a text.
func (g *gate) quiet(s *scan, text string) bool {
	m := marksOf(text)
	if m.plain(text) {
		return g.settled(s, text, m)
	}
	r := reading{gate: g, scan: s}
	return r.quiet(&g.opening, text, m, false)
}

// settled reports whether no pattern matches a text that every decoder that still comes leaves
// as it is, nor what else is made of it.
func (g *gate) settled(s *scan, text string, m marks) bool {
	slot := &g.told[uint64(m)*0x9e3779b97f4a7c15>>(64-toldBits)]
	at := slot.Load()
	if at == nil || at.marks != m {
		at = g.tell(m)
		slot.Store(at)
	}
	if at.loud {
		return false
	}
	if at.bytes {
		found, err := g.byByte.Find(text, s.ids[:0])
		s.ids = found
		if err != nil || len(found) > 0 {
			return false
		}
	}
	if at.unclean && m&pathSigns != 0 && !cleanEnough(text, m) && !g.quietPaths(s, text, m) {
		return false
	}
	for _, r := range g.single {
		if !r.silent(text, m) {
			return false
		}
	}
	if len(g.base64) > 0 && !g.quietBase64(text) || !automaton.Quiet(g.pair[0], g.pair[1], text) {
		return false
	}
	// libinjection's view is dear, and comes last.
	return !g.sql || sqlTable.Silent(text)
}

// walk is a way in which paths are normalized: with blanks or quotes taken out before, or
// without.
type walk struct {
	names []string
	steps []func(*scan, string) string
}

func (g *gate) walk(names []string) {
	if slices.ContainsFunc(g.walks, func(w walk) bool { return slices.Equal(w.names, names) }) {
		return
	}
	w := walk{names: names}
	for _, n := range names {
		w.steps = append(w.steps, quickly[n])
	}
	g.walks = append(g.walks, w)
}

// quietPaths reports whether no pattern matches what a text becomes as a path.
func (g *gate) quietPaths(s *scan, text string, m marks) bool {
	if m&high != 0 {
		return false
	}
	for i := range g.walks {
		s.arena = s.arena[:0]
		out := text
		for _, step := range g.walks[i].steps {
			out = step(s, out)
		}
		if !automaton.Quiet(g.pair[0], g.pair[1], out) {
			return false
		}
	}
	return true
}

// pathSigns are what makes a path of a text.
var pathSigns = marksIn("/.:")

// silent reports whether it is plain to see that a rule does not match a plain text.
func (r *rule) silent(text string, m marks) bool {
	if !r.decoding {
		return false
	}
	if r.must != nil {
		return r.must.Matches(text)
	}
	if r.negated {
		return false
	}
	switch r.name {
	case "validateByteRange":
		return m&^r.clean == 0
	case "detectXSS":
		return m&(markOf['<']|markOf['=']) == 0 // see quiet
	}
	return false
}

// cleanEnough reports whether a plain text is a path that stays as it is when it is
// normalized, or, by the rules of Windows, becomes a beginning of itself; with
// blanks and quotes taken out, too.
func cleanEnough(text string, m marks) bool {
	if m&markOf['/'] == 0 {
		// One segment: it is kept, but for a single dot. Windows cuts its end off.
		return m&^(markOf['.']|markOf[' ']|blank) != 0
	}
	last := byte('x') // what stands before, blanks and quotes left out
	for i := range len(text) {
		c := text[i]
		if c == '/' {
			if last == '.' || last == '/' || i > 0 && (blankOrQuote[text[i-1]]) || i+1 == len(text) || text[i+1] == '.' || text[i+1] == '/' || blankOrQuote[text[i+1]] {
				return false
			}
		}
		if !blankOrQuote[c] {
			last = c
		}
	}
	return true
}

var (
	blank        = marksIn(` "'^,;` + "\t\n\v\f\r")
	blankOrQuote = func() (t [256]bool) {
		for _, c := range []byte(` "'^,;` + "\t\n\v\f\r") {
			t[c] = true
		}
		return t
	}()
)

// quietBase64 reports whether no pattern matches what base64 makes of a plain text, with
// or without its blanks: the one begins like the other.
func (g *gate) quietBase64(text string) bool {
	var m marks
	var word uint32
	digits := 0
	for i := range len(text) {
		v := base64Values[text[i]]
		if v < 0 {
			if space(text[i]) {
				continue
			}
			break
		}
		word = word<<6 | uint32(v)
		if digits++; digits%4 == 0 {
			m |= markOf[byte(word>>16)] | markOf[byte(word>>8)] | markOf[byte(word)]
		}
	}
	if digits*3/4 < g.least {
		return true
	}
	switch digits % 4 {
	case 2:
		m |= markOf[byte(word>>4)]
	case 3:
		m |= markOf[byte(word>>10)] | markOf[byte(word>>2)]
	}
	return !g.base64.metBy(m) && (m&(markOf['%']|markOf['\\']) == 0 || !codedInBase64(text))
}

// codedInBase64 reports whether what base64 makes of a text may be encoded once more.
func codedInBase64(text string) bool {
	var room [128]byte
	s := scan{arena: room[:0]}
	b := base64Decode(&s, removeWhitespace(&s, text))
	for i := 0; i+1 < len(b); i++ {
		c := b[i+1]
		if b[i] == '%' && (c|0x20 == 'u' || c|0x20 >= 'a' && c|0x20 <= 'f' || c >= '0' && c <= '9') ||
			b[i] == '\\' && (c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9') {
			return true
		}
	}
	return false
}

// base64Values are the digits' values, -1 for what is none.
var base64Values = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = int8(i)
	}
	return t
}()
