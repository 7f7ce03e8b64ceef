package schema

import (
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/value"
)

// format is one value of the format keyword for strings.
type format struct {
	name  string
	check func(string) bool
	// pinned: every string that passes is harmless, see Schema.Pinned.
	pinned bool
}

// formats are those that are asserted for strings. What is not here (password,
// binary, a company's own) is an annotation, as the specifications say.
var formats = map[string]*format{}

func init() {
	for _, f := range []*format{
		{"date", isDate, true},
		{"date-time", isDateTime, true},
		{"time", isTime, true},
		{"duration", isDuration, true},
		{"email", isEmail, false},
		{"idn-email", isEmail, false},
		{"uuid", isUUID, true},
		{"uri", func(s string) bool { return ascii(s) && isIRI(s) }, false},
		{"iri", isIRI, false},
		{"uri-reference", func(s string) bool { return ascii(s) && isIRIReference(s) }, false},
		{"iri-reference", isIRIReference, false},
		{"hostname", isHostname, true},
		{"ipv4", isIPv4, true},
		{"ip", func(s string) bool { return isIPv4(s) || isIPv6(s) }, true},
		{"ipv6", isIPv6, true},
		{"byte", isBase64, false},
		{"base64url", isBase64URL, true},
		{"regex", isRegex, false},
		{"json-pointer", isPointer, false},
		{"relative-json-pointer", isRelativePointer, false},
	} {
		formats[f.name] = f
	}
}

// formats reads format, for numbers and for strings.
func (c *Compiler) formats(s *Schema, p place) {
	v := p.v.Get("format")
	if v == nil {
		return
	}
	if v.Kind != value.String {
		c.report(p, "format", Warning, "bad_keyword", "format is a string, not %s; ignored, as an unknown format is", v.Kind)
		return
	}
	asserted := p.res.dialect.openAPI() || p.res.vocab.formatAssertion
	switch c.opts.Formats {
	case FormatAsserted:
		asserted = true
	case FormatIgnored:
		asserted = false
	}
	if !asserted {
		return
	}
	if f := formats[v.Text]; f != nil && s.kinds&kindOf(value.String) != 0 {
		s.strings().format = f
		return
	}
	if s.kinds&kindOf(value.Number) == 0 || !p.res.dialect.openAPI() || p.v.Get("type") == nil {
		return
	}
	var low, high string
	switch v.Text {
	case "int8":
		low, high = "-128", "127"
	case "int16":
		low, high = "-32768", "32767"
	case "int32":
		low, high = "-2147483648", "2147483647"
	case "int64":
		low, high = "-9223372036854775808", "9223372036854775807"
	case "uint8":
		low, high = "0", "255"
	case "uint16":
		low, high = "0", "65535"
	case "uint32":
		low, high = "0", "4294967295"
	case "uint64":
		low, high = "0", "18446744073709551615"
	case "float":
		high = strconv.FormatFloat(math.MaxFloat32, 'e', -1, 32)
		low = "-" + high
	case "double":
		high = strconv.FormatFloat(math.MaxFloat64, 'e', -1, 64)
		low = "-" + high
	default:
		return
	}
	n := s.numbers()
	n.format = v.Text
	n.low, _ = newBound(low)
	n.high, _ = newBound(high)
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func two(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

// isDate checks full-date (RFC 3339, section 5.6).
func isDate(s string) bool {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' || !digits(s[:4]) || !digits(s[5:7]) || !digits(s[8:]) {
		return false
	}
	year, month, day := two(s)*100+two(s[2:]), two(s[5:]), two(s[8:])
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	last := 31
	switch month {
	case 4, 6, 9, 11:
		last = 30
	case 2:
		last = 28
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			last = 29
		}
	}
	return day <= last
}

// isDateTime checks date-time (RFC 3339, section 5.6).
func isDateTime(s string) bool {
	return len(s) > 11 && (s[10] == 'T' || s[10] == 't') && isDate(s[:10]) && isTime(s[11:])
}

// isTime checks full-time (RFC 3339, section 5.6), leap seconds included.
func isTime(s string) bool {
	if len(s) < 9 || s[2] != ':' || s[5] != ':' || !digits(s[:2]) || !digits(s[3:5]) || !digits(s[6:8]) {
		return false
	}
	hour, minute, second := two(s), two(s[3:]), two(s[6:])
	if hour > 23 || minute > 59 || second > 60 {
		return false
	}
	rest := s[8:]
	if rest[0] == '.' {
		i := 1
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		if i == 1 || i == len(rest) {
			return false
		}
		rest = rest[i:]
	}
	offset := 0
	switch {
	case rest == "Z" || rest == "z":
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':' && digits(rest[1:3]) && digits(rest[4:]):
		h, m := two(rest[1:]), two(rest[4:])
		if h > 23 || m > 59 {
			return false
		}
		offset = h*60 + m
		if rest[0] == '-' {
			offset = -offset
		}
	default:
		return false
	}
	if second == 60 { // leap seconds are inserted at 23:59:60 UTC
		utc := (hour*60 + minute - offset + 2*1440) % 1440
		return utc == 23*60+59
	}
	return true
}

