package check

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var (
	_ = register(&Check{
		ID: "input-growth", Title: "An answer takes ever longer with what is sent",
		OWASP: "API4:2023", CWE: "CWE-407", WSTG: "WSTG-BUSL-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N",
		About: "Sends longer and longer texts (4 KB to 256 KB), and to reads larger and larger numbers (a thousand to ten million), and stops at the first that takes time.",
		Proof: "A text of twice the length takes three times as long and more, or a number of twice the size twice as long, every time, before and after short ones that are answered at once. Work that grows as the text does is no hole.",
		Fix:   "Bound the length of texts and the size of numbers before anything is done with them; use algorithms whose time grows with the input, not with its square.",
		Mode:  Aggressive, Alone: true,
		Run: inputGrowth,
	})
	_ = register(&Check{
		ID: "deep-nesting", Title: "A deeply nested body breaks the server's program",
		OWASP: "API4:2023", CWE: "CWE-674", WSTG: "WSTG-BUSL-05",
		CVSS:  vectorCrash,
		About: "Puts lists within lists, 60 and then 20,000 of them (40 KB), into bodies of JSON.",
		Proof: "The deep body is answered with a server's error or not at all, or takes long, every time. Controls: a shallow one of the same kind, and one of the same length that is flat, are not.",
		Fix:   "Bound the depth in the parser (most have a setting; 32 to 128 is plenty) and answer 400.",
		Mode:  Aggressive, Alone: true,
		Run: deepNesting,
	})
	_ = register(&Check{
		ID: "xml-expansion", Title: "The entities that a body declares multiply it",
		OWASP: "API4:2023", CWE: "CWE-776", WSTG: "WSTG-INPV-07",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N/E:U",
		About: "Declares entities within entities in front of an XML body that works: small ones, that make 1 KB and 9 KB of text.",
		Proof: "The answer holds, or counts, the text that the entities stand for, of both sizes. Controls: the same body with a name in place of the entity does not.",
		Fix:   "Turn document types off in the XML parser, and refuse bodies that have one (OWASP XXE prevention).",
		Mode:  Default, Dirty: true,
		Run: xmlExpansion,
	})
)

// Sizes of what is sent, and what counts as time.
var (
	longTexts    = []int{4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10}
	largeNumbers = []int{1_000, 10_000, 100_000, 1_000_000, 4_000_000, 10_000_000}
)

const (
	maxGrowthInputs = 24
	grown           = 200 * time.Millisecond
	maxGrown        = 2 * time.Second
)

