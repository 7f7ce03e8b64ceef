package waf

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

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
		if level == 1 && it.rules[4] != nil && !it.all[4] && !it.all[1] && !long && !slices.Equal(it.rules[1], among(it.rules[4], g.silence.triage.Looking(s.kind))) {
			w.t.Errorf("%s: at level 1 %v are named, at level 4 %v: %q", s.name, it.rules[1], it.rules[4], s.text(&it.field).Text)
		}
		return
	}
	it.rules[level] = among(it.rules[4], g.silence.triage.Looking(s.kind))
	if tried {
		if rules, all := named(g, s.text(&it.field)); !all && !slices.Equal(rules, it.rules[level]) {
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
			// Whether an automaton gives up depends on what it has read before.
			if it.all[level] {
				it.rules[level], it.all[level] = named(g, x)
			} else if i%loudEvery == 0 {
				if rules, all := named(g, x); !all && !slices.Equal(rules, it.rules[level]) {
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
