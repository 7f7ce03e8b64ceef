package triage

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// libinjection is the library itself, as the engine asks it.
func libinjection(t testing.TB) func(string) bool {
	t.Helper()
	op, err := engineOperator("detectSQLi", plugintypes.OperatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return func(s string) bool { return op.Evaluate(quiet{}, s) }
}

// sqlTexts makes texts of what libinjection tells apart: words and phrases of its table,
// names, numbers, operators, quotes and what stands between them.
type sqlTexts struct {
	rng          *rand.Rand
	words, signs []string
	prints       []string // fingerprints of SQL
	byKind       map[byte][]string
}

func newSQLTexts(seed uint64) *sqlTexts {
	s := &sqlTexts{rng: rand.New(rand.NewPCG(seed, 7)), byKind: map[byte][]string{
		'n': {"abc", "x_1", "a.b", "élan", "users", "[a b]", "longer_than_thirty_two_characters_it_is", "user", "current_date", "q", "nq", "e", "x", "0x"},
		'1': {"1", "0x1f", "1.5", "1e5", ".5", "0b1", "1.e", "10f", "2d ", "7fu"},
		's': {"'a'", `"b c"`, "'it''s'", "'", `"`},
		'v': {"@a", "@@version", "@"},
		'o': {"+", "-", "*", "/", "=", "<>", "<=>", "!", "!!", "not", "like", "is", "::", "||", ":="},
		'(': {"(", "(("}, ')': {")", "))"}, ',': {","}, ';': {";"}, '{': {"{"}, '}': {"}"}, '.': {"."}, ':': {":"}, '?': {"?", "]"}, 'C': {"/* */", "-- ", "#"},
	}}
	for _, key := range slices.Sorted(maps.Keys(sqlWords)) {
		kind := sqlWords[key]
		if kind == 'F' {
			s.prints = append(s.prints, key[1:])
			continue
		}
		s.words = append(s.words, key)
		if kind >= 'a' && kind <= 'z' {
			kind -= 'a' - 'A' // as in fingerprints
		}
		s.byKind[kind] = append(s.byKind[kind], key)
	}
	for kind, list := range s.byKind {
		if kind >= 'a' && kind <= 'z' {
			s.byKind[kind-'a'+'A'] = append(s.byKind[kind-'a'+'A'], list...)
		}
		if kind < 'A' || kind > 'Z' {
			s.signs = append(s.signs, list...)
		}
	}
	slices.Sort(s.signs)
	return s
}

func pick(rng *rand.Rand, list []string) string { return list[rng.IntN(len(list))] }

// next makes a text: many of them begin as a fingerprint of SQL says, or with values.
func (s *sqlTexts) next() string {
	var b strings.Builder
	word := func(w string) {
		switch s.rng.IntN(4) {
		case 0:
			w = strings.ToLower(w)
		case 1:
			w = strings.Map(func(r rune) rune {
				if s.rng.IntN(2) == 0 {
					return unicode.ToLower(r)
				}
				return r
			}, w)
		}
		b.WriteString(w)
		switch s.rng.IntN(12) {
		case 0:
		case 1:
			b.WriteString(pick(s.rng, []string{"\t", "\n", "  ", "\x00", "\xa0", "\v"}))
		default:
			b.WriteByte(' ')
		}
	}
	begin := ""
	switch s.rng.IntN(4) {
	case 0, 1:
		begin = pick(s.rng, s.prints)
	case 2:
		for range 2 + s.rng.IntN(2) {
			begin += pick(s.rng, []string{"n", "s", "1"})
		}
		begin += pick(s.rng, s.prints)
	}
	for _, kind := range []byte(begin) {
		if list := s.byKind[kind]; len(list) > 0 {
			word(pick(s.rng, list))
		}
	}
	for range s.rng.IntN(6) {
		switch n := s.rng.IntN(20); {
		case n < 8:
			word(pick(s.rng, s.words))
		case n < 16:
			word(pick(s.rng, s.signs))
		case n < 18:
			word(strconv.Itoa(s.rng.IntN(1000)))
		default:
			b.WriteString(string([]byte{byte(s.rng.IntN(256)), byte(s.rng.IntN(256))}))
		}
	}
	return b.String()
}

// What is called no SQL, libinjection must call none: SQLI_TEXTS says how many texts
// are tried.
func TestSilentSQL(t *testing.T) {
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	if s := os.Getenv("SQLI_TEXTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	texts, is := newSQLTexts(seed), libinjection(t)
	silent, sql := 0, 0
	for range n {
		s := texts.next()
		found := is(s)
		if found {
			sql++
		}
		if sqlTable.Silent(s) {
			silent++
			if found {
				t.Fatalf("seed %d: %q is called no SQL, libinjection finds some", seed, s)
			}
		}
	}
	t.Logf("%d texts: %d are SQL, %d are called none", n, sql, silent)
	if sql < n/20 || silent < n/20 {
		t.Error("one of the two hardly ever happened: the test does not test")
	}
}

// Prose must not be asked about, or the table is of no use.
func TestProseIsSilent(t *testing.T) {
	is := libinjection(t)
	for _, s := range []string{
		"Meet at 10, bring the blue folder 7 and the keys of the old shed", "A plain note 12", "It's the dog's bowl, isn't it?",
		"Call me (after 9:30) at the office; I'll be late.", `She said "see you" and left`, "alice@example.com", "https://example.com/a/b?c=d",
		"7f3c2d1e-aaaa-4bbb-8ccc-1234567890ab", "12 Main Street, Springfield", "Überraschung für Zoë", "Order the parts from the usual shop.",
	} {
		if is(s) {
			t.Fatalf("libinjection finds SQL in %q", s)
		}
		if !sqlTable.Silent(s) {
			t.Errorf("the library must be asked about %q", s)
		}
	}
}

func FuzzSilentSQL(f *testing.F) {
	texts, is := newSQLTexts(1), libinjection(f)
	for range 200 {
		f.Add(texts.next())
	}
	f.Fuzz(func(t *testing.T, s string) {
		if sqlTable.Silent(s) && is(s) {
			t.Fatalf("%q is called no SQL, libinjection finds some", s)
		}
	})
}

// Of all characters beyond ASCII, only two have an upper case within: the table must
// be told of no other.
func TestUpperCaseInASCII(t *testing.T) {
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if u := unicode.ToUpper(r); u < 0x80 && r != 'ı' && r != 'ſ' {
			t.Errorf("%U is %q in upper case", r, u)
		}
	}
}

func BenchmarkSilentSQL(b *testing.B) {
	const s = "Meet at 10, bring the blue folder 7 and the keys of the old shed"
	b.ReportAllocs()
	for b.Loop() {
		if !sqlTable.Silent(s) {
			b.Fatal(s)
		}
	}
}
