package report

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
)

// severities, the gravest first.
var severities = []finding.Severity{finding.Critical, finding.High, finding.Medium, finding.Low, finding.Info}

// tally counts findings by severity; those that are suppressed are apart.
func tally(list []*finding.Finding) (by map[finding.Severity]int, suppressed, fresh int) {
	by = map[finding.Severity]int{}
	for _, f := range list {
		if f.Suppressed != nil {
			suppressed++
			continue
		}
		by[f.Severity]++
		if f.New != nil && *f.New {
			fresh++
		}
	}
	return by, suppressed, fresh
}

// operation names what a finding is about: "GET /orders/{id}", or the API.
func operation(method, path string) string {
	switch {
	case path == "":
		return "the API as a whole"
	case method == "":
		return path
	}
	return method + " " + path
}

// also names the places of a row beside its own; those of another check with what it
// found there.
func also(f *finding.Finding) []string {
	var out []string
	for _, a := range f.Also() {
		text := operation(a.Method, a.Path)
		if a.Where != "" && a.Where != f.Where {
			text += " at " + a.Where
		}
		if a.Check != f.Check {
			text += " (" + a.Check + ": " + a.Title + ")"
		}
		out = append(out, clean(text))
	}
	return out
}

// unreached are the operations without a 2xx.
func unreached(r *scan.Report) (method, path, reason []string) {
	for _, c := range r.Coverage {
		if !c.Reached {
			method, path, reason = append(method, c.Method), append(path, c.Path), append(reason, c.Reason)
		}
	}
	return method, path, reason
}

// clean makes text that came from outside safe to show: control characters, those
// that turn the direction of writing and those that end a line or a paragraph are shown,
// not obeyed (CWE-150; UAX #9, UAX #14).
func clean(s string) string {
	s = strings.ToValidUTF8(s, "�")
	odd := func(r rune) bool {
		return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x061c || r >= 0x200e && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}
	if strings.IndexFunc(s, odd) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if odd(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// line is text on one line, clean, and cut after so many characters.
func line(s string, most int) string {
	return cut(clean(strings.Join(strings.Fields(s), " ")), most)
}

func cut(s string, most int) string {
	if most <= 0 || utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// wrap breaks text into lines of at most width characters, between words.
func wrap(s string, width int) []string {
	var out []string
	now, n := "", 0
	for _, w := range strings.Fields(clean(strings.ReplaceAll(s, "\n", " "))) {
		l := utf8.RuneCountInString(w)
		if n > 0 && n+1+l > width {
			out, now, n = append(out, now), "", 0
		}
		if n > 0 {
			now += " "
			n++
		}
		now += w
		n += l
	}
	if n > 0 {
		out = append(out, now)
	}
	return out
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
