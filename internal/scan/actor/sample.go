package actor

import (
	"math/big"
	"math/rand/v2"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// sample makes a value that fits an input's schema, as a JSON tree.
func sample(in *graph.Input, rng *rand.Rand) any {
	s := in.Schema
	if s != nil {
		if e := s.Enum(); len(e) > 0 {
			return e[0].ToAny()
		}
		for _, e := range s.Examples() {
			if e.Kind != value.Null && s.Valid(e, nil) {
				return e.ToAny()
			}
		}
		if d := s.Default(); d != nil && d.Kind != value.Null {
			return d.ToAny()
		}
	}
	switch in.Type {
	case "boolean":
		return false
	case "integer", "number":
		return number(s, in.Type == "integer")
	case "array":
		return []any{}
	case "object":
		return map[string]any{}
	}
	return text(in, rng)
}

func number(s *schema.Schema, whole bool) any {
	n := 1.0
	if s != nil {
		b := s.Bounds()
		if v, err := strconv.ParseFloat(b.Minimum, 64); err == nil && n < v {
			n = v
		}
		if v, err := strconv.ParseFloat(b.ExclusiveMinimum, 64); err == nil && n <= v {
			n = v + 1
		}
		if v, err := strconv.ParseFloat(b.Maximum, 64); err == nil && n > v {
			n = v
		}
		if v, err := strconv.ParseFloat(b.ExclusiveMaximum, 64); err == nil && n >= v {
			n = v - 1
		}
	}
	if whole {
		i, _ := big.NewFloat(n).Int64()
		return i
	}
	return n
}

func text(in *graph.Input, rng *rand.Rand) string {
	switch in.Format {
	case "uuid", "guid":
		return uuid(rng)
	case "date":
		return "1990-01-15"
	case "date-time":
		return "1990-01-15T10:00:00Z"
	case "time":
		return "10:00:00Z"
	case "uri", "url", "uri-reference", "iri":
		return "https://example.com/crenel"
	case "ipv4":
		return "192.0.2.7"
	case "ipv6":
		return "2001:db8::7"
	case "hostname":
		return "crenel.example"
	case "byte":
		return "Y3JlbmVs"
	}
	if in.Schema != nil {
		for _, p := range in.Schema.Patterns() {
			if t, ok := matching(in.Schema, p, rng); ok {
				return t
			}
		}
	}
	return fitLength(in.Schema, "crenel")
}

// fitLength makes t as long as the schema wants it.
func fitLength(s *schema.Schema, t string) string {
	if s == nil {
		return t
	}
	b := s.Bounds()
	for b.MinLength > 0 && b.MinLength < 4096 && len(t) < b.MinLength {
		t += "x"
	}
	if b.MaxLength >= 0 && len(t) > b.MaxLength {
		t = t[:b.MaxLength]
	}
	return t
}

func uuid(rng *rand.Rand) string {
	const hex = "0123456789abcdef"
	b := []byte("xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx")
	for i, c := range b {
		if c == 'x' {
			b[i] = hex[rng.IntN(16)]
		}
	}
	return string(b)
}

// matching makes a text that fits both the pattern and the schema around it.
func matching(s *schema.Schema, pattern string, rng *rand.Rand) (string, bool) {
	re, err := schema.PatternTree(pattern)
	if err != nil {
		return "", false
	}
	for range 40 {
		var b strings.Builder
		steps := 10_000 // repeats within repeats grow without end
		write(&b, re, rng, &steps)
		t := b.String()
		v := value.Value{Kind: value.String, Text: t}
		if s.Valid(&v, nil) {
			return t, true
		}
	}
	return "", false
}

// write puts a text that re may match into b.
func write(b *strings.Builder, re *syntax.Regexp, rng *rand.Rand, steps *int) {
	if *steps--; *steps < 0 || b.Len() > 4096 {
		return
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			b.WriteRune(r)
		}
	case syntax.OpCharClass:
		if r, ok := fromClass(re.Rune, rng); ok {
			b.WriteRune(r)
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte("abcdefghjkmnpqrstuvwxyz"[rng.IntN(23)])
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			write(b, sub, rng, steps)
		}
	case syntax.OpAlternate:
		write(b, re.Sub[rng.IntN(len(re.Sub))], rng, steps)
	case syntax.OpQuest:
		if rng.IntN(2) == 0 {
			write(b, re.Sub[0], rng, steps)
		}
	case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
		low, high := re.Min, re.Max
		switch re.Op {
		case syntax.OpStar:
			low, high = 0, -1
		case syntax.OpPlus:
			low, high = 1, -1
		}
		if high < 0 || high > low+12 {
			high = low + 12
		}
		for range low + rng.IntN(high-low+1) {
			write(b, re.Sub[0], rng, steps)
		}
	}
}

// fromClass draws one rune of a class, one that is easy to read where it can.
func fromClass(ranges []rune, rng *rand.Rand) (rune, bool) {
	var easy []rune
	for i := 0; i+1 < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1] && r < 127; r++ {
			if r > 32 {
				easy = append(easy, r)
			}
		}
	}
	var letters []rune
	for _, r := range easy {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' {
			letters = append(letters, r)
		}
	}
	switch {
	case len(letters) > 0 && (len(letters) == len(easy) || rng.IntN(4) > 0):
		return letters[rng.IntN(len(letters))], true
	case len(easy) > 0:
		return easy[rng.IntN(len(easy))], true
	case len(ranges) > 0:
		return ranges[0], true
	}
	return 0, false
}
