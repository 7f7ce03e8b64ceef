package triage

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// What is quicker than the engine must make of every ASCII text what the engine makes.
func FuzzQuickly(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a plain text", "Meet at 10, bring; the  (blue) /folder", "C:\\a\\..\\b. ", " . ", "a/./b/../c/", "QUJD REVG", "QUJDRA==", "a\r\nQ", "\t\v\f\r\n", `"'^\`, "x:y:z", "/", "a.b. ", "a\xff \u2003é\u00a0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := profileOf(text)
		var s scan
		for name, quick := range quickly {
			if !p.ascii && name != "removeWhitespace" {
				continue
			}
			engine := name
			if name == anyCaseCmdLine {
				engine = "cmdLine"
			}
			want, _, err := engines(engine)(text)
			if err != nil {
				t.Fatal(err)
			}
			got := quick(&s, text)
			if name == anyCaseCmdLine {
				got = strings.ToLower(got)
			}
			if got != want {
				t.Errorf("%s of %q is %q, the engine makes %q", name, text, got, want)
			}
		}
	})
}

// What decoders leave alone must be what they leave alone.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"a plain text", "a-b", "a- -b", "a--b", "/*", "*/", "%41", "&lt;", "a+b", "é", "\\u0041", "#", "a*b", "<!--", "-->"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := profileOf(text)
		for name := range decoders {
			if out, _, err := engines(name)(text); (p.plain || p.idle(idles[name], text)) && (err != nil || out != text) {
				t.Errorf("%s of %q is %q, %v", name, text, out, err)
			}
		}
		if out, _, err := engines("lowercase")(text); p.idle(noUpper, text) && (err != nil || out != text) {
			t.Errorf("lowercase of %q is %q, %v", text, out, err)
		}
		for name := range shrinking {
			if out, _, err := engines(name)(text); err == nil && utf8.RuneCountInString(out) > utf8.RuneCountInString(text) {
				t.Errorf("%s of %q is longer: %q", name, text, out)
			}
		}
	})
}

// Each step of an opening is the engine's own; making lower case may leave letters of ASCII.
// What is called a path that stays as it is must be one, whatever it holds.
func FuzzOpening(f *testing.F) {
	for _, s := range []string{"C & D", "a&b", "a&lt;b", "a&ltb", "50 % of", "50%", "%4", "%u00", "a+b", "# 1", "a--b", "/*a*/", "*/", "<!--", "Ä \u212a", "\xdc\xa0", "&#60", "é%", "\uff06lt;", "a/b é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := marksOf(text)
		for name := range decoders {
			var o opening
			want, _, err := engines(name)(text)
			if err != nil {
				want = text
			}
			if got := o.path([]string{name}).apply(text, m); got != want {
				t.Errorf("%s of %q is %q, the engine makes %q", name, text, got, want)
			}
		}
		var o opening
		want, _, _ := engines("lowercase")(text)
		if got := o.path([]string{"lowercase"}).apply(text, m); got != want && !lowerOf(want, got) {
			t.Errorf("lowercase of %q is %q, the engine makes %q", text, got, want)
		}
		if out, _, _ := engines("normalizePath")(text); cleanPath(text) && out != text {
			t.Errorf("%q is no clean path: %q", text, out)
		}
		if out, _, _ := engines("normalizePathWin")(text); m&unread == 0 && cleanEnough(text, m) && !strings.HasPrefix(text, out) {
			t.Errorf("%q is no clean path: Windows makes %q", text, out)
		}
		xss, err := engineOperator("detectXSS", plugintypes.OperatorOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r := &rule{name: "detectXSS", operator: xss, chains: [][]plugintypes.Transformation{nil}, decoding: true}
		if m&unread == 0 && r.silent(text, m) && r.matches(text) {
			t.Errorf("there is a script in %q", text)
		}
	})
}

// What is taken for no SQL and no script at a glance must be neither to the engine.
func FuzzQuiet(f *testing.F) {
	for _, s := range []string{"a plain note 7", "select a from b", "1 union select 2", "ref-7/b: x", "alice@example.com", "1.e(2)", "a.b.c", "x, y, z", "123from", "_x", "@a", "onload x", "a=b", "1 or 1", "in boolean mode", "123 abc d e f g h",
		"1-@a", "-1 -1", "::x", ":=", "0x1f", ".5.e1", "cast as", "user.name", "a b c d e f g h i j"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := profileOf(text)
		for _, name := range []string{"detectSQLi", "detectXSS"} {
			op, err := engineOperator(name, plugintypes.OperatorOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r := &rule{name: name, operator: op, chains: [][]plugintypes.Transformation{nil}, decoding: true}
			want := op.Evaluate(quiet{}, text)
			if r.quiet(text, &p) && want {
				t.Errorf("%s finds something in %q", name, text)
			}
			if got := r.hit(text, &p); got != want {
				t.Errorf("%s in %q: %v, want %v", name, text, got, want)
			}
		}
	})
}

// Whatever an expression matches must hold a byte of what it is said to need, and as
// many characters as its shortest match.
func FuzzNeeds(f *testing.F) {
	for _, s := range []string{`\(a|b\)`, `[<=]x`, `(?i)k\$`, `a{2,3};`, `(?:;|\|)+x?`, `é|"`, `\W`, `[^a]`, `(?:a|;)b`} {
		f.Add(s, "x; a(b) $k é \"")
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, err := regexp.Compile(expr)
		if err != nil || len(expr) > 40 {
			return
		}
		p := profileOf(text)
		if !re.MatchString(text) {
			return
		}
		if need, ok := needOf(expr); ok && !need.meets(&p.has) {
			t.Errorf("%q matches %q, which holds nothing of what it needs", expr, text)
		}
		if n := shortest(expr); utf8.RuneCountInString(text) < n {
			t.Errorf("%q matches %q, its shortest match is said to have %d characters", expr, text, n)
		}
	})
}
