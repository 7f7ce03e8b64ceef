package schema

import "time"

// MatchForTest matches by the means that compilePattern chose; means names it.
func MatchForTest(source, s string, limit time.Duration) (ok, timedOut bool, means string, err error) {
	p, _, err := compilePattern(source, limit)
	if err != nil {
		return false, false, "", err
	}
	switch {
	case p.any:
		means = "any"
	case p.runs != nil:
		means = "runs"
	case p.re != nil:
		means = "regexp"
	default:
		means = "regexp2"
	}
	ok, timedOut = p.match(s)
	return ok, timedOut, means, nil
}

// TranslateForTest returns the pattern in Go's syntax and whether Go's regexp is exact for it.
func TranslateForTest(source string) (text string, exact bool, err error) {
	t, err := translate(source, forRE2)
	return t.text, !t.backtracks, err
}

// PinnedForTest reports whether the pattern pins its strings.
func PinnedForTest(source string) bool {
	p, _, err := compilePattern(source, time.Second)
	return err == nil && p.pinned
}
