package value

import (
	"strings"
	"unicode/utf8"
)

// parameter is one name=value of a header line; its name is in lower case.
type parameter struct {
	name, text string
	quoted     bool
}

// parameters reads `value; name=token; name="quoted"` and refuses a name twice.
func (m *multipartDecoder) parameters(text string, at int) (string, []parameter, *Error) {
	kind, rest, more := strings.Cut(text, ";")
	var params []parameter
	for more {
		rest = strings.TrimLeft(rest, " \t")
		name, after, found := strings.Cut(rest, "=")
		if !found || !isToken(name) {
			return "", nil, m.fail(FaultSyntax, at, "a parameter without a name or an equals sign")
		}
		p := parameter{name: strings.ToLower(name)}
		if strings.HasPrefix(after, `"`) {
			p.quoted = true
			end := strings.IndexByte(after[1:], '"')
			if end < 0 {
				return "", nil, m.fail(FaultSyntax, at, "a quoted parameter without end")
			}
			p.text, rest = after[1:1+end], strings.TrimLeft(after[end+2:], " \t")
			if strings.IndexByte(p.text, '\\') >= 0 {
				return "", nil, m.fail(FaultSyntax, at, "a backslash in a quoted parameter, which parsers read in two ways")
			}
			if rest != "" && rest[0] != ';' {
				return "", nil, m.fail(FaultSyntax, at, "text after a quoted parameter")
			}
		} else {
			end := strings.IndexByte(after, ';')
			if end < 0 {
				end = len(after)
			}
			p.text, rest = strings.TrimRight(after[:end], " \t"), after[end:]
			if !isToken(p.text) {
				return "", nil, m.fail(FaultSyntax, at, "a parameter that is neither a token nor quoted")
			}
		}
		for _, q := range params {
			if q.name == p.name {
				return "", nil, m.fail(FaultSyntax, at, "a parameter twice in one header line")
			}
		}
		params = append(params, p)
		if len(params) > maxPartLines {
			return "", nil, m.fail(FaultSyntax, at, "more than %d parameters in a header line", maxPartLines)
		}
		if more = rest != ""; more {
			rest = rest[1:] // the semicolon
		}
	}
	return strings.TrimRight(kind, " \t"), params, nil
}

// isToken follows RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7F || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// extendedValue decodes UTF-8'language'percent-encoded (RFC 8187 section 3.2).
func extendedValue(p parameter) (string, bool) {
	charset, rest, found := strings.Cut(p.text, "'")
	if !found || p.quoted || !strings.EqualFold(charset, "utf-8") {
		return "", false
	}
	_, text, found := strings.Cut(rest, "'")
	if !found {
		return "", false
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '%':
			if i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2]) {
				return "", false
			}
			c = unhex(text[i+1])<<4 | unhex(text[i+2])
			if c < 0x20 || c == 0x7F { // no header could carry it either
				return "", false
			}
			i += 2
		case strings.IndexByte("*'", c) >= 0:
			return "", false
		}
		out = append(out, c)
	}
	return string(out), utf8.Valid(out)
}
