package waf

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
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

// item is a text at a place.
type item struct {
	field
	value *item    // the same text as an argument, or nil
	rules [5][]int // that the triage names, by level
	all   [5]bool  // whether the engine would be asked about everything
	quiet int      // the highest level at which the engine finds nothing, 0 without
	loud  int      // the level at which it finds something that it would not in an argument
}

// settled reports whether the engine has found nothing at this level or a higher one.
func (it *item) settled(level int) bool { return it.quiet >= level }

func (w *wholeRun) batches(texts []string) {
	// A text is judged at all places in turn, which is quicker for the triage: places share
	// its automata.
	items := make([][]item, len(texts))
	known := make([]map[string]bool, len(spotsOfTexts))
	for n, text := range texts {
		items[n] = make([]item, len(spotsOfTexts))
		for i := range spotsOfTexts {
			s := &spotsOfTexts[i]
			if n == 0 {
				known[i] = map[string]bool{}
			}
			f := s.field(n, text)
			x := s.text(&f)
			it := &items[n][i]
			if it.field = f; x.Text == "" || known[i][x.Text] {
				it.quiet = 5 // it cannot stand there, or another does
				continue
			}
			known[i][x.Text] = true
			if i > 0 && x.Text == text {
				it.value = &items[n][0]
			}
		}
	}
	for level := 4; level >= 1; level-- {
		g := exactAt(w.t, level)
		row := w.row(g)
		silent, loud := make([]batcher, len(spotsOfTexts)), make([]batcher, len(spotsOfTexts))
		less := make([]batcher, len(spotsOfTexts))
		for i := range spotsOfTexts {
			s := &spotsOfTexts[i]
			silent[i] = batcher{w: w, s: s, g: g, silent: true}
			loud[i] = batcher{w: w, s: s, g: g}
			less[i] = batcher{w: w, s: s, g: g, silent: true, idle: g.silence.triage.Idle(without(g.silence.triage.Looking(s.kind), g.silence.triage.Looking(triage.Arg)))}
		}
		// First arguments, which settle much of the others; then what they do not settle.
		for turn := range 3 {
			for n := range items {
				for i := range items[n] {
					it, s := &items[n][i], &spotsOfTexts[i]
					lessWill := it.value != nil && it.value.settled(level) && it.loud != level
					switch {
					case it.quiet == 5 || (turn == 0) != (i == 0) || turn == 2 && it.loud != level:
						continue
					case it.settled(level):
						row.Settled++
						continue
					case turn == 1 && it.loud == level:
						continue // not seen at this level yet
					case turn == 1 && lessWill:
						row.Elsewhere++
						if len(g.silence.triage.Why(s.text(&it.field), w.captured...)) > 0 {
							it.loud = level
						} else {
							less[i].add(it)
						}
						continue
					}
					w.name(g, s, it, n%loudEvery == 0)
					row.Judged++
					switch {
					case it.all[level]:
					case len(it.rules[level]) == 0:
						row.Silent++
						w.captures(g, s, s.text(&it.field), nil)
						silent[i].add(it)
					case s.keyed && n%loudEvery == 0:
						row.Named++
						loud[i].add(it)
					}
				}
			}
			for i := range spotsOfTexts {
				silent[i].ask()
				less[i].ask()
				loud[i].ask()
			}
		}
	}
	for i := range spotsOfTexts {
		s := &spotsOfTexts[i]
		if s.exact {
			continue
		}
		// What tuned lets count nothing: in a query, and where there is one, in a body.
		w.muted(s, i, items)
		if s.kind == triage.Arg || s.kind == triage.ArgName {
			for n := range items {
				it := &items[n][i]
				it.src, it.at = fromBody, "/"+strconv.Itoa(n)
			}
			w.muted(s, i, items)
		}
	}
}

// name has the triage name the rules of a text at the guard's level. Between levels 4 and
// 1 they follow from those of level 4, and tried says to make sure of it.
func (w *wholeRun) name(g *Guard, s *spotOfText, it *item, tried bool) {
	level := g.cfg.Paranoia
	// Of a long text the triage stops trying at some point, and names what it has not tried.
	long := len(it.text)+len(it.name) > 400
	if level == 4 || level == 1 || it.all[4] || it.rules[4] == nil || long {
		it.rules[level], it.all[level] = named(g, s.text(&it.field))
		if level == 1 && it.rules[4] != nil && !it.all[4] && !long && !slices.Equal(it.rules[1], among(it.rules[4], g.silence.triage.Looking(s.kind))) {
			w.t.Errorf("%s: at level 1 %v are named, at level 4 %v: %q", s.name, it.rules[1], it.rules[4], s.text(&it.field).Text)
		}
		return
	}
	it.rules[level] = among(it.rules[4], g.silence.triage.Looking(s.kind))
	if tried {
		if rules, all := named(g, s.text(&it.field)); all || !slices.Equal(rules, it.rules[level]) {
			w.t.Errorf("level %d, %s: %v are named, at level 4 %v: %q", level, s.name, rules, it.rules[4], s.text(&it.field).Text)
		}
	}
}

