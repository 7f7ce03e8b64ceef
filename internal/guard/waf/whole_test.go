package waf

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

// What TestSilenceMissesNothing tries of samples, request by request, is tried here of
// all public data, text by text: at each place of a request where rules look, in both
// inspections and at all levels. The triage can miss something only where it names no
// rule, so that is where the engine is asked whether it finds any. (Of one text in
// loudEvery, which rules it finds where the triage names some.)
//
// One transaction of the engine is asked about many texts at once, which is sound:
//
//   - The engine tries an operator on each value of a collection by itself, and a rule
//     notes every value that it matches: with others beside it a text raises the same
//     rules as alone.
//   - The further members of a chain that look at MATCHED_VARS need one of what the head
//     has matched: others beside it can only add to that. Those that look at what the head
//     has captured see the last match only, so that one text may hide another. The heads of
//     these chains (capturing) are tried on each text by their own operator.
//   - Rules that count or measure (how many arguments, names that come twice) look at the
//     request and not at a text: a batch can raise them, never hide them. What
//     a batch raises is asked about again in halves, down to one text; what no text raises
//     by itself is no miss. TestRepeatedArguments has those rules.
//   - No rule that matches an argument, a header field or a cookie changes what others do;
//     the path and the body, of which a request has one, are asked about by themselves.
//
// And each text need not be asked about in every way:
//
//   - A level's rules are those of the lower ones and its own. Where the engine finds nothing
//     at a level, it finds nothing below: there is nothing left to be missed.
//   - Both inspections have the same rules for arguments, cookies and header fields, and their
//     triages are made of the same conditions (sameRules); tuned merely lets some rules count nothing.
//     So where the engine finds nothing in exact, it finds nothing in tuned; and the rules
//     that the triage names in exact are those of tuned before that. One text in loudEvery
//     is tried in tuned nevertheless.
//   - No rule looks at the arguments of a body that does not look at those of the query.
//   - What a rule finds in a text does not depend on where it stands: of a text in which the
//     engine finds nothing as an argument, it is asked elsewhere only for the rules that do not
//     look at arguments.
//   - The conditions of levels 2 and 3 are among those of level 4 (sameRules, again), so the rules that
//     the triage names there are those of level 4 without the others. One text in loudEvery
//     is tried nevertheless. Levels 4 and 1 are tried with every text.

// loudEvery is how many texts stand for one whose rules are compared by name.
const loudEvery = 100

// spotOfText is a place of a request where rules look.
type spotOfText struct {
	name string
	kind triage.Kind
	// field makes the nth value of a request of it.
	field func(n int, text string) field
	// keyed says that the engine's key tells which of the fields has matched.
	keyed bool
	exact bool // there is none in the tuned inspection
}

var spotsOfTexts = []spotOfText{
	{name: "value", kind: triage.Arg, keyed: true, field: func(n int, s string) field {
		return field{src: fromQuery, name: fmt.Sprint("a", n), at: fmt.Sprint("query:a", n), text: s}
	}},
	{name: "name", kind: triage.ArgName, keyed: true, field: func(_ int, s string) field { return field{src: fromQuery, name: s, at: "query:" + s} }},
	{name: "cookie", kind: triage.Cookie, keyed: true, field: func(n int, s string) field {
		return field{src: fromCookie, name: fmt.Sprint("a", n), at: fmt.Sprint("cookie:a", n), text: strings.ReplaceAll(printable(s), ";", ",")}
	}},
	{name: "name of a cookie", kind: triage.CookieName, keyed: true, field: func(_ int, s string) field {
		s = strings.NewReplacer(";", ",", "=", "-").Replace(printable(s))
		return field{src: fromCookie, name: s, at: "cookie:" + s}
	}},
	{name: "header", kind: triage.Header, keyed: true, field: func(n int, s string) field {
		return field{src: fromHeader, name: fmt.Sprint("X-A", n), at: fmt.Sprint("header:x-a", n), text: printable(s)}
	}},
	{name: "referer", kind: triage.Header, field: func(_ int, s string) field {
		return field{src: fromHeader, name: "Referer", at: "header:referer", text: printable(s)}
	}},
	{name: "user agent", kind: triage.Header, field: func(_ int, s string) field {
		return field{src: fromHeader, name: "User-Agent", at: "header:user-agent", text: printable(s)}
	}},
	{name: "xml", kind: triage.XML, exact: true, field: func(n int, s string) field {
		return field{src: fromXML, name: xmlTexts, at: fmt.Sprint("/x/a", n), text: s}
	}},
}

