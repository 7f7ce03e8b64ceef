package upload

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest file name that common file systems take.
const maxName = 255

// badName says what is wrong with a file name, or "". named reports whether a
// media type is one that the operation names.
func badName(name string, named func(mediaType string) bool) string {
	if why := badText(name); why != "" {
		return why
	}
	// A name that is decoded once more must be as harmless.
	for s, n := name, 0; strings.Contains(s, "%") && n < 3; n++ {
		d, err := url.PathUnescape(s)
		if err != nil || d == s {
			break
		}
		if why := badText(d); why != "" {
			return why + ", percent-encoded"
		}
		s = d
	}
	parts := strings.Split(strings.ToLower(name), ".")
	for i, p := range parts[1:] {
		p = strings.TrimSpace(p)
		if serverScripts[p] {
			return "the extension of a server-side script"
		}
		if t := extensions[p]; i == len(parts)-2 && active[t] && !named(t) {
			return "the extension of a program"
		}
	}
	return ""
}

func badText(name string) string {
	switch {
	case len(name) > maxName:
		return "a name longer than 255 bytes"
	case !utf8.ValidString(name):
		return "a name that is not UTF-8"
	case strings.ContainsAny(name, `/\`):
		return "a path separator"
	case strings.ContainsRune(name, ':'):
		return "a colon: a drive or an alternate stream"
	case name == "." || name == ".." || strings.HasPrefix(name, "."):
		return "a name that starts with a dot"
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") || strings.HasPrefix(name, " "):
		return "a dot or space at the end, which Windows leaves out"
	}
	for _, r := range name {
		switch {
		case unicode.IsControl(r):
			return "a control character"
		case r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f:
			return "a character that turns the direction of writing"
		case r == '／' || r == '＼' || r == '∕' || r == '⁄':
			return "a character that some systems take for a path separator"
		}
	}
	return ""
}

// extension of a name, lower case, without the dot.
func extension(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(name[i+1:]))
}
