package automaton

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// listed are expressions whose every feature an automaton must read as regexp does.
var listed = []string{
	`abc`, `(?i)abc`, `^abc`, `abc$`, `(?m)^abc$`, `\Aabc\z`, `\bor\b`, `\Bor\B`, `a{2,5}b`, `(a|b)*c`, `(?s)a.c`, `a.c`, `[^a-z]`, `(?i)[^a]k`,
	`[\s\x0b]+x`, `é`, `(?i)É`, `[à-ü]+`, `\x{1F600}`, `x*`, `^$`, `(?m)^$`, `\w+@\w+`, `(?i)s`, `$`, `^`, `(?m)$a`, `a(?:b|c)?d`, `.`, `(?s).`, `\n`, `\pL\d`, `[^\x00-\x7f]`,
	`\x{FFFD}`, `(?:)`, `a\b`, `\b`, `\B`, `(?m:^)b(?m:$)`,
}

// check compares an automaton with regexp.
func check(t *testing.T, a *Automaton, list []*regexp.Regexp, text string) {
	t.Helper()
	got, err := a.Find(text, nil)
	if errors.Is(err, ErrGivenUp) {
		return
	}
	for i, re := range list {
		if want := re.MatchString(text); want != slices.Contains(got, int32(i)) {
			t.Errorf("%q on %q: %v, regexp says %v", re, text, !want, want)
		}
	}
	for i, id := range got {
		if slices.Contains(got[i+1:], id) {
			t.Errorf("%q is found twice in %q", list[id], text)
		}
	}
}

func compiled(t testing.TB, texts ...string) (*Automaton, []*regexp.Regexp) {
	t.Helper()
	var list []Expression
	var res []*regexp.Regexp
	for _, s := range texts {
		list, res = append(list, Expression{Text: s}), append(res, regexp.MustCompile(s))
	}
	a, err := New(list, false)
	if err != nil {
		t.Fatal(err)
	}
	return a, res
}

func TestFindsWhatRegexpFinds(t *testing.T) {
	a, res := compiled(t, listed...)
	pieces := []string{"abc", "ABC", "or", "for", " ", "\n", "a", "b", "c", "k", "K", "\u212a", "é", "É", "\xc3", "\xff", "x", "\x0b", "_", "7", "@", "\U0001F600", "ſ", "\xe2\x82", "�", "dd", "aab"}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var b strings.Builder
		for range rng.IntN(7) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		check(t, a, res, b.String())
	}
}

// Alone, no expression may lean on what another has made.
func TestEachAlone(t *testing.T) {
	for _, s := range listed {
		a, res := compiled(t, s)
		for _, text := range []string{"", "abc", "xabc", "abc\nabc", "for or", "\n", "\n\n", "é", "\xff", "aaab", "a\nc", "b", "bc\nb"} {
			check(t, a, res, text)
		}
	}
}

func TestBytes(t *testing.T) {
	a, err := New([]Expression{{Text: `\xbc[^\xbe>]*[\xbe>]`}, {Text: `[\x80-\xff]$`}}, true)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int32{
		"\xbcscript\xbe": {0, 1}, "\xbcx>": {0}, "é": {1}, "plain": nil, "\xbc\xbe.": {0},
	} {
		got, err := a.Find(text, nil)
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
}

func TestLower(t *testing.T) {
	a, err := New([]Expression{{Text: `java\.[a-f]+x`, Lower: true}, {Text: `Java`, Lower: true}, {Text: `[^A]b`, Lower: true}}, false)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int32{
		"java.ax": {0}, "JAVA.AX": {0, 1}, "jAva.aX": {0}, "Java": {1}, "JAVA": {1}, "java": nil, "Ab": {2}, "AB": {2}, "xB": {2}, "b": nil,
	} {
		// What an expression in upper case finds in a text as it stands is found, too.
		got, err := a.Find(text, nil)
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
}

// When no more states have room, a new table begins, and nothing is missed.
func TestTablesAreReplaced(t *testing.T) {
	a, res := compiled(t, `a.{14}b`, `c\d{3}`, `zz$`)
	first := a.states.Load()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		text := make([]byte, 40)
		for i := range text {
			text[i] = "abc123z"[rng.IntN(7)]
		}
		check(t, a, res, string(text))
	}
	if a.states.Load() == first {
		t.Error("one table had room for everything: the test does not test")
	}
}

func TestGivesUp(t *testing.T) {
	a, _ := compiled(t, `a.{11}b`)
	rng := rand.New(rand.NewPCG(5, 6))
	text := make([]byte, 20_000)
	for i := range text {
		text[i] = "ac"[rng.IntN(2)]
	}
	if _, err := a.Find(string(text), nil); !errors.Is(err, ErrGivenUp) {
		t.Fatal(err)
	}
	if _, err := a.Find("a plain text", nil); err != nil {
		t.Error("a text that is no trouble:", err)
	}
}

func TestConcurrently(t *testing.T) {
	a, res := compiled(t, `a.{8}b`, `c\d{3}`, `\bor\b`)
	var wait sync.WaitGroup
	for n := range 4 {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(n)))
			for range 500 {
				text := make([]byte, 60)
				for i := range text {
					text[i] = "abc1 or"[rng.IntN(7)]
				}
				check(t, a, res, string(text))
			}
		})
	}
	wait.Wait()
}

func TestRefusesWhatRegexpRefuses(t *testing.T) {
	for _, s := range []string{`(`, `a{2000}`, `(?=a)`, `\8`} {
		if _, err := New([]Expression{{Text: `ok`}, {Text: s}}, false); err == nil || !strings.Contains(err.Error(), "expression 1") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range listed {
		f.Add(s, "abc or \xff é\n")
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 40 || len(text) > 200 {
			return
		}
		if re, err := syntax.Parse(expr, syntax.Perl); err != nil || re.MaxCap() > 5 {
			return
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			return
		}
		a, err := New([]Expression{{Text: `other`}, {Text: expr}}, false)
		if err != nil {
			t.Fatal(err)
		}
		check(t, a, []*regexp.Regexp{regexp.MustCompile(`other`), re}, text)
	})
}

func BenchmarkFind(b *testing.B) {
	a, _ := compiled(b, `(?i)union.*?select.*?from`, `(?i)<script[^>]*>`, `\$\{[^}]+\}`, `(?:^|[/;\\])\.{2,3}[/;\\]`, `(?i)\bexec\s*\(`)
	for _, n := range []int{1, 30} {
		text := strings.Repeat("Meet at 10, bring the blue folder. ", n)
		b.Run(strconv.Itoa(len(text)), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if found, err := a.Find(text, nil); err != nil || len(found) > 0 {
					b.Fatal(found, err)
				}
			}
		})
	}
}
