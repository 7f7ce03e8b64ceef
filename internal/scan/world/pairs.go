package world

import (
	"slices"
	"strings"
)

// pairs makes values agree that belong together.
func (c *Call) pairs() {
	for _, where := range sortedKeys(c.Values) {
		text := c.Values[where]
		at := strings.LastIndexAny(where, "/.")
		if at < 0 {
			continue
		}
		words := wordsOf(where[at+1:])
		if !has(words, "confirm", "confirmation", "confirmed", "repeat", "repeated", "again", "retype", "verify", "re", "confirmpassword", "password2", "repassword", "cpassword") {
			continue
		}
		for _, other := range sortedKeys(c.Values) {
			original := c.Values[other]
			i := strings.LastIndexAny(other, "/.")
			if other == where || i < 0 || other[:i] != where[:at] {
				continue
			}
			rest := slices.DeleteFunc(slices.Clone(words), func(w string) bool {
				return has([]string{w}, "confirm", "confirmation", "confirmed", "repeat", "repeated", "again", "retype", "verify", "re")
			})
			name := wordsOf(other[i+1:])
			if len(rest) > 0 && strings.Join(rest, "") == strings.Join(name, "") || has(name, "password", "passwd", "pwd") && !has(name, "old", "current", "confirm") && len(name) <= 2 && has(words, "password", "passwd", "pwd", "password2", "repassword", "cpassword", "confirmpassword") {
				if original != text {
					c.Values[where] = original
					delete(c.Fresh, where)
					delete(c.tokens, where)
				}
				break
			}
		}
	}
}