func inputGrowth(ctx context.Context, p *Probe) error {
	var texts, numbers []*slot
	for _, op := range p.Ops() {
		if op.Has(graph.Register) || op.Has(graph.Login) || op.Has(graph.Upload) || streamsOut(op) {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status >= 500 || base.Status == 429 || base.Status == 401 || base.Status == 403 {
			continue
		}
		for _, in := range op.Inputs {
			s := slotOf(op, in, call, base)
			switch {
			case numeric(in) && op.Method == http.MethodGet && in.In == "query" && in.Meaning != graph.MeansPage && in.Meaning != graph.MeansID && in.Object == nil:
				numbers = append(numbers, s)
			case in.In == "body" && takesText(in) && in.Format == "":
				texts = append(texts, s)
			}
		}
	}
	slices.SortStableFunc(texts, func(a, b *slot) int { return unbounded(a) - unbounded(b) })
	for _, s := range texts[:min(len(texts), maxGrowthInputs)] {
		p.Note(s.op, Clean)
		if done, err := p.outgrows(ctx, s, longTexts, longText, 3); err != nil || done {
			return err // one shows it, and each may have kept the server busy
		}
	}
	for _, s := range numbers[:min(len(numbers), maxGrowthInputs)] {
		p.Note(s.op, Clean)
		if done, err := p.outgrows(ctx, s, largeNumbers, strconv.Itoa, 1.6); err != nil || done {
			return err
		}
	}
	return nil
}

// unbounded orders texts: those without a described length first.
func unbounded(s *slot) int {
	if s.in.Schema != nil && s.in.Schema.Bounds().MaxLength >= 0 {
		return 1
	}
	return 0
}

// longText is words of n bytes.
func longText(n int) string { return strings.Repeat("crenel a-b ", n/11+1)[:n] }

// outgrows proves that something twice as large takes times as long and more.
func (p *Probe) outgrows(ctx context.Context, s *slot, sizes []int, of func(int) string, times float64) (bool, error) {
	quick, err := p.timedOut(ctx, s, of(sizes[0]))
	if err != nil || quick == nil || quick.Status/100 != 2 || quick.Duration > 2*grown {
		return false, err
	}
	for _, n := range sizes[1:] {
		x, err := p.timedOut(ctx, s, of(n))
		if err != nil || x == nil {
			return false, err
		}
		if x.Status != 0 && x.Status/100 != 2 {
			return false, nil // it is bounded
		}
		took := x.Duration - quick.Duration
		if took < grown {
			continue
		}
		if took > maxGrown {
			return false, nil // to prove it would keep the server busy for long
		}
		double, err := p.timedOut(ctx, s, of(2*n))
		if err != nil || double == nil || double.Status != 0 && double.Status/100 != 2 {
			return false, err
		}
		if float64(double.Duration) < times*float64(x.Duration) {
			return false, nil // it grows as the input does
		}
		more := time.Duration(float64(took) * (times - 1) * 0.8)
		var l steps
		add := func(id string, part scenario.Part, note string, n, again int, e scenario.Expect) {
			st, err := p.slotStep(s, id, part, note, of(n), e)
			st.Times = again
			l.add(st, err)
		}
		add("short", scenario.Control, "what is short is answered at once", sizes[0], 3, scenario.Expect{Status: "2xx"})
		add("long", scenario.Attack, "what is long takes time", n, 2, scenario.Expect{Slower: "short", By: took / 2})
		add("double", scenario.Attack, "what is twice as long takes far longer again", 2*n, 2, scenario.Expect{Slower: "long", By: more})
		add("short2", scenario.Control, "what is short is answered at once, still", sizes[0], 3, scenario.Expect{Status: "2xx"})
		add("long2", scenario.Attack, "and what is long takes its time", n, 1, scenario.Expect{Slower: "short2", By: took / 2})
		return p.injected(ctx, s, "time without bounds", "The time that an answer takes grows faster than the input, and nothing bounds the input: a few requests keep the server busy.", &l)
	}
	return false, nil
}

const (
	shallow = 60
	deep    = 20_000
	maxDeep = 16 // operations
)

func nestedList(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func deepNesting(ctx context.Context, p *Probe) error {
	tried := 0
	for _, op := range p.Ops() {
		if op.Body == nil || op.Has(graph.Register) {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || call.Media != "application/json" || base.Status >= 500 || base.Status == 429 || base.Status == 401 || base.Status == 403 {
			continue
		}
		var in *graph.Input
		for _, i := range op.Inputs {
			if i.In == "body" && !strings.Contains(i.Pointer, "*") && (in == nil || !in.Required && i.Required || in.Type == "string" && i.Type != "string") {
				in = i
			}
		}
		if in == nil {
			continue
		}
		if tried++; tried > maxDeep {
			return nil
		}
		p.Note(op, Clean)
		s := slotOf(op, in, call, base)
		send := func(text string) (*target.Exchange, error) {
			r, err := p.World.Request(s.call.With(in.Where(), `"NESTEDHERE"`))
			if err != nil {
				return nil, nil //nolint:nilerr // a call that cannot be written does not end the run
			}
			r.Body = []byte(strings.Replace(string(r.Body), `"NESTEDHERE"`, text, 1))
			r.Timeout = patient
			return p.Do(ctx, s.call.As, r)
		}
		flat, err := send(flatList(2 * deep))
		if err != nil {
			return err
		}
		if flat == nil || flat.Status == 0 || flat.Status >= 500 || flat.Status == 413 {
			continue
		}
		x, err := send(nestedList(deep))
		if err != nil {
			return err
		}
		// What was taken and stored may break whatever reads it from now on: it is put right.
		if _, err := send(plainOf(s)); err != nil {
			return err
		}
		if x == nil || x.Status != 0 && x.Status < 500 {
			continue
		}
		var l steps
		add := func(id string, part scenario.Part, note, text string, e scenario.Expect) {
			st, err := p.World.Step(s.call, map[string]string{in.Where(): `"NESTEDHERE"`})
			if err == nil {
				st.Send.Body = strings.Replace(st.Send.Body, `"NESTEDHERE"`, text, 1)
			}
			st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
			l.add(st, err)
		}
		add("shallow", scenario.Control, fmt.Sprintf("%d lists within each other break nothing", shallow), nestedList(shallow), scenario.Expect{Status: "!5xx"})
		add("flat", scenario.Control, "nor does a body of that length that is flat", flatList(2*deep), scenario.Expect{Status: "!5xx"})
		add("deep", scenario.Attack, fmt.Sprintf("%d lists within each other do", deep), nestedList(deep), scenario.Expect{Status: "5xx"})
		add("shallow2", scenario.Control, "a few still break nothing", nestedList(shallow), scenario.Expect{Status: "!5xx"})
		add("deep2", scenario.Attack, "and many do each time", nestedList(deep), scenario.Expect{Status: "5xx"})
		add("restore", scenario.Cleanup, "a plain value is put in its place", plainOf(s), scenario.Expect{Status: "any"})
		done, err := p.injected(ctx, s, "a body nested without bounds", "A body of 40 KB that is nested deeply breaks the program that handles it; one as long that is flat does not.", &l)
		if err != nil || done {
			return err // bodies are read in one place
		}
	}
	return nil
}

// plainOf is a value that a slot's input takes: what its call has there, or the plainest of its type.
func plainOf(s *slot) string {
	if text := s.call.Values[s.in.Where()]; text != "" {
		return text
	}
	switch s.in.Type {
	case "boolean":
		return "true"
	case "integer", "number":
		return "1"
	case "string":
		return `"crenel"`
	case "object":
		return "{}"
	}
	return "[]"
}

// flatList is a list of so many bytes, without any within it.
func flatList(n int) string { return "[" + strings.Repeat("1,", n/2-1) + "1]" }

// Entities: the mark within the first, repeated in the second, repeated in the body.
const (
	entityMark  = "crx"
	entityTimes = 30
)

func xmlExpansion(ctx context.Context, p *Probe) error { return p.xmlTexts(ctx, p.expandsEntities) }

// entityBody is the call's body with entities of outer times entityTimes marks
// declared before it, and text in the slot.
func (p *Probe) entityBody(s *slot, outer int, text string) (scenario.Step, error) {
	bind := s.call.Renew("expansion")
	bind[s.in.Where()] = `"ENTITYHERE"`
	st, err := p.World.Step(s.call, bind)
	if err != nil {
		return st, fmt.Errorf("%s: %w", s.op.ID, err)
	}
	root := reRoot.FindStringSubmatchIndex(st.Send.Body)
	if root == nil || !strings.Contains(st.Send.Body, "ENTITYHERE") {
		return st, fmt.Errorf("%s: the body holds no text to put an entity into", s.op.ID)
	}
	doctype := fmt.Sprintf(`<!DOCTYPE %s [<!ENTITY crena "%s"><!ENTITY crenb "%s">]>`, st.Send.Body[root[2]:root[3]], strings.Repeat(entityMark, entityTimes), strings.Repeat("&crena;", outer))
	st.Send.Body = strings.ReplaceAll(st.Send.Body[:root[0]]+doctype+st.Send.Body[root[0]:], "ENTITYHERE", text)
	return st, nil
}

func (p *Probe) expandsEntities(ctx context.Context, s *slot) (bool, error) {
	const small, large = 11, 101
	send := func(outer int) (*target.Exchange, error) {
		st, err := p.entityBody(s, outer, "&crenb;")
		if err != nil {
			return nil, nil //nolint:nilerr // a call that cannot be written proves nothing
		}
		r, err := p.World.Request(s.call)
		if err != nil {
			return nil, nil //nolint:nilerr // nor this
		}
		r.Body = []byte(st.Send.Body)
		return p.Do(ctx, s.call.As, r)
	}
	a, err := send(small)
	if err != nil || a == nil || a.Status/100 != 2 {
		return false, err
	}
	b, err := send(large)
	if err != nil || b == nil || b.Status/100 != 2 {
		return false, err
	}
	expect := map[int]scenario.Expect{}
	if scenario.Holds(a, strings.Repeat(entityMark, small*entityTimes)) && scenario.Holds(b, strings.Repeat(entityMark, large*entityTimes)) {
		for _, n := range []int{small, large} {
			expect[n] = scenario.Expect{Status: "2xx", Contains: []string{strings.Repeat(entityMark, n*entityTimes)}}
		}
	} else if at, x, y := counted(a.Body, b.Body, (large-small)*entityTimes*len(entityMark)); at != "" {
		expect[small], expect[large] = scenario.Expect{Status: "2xx", At: at, Equals: &x}, scenario.Expect{Status: "2xx", At: at, Equals: &y}
	} else {
		return false, nil
	}
	var l steps
	add := func(id string, part scenario.Part, note string, outer int, text string, e scenario.Expect) {
		st, err := p.entityBody(s, outer, text)
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
		l.add(st, err)
	}
	not := scenario.Expect{Lacks: []string{strings.Repeat(entityMark, small*entityTimes)}}
	add("plain", scenario.Control, "a word in the entity's place is no more than that", large, "crenb", not)
	add("small", scenario.Attack, fmt.Sprintf("an entity stands for %d bytes", small*entityTimes*len(entityMark)), small, "&crenb;", expect[small])
	add("large", scenario.Attack, fmt.Sprintf("another for %d bytes", large*entityTimes*len(entityMark)), large, "&crenb;", expect[large])
	return p.injected(ctx, s, "XML entity expansion", "Entities that the body declares, within each other, are put in: each level multiplies what the server has to hold.", &l)
}

// counted is where two answers hold a number that differs by so much, and the numbers.
func counted(a, b []byte, by int) (at, x, y string) {
	u, ok := scenario.Decode(a)
	v, ok2 := scenario.Decode(b)
	if !ok || !ok2 {
		return "", "", ""
	}
	scenario.Walk(u, func(where string, one any) {
		m, err := strconv.Atoi(scenario.Plain(one))
		if err != nil || at != "" {
			return
		}
		for _, other := range scenario.Find(v, where) {
			if n, err := strconv.Atoi(scenario.Plain(other)); err == nil && n-m == by {
				at, x, y = where, strconv.Itoa(m), strconv.Itoa(n)
			}
		}
	})
	return at, x, y
}