// printable is what of a text can stand in a header field.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// text is what of a field the triage is asked about.
func (s *spotOfText) text(f *field) triage.Text {
	switch s.kind {
	case triage.ArgName, triage.CookieName:
		return triage.Text{Kind: s.kind, Name: f.name, Text: f.name}
	}
	return triage.Text{Kind: s.kind, Name: f.name, Text: f.text}
}

// wholeRow counts texts at one level of one inspection, each at each place.
type wholeRow struct {
	Inspection string `json:"inspection"`
	Level      int    `json:"level"`
	// Settled are those in which the engine has found nothing at a higher level, or in the
	// other inspection; Judged those that the triage was asked about.
	Settled int `json:"settled"`
	Judged  int `json:"judged"`
	// Elsewhere are those in which the engine has found nothing as arguments: it was asked
	// about each for the rules that do not look at those.
	Elsewhere int `json:"elsewhere"`
	// Silent are those of the judged at which it names no rule: the engine was asked about each.
	Silent int `json:"silent"`
	// Named are those of the others at which the engine's rules were compared with the named ones.
	Named int `json:"named"`
	// Together are batches that raised rules which none of their texts raises by itself.
	Together int `json:"together"`
	Missed   int `json:"missed"`
}

// wholeCorpus is the outcome of one corpus.
type wholeCorpus struct {
	Name    string     `json:"name"`
	Tree    string     `json:"tree,omitempty"` // of the code, and of the texts
	Texts   int        `json:"texts"`
	TooLong int        `json:"too_long"`
	Rows    []wholeRow `json:"rows"`
	Missed  []string   `json:"missed,omitempty"`
	Seconds float64    `json:"seconds"`
}

// wholeRun is the work on one corpus.
type wholeRun struct {
	t        *testing.T
	captured []int
	out      *wholeCorpus
	base     map[string]map[int]bool // rules that a request raises without the texts
}

// maxBatch texts and bytes are asked about at once.
const (
	maxBatch      = 100
	maxBatchBytes = 32 << 10
)

func TestWholeCorpus(t *testing.T) {
	dir := os.Getenv("CRENEL_WAF_WHOLE")
	if dir == "" {
		t.Skip("takes an hour: make waf-corpus")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	sameRules(t)
	tree := os.Getenv("CRENEL_WAF_TREE")
	known := map[string]bool{}
	parts := wholeTexts(t)
	long := make([]int, len(parts))
	of := 0
	for i := range parts {
		parts[i].texts = slices.DeleteFunc(parts[i].texts, func(s string) bool {
			if known[s] || s == "" {
				return true
			}
			known[s] = true
			if len(s) > defaultValue {
				long[i]++ // refused unseen
				return true
			}
			return false
		})
		of += len(parts[i].texts)
	}
	var all []wholeCorpus
	for i, c := range parts {
		texts := c.texts
		if only := os.Getenv("CRENEL_WAF_ONLY"); only != "" && !slices.Contains(strings.Split(only, ","), strings.Split(c.name, partOf)[0]) {
			continue
		}
		sum := sha256.Sum256([]byte(fmt.Sprintf("%q", texts)))
		id := fmt.Sprintf("%s %x", tree, sum[:8])
		file := filepath.Join(dir, c.name+".json")
		var done wholeCorpus
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &done) == nil && done.Tree == id && tree != "" {
			t.Logf("%s: was done before", c.name)
			all = append(all, done)
			writeWhole(t, os.Getenv("CRENEL_WAF_WRITE"), of, all)
			continue
		}
		begin := time.Now()
		w := &wholeRun{t: t, captured: capturing(t), out: &wholeCorpus{Name: c.name, Tree: id, Texts: len(texts), TooLong: long[i]}, base: map[string]map[int]bool{}}
		for _, inspection := range []string{config.WAFExact, config.WAFTuned} {
			for level := 1; level <= 4; level++ {
				w.out.Rows = append(w.out.Rows, wholeRow{Inspection: inspection, Level: level})
			}
		}
		w.run(texts)
		w.out.Seconds = math.Round(time.Since(begin).Seconds())
		writeJSON(t, file, w.out)
		for _, m := range w.out.Missed {
			t.Error(m)
		}
		t.Logf("%s: %d texts, %d missed, %.0f s", c.name, w.out.Texts, len(w.out.Missed), w.out.Seconds)
		all = append(all, *w.out)
		writeWhole(t, os.Getenv("CRENEL_WAF_WRITE"), of, all)
	}
}

