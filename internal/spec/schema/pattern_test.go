package schema_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

func TestPatterns(t *testing.T) {
	for _, tc := range []struct {
		pattern, means, yes, no string // yes and no are separated by ¦
	}{
		{`^[a-z0-9-]{1,36}$`, "runs", "a¦a-b-9", "¦A¦a b¦a\n¦é"},
		{`^\d{4}-\d{2}-\d{2}$`, "runs", "2024-01-02", "2024-1-2¦٢٠٢٤-01-02¦2024-01-02\n"},
		{`^https://`, "runs", "https://x¦https://", "http://x¦ https://x"},
		{`^\w+$`, "runs", "abc_9", "é¦¦a-b"},
		{`^\S+$`, "runs", "abc¦é", "a b¦a\u00a0b¦\ufeff"},
		{`^.{1,3}$`, "runs", "abc¦ééé¦𝄞", "¦a\nb¦abcd¦a\u2028"},
		{`^[\s\S]*$`, "runs", "¦a\nb", ""},
		{`^[^<>]*$`, "runs", "¦a\nb", "<"},
		{`^a*ab$`, "runs", "ab¦aaab", "b"},
		{`^[a-c]*ab$`, "regexp", "ab¦cab", "b"},
		{`^[a-z]*[0-9]?x$`, "regexp", "x¦abx¦ab1x", "1"},
		{`^a?$`, "runs", "¦a", "aa"},
		{`a+`, "regexp", "xxaay", "b"},
		{`^(foo|bar)$`, "regexp", "foo¦bar", "foobar¦foo\n"},
		{`^$`, "runs", "", "a"},
		{``, "any", "¦a", ""},
		{`^`, "any", "¦a", ""},
		{`^(?=.*\d)(?=.*[a-z]).{4,}$`, "regexp2", "abc1", "abcd¦1234¦a1"},
		{`^(?!admin)[a-z]+$`, "regexp2", "user", "admin¦admins"},
		{`^(a)\1$`, "regexp2", "aa", "ab"},
		{`^(?<x>a|b)\k<x>$`, "regexp2", "aa¦bb", "ab"},
		{`\bword\b`, "regexp", "a word here", "sword"},
		{`^\bé(?!x)`, "regexp2", "", "é"}, // é is no word character in ECMA-262
		{`^[\w-]{1,4096}$`, "runs", strings.Repeat("a", 4096), strings.Repeat("a", 4097)},
		{`^(?:ab){2000}$`, "regexp2", strings.Repeat("ab", 2000), strings.Repeat("ab", 1999)},
		{`^\p{L}+$`, "runs", "é¦中", "1"},
		{`^\p{Letter}+$`, "runs", "é", "1"},
		{`^\p{Script=Greek}$`, "runs", "α", "a"},
		{`^[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*$`, "runs", "a\r\n𝄞", "\x01"},
		{`^\u{1F600}$`, "runs", "😀", "a"},
		{`^\cA\x41$`, "runs", "\x01A", "A"},
		{`^[\]\-]$`, "runs", "]¦-", "a"},
		{`^[^]$`, "runs", "a¦\n", ""},
		{`^[]$`, "runs", "", "a"},
		{`^a{,3}$`, "runs", "a{,3}", "aaa"},
		{`^x{$`, "runs", "x{", "x"},
		{`\Aabc\Z`, "runs", "abc", "abc\n¦xabc"},
		{`(?i)^abc$`, "regexp", "ABC", "abd"},
		{`^[[:alpha:]]+$`, "runs", "abc", "[:¦1"},
		{`/^[a-z]+$/`, "runs", "abc", "/abc/"},
		{`^(?!__)[a-z_]+$`, "regexp2", "a__", "__a"},
		{`^[^/:|\000-\037]+$`, "runs", "abc", "a\x1f¦a/b¦\x00"},
		{`^\0$`, "runs", "\x00", "0"},
		{`^([a-z]|\p{IsLetter})*$`, "runs", "aé", "1"},
		{`^(?=a`, "", "", ""},
		{`[z-a]`, "", "", ""},
		{`a**`, "", "", ""},
		{`a++`, "", "", ""},
		{`(`, "", "", ""},
		{`\p{Nonsense}`, "", "", ""},
	} {
		for i, list := range []string{tc.yes, tc.no} {
			if i == 0 && list == "" && tc.means != "any" && tc.pattern != "^$" {
				continue
			}
			if i == 1 && list == "" && tc.means != "" && tc.pattern != "^[^]$" {
				continue
			}
			for _, s := range strings.Split(list, "¦") {
				ok, late, means, err := schema.MatchForTest(tc.pattern, s, time.Second)
				if (err != nil) != (tc.means == "") {
					t.Errorf("%s: %v", tc.pattern, err)
					continue
				}
				if err == nil && (ok != (i == 0) || late || means != tc.means && !(tc.means == "runs" && means == "any")) {
					t.Errorf("%s on %.40q: %v by %s (late %v), want %v by %s", tc.pattern, s, ok, means, late, i == 0, tc.means)
				}
			}
		}
	}
}

