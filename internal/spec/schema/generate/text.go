package generate

import (
	"encoding/base64"
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// textTries is how many strings are tried for one place.
const textTries = 200

// text makes a string.
func (g *maker) text(n *need) (value.Value, error) {
	low, high := 0, -1
	var pattern, format string
	for _, r := range n.rules {
		low = max(low, r.Bounds.MinLength)
		if m := r.Bounds.MaxLength; m >= 0 && (high < 0 || m < high) {
			high = m
		}
		if r.Pattern != "" && pattern == "" {
			pattern = r.Pattern
		}
		if r.Format != "" && formatTexts[r.Format] != nil {
			format = r.Format
		}
	}
	if high >= 0 && low > high || low > 1<<20 {
		return value.Value{}, ErrNoValue
	}
	var tree *syntax.Regexp
	if pattern != "" {
		var err error
		if tree, err = schema.PatternTree(pattern); err != nil {
			return value.Value{}, fmt.Errorf("%w: %w", ErrNoValue, err)
		}
	}
	fits := func(s string) bool {
		v := value.Value{Kind: value.String, Text: s}
		for _, t := range n.schemas {
			r := g.of(t)
			if r.OneOf != nil || r.AnyOf != nil || r.Not != nil || r.If != nil {
				continue // judged as a whole later
			}
			if !t.Valid(&v, nil) {
				return false
			}
		}
		return true
	}
	for try := range textTries {
		var s string
		switch {
		case tree != nil:
			s = g.matching(tree, try, low)
		case format != "":
			s = g.formatted(format, low)
		default:
			s = g.word(low, high)
		}
		if g.left--; g.left <= 0 {
			break
		}
		if fits(s) {
			return value.Value{Kind: value.String, Text: s}, nil
		}
	}
	return value.Value{}, ErrNoValue
}

// word makes a plain word.
func (g *maker) word(low, high int) string {
	n := low + g.rng.IntN(8)
	if low == 0 {
		n++
	}
	if high >= 0 {
		n = min(n, high)
	}
	return g.letters(n)
}

func (g *maker) letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + g.rng.IntN(26))
	}
	return string(b)
}

func (g *maker) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + g.rng.IntN(10))
	}
	return string(b)
}

func (g *maker) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[g.rng.IntN(16)]
	}
	return string(b)
}

func (g *maker) date() string {
	return fmt.Sprintf("20%02d-%02d-%02d", g.rng.IntN(40), 1+g.rng.IntN(12), 1+g.rng.IntN(28))
}

func (g *maker) clock() string {
	return fmt.Sprintf("%02d:%02d:%02dZ", g.rng.IntN(24), g.rng.IntN(60), g.rng.IntN(60))
}

