package waf

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

// bent makes texts like one: with pieces taken out, doubled, swapped and put between.
func bent(rng *rand.Rand, s string) string {
	b := []byte(s)
	for range 1 + rng.IntN(3) {
		if len(b) == 0 {
			return "x"
		}
		i := rng.IntN(len(b))
		j := min(len(b), i+1+rng.IntN(4))
		switch rng.IntN(5) {
		case 0:
			b = append(b[:i:i], b[j:]...)
		case 1:
			b = append(b[:j:j], b[i:]...)
		case 2:
			b[i] = byte(rng.IntN(0x80))
		default:
			piece := []string{" ", "'", `"`, ",", ";", "/", "./", "../", "  ", "\t", "\n", "^", "(", " (", " /", ".", ":", "-", "=", "a", "."}
			b = append(b[:i:i], append([]byte(piece[rng.IntN(len(piece))]), b[i:]...)...)
		}
	}
	return string(b)
}

// What the triage calls silent, no rule may match, tried one by one.
func TestTriageMissesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("tries every rule on thousands of texts")
	}
	kinds := []triage.Kind{triage.Arg, triage.ArgName, triage.Cookie, triage.Header, triage.Filename, triage.URI, triage.Line}
	files, err := filepath.Glob(filepath.Join(corpora(t), "*", "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no corpora", err)
	}
	every := sampling(t, 499)
	rng := rand.New(rand.NewPCG(11, 12))
	for level := 1; level <= 4; level++ {
		for _, g := range []*Guard{at(t, level), exactAt(t, level)} {
			silent, loud := 0, 0
			for _, f := range files {
				for _, s := range sampled(t, f, every*level) {
					text := s.Value
					if text == "" {
						text = s.Query
					}
					if text == "" || len(text) > 1024 {
						continue
					}
					for _, text := range []string{text, bent(rng, text), bent(rng, strings.TrimRight(text, "\x00"))} {
						x := triage.Text{Kind: kinds[rng.IntN(len(kinds))], Name: "field", Text: text}
						if x.Kind == triage.ArgName {
							x.Name = text
						}
						suspects, rules, _ := g.silence.triage.Suspects([]triage.Text{x})
						why := g.silence.triage.Why(x)
						if len(suspects) == 0 && len(why) > 0 {
							t.Fatalf("level %d, exact %v: %q as %d is called silent, rules %v match", level, g.exact, text, x.Kind, why)
						}
						if len(suspects) > 0 && len(why) == 0 && len(rules) > 0 {
							t.Errorf("level %d, exact %v: %q as %d: rules %v are feared, none matches", level, g.exact, text, x.Kind, rules)
						}
						if len(suspects) == 0 {
							silent++
						} else {
							loud++
						}
					}
				}
			}
			t.Logf("level %d, exact %v: %d texts are silent, %d are not", level, g.exact, silent, loud)
			if silent == 0 || loud == 0 {
				t.Error("one of the two never happened")
			}
		}
	}
}

func FuzzTriage(f *testing.F) {
	for _, s := range []string{
		"a plain note, it's 7", "c:a/b. ", ". /", "if x equ y", "p o w e r shell", `b"a"s'h -c`, "this . constructor", "d2hpbGUoMSk7", "../..", "in/../etc", "power,shell", "sel''ect", "$ (a)", "x /[a]",
		"ssh2.exec :// x", "self [a]", "ZXZh bCg=", "~ +", "while ( true )",
	} {
		for kind := range byte(7) {
			f.Add(s, kind)
		}
	}
	guards := []*Guard{at(f, 1), at(f, 4), exactAt(f, 2)}
	f.Fuzz(func(t *testing.T, text string, kind byte) {
		if len(text) > 500 {
			return
		}
		x := triage.Text{Kind: triage.Kind(kind % 10), Name: "field", Text: text}
		for _, g := range guards {
			suspects, _, _ := g.silence.triage.Suspects([]triage.Text{x})
			if why := g.silence.triage.Why(x); len(suspects) == 0 && len(why) > 0 {
				t.Fatalf("%q as %d is called silent, rules %v match", text, x.Kind, why)
			}
		}
	})
}
