package triage

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// opening is what the decoders that rules begin with make of texts that are not plain,
// one step after the other; rules that begin alike share it as far as they do. Making
// lower case is a step of these, too.
//
// Whatever comes of a text so is read as if every rule saw it, each behind what follows its
// first decoders: often all of it is the text itself, for an ampersand between blanks is
// nothing to any decoder.
type opening struct {
	name string
	step plugintypes.Transformation
	kids []*opening

	ends  bool  // a rule's first decoders are these
	later marks // what other decoders of such rules, behind what is no decoder, would decode
	paths marks // the same, where paths are all that is normalized before
}

// decoded is what decoders look for.
var decoded = map[string]marks{
	"urlDecodeUni": marksIn("%+"), "urlDecode": marksIn("%+"), "htmlEntityDecode": marksIn("&"),
	"jsDecode": marksIn("\\"), "cssDecode": marksIn("\\"), "escapeSeqDecode": marksIn("\\"),
	"removeNulls": marksIn("\x00"), "replaceNulls": marksIn("\x00"), "utf8toUnicode": high,
}

// note takes a rule's transformations in.
func (o *opening) note(names []string) {
	n := 0
	for n < len(names) && (decoders[names[n]] || names[n] == "lowercase") {
		n++
	}
	end := o.path(names[:n])
	end.ends = true
	var later marks
	rest, only := names[n:], true
	for i, name := range rest {
		if name == "base64Decode" {
			break // what it makes does not depend on what decoders look for in a text
		}
		later |= decoded[name]
		only = only && (i == 0 && paths[name] || i > 0 && decoders[name])
	}
	if !only || len(rest) < 2 {
		end.later |= later
		return
	}
	// Where a path is clean the decoders behind see what those before have made.
	end.paths |= later
	end.path(rest[1:]).ends = true
}

func (o *opening) path(names []string) *opening {
	for _, name := range names {
		i := slices.IndexFunc(o.kids, func(k *opening) bool { return k.name == name })
		if i < 0 {
			step, err := engineTransformation(name)
			if err != nil {
				panic(err) // it has been found already
			}
			i = len(o.kids)
			o.kids = append(o.kids, &opening{name: name, step: step})
		}
		o = o.kids[i]
	}
	return o
}

// maxReadings is how many texts may come of one.
const maxReadings = 12

// reading is the work on a text that is not plain.
type reading struct {
	gate  *gate
	scan  *scan
	texts [maxReadings]string // what has been found settled
	n     int
}

// unread are bytes that make too much of a text for the gate.
var unread = marksIn("\x00\\")

// quiet reports whether nothing is found in a text, nor in what comes of it further on.
// lower says that its letters may have been made lower case.
func (r *reading) quiet(at *opening, text string, m marks, lower bool) bool {
	if m&(unread|at.later) != 0 || m&at.paths != 0 && !cleanPath(text) {
		return false
	}
	if at.ends && !r.known(text, lower) {
		if r.n == maxReadings || m&high != 0 && spaced(text) || !r.gate.settled(r.scan, text, m) {
			return false
		}
		r.texts[r.n] = text
		r.n++
	}
	for _, k := range at.kids {
		out, after := k.apply(text, m), m
		if len(out) != len(text) || out != text {
			after = marksOf(out)
		}
		if !r.quiet(k, out, after, lower || k.name == "lowercase") {
			return false
		}
	}
	return true
}

// known reports whether a text has been read already. One in lower case has if it was read
// as it had been before: patterns that look behind lowercase take upper case for lower.
func (r *reading) known(text string, lower bool) bool {
	for _, t := range r.texts[:r.n] {
		if t == text || lower && lowerOf(text, t) {
			return true
		}
	}
	return false
}

// lowerOf reports whether a text is another with its letters of ASCII in lower case.
func lowerOf(text, of string) bool {
	if len(text) != len(of) {
		return false
	}
	for i := range len(of) {
		c := of[i]
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		if c != text[i] {
			return false
		}
	}
	return true
}

// spaced reports whether there are spaces beyond ASCII, or bytes that are taken for such.
func spaced(text string) bool {
	for i, r := range text {
		if r >= utf8.RuneSelf && (unicode.IsSpace(r) || text[i] == 0x85 || text[i] == 0xa0) {
			return true
		}
	}
	return false
}

// apply makes a step. Letters of ASCII may stay in upper case where no decoder that follows
// tells them apart.
func (o *opening) apply(text string, m marks) string {
	switch o.name {
	case "lowercase":
		if m&high == 0 && (len(o.kids) == 0 || m&(markOf['%']|markOf['&']) == 0) {
			return text
		}
	case "urlDecodeUni", "urlDecode":
		if m&markOf['+'] == 0 && (m&markOf['%'] == 0 || !escapes(text)) {
			return text
		}
	case "htmlEntityDecode":
		if m&markOf['&'] == 0 || !entities(text) {
			return text
		}
	case "replaceComments":
		if m&markOf['*'] == 0 || !strings.Contains(text, "/*") {
			return text
		}
	case "removeComments", "removeCommentsChar":
		if m&markOf['#'] == 0 && (m&(markOf['*']|markOf['-']) == 0 || uncommented(text)) {
			return text
		}
	default:
		if m&decoded[o.name] == 0 {
			return text
		}
	}
	out, _, err := o.step(text)
	if err != nil {
		return text // what fails leaves the text as it is, as in the engine
	}
	return out
}

// escapes reports whether a percent sign may begin an escape.
func escapes(s string) bool {
	for i := strings.IndexByte(s, '%'); i >= 0 && i+1 < len(s); i++ {
		if s[i] == '%' {
			if c := s[i+1] | 0x20; c >= 'a' && c <= 'f' || c == 'u' || c >= '0' && c <= '9' {
				return true
			}
		}
	}
	return false
}

// entities reports whether an ampersand may begin a character reference.
func entities(s string) bool {
	for i := strings.IndexByte(s, '&'); i >= 0 && i+1 < len(s); i++ {
		if s[i] == '&' {
			if c := s[i+1]; c == '#' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' {
				return true
			}
		}
	}
	return false
}
