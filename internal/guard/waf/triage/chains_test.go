package triage

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Rules of any chain of transformations name every text that the engine's own steps match:
// TRIAGE_CHAINS says for how long that is tried.
func TestRandomChains(t *testing.T) {
	d := 3 * time.Second
	if s := os.Getenv("TRIAGE_CHAINS"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	steps := []string{"removeWhitespace", "compressWhitespace", "cmdLine", "normalizePath", "normalizePathWin", "lowercase", "urlDecodeUni", "htmlEntityDecode", "jsDecode", "cssDecode",
		"removeNulls", "replaceNulls", "replaceComments", "removeComments", "removeCommentsChar", "base64Decode", "utf8toUnicode", "urlDecode", "escapeSeqDecode", "trim", "uppercase", "hexDecode", "base64DecodeExt", "none"}
	atoms := []string{"a", "b", "cat", "x y", " ", "/", `\(`, ";", `\b`, `\B`, "^", "$", `\s`, `\s+`, "[^a-z]", "[a-z]+", `\W`, `\w`, ".", ".*", "'", `"`, "<", "=", `\.`, `\.\.`, ":", "k", "s", "é", `\xff`, "[/,]", "(?i:KS)", "(?:a|b/)", "1", "%", `\\`, "-", `\*`, "#", `\n`, `\t`, ","}
	pieces := []string{"a", "b", "cat", "x", "y", " ", "  ", "/", "(", ";", ",", "'", `"`, "^", "\t", "\n", "\r", "\v", ".", "..", ":", "<", "=", "1", "K", "S", "k", "s", "-", "*", "\x00", "%", "%2f", "%u0061", "\\", "\\x61", "&lt;", "é", "\u212a", "\u017f", "\xff", "\u00a0", "#", "/*", "*/", "_", "\f", "\\3c ", "&#97;", "+", "\x85"}
	// What decoders find something in, or nothing after all.
	codes := []string{"%", "% ", "%4", "%4a", "%u", "%u003", "%u003c", "%2520", "%26lt;", "%26LT;", "&", "& ", "&l", "&lt", "&LT;", "&Lt;", "&AMP;", "&#", "&#6", "&#60;", "+", "#", "--", "- -", "/*", "*/", "<!--", "-->", "é", "É", "Ä", "ß", "İ", "\u212a",
		"\u017f", "\u2019", "\u00a0", "\u3000", "\u0120", "\uff1c", "\uff06lt;", "\u0101", "\xdc", "\x85", "\xa0", "\xc3", "日", "\\", "\x00"}
	plainly := []string{"a", "b", "cat", "xy", "K", "S", " ", " ", "1", ".", ",", "/", ":", "'"}
	deadline := time.Now().Add(d)
	n, matched, hits, coded, quiet := 0, 0, 0, 0, 0
	for time.Now().Before(deadline) {
		var rules []Rule
		for id := 1; id <= 12; id++ {
			var expr, chain strings.Builder
			for range 1 + rng.IntN(4) {
				expr.WriteString(pick(rng, atoms))
			}
			op := "@rx " + expr.String()
			switch rng.IntN(6) {
			case 0:
				op = "@pm " + pick(rng, []string{"cat xy", "a.b", "k s", "../ /a", "a:b x", "é", ".a b."})
			case 1:
				op = "!@rx " + expr.String()
			case 2:
				op = "@" + pick(rng, []string{"contains", "beginsWith", "endsWith", "streq"}) + " " + pick(rng, []string{"cat", "a/b", "x y", "..", "a", "<", "k", "b."})
			}
			for range rng.IntN(4) {
				chain.WriteString(",t:" + pick(rng, steps))
			}
			if rng.IntN(6) == 0 {
				chain.WriteString(",multiMatch")
			}
			rules = append(rules, Rule{id, fmt.Sprintf(`SecRule %s "%s" "id:%d,phase:2,deny%s"`, pick(rng, []string{"ARGS", "REQUEST_URI", "REQUEST_HEADERS", "ARGS|REQUEST_FILENAME"}), strings.ReplaceAll(op, `"`, `\"`), id, chain.String())})
		}
		// Two at a time: a rule that always matches hides the others from the gate.
		for k := 0; k < len(rules); k += 2 {
			one, err := New(Options{Rules: rules[k : k+2], Level: 1})
			if err != nil || len(one.Always()) > 0 {
				continue // no expression
			}
			for range 150 {
				var b strings.Builder
				some := rng.IntN(2) == 0
				for range rng.IntN(8) {
					if some && rng.IntN(2) == 0 {
						b.WriteString(pick(rng, codes))
					} else if some {
						b.WriteString(pick(rng, plainly))
					} else if rng.IntN(3) > 0 {
						b.WriteString(pieces[rng.IntN(30)])
					} else {
						b.WriteString(pick(rng, pieces))
					}
				}
				text := b.String()
				if rng.IntN(4) == 0 {
					text = base64.RawStdEncoding.EncodeToString([]byte(text))
				}
				x := Text{Kind: []Kind{Arg, URI, Header, Filename}[rng.IntN(4)], Name: "n", Text: text}
				n++
				want := one.Why(x)
				if len(want) > 0 {
					matched++
				}
				if m := marksOf(text); !m.plain(text) {
					coded++
					if one.Warm(); one.sieves[groupOf(x.Kind)].gates[x.Kind].quiet(new(scan), text) {
						quiet++
					}
				}
				for range 2 {
					list, got, _ := one.Suspects(slices.Repeat([]Text{x}, 1))
					if len(want) > 0 && (len(list) == 0 || slices.ContainsFunc(want, func(id int) bool { return !slices.Contains(got, id) })) {
						t.Errorf("seed %d: %v: %q kind %d: matched by %v, suspected %v", seed, rules[k:k+2], text, x.Kind, want, got)
						if hits++; hits > 8 {
							t.FailNow()
						}
						break
					}
				}
			}
		}
	}
	t.Logf("%d texts, %d matched; %d not plain, of which the gate knows %d", n, matched, coded, quiet)
	if matched < n/20 || matched > n-n/20 || quiet < coded/50 {
		t.Error("one of the two hardly ever happened: the test does not test")
	}
}

// What stands on both sides of what is taken out, in an order that only its absence allows.
func TestAssertionsAroundWhatIsTakenOut(t *testing.T) {
	for expr, text := range map[string]string{`\B$^`: "'", `$^`: "^", `\b^a`: "'a", `a$\b`: "a'", `(?:\b|x)(?:^)a`: "^a", `a$(?:\b|;)$`: "a\"", `^\ba\b$`: "'a'"} {
		one, err := New(Options{Rules: []Rule{{1, `SecRule ARGS "@rx ` + expr + `" "id:1,phase:2,deny,t:cmdLine"`}}, Level: 1})
		if err != nil {
			t.Fatal(err)
		}
		x := Text{Kind: Arg, Text: text}
		if list, _, _ := one.Suspects(slices.Repeat([]Text{x}, 1)); len(one.Why(x)) == 0 || len(list) == 0 {
			t.Errorf("%s in %q: matched %v, suspected %v", expr, text, one.Why(x), list)
		}
	}
}
