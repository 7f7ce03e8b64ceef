package scenario

import (
	"strings"
)

// shellEncoders write a value, on the shell's standard input, as a place of a request takes it.
var shellEncoders = map[place]struct{ suffix, command string }{
	inPath:  {"_URI", "jq -sRr @uri"},
	inQuery: {"_URI", "jq -sRr @uri"},
	inJSON:  {"_JSON", `jq -sR . | sed 's/^"//; s/"$//'`},
	inXML:   {"_XML", `sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'`},
}

// textIn is a shell word for a text with placeholders that stands in a place of a
// request. What was computed, and what people are called, may hold what means something
// there (a space, a quote, a plus sign), and is encoded as Run encodes it.
func (c *curl) textIn(t string, at place) string {
	var b strings.Builder
	b.WriteByte('"')
	last, quoted := 0, false
	for _, l := range placeholder.FindAllStringSubmatchIndex(t, -1) {
		quoted = quotedAfter(t[last:l[0]], quoted)
		b.WriteString(escape(t[last:l[0]]))
		name := t[l[2]:l[3]]
		v := c.use(name)
		if encode, encoded := shellEncoders[at]; encoded && l[4] == l[5] && c.odd(name) && (at != inJSON || quoted) {
			c.line(`%s=$(printf %%s "$%s" | %s)`, v+encode.suffix, v, encode.command)
			v += encode.suffix
		}
		b.WriteString("${" + v + "}")
		last = l[1]
	}
	b.WriteString(escape(t[last:]))
	b.WriteByte('"')
	return b.String()
}

// odd: a value may hold more than letters, digits and the like.
func (c *curl) odd(name string) bool {
	return c.computed[name] || strings.HasSuffix(name, ".email") || strings.HasSuffix(name, ".password")
}
