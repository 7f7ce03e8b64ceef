package login

import (
	"net/url"
	"path"
	"strings"
)

const maxReturn = 2048

// returnTo is where a login may end: a path of our own origin, or otherwise
// instead. What it returns begins with one slash and is only ever put behind the
// origin, so that nothing in it can name another host (CWE-601). Backslashes and
// control characters, which browsers read as slashes or skip, are not taken.
func (l *Login) returnTo(asked, otherwise string) string {
	to := asked
	if rest, ok := strings.CutPrefix(asked, l.origin); ok {
		to = rest
	}
	if to == "" || len(to) > maxReturn || to[0] != '/' || strings.HasPrefix(to, "//") {
		return otherwise
	}
	for i := range len(to) {
		if c := to[i]; c <= 0x20 || c >= 0x7f || c == '\\' {
			return otherwise
		}
	}
	file, _, _ := strings.Cut(to, "?")
	file, _, _ = strings.Cut(file, "#")
	// The pages of the login lead nowhere by themselves, and logout must not be
	// where a login ends, however its path is written: "/x/../auth/logout".
	plain, err := url.PathUnescape(file)
	if err != nil {
		return otherwise
	}
	if plain = path.Clean(plain); plain == l.path || strings.HasPrefix(plain, l.path+"/") {
		return otherwise
	}
	return to
}