// formatTexts make strings of each asserted format, of at least n characters
// where the format leaves the length open.
var formatTexts = map[string]func(g *maker, n int) string{
	"date":      func(g *maker, _ int) string { return g.date() },
	"date-time": func(g *maker, _ int) string { return g.date() + "T" + g.clock() },
	"time":      func(g *maker, _ int) string { return g.clock() },
	"duration":  func(g *maker, _ int) string { return fmt.Sprintf("P%dDT%dH", g.rng.IntN(30), g.rng.IntN(24)) },
	"email":     func(g *maker, n int) string { return g.letters(max(4, min(n, 64)-12)) + "@example.com" },
	"idn-email": func(g *maker, n int) string { return g.letters(max(4, min(n, 64)-12)) + "@example.com" },
	"uuid": func(g *maker, _ int) string {
		return fmt.Sprintf("%s-%s-4%s-a%s-%s", g.hex(8), g.hex(4), g.hex(3), g.hex(3), g.hex(12))
	},
	"uri":           func(g *maker, n int) string { return "https://example.com/" + g.letters(max(4, n-20)) },
	"iri":           func(g *maker, n int) string { return "https://example.com/" + g.letters(max(4, n-20)) },
	"uri-reference": func(g *maker, n int) string { return "/" + g.letters(max(4, n)) },
	"iri-reference": func(g *maker, n int) string { return "/" + g.letters(max(4, n)) },
	"hostname":      func(g *maker, n int) string { return g.letters(max(4, min(n, 60)-8)) + ".example" },
	"ipv4":          func(g *maker, _ int) string { return fmt.Sprintf("192.0.2.%d", g.rng.IntN(256)) },
	"ip":            func(g *maker, _ int) string { return fmt.Sprintf("192.0.2.%d", g.rng.IntN(256)) },
	"ipv6":          func(g *maker, _ int) string { return "2001:db8::" + g.hex(4) },
	"byte": func(g *maker, n int) string {
		return base64.StdEncoding.EncodeToString([]byte(g.letters(max(3, n*3/4))))
	},
	"base64url": func(g *maker, n int) string {
		return base64.RawURLEncoding.EncodeToString([]byte(g.letters(max(3, n*3/4))))
	},
	"regex":                 func(g *maker, n int) string { return "^" + g.letters(max(3, n)) + "$" },
	"json-pointer":          func(g *maker, n int) string { return "/" + g.letters(max(3, n)) },
	"relative-json-pointer": func(g *maker, n int) string { return "0/" + g.letters(max(3, n)) },
}

func (g *maker) formatted(format string, low int) string { return formatTexts[format](g, low) }

// matching makes a string from a pattern's tree. Later tries repeat more, up to
// the length needed; an open end is left empty first.
func (g *maker) matching(re *syntax.Regexp, try, low int) string {
	var b strings.Builder
	grow := 2 + try/8
	if low > 0 && try%2 == 1 {
		grow = max(grow, low)
	}
	g.walk(re, &b, grow)
	s := b.String()
	if n := utf8.RuneCountInString(s); n < low && !ended(re) {
		s += g.letters(low - n)
	}
	return s
}

// ended reports whether the pattern ends in $.
func ended(re *syntax.Regexp) bool {
	for re.Op == syntax.OpConcat && len(re.Sub) > 0 || re.Op == syntax.OpCapture {
		re = re.Sub[len(re.Sub)-1]
	}
	return re.Op == syntax.OpEndText
}

const longest = 4096

func (g *maker) walk(re *syntax.Regexp, b *strings.Builder, grow int) {
	if b.Len() > longest {
		return
	}
	repeat := func(low, high int) {
		n := low
		if high < 0 {
			high = low + grow
		}
		if high > low {
			n += g.rng.IntN(min(high-low, grow) + 1)
		}
		for range n {
			g.walk(re.Sub[0], b, grow)
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(g.rune(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteRune(rune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@!-_#$%"[g.rng.IntN(69)]))
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			g.walk(sub, b, grow)
		}
	case syntax.OpAlternate:
		g.walk(re.Sub[g.rng.IntN(len(re.Sub))], b, grow)
	case syntax.OpStar:
		repeat(0, -1)
	case syntax.OpPlus:
		repeat(1, -1)
	case syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpRepeat:
		repeat(re.Min, re.Max)
	}
}

// rune picks of a class's ranges, printable ASCII first.
func (g *maker) rune(ranges []rune) rune {
	var plain []rune
	for i := 0; i+1 < len(ranges); i += 2 {
		for r := max(ranges[i], ' '); r <= min(ranges[i+1], '~'); r++ {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				plain = append(plain, r, r, r)
			} else {
				plain = append(plain, r)
			}
		}
	}
	if plain != nil {
		return plain[g.rng.IntN(len(plain))]
	}
	if len(ranges) < 2 {
		return 'x'
	}
	i := 2 * g.rng.IntN(len(ranges)/2)
	r := ranges[i] + rune(g.rng.IntN(int(min(ranges[i+1]-ranges[i], 200))+1))
	if !utf8.ValidRune(r) {
		return ranges[i]
	}
	return r
}