// row is the count of an inspection and a level.
func (w *wholeRun) row(g *Guard) *wholeRow {
	if g.exact {
		return &w.out.Rows[g.cfg.Paranoia-1]
	}
	return &w.out.Rows[4+g.cfg.Paranoia-1]
}

// sameRules makes sure that what is concluded from one inspection and level for another holds.
func sameRules(t *testing.T) {
	for level := 1; level <= 4; level++ {
		for _, s := range spotsOfTexts {
			exact := exactAt(t, level).silence.triage.Conditions(s.kind)
			if !s.exact && !slices.Equal(at(t, level).silence.triage.Conditions(s.kind), exact) {
				t.Fatalf("level %d: the inspections have other conditions on a %s", level, s.name)
			}
			all := exactAt(t, 4).silence.triage.Conditions(s.kind)
			for _, c := range exact {
				if !slices.Contains(all, c) {
					t.Fatalf("level %d has a condition on a %s that level 4 has not: %s", level, s.name, c)
				}
			}
		}
	}
	// What looks at a body's arguments looks at the query's too.
	_, rules, _, err := newEngine(config.WAF{Inspection: config.WAFExact, Paranoia: 4, Threshold: 5}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		for _, names := range []string{"", "_NAMES"} {
			if targets, _, _ := strings.Cut(strings.TrimPrefix(r.Raw, "SecRule "), " "); strings.Contains(targets, "ARGS_POST"+names) &&
				!slices.ContainsFunc(strings.Split(strings.Trim(targets, `"`), "|"), func(s string) bool { return s == "ARGS"+names || s == "ARGS_GET"+names }) {
				t.Fatalf("rule %d looks at the arguments of a body alone: %s", r.ID, targets)
			}
		}
	}
}

var capture = regexp.MustCompile(`(?i)^\s*SecRule\s+"?[^"\s]*\b(TX:|MATCHED_VAR\b)`)

// capturing are the rules whose chains go on to look at what the last match was.
func capturing(t testing.TB) (out []int) {
	chains, err := chainsOf(nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, members := range chains {
		if slices.ContainsFunc(members, capture.MatchString) {
			out = append(out, id)
		}
	}
	if slices.Sort(out); !slices.Contains(out, 942130) {
		t.Fatalf("rules whose chains look at captures are not found: %v", out)
	}
	return out
}

// named are the rules that the triage names for a text. all says that the engine would
// be asked about everything.
func named(g *Guard, x triage.Text) (rules []int, all bool) {
	suspects, rules, alone := g.silence.triage.Suspects([]triage.Text{x})
	return rules, len(suspects) > 0 && !alone
}

func (w *wholeRun) run(texts []string) {
	begin := time.Now()
	w.batches(texts)
	w.t.Logf("  %s, values and names: %.1f s", w.out.Name, time.Since(begin).Seconds())
	for _, exact := range []bool{true, false} {
		begin := time.Now()
		w.singles(exact, texts)
		w.t.Logf("  %s, path, query and body as a whole, exact %v: %.1f s", w.out.Name, exact, time.Since(begin).Seconds())
	}
}
