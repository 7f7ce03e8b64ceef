package gateway

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"
)

// errAmbiguousPath is returned for a path that servers are known to read
// differently: the gateway would judge one operation and the upstream run another.
var errAmbiguousPath = errors.New("ambiguous path")

// normalPath brings the percent-encoded path of a request into its one normal
// form (RFC 3986 section 6.2.2): unreserved characters are decoded, everything
// else is encoded with upper-case digits, dot segments are resolved and empty
// segments dropped. escaped is that form; decoded is the same with every
// percent-encoding undone.
//
// A path that parsers disagree on is refused: encoded or literal backslashes,
// encoded slashes, encoded dot segments, dot segments with path parameters
// ("..;"), control characters, invalid UTF-8, invalid encodings, encodings of
// encodings, and dot segments that climb above the root.
func normalPath(path string) (escaped, decoded string, err error) {
	if path == "" || path[0] != '/' {
		return "", "", errAmbiguousPath
	}
	if isPlainPath(path) {
		return path, path, nil
	}
	type segment struct {
		text   string // decoded
		params bool   // a semicolon stands for itself: it begins path parameters
	}
	var segments []segment
	for _, raw := range strings.Split(path[1:], "/") {
		seg, err := url.PathUnescape(raw)
		if err != nil {
			return "", "", errAmbiguousPath
		}
		if err := checkSegment(raw, seg); err != nil {
			return "", "", err
		}
		switch seg {
		case "", ".":
		case "..":
			if len(segments) == 0 {
				return "", "", errAmbiguousPath
			}
			segments = segments[:len(segments)-1]
		default:
			segments = append(segments, segment{seg, strings.IndexByte(raw, ';') >= 0})
		}
	}
	var e, d strings.Builder
	for _, seg := range segments {
		e.WriteByte('/')
		d.WriteByte('/')
		escapeSegment(&e, seg.text, seg.params)
		d.WriteString(seg.text)
	}
	// The slash at the end is kept: it may name another resource.
	if last := path[strings.LastIndexByte(path, '/'):]; e.Len() == 0 || last == "/" || last == "/." || last == "/.." {
		e.WriteByte('/')
		d.WriteByte('/')
	}
	return e.String(), d.String(), nil
}

// isPlainPath reports whether the path is its own normal form: only unreserved
// and common sub-delimiter characters, no empty or dot-only segments.
func isPlainPath(p string) bool {
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '/':
			if i+1 < len(p) && (p[i+1] == '/' || p[i+1] == '.') {
				return false
			}
		case !plainPathByte[c]:
			return false
		}
	}
	return true
}

func checkSegment(raw, seg string) error {
	if !utf8.ValidString(seg) {
		return errAmbiguousPath
	}
	for i := 0; i < len(seg); i++ {
		if c := seg[i]; c < 0x20 || c == 0x7f || c == '/' || c == '\\' {
			return errAmbiguousPath
		}
	}
	// "..;x" is "..": some servers cut path parameters before they resolve dots.
	name, _, params := strings.Cut(seg, ";")
	if dots := name == "." || name == ".."; dots && (params || raw != seg) {
		return errAmbiguousPath
	}
	// To some servers a semicolon begins parameters and an encoded one is data; both
	// in one segment could not be told apart any more.
	if strings.IndexByte(raw, ';') >= 0 && strings.Count(raw, ";") != strings.Count(seg, ";") {
		return errAmbiguousPath
	}
	// What still looks encoded after one decoding is decoded again by some servers.
	if raw != seg && doublyEncoded(seg) {
		return errAmbiguousPath
	}
	return nil
}

// doublyEncoded reports whether a decoded segment holds the encoding of a
// character that changes what a path means.
func doublyEncoded(seg string) bool {
	for i := 0; i+2 < len(seg); i++ {
		if seg[i] != '%' {
			continue
		}
		switch strings.ToLower(seg[i+1 : i+3]) {
		case "2e", "2f", "5c", "00", "25", "3b", "c0", "c1", "e0":
			return true
		}
	}
	return false
}

const upperHex = "0123456789ABCDEF"

// plainPathByte are the characters that stand for themselves in a path segment
// (RFC 3986 pchar without percent). ";" is left out: it goes the careful way.
var plainPathByte = func() (t [256]bool) {
	for c := 'a'; c <= 'z'; c++ {
		t[c] = true
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = true
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for _, c := range "-._~!$&'()*+,=:@" {
		t[c] = true
	}
	return t
}()

func escapeSegment(b *strings.Builder, seg string, params bool) {
	for i := 0; i < len(seg); i++ {
		if c := seg[i]; plainPathByte[c] || c == ';' && params {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
}

// normalHost brings a Host header or :authority into its normal form: lower
// case, no port, no dot at the end. ok is false for what is no host.
func normalHost(host string) (string, bool) {
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 || !validPort(host[end+1:]) {
			return "", false
		}
		return strings.ToLower(host[:end+1]), true
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		if !validPort(host[i:]) {
			return "", false
		}
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return "", false
	}
	lower := true
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		case 'A' <= c && c <= 'Z':
			lower = false
		default:
			return "", false
		}
	}
	if !lower {
		host = strings.ToLower(host)
	}
	return host, true
}

func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) > 6 {
		return false
	}
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