// among are those of the rules that are in the other list.
func among(rules, list []int) (out []int) {
	for _, id := range rules {
		if slices.Contains(list, id) {
			out = append(out, id)
		}
	}
	return out
}

// without are those of the rules that are not.
func without(rules, list []int) (out []int) {
	for _, id := range rules {
		if !slices.Contains(list, id) {
			out = append(out, id)
		}
	}
	return out
}

// muted asks about what is silent because some rules count nothing there.
func (w *wholeRun) muted(s *spotOfText, spot int, items [][]item) {
	for level := 4; level >= 1; level-- {
		g := at(w.t, level)
		row := w.row(g)
		silent, loud := batcher{w: w, s: s, g: g, silent: true}, batcher{w: w, s: s, g: g}
		for i := range items {
			it := &items[i][spot]
			if it.settled(level) {
				row.Settled++
				continue
			}
			row.Judged++
			x, m := s.text(&it.field), s.mute(g, &it.field)
			if i%loudEvery == 0 {
				if rules, all := named(g, x); all != it.all[level] || !slices.Equal(rules, it.rules[level]) {
					w.t.Errorf("level %d, %s: exact names %v, tuned %v: %q", level, s.name, it.rules[level], rules, x.Text)
				}
			}
			switch {
			case it.all[level]:
			case counting(it.rules[level], m) == 0:
				row.Silent++
				w.captures(g, s, x, m)
				silent.add(it)
			case s.keyed && i%loudEvery == 0:
				row.Named++
				loud.add(it)
			}
		}
		silent.ask()
		loud.ask()
	}
}

// mute is what does not count for a text of the place.
func (s *spotOfText) mute(g *Guard, f *field) triage.Mute {
	value, name := g.mutes(f)
	if s.kind == triage.ArgName || s.kind == triage.CookieName {
		return name
	}
	return value
}

// counting is how many of the rules are not muted.
func counting(rules []int, m triage.Mute) (n int) {
	for _, id := range rules {
		if m == nil || !m.Mutes(id) {
			n++
		}
	}
	return n
}

// batcher gathers texts to ask about at once.
type batcher struct {
	w      *wholeRun
	s      *spotOfText
	g      *Guard
	silent bool     // no rule is named for any
	idle   [][2]int // rules that need not be tried: they have found nothing in these texts as arguments
	list   []*item
	size   int
}

func (b *batcher) add(it *item) {
	if len(b.list) == maxBatch || b.size > maxBatchBytes {
		b.ask()
	}
	b.list, b.size = append(b.list, it), b.size+len(it.text)+len(it.name)
}

func (b *batcher) ask() {
	if len(b.list) > 0 {
		b.w.ask(b, b.list)
	}
	b.list, b.size = nil, 0
}

// captures tries the heads of chains of which one text may hide another.
func (w *wholeRun) captures(g *Guard, s *spotOfText, x triage.Text, m triage.Mute) {
	for _, id := range g.silence.triage.Why(x, w.captured...) {
		if m == nil || !m.Mutes(id) {
			w.miss(g, s.name, id, x.Text)
		}
	}
}

func (w *wholeRun) miss(g *Guard, where string, rule int, text string) {
	w.row(g).Missed++
	if len(w.out.Missed) < 200 {
		w.out.Missed = append(w.out.Missed, fmt.Sprintf("level %d, exact %v, %s: rule %d matches and is not named: %q", g.cfg.Paranoia, g.exact, where, rule, text))
		w.t.Log(w.out.Missed[len(w.out.Missed)-1])
	}
}