func TestPinnedPatterns(t *testing.T) {
	for pattern, want := range map[string]bool{
		`^[a-z0-9-]{1,36}$`: true, `^\d+$`: true, `^[A-Z]{2}:\d{3}$`: true, `^(foo|bar-\d)$`: true, `^\w[\w.:-]*$`: true,
		`^[a-z]+`: false, `[a-z]+$`: false, `^a|b$`: false, `^[^<>]*$`: false, `^.*$`: false, `^[a-z ]+$`: false, `^\S+$`: false,
		`^[+-]-z$`: false, `^(?!x)[a-z]+$`: false, `(?i)^[a-j]+$`: true, `(?i)^k$`: false, `^[\w-]{1,4096}$`: true, `^[\w/]{1,4096}$`: false,
	} {
		if got := schema.PinnedForTest(pattern); got != want {
			t.Errorf("%s: pinned %v, want %v", pattern, got, want)
		}
	}
}

// TestPatternTimeout: a pattern that runs away refuses, and is said to.
func TestPatternTimeout(t *testing.T) {
	s, problems := compile(t, schema.OpenAPI31, `{"not": {"pattern": "^(?=x)(x+x+)+y$"}}`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	v := value.Value{Kind: value.String, Text: strings.Repeat("x", 5000)}
	start := time.Now()
	faults := s.Validate(&v, nil)
	if len(faults) != 1 || faults[0].Keyword != "pattern" || !faults[0].TimedOut {
		t.Errorf("%v", faults)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	// Go's regexp is linear, and still takes seconds for a large program.
	s, _ = compile(t, schema.OpenAPI31, `{"pattern": "(x{0,500}y?){1,2}z"}`)
	v.Text = strings.Repeat("x", 1<<20)
	start = time.Now()
	faults = s.Validate(&v, nil)
	if len(faults) != 1 || !faults[0].TimedOut {
		t.Errorf("%v", faults)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

// FuzzPattern: the fast paths match exactly what the plain engine matches.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{`^[a-z0-9-]{1,36}$`, "abc"}, {`^a*b?c+$`, "aac"}, {`^\d{2,}[^x]`, "12y"}, {`^x[a-c]*[d-f]?$`, "xad"},
		{`^(?:a)(b)*$`, "abb"}, {`^[\s\S]{0,3}`, "\n"}, {`^é?e$`, "ée"}, {`^\w{3,2000}$`, "abc"}, {`^aa?a$`, "aa"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 100 || len(s) > 1000 {
			return
		}
		s = strings.ToValidUTF8(s, "?")
		got, late, means, err := schema.MatchForTest(pattern, s, time.Second)
		if err != nil || late || means == "regexp2" || strings.HasPrefix(pattern, "/^") {
			return
		}
		text, exact, err := schema.TranslateForTest(pattern)
		if err != nil || !exact {
			return
		}
		re, err := regexp.Compile(text)
		if err != nil {
			return
		}
		if want := re.MatchString(s); got != want {
			t.Fatalf("%q on %q by %s: %v, want %v", pattern, s, means, got, want)
		}
		if schema.PinnedForTest(pattern) && got {
			for _, r := range s {
				if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:", r) {
					t.Fatalf("%q is called pinned and matches %q", pattern, s)
				}
			}
		}
	})
}