// isDuration checks duration (RFC 3339, appendix A).
func isDuration(s string) bool {
	if len(s) < 3 || s[0] != 'P' {
		return false
	}
	s = s[1:]
	if weeks, ok := strings.CutSuffix(s, "W"); ok {
		return digits(weeks)
	}
	date, clock, hasClock := strings.Cut(s, "T")
	if hasClock && clock == "" {
		return false
	}
	return (date != "" || hasClock) && units(date, "YMD") && units(clock, "HMS")
}

// units checks numbers each followed by one of the units, in order and without a gap.
func units(s, order string) bool {
	last := -1
	for s != "" {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		if i == 0 || i == len(s) {
			return false
		}
		at := strings.IndexByte(order, s[i])
		if at <= last || last >= 0 && at != last+1 {
			return false
		}
		last, s = at, s[i+1:]
	}
	return true
}

// isEmail checks Mailbox (RFC 5321, section 4.1.2; RFC 6531 for non-ASCII).
func isEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || len(s) > 254 {
		return false
	}
	local, domain := s[:at], s[at+1:]
	if strings.HasPrefix(domain, "[") && strings.HasSuffix(domain, "]") {
		ip := domain[1 : len(domain)-1]
		if v6, ok := strings.CutPrefix(ip, "IPv6:"); ok {
			return isIPv6(v6) && isLocalPart(local)
		}
		return isIPv4(ip) && isLocalPart(local)
	}
	return isLocalPart(local) && (isHostname(domain) || !ascii(domain) && !strings.ContainsAny(domain, " \t\r\n<>\"'()@,;:\\/"))
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isLocalPart(s string) bool {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		in := s[1 : len(s)-1]
		for i := 0; i < len(in); i++ {
			switch c := in[i]; {
			case c == '\\':
				if i++; i == len(in) || in[i] < ' ' || in[i] == 0x7f {
					return false
				}
			case c < ' ' || c == '"' || c == 0x7f:
				return false
			}
		}
		return true
	}
	if strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < utf8.RuneSelf && !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) < 0 {
			return false
		}
	}
	return true
}

// isUUID checks the text form (RFC 9562, section 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < 36; i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// uriRunes reports whether s has only characters and escapes of RFC 3986 (and
// of RFC 3987: what is not ASCII).
func uriRunes(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c == 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0:
			return false
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
		}
	}
	return true
}

// isIRI checks RFC 3986 and, beyond ASCII, RFC 3987.
func isIRI(s string) bool {
	colon := strings.IndexByte(s, ':')
	if colon < 1 || !isLetter(s[0]) || !isIRIReference(s) {
		return false
	}
	for i := 1; i < colon; i++ {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isIRIReference(s string) bool {
	if !uriRunes(s) {
		return false
	}
	u, err := url.Parse(s)
	if err != nil || strings.IndexByte(u.Host, '@') >= 0 || authorityAts(s) > 1 {
		return false
	}
	if strings.ContainsAny(u.Host, "[]") {
		return strings.HasPrefix(u.Host, "[")
	}
	rest := s
	if i := strings.IndexByte(rest, '#'); i >= 0 {
		if strings.IndexByte(rest[i+1:], '#') >= 0 {
			return false
		}
		rest = rest[:i]
	}
	return strings.IndexByte(rest, '[') < 0 && strings.IndexByte(rest, ']') < 0 || strings.IndexByte(rest, '?') >= 0
}

// authorityAts counts the at-signs of the authority.
func authorityAts(s string) int {
	_, rest, found := strings.Cut(s, "//")
	if !found {
		return 0
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return strings.Count(rest, "@")
}

// isHostname checks RFC 1123, section 2.1.
func isHostname(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	label := 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if label == 0 || label > 63 || s[i-1] == '-' || s[i-label] == '-' {
				return false
			}
			label = 0
			continue
		}
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '-' {
			return false
		}
		label++
	}
	return true
}

// isIPv4 checks dotted decimal (RFC 2673, section 3.2).
func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// isIPv6 checks RFC 4291, section 2.2; a zone is no part of an address.
func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && !a.Is4() && a.Zone() == ""
}

// isBase64 checks RFC 4648, section 4, and also takes section 5's alphabet and
// missing padding: many servers that declare "byte" write and read those.
func isBase64(s string) bool {
	body := strings.TrimRight(s, "=")
	pad := len(s) - len(body)
	if pad > 2 || pad > 0 && len(s)%4 != 0 || len(body)%4 == 1 {
		return false
	}
	var standard, urlSafe bool
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case isLetter(c) || c >= '0' && c <= '9':
		case c == '+' || c == '/':
			standard = true
		case c == '-' || c == '_':
			urlSafe = true
		default:
			return false
		}
	}
	return !standard || !urlSafe
}

func isBase64URL(s string) bool {
	return isBase64(s) && !strings.ContainsAny(s, "+/=")
}

func isRegex(s string) bool {
	_, _, err := compilePattern(s, 1)
	return err == nil
}

// isPointer checks RFC 6901, section 3.
func isPointer(s string) bool {
	if s != "" && s[0] != '/' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return false
		}
	}
	return true
}

func isRelativePointer(s string) bool {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 0 || i > 1 && s[0] == '0' {
		return false
	}
	return s[i:] == "#" || isPointer(s[i:])
}