// ask asks the engine about many texts at once, and where that raises what was not
// named, about halves of them, down to one.
func (w *wholeRun) ask(b *batcher, list []*item) (found bool) {
	s, g, silent := b.s, b.g, b.silent
	level := g.cfg.Paranoia
	fields := make([]field, len(list))
	by := map[string][]int{}
	for i, it := range list {
		fields[i] = it.field
		k := strings.ToLower(it.name)
		by[k] = append(by[k], i)
	}
	base := w.baseline(s, g, list[0].field)
	unnamed := map[int]bool{}
	for _, hit := range w.raised(g, w.request(s), portion{fields: fields, path: true, idle: b.idle}) {
		there := kindOfVariable[hit.variable] == s.kind && hit.known
		if base[hit.rule] && !there {
			continue
		}
		places := by[strings.ToLower(hit.key)]
		if !s.keyed || !there || len(places) == 0 {
			m := s.mute(g, &list[0].field)
			unnamed[hit.rule] = unnamed[hit.rule] || !there || m == nil || !m.Mutes(hit.rule)
			if !unnamed[hit.rule] || !silent && s.namedByOne(list, level, hit.rule) {
				delete(unnamed, hit.rule)
			}
			continue
		}
		for _, i := range places {
			m := s.mute(g, &list[i].field)
			if !slices.Contains(list[i].rules[level], hit.rule) && (m == nil || !m.Mutes(hit.rule)) {
				if b.idle != nil {
					list[i].loud = level
					continue
				}
				unnamed[hit.rule] = true
			}
		}
	}
	switch {
	case len(unnamed) == 0:
		for _, it := range list {
			if silent && g.exact && it.loud != level {
				it.quiet = level
			}
		}
		return false
	case len(list) == 1 && b.idle != nil:
		list[0].loud = level
		return true
	case len(list) == 1:
		for _, id := range slices.Sorted(maps.Keys(unnamed)) {
			w.miss(g, s.name, id, s.text(&list[0].field).Text)
		}
		return true
	}
	found = w.ask(b, list[:len(list)/2])
	found = w.ask(b, list[len(list)/2:]) || found
	if !found {
		w.row(g).Together++
	}
	return true
}

// namedByOne reports whether the triage names a rule for one of the texts.
func (s *spotOfText) namedByOne(list []*item, level, rule int) bool {
	return slices.ContainsFunc(list, func(it *item) bool { return slices.Contains(it.rules[level], rule) })
}

var kindOfVariable = map[variables.RuleVariable]triage.Kind{
	variables.Args: triage.Arg, variables.ArgsGet: triage.Arg, variables.ArgsPost: triage.Arg, variables.ArgsPath: triage.Arg,
	variables.ArgsNames: triage.ArgName, variables.ArgsGetNames: triage.ArgName, variables.ArgsPostNames: triage.ArgName,
	variables.RequestCookies: triage.Cookie, variables.RequestCookiesNames: triage.CookieName,
	variables.RequestHeaders: triage.Header, variables.RequestHeadersNames: triage.HeaderName,
	variables.RequestFilename: triage.Filename, variables.RequestBasename: triage.Basename,
	variables.RequestURI: triage.URI, variables.RequestURIRaw: triage.URI, variables.RequestLine: triage.Line,
	variables.QueryString: triage.Query, variables.RequestBody: triage.Whole, variables.XML: triage.XML, variables.RequestXML: triage.XML,
}

// request is what the fields of a place are asked about with.
func (w *wholeRun) request(s *spotOfText) *exchange.Exchange {
	if s.kind == triage.XML {
		x := request(w.t, 0, "", "")
		x.Request.Header.Set("Content-Type", "application/xml")
		return x
	}
	return request(w.t, 0, "", `{"a":1}`)
}

// baseline are the rules that such a request raises with a harmless word in the place.
func (w *wholeRun) baseline(s *spotOfText, g *Guard, f field) map[int]bool {
	key := fmt.Sprint(s.name, g.cfg.Paranoia, g.exact, f.src)
	if w.base[key] == nil {
		w.base[key] = map[int]bool{}
		word := s.field(0, "word")
		word.src = f.src
		for _, hit := range w.raised(g, w.request(s), portion{fields: []field{word}, path: true}) {
			w.base[key][hit.rule] = true
		}
	}
	return w.base[key]
}

// raisedRule is a rule that judges and what its head has matched.
type raisedRule struct {
	rule     int
	variable variables.RuleVariable
	known    bool // it is a variable of texts
	key      string
}

