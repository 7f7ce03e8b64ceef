package world

import "strings"

// passwordLike is a password of the form of one that the target took, when it registered
// somebody, and another one: what rules it has for passwords, it meets. "" when none is known.
func (w *World) passwordLike() string {
	for _, a := range w.people.All() {
		if p := a.Facts["password"]; a.Made && len(p) > 3 {
			return quoted(strings.Map(next, p))
		}
	}
	return ""
}

// next is the letter or digit after one, of the same kind; others stay as they are.
func next(r rune) rune {
	switch {
	case r == 'z', r == 'Z':
		return r - 25
	case r == '9':
		return '1'
	case r >= 'a' && r < 'z', r >= 'A' && r < 'Z', r >= '0' && r < '9':
		return r + 1
	}
	return r
}
