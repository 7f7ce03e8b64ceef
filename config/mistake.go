package config

import (
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing that is wrong with a config, where, and what would be right.
type Mistake struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // 1-based; 0 when the config did not come from a file
	Column int    `json:"column,omitempty"` // 1-based
	Path   string `json:"path,omitempty"`   // such as "apis[0].upstream.urls"
	What   string `json:"what"`             // what is wrong; never holds a secret
	Fix    string `json:"fix,omitempty"`    // what would be right
}

// Error is the mistake in one line: crenel.yaml:12: apis[0].mode: "x" is not a mode; use off, monitor or enforce.
func (m Mistake) Error() string {
	var b strings.Builder
	if m.File != "" {
		b.WriteString(m.File)
		if m.Line > 0 {
			fmt.Fprintf(&b, ":%d", m.Line)
		}
		b.WriteString(": ")
	}
	if m.Path != "" {
		b.WriteString(m.Path + ": ")
	}
	b.WriteString(m.What)
	if m.Fix != "" {
		b.WriteString("; " + m.Fix)
	}
	return b.String()
}

// Errors is every mistake of a config, in the order of the file.
type Errors []Mistake

// Error has one line a mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, m := range e {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the mistakes in the order of the file, each once.
func sorted(e []Mistake) []Mistake {
	slices.SortStableFunc(e, func(a, b Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.Compact(e)
}

// place is where a value stands in the file.
type place struct {
	line, column int
	raw          string // the scalar as written, when expansion changed it
}

// places knows where each value of a config stands, by path.
type places struct {
	file string
	at   map[string]place
}

// set reports whether the file says something at the path.
func (p *places) set(path string) bool {
	_, ok := p.at[path]
	return ok
}

// mistake places what is wrong: at the path, or at the nearest that encloses it.
func (p *places) mistake(path, what, fix string) Mistake {
	m := Mistake{File: p.file, Path: path, What: what, Fix: fix}
	for q := path; ; q = parent(q) {
		if at, ok := p.at[q]; ok {
			m.Line, m.Column = at.line, at.column
			return m
		}
		if q == "" {
			return m
		}
	}
}

// quote shows a value in a message: as it was written, so that what a variable
// held is not printed.
func (p *places) quote(path, value string) string {
	if at, ok := p.at[path]; ok && at.raw != "" {
		return fmt.Sprintf("%q, expanded,", at.raw)
	}
	if len(value) > 120 {
		value = strings.ToValidUTF8(value[:120], "") + "…"
	}
	return fmt.Sprintf("%q", value)
}

// parent is the path that encloses a path: "a.b[2]" → "a.b" → "a" → "".
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return ""
}

// join extends a path by a key.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Mistake makes a mistake with its place in the file, for checks that are made
// outside this package (a document that does not load, a policy that does not
// compile). path is such as "apis[0].spec".
func (c *Config) Mistake(path, what, fix string) Mistake {
	return c.places.mistake(path, what, fix)
}

// either writes a list of alternatives: "off, monitor or enforce".
func either(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
}

// nearest returns the word that was probably meant, or "".
func nearest(got string, words []string) string {
	best, found := 1+len(got)/3, ""
	for _, w := range words {
		if d := distance(strings.ToLower(got), w); d <= best && (found == "" || d < best) {
			best, found = d, w
		}
	}
	return found
}

// distance is the optimal string alignment distance: insertions, deletions,
// replacements and swaps of neighbours. Long words are not compared.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