// raised has the engine try all rules, and returns those that matched and where.
func (w *wholeRun) raised(g *Guard, x *exchange.Exchange, p portion) (out []raisedRule) {
	tx := g.engine.NewTransaction()
	defer func() {
		if err := tx.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	state, ok := tx.(plugintypes.TransactionState)
	if !ok {
		w.t.Fatal("the engine does not show its variables")
	}
	g.feed(tx, state, x, p)
	tx.ProcessRequestHeaders()
	if _, err := tx.ProcessRequestBody(); err != nil {
		w.t.Fatal(err)
	}
	for _, m := range tx.MatchedRules() {
		if id := m.Rule().ID(); judges(id) && m.Message() != "" {
			for _, d := range m.MatchedDatas() {
				if d.ChainLevel() != 0 {
					continue
				}
				key := d.Key()
				kind, known := kindOfVariable[d.Variable()]
				if (kind == triage.ArgName || kind == triage.CookieName) && key == "" {
					key = d.Value()
				}
				out = append(out, raisedRule{id, d.Variable(), known, key})
			}
		}
	}
	return out
}

// singles asks about each text as what a request has but once: its path, and in the
// exact inspection its query and a form as a whole.
func (w *wholeRun) singles(exact bool, texts []string) {
	quiet := make([]bool, len(texts))
	for level := 4; level >= 1; level-- {
		g := at(w.t, level)
		if exact {
			g = exactAt(w.t, level)
		}
		row := w.row(g)
		base := map[int]bool{}
		word := w.single(exact, "word")
		for _, hit := range w.raised(g, word, portion{path: true}) {
			base[hit.rule] = true
		}
		// What the triage names for header fields, which are the same in all.
		for name, list := range word.Request.Header {
			rules, _ := named(g, triage.Text{Kind: triage.Header, Name: name, Text: list[0]})
			for _, id := range rules {
				base[id] = true
			}
		}
		for n, text := range texts {
			if quiet[n] {
				row.Settled++
				continue
			}
			x := w.single(exact, text)
			rules := map[triage.Kind][]int{}
			all, loud := false, false
			for _, one := range g.textsOf(x, nil, nil) {
				if one.Kind == triage.Header {
					continue // Host is not of the text
				}
				found, everything := named(g, one)
				all, loud = all || everything, loud || len(found) > 0
				rules[one.Kind] = append(rules[one.Kind], found...)
			}
			row.Judged++
			switch {
			case all || loud && n%loudEvery > 0:
				continue
			case loud:
				row.Named++
			default:
				row.Silent++
			}
			missed := false
			for _, hit := range w.raised(g, x, portion{path: true}) {
				kind := kindOfVariable[hit.variable]
				if base[hit.rule] && (!hit.known || kind == triage.Header) || hit.known && slices.Contains(rules[kind], hit.rule) {
					continue
				}
				missed = true
				w.miss(g, "as a whole ("+hit.variable.Name()+")", hit.rule, text)
			}
			quiet[n] = !loud && !missed
		}
	}
}

func (w *wholeRun) single(exact bool, text string) *exchange.Exchange {
	if !exact {
		x := request(w.t, 1, "", "")
		x.Request.RawPath = "/notes/" + url.PathEscape(text)
		x.Request.Path = "/notes/" + text
		return x
	}
	x := request(w.t, 3, "q="+url.QueryEscape(text), "")
	x.Request.RawPath = "/form/" + url.PathEscape(text)
	x.Request.Path = "/form/" + text
	x.Request.Body = &exchange.Body{Bytes: []byte("a=" + text), MediaType: "application/x-www-form-urlencoded"}
	x.Request.Header.Set("Content-Type", x.Request.Body.MediaType)
	return x
}

// corpusTexts is one corpus.
type corpusTexts struct {
	name  string
	texts []string
}

// wholeTexts reads all public data: every value, and of requests all that is in them.
func wholeTexts(t testing.TB) (out []corpusTexts) {
	dir := corpora(t)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no corpora", err)
	}
	for _, f := range files {
		c := corpusTexts{name: filepath.Base(filepath.Dir(f))}
		for _, line := range sampledLines(t, f, 1) {
			var s struct {
				Value, Query, Path, URL, Body string
				Body64                        []byte `json:"body_b64"`
				Headers                       map[string]string
			}
			if err := json.Unmarshal(line, &s); err != nil {
				t.Fatal(f, err)
			}
			c.texts = append(c.texts, s.Value)
			for _, raw := range []string{s.Query, s.Path, s.URL, s.Body, string(s.Body64)} {
				c.texts = append(c.texts, piecesOf(raw)...)
			}
			for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
				c.texts = append(c.texts, name, s.Headers[name])
			}
		}
		out = append(out, c)
	}
	c := corpusTexts{name: "httpparams"}
	for _, row := range rows(t, filepath.Join(dir, "httpparams/payload_train.csv"), filepath.Join(dir, "httpparams/payload_test.csv")) {
		c.texts = append(c.texts, row[0])
	}
	out = append(out, c, corpusTexts{name: "gotestwaf", texts: payloads(t, filepath.Join(dir, "gotestwaf/testcases/*/*.yml"))})
	b, err := os.ReadFile(filepath.Join(dir, "big-list-of-naughty-strings/blns.txt"))
	if err != nil {
		t.Fatal(err)
	}
	c = corpusTexts{name: "big-list-of-naughty-strings"}
	for line := range bytes.Lines(b) {
		if line = bytes.TrimRight(line, "\n"); !bytes.HasPrefix(line, []byte("# ")) {
			c.texts = append(c.texts, string(line))
		}
	}
	out = append(out, c)
	// Small ones first: what is wrong shows early.
	slices.SortStableFunc(out, func(a, b corpusTexts) int { return len(a.texts) - len(b.texts) })
	var parts []corpusTexts
	for _, c := range out {
		if len(c.texts) == 0 {
			t.Errorf("%s: no data", c.name)
		}
		n := 0
		for part := range slices.Chunk(c.texts, partSize) {
			n++
			parts = append(parts, corpusTexts{fmt.Sprint(c.name, partOf, n), part})
		}
	}
	return parts
}

