package triage

import (
	"testing"
)

// What is quicker than the engine must make of every ASCII text what the engine makes.
func FuzzQuickly(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a plain text", "Meet at 10, bring; the  (blue) /folder", "C:\\a\\..\\b. ", " . ", "a/./b/../c/", "QUJD REVG", "QUJDRA==", "a\r\nQ", "\t\v\f\r\n", `"'^\`, "x:y:z", "/", "a.b. "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p := profileOf(text); !p.ascii {
			return
		}
		var s scan
		for name, quick := range quickly {
			want, _, err := engines(name)(text)
			if err != nil {
				t.Fatal(err)
			}
			got, ascii := quick(&s, text)
			if got != want {
				t.Errorf("%s of %q is %q, the engine makes %q", name, text, got, want)
			}
			if p := profileOf(got); ascii && !p.ascii {
				t.Errorf("%s of %q is called ASCII", name, text)
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
		if p := profileOf(text); !p.plain {
			return
		}
		for name := range decoders {
			if out, _, err := engines(name)(text); err != nil || out != text {
				t.Errorf("%s of %q is %q, %v", name, text, out, err)
			}
		}
	})
}
