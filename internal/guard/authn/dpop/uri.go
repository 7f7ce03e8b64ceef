package dpop

import (
	"net/url"
	"strings"
)

const maxURI = 8 << 10

// Normalise brings an http or https URI into the form in which two can be
// compared (RFC 3986 sections 6.2.2 and 6.2.3), without query and fragment, which
// htu does not count (RFC 9449 section 4.3, item 9). ok is false for what is no
// such URI or could be read in two ways: one with user information, without a host,
// with white space or a backslash.
func Normalise(uri string) (s string, ok bool) {
	if len(uri) > maxURI || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return "", false
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	return URI(u.Scheme, u.Host, u.EscapedPath())
}

// URI joins scheme, authority and percent-encoded path into the normal form.
func URI(scheme, authority, path string) (string, bool) {
	scheme, authority = strings.ToLower(scheme), strings.ToLower(authority)
	switch scheme {
	case "https":
		authority = strings.TrimSuffix(authority, ":443")
	case "http":
		authority = strings.TrimSuffix(authority, ":80")
	default:
		return "", false
	}
	authority = strings.TrimSuffix(authority, ":")
	if authority == "" || strings.ContainsAny(authority, "@/?#%") {
		return "", false
	}
	path, ok := normalPath(path)
	return scheme + "://" + authority + path, ok
}

// normalPath decodes what need not be encoded, encodes the rest with upper-case
// digits, and resolves dot segments.
func normalPath(path string) (string, bool) {
	if path == "" {
		return "/", true
	}
	if path[0] != '/' {
		return "", false
	}
	if plainPath(path) {
		return path, true
	}
	b := make([]byte, 0, len(path)+8)
	for i := 0; i < len(path); i++ {
		c := path[i]
		encoded := c == '%'
		if encoded {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return "", false
			}
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
		}
		if unreserved(c) || !encoded && (c == '/' || subDelim(c)) {
			b = append(b, c)
			continue
		}
		const digits = "0123456789ABCDEF"
		b = append(b, '%', digits[c>>4], digits[c&15])
	}
	return removeDots(string(b)), true
}

// plainPath reports whether a path is its own normal form.
func plainPath(path string) bool {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '/' && i+1 < len(path) && path[i+1] == '.' || c != '/' && !unreserved(c) && !subDelim(c) {
			return false
		}
	}
	return true
}

// removeDots resolves dot segments (RFC 3986 section 5.2.4).
func removeDots(path string) string {
	var out []string
	segments := strings.Split(path[1:], "/")
	for i, seg := range segments {
		last := i == len(segments)-1
		switch seg {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, seg)
		}
	}
	return "/" + strings.Join(out, "/")
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// subDelim reports whether c stands for itself in a path segment.
func subDelim(c byte) bool { return strings.IndexByte("!$&'()*+,;=:@", c) >= 0 }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