// partSize is how many texts are done and written down at once.
const (
	partSize = 10_000
	partOf   = " part "
)

// piecesOf are a text that is sent as one, and what of it others would read: the names
// and values of its pairs.
func piecesOf(raw string) []string {
	if raw == "" {
		return nil
	}
	out := []string{raw, unescape(raw)}
	path, query, ok := strings.Cut(raw, "?")
	if !ok {
		query = raw
	} else {
		out = append(out, path, unescape(path), query)
	}
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			out = append(out, unescape(name), unescape(value))
		}
	}
	return out
}

func writeJSON(t *testing.T, file string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err == nil {
		err = os.WriteFile(file, append(b, '\n'), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// joinParts puts the parts of one corpus together.
func joinParts(list []wholeCorpus, part wholeCorpus) []wholeCorpus {
	part.Tree = ""
	part.Name, _, _ = strings.Cut(part.Name, partOf)
	n := len(list) - 1
	if n < 0 || list[n].Name != part.Name {
		part.Rows = slices.Clone(part.Rows)
		return append(list, part)
	}
	c := &list[n]
	c.Texts, c.TooLong, c.Seconds = c.Texts+part.Texts, c.TooLong+part.TooLong, c.Seconds+part.Seconds
	c.Missed = append(c.Missed, part.Missed...)
	for i := range c.Rows {
		c.Rows[i].add(part.Rows[i])
	}
	return list
}

// add adds the counts of another row.
func (r *wholeRow) add(o wholeRow) {
	r.Inspection, r.Level = o.Inspection, o.Level
	r.Settled, r.Judged, r.Silent = r.Settled+o.Settled, r.Judged+o.Judged, r.Silent+o.Silent
	r.Elsewhere += o.Elsewhere
	r.Named, r.Together, r.Missed = r.Named+o.Named, r.Together+o.Together, r.Missed+o.Missed
}

// writeWhole writes the outcome down, as far as the run has come.
func writeWhole(t *testing.T, file string, of int, all []wholeCorpus) {
	if file == "" {
		return
	}
	type outcome struct {
		Commit  string        `json:"commit"`
		Texts   int           `json:"texts"` // tried so far
		Of      int           `json:"of"`    // of so many
		Missed  int           `json:"missed"`
		Seconds float64       `json:"seconds"`
		Total   []wholeRow    `json:"total"`
		Corpora []wholeCorpus `json:"corpora"`
	}
	o := outcome{Commit: os.Getenv("CRENEL_WAF_COMMIT"), Of: of}
	for _, c := range all {
		o.Corpora = joinParts(o.Corpora, c)
		o.Texts, o.Seconds = o.Texts+c.Texts, o.Seconds+c.Seconds
		if o.Total == nil {
			o.Total = make([]wholeRow, len(c.Rows))
		}
		for n, r := range c.Rows {
			o.Total[n].add(r)
			o.Missed += r.Missed
		}
	}
	writeJSON(t, file, o)
}
