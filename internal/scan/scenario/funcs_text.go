package scenario

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The functions on texts that are encoded: credentials that hold what they stand for.
func init() {
	maps.Copy(funcs, map[string]Func{
		// text.rewrite: text, coding (one of Codings), from, to: the text decoded, from
		// replaced where it stands alone, and encoded again. A signature after the
		// first "." or "--" stays what it was.
		"text.rewrite": func(a map[string]string) (any, error) {
			plain, ok := Decoded(a["text"], a["coding"])
			if !ok || a["from"] == "" {
				return nil, fmt.Errorf("text.rewrite: the text is no %s, or there is nothing to replace", a["coding"])
			}
			re := regexp.MustCompile(`(^|[^A-Za-z0-9])` + regexp.QuoteMeta(a["from"]) + `($|[^A-Za-z0-9])`)
			if !re.MatchString(plain) {
				return nil, errors.New("text.rewrite: the text does not hold what is to be replaced")
			}
			plain = re.ReplaceAllStringFunc(plain, func(m string) string { return strings.Replace(m, a["from"], a["to"], 1) })
			_, tail := signed(a["text"], a["coding"])
			return encoded(a["text"], plain, a["coding"]) + tail, nil
		},
		// text.path: address, a URL or a path from the root: the path without its first slash,
		// and without query.
		"text.path": func(a map[string]string) (any, error) {
			u, err := url.Parse(a["address"])
			if err != nil || !strings.HasPrefix(u.Path, "/") {
				return nil, fmt.Errorf("text.path: %q should be an address or a path from the root", a["address"])
			}
			return strings.TrimPrefix(u.EscapedPath(), "/"), nil
		},
		// text.base64: text, in base64: the bytes that it stands for.
		"text.base64": func(a map[string]string) (any, error) {
			raw, err := base64.StdEncoding.DecodeString(a["text"])
			if err != nil {
				return nil, fmt.Errorf("text.base64: %w", err)
			}
			return string(raw), nil
		},
		// ldap.escape: text, at (first or last), other (any text: another letter's): the
		// text with one letter as the escape of an LDAP filter (RFC 4515, section 3): \61 is a.
		"ldap.escape": func(a map[string]string) (any, error) {
			text := a["text"]
			if len(text) < 2 || text[0] >= 0x80 || text[len(text)-1] >= 0x80 || a["at"] != "first" && a["at"] != "last" {
				return nil, fmt.Errorf("ldap.escape: at %q should be first or last, and the text be two letters or more of ASCII", a["at"])
			}
			n := len(text) - 1
			var other byte
			if a["other"] != "" {
				other = 2
			}
			if a["at"] == "first" {
				return fmt.Sprintf(`\%02x%s`, text[0]^other, text[1:]), nil
			}
			return fmt.Sprintf(`%s\%02x`, text[:n], text[n]^other), nil
		},
	})
}

// Codings are the ways in which a credential may hold a text, the plainest first.
var Codings = []string{"plain", "url", "base64", "hex"}

// signed cuts off what may be a signature.
func signed(text, coding string) (head, tail string) {
	if coding == "plain" {
		return text, ""
	}
	for _, sep := range []string{"--", "."} {
		if i := strings.Index(text, sep); i > 0 {
			return text[:i], text[i:]
		}
	}
	return text, ""
}

// Decoded is the text that a credential holds in a coding; ok is false when it
// is none of it.
func Decoded(text, coding string) (plain string, ok bool) {
	head, _ := signed(text, coding)
	var raw []byte
	var err error
	switch coding {
	case "plain":
		raw = []byte(text)
	case "url":
		plain, err = url.QueryUnescape(text)
		if err != nil || plain == text {
			return "", false
		}
		raw = []byte(plain)
	case "base64":
		raw, err = base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/", "=", "", "%3D", "", "%3d", "").Replace(head))
	case "hex":
		raw, err = hex.DecodeString(head)
	default:
		return "", false
	}
	if err != nil || len(raw) == 0 || !utf8.Valid(raw) {
		return "", false
	}
	for _, r := range string(raw) {
		if r < ' ' {
			return "", false
		}
	}
	return string(raw), true
}

// encoded writes a text as another was written.
func encoded(like, plain, coding string) string {
	switch coding {
	case "url":
		return url.QueryEscape(plain)
	case "hex":
		if strings.ToUpper(like) == like {
			return strings.ToUpper(hex.EncodeToString([]byte(plain)))
		}
		return hex.EncodeToString([]byte(plain))
	case "base64":
		out := base64.StdEncoding.EncodeToString([]byte(plain))
		if strings.ContainsAny(like, "-_") && !strings.ContainsAny(like, "+/") {
			out = base64.URLEncoding.EncodeToString([]byte(plain))
		}
		switch {
		case strings.Contains(strings.ToUpper(like), "%3D"):
			return strings.ReplaceAll(out, "=", "%3D")
		case !strings.Contains(like, "=") && len(strings.TrimRight(like, "="))%4 != 0:
			return strings.TrimRight(out, "=")
		}
		return out
	}
	return plain
}
