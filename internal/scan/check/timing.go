package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var (
	_ = register(&Check{
		ID: "sqli-time", Title: "An input makes the database wait",
		OWASP: "API8:2023", CWE: "CWE-89", WSTG: "WSTG-INPV-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:L/SC:N/SI:N/SA:N",
		About: "Puts expressions that take a second, in the dialects of PostgreSQL, MySQL, SQL Server, Oracle and SQLite, into texts and numbers where no other sign of SQL was seen. Nothing that could widen a statement goes where rows are changed.",
		Proof: "The answer takes longer by what was asked, every time; not with a wait of nothing, before and after; and twice as long with twice the wait.",
		Fix:   "Pass values to the database as parameters, never in the statement's text.",
		Mode:  Default, Alone: true,
		Run: sqliTime,
	})
	_ = register(&Check{
		ID: "regex-time", Title: "A text keeps the server busy",
		OWASP: "API4:2023", CWE: "CWE-1333", WSTG: "WSTG-INPV-11",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N",
		About: "Puts repetitive texts that nearly match into what is checked by patterns (addresses, names, URLs), longer and longer by a few letters, and stops at the first that takes time.",
		Proof: "A few letters more take many times as long, every time. Controls: a text of the same length that is refused at its beginning, and a shorter one, are answered at once, before and after.",
		Fix:   "Use a pattern engine of linear time (RE2), or patterns without nested repetition, and bound the length before.",
		Mode:  Aggressive, Alone: true,
		Run: regexTime,
	})
)

// delay is an expression that takes time: form has %[1]s for the value and
// %[2]s for how long, which unit gives for tenths of a second; nil where the
// database has to be kept busy, with so many rows.
type delay struct {
	db     string
	number bool // for a number: no quotes are there to be left
	reads  bool // only where nothing is changed: it ends the statement
	form   string
	unit   func(tenths int) string
}

func seconds(tenths int) string { return fmt.Sprintf("%.1f", float64(tenths)/10) }

func wholes(tenths int) string { return strconv.Itoa((tenths + 9) / 10) }

func clock(tenths int) string { return fmt.Sprintf("0:0:%d.%d", tenths/10, tenths%10) }

const sqliteCount = "(WITH RECURSIVE crenel(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM crenel WHERE n<%[2]s) SELECT count(*) FROM crenel)>0"

// delays are the dialects'. None widens a condition: what is added is joined by
// AND, or by a concatenation with a function that only that database has.
var delays = []delay{
	{"PostgreSQL", false, false, "%[1]s'||(SELECT 'x' FROM PG_SLEEP(%[2]s))||'", seconds},
	{"PostgreSQL", false, false, "%[1]s' AND 7=(SELECT 7 FROM PG_SLEEP(%[2]s)) AND '1'='1", seconds},
	{"MySQL", false, false, "%[1]s' AND (SELECT 7 FROM (SELECT SLEEP(%[2]s))crenel)=7 AND '1'='1", seconds},
	{"SQLite", false, false, "%[1]s' AND " + sqliteCount + " AND '1'='1", nil},
	{"SQL Server", false, true, "%[1]s'; WAITFOR DELAY '%[2]s'-- ", clock},
	{"Oracle", false, false, "%[1]s'||DBMS_PIPE.RECEIVE_MESSAGE('crenel',%[2]s)||'", wholes},
	{"PostgreSQL", true, false, "%[1]s AND 7=(SELECT 7 FROM PG_SLEEP(%[2]s))", seconds},
	{"MySQL", true, false, "%[1]s AND (SELECT 7 FROM (SELECT SLEEP(%[2]s))crenel)=7", seconds},
	{"SQLite", true, false, "%[1]s AND " + sqliteCount, nil},
	{"SQL Server", true, true, "%[1]s; WAITFOR DELAY '%[2]s'-- ", clock},
	{"Oracle", true, false, "%[1]s AND 7+DBMS_PIPE.RECEIVE_MESSAGE('crenel',%[2]s)>0", wholes},
}

// rows makes rows of tenths of a second, of which there are so many in one.
func rows(per int) func(tenths int) string {
	return func(tenths int) string { return strconv.Itoa(1 + per*tenths) }
}

// delaysFor are those that an input of a call may carry.
func delaysFor(method string, number bool) []delay {
	return slices.DeleteFunc(slices.Clone(delays), func(d delay) bool { return d.number != number || d.reads && method != http.MethodGet })
}

func (d delay) text(value string, tenths int) string {
	return fmt.Sprintf(d.form, value, d.unit(tenths))
}

const (
	maxTimed       = 60 // inputs
	maxUnlikely    = 12 // … by which nothing is looked up, as far as anybody knows
	maxTimedProofs = 3  // each takes ten seconds
)

func sqliTime(ctx context.Context, p *Probe) error {
	var slots []*slot
	for _, op := range p.Ops() {
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status == 429 || base.Status == 401 || base.Status == 403 || base.Duration > time.Second || streamsOut(op) || op.Has(graph.Register) {
			continue
		}
		for _, in := range op.Inputs {
			number := (in.Type == "integer" || in.Type == "number") && (in.In == "path" || in.In == "query")
			if !number && !takesText(in) || p.found("sqli", op, in.Where()) {
				continue
			}
			s := slotOf(op, in, call, base)
			if s.value == "" {
				if s.value = "a"; number {
					s.value = "1"
				}
			}
			slots = append(slots, s)
		}
	}
	slices.SortStableFunc(slots, func(a, b *slot) int { return likelySQL(b) - likelySQL(a) })
	proven, unlikely := 0, 0
	for _, s := range slots[:min(len(slots), maxTimed)] {
		if likelySQL(s) == 0 {
			if unlikely++; unlikely > maxUnlikely {
				break
			}
		}
		p.Note(s.op, Clean)
		done, err := p.timed(ctx, s)
		if err != nil {
			return err
		}
		if done {
			if proven++; proven >= maxTimedProofs {
				break
			}
		}
	}
	return nil
}

// found reports whether a check found something in an input of an operation.
func (p *Probe) found(check string, op *graph.Op, where string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.findings[finding.Print(check, op.Method, op.Path, where)] != nil
}

// likelySQL orders inputs: by what is looked up first.
func likelySQL(s *slot) int {
	n := 0
	if s.op.Has(graph.Search) || s.op.Has(graph.Login) || s.in.Meaning == graph.MeansFilter {
		n += 4
	}
	switch {
	case s.in.In == "path" || s.in.In == "query":
		n += 3
	case s.op.Method == http.MethodPost && (s.in.Object != nil || s.in.Meaning == graph.MeansCoupon || s.in.Meaning == graph.MeansUsername || s.in.Meaning == graph.MeansEmail):
		n += 2
	}
	return n
}

func (p *Probe) timed(ctx context.Context, s *slot) (bool, error) {
	number := s.in.Type == "integer" || s.in.Type == "number"
	for _, d := range delaysFor(s.op.Method, number) {
		x, err := p.slowed(ctx, s, &d)
		if err != nil {
			return false, err
		}
		if x == nil {
			continue
		}
		zero, err := p.send(ctx, s.with(d.text(s.value, 0)))
		if err != nil {
			return false, err
		}
		if x.Duration < zero.Duration+noticeable {
			continue
		}
		took := (x.Duration - zero.Duration).Truncate(50 * time.Millisecond)
		var l steps
		add := func(id string, part scenario.Part, note string, tenths, times int, e scenario.Expect) {
			st, err := p.slotStep(s, id, part, note, d.text(s.value, tenths), e)
			st.Times = times
			l.add(st, err)
		}
		add("zero", scenario.Control, "with a wait of nothing it is answered at once", 0, 3, scenario.Expect{Status: "any"})
		add("wait", scenario.Attack, "with a wait it takes longer by that, each time", wait, 2, scenario.Expect{Slower: "zero", By: took * 5 / 10})
		add("zero2", scenario.Control, "with nothing again it does not", 0, 3, scenario.Expect{Status: "any"})
		add("wait2", scenario.Attack, "with the wait again it does", wait, 1, scenario.Expect{Slower: "zero2", By: took * 5 / 10})
		add("thrice", scenario.Attack, "and with three times the wait as much longer again", 3*wait, 1, scenario.Expect{Slower: "wait", By: took * 5 / 10})
		ok, err := p.injected(ctx, s, "SQL injection (blind, by time)", "An expression that makes "+d.db+" wait makes the answer wait: the input is part of the statement.", &l)
		if err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// Waits of the check: tenths of a second, and how much longer is no chance.
const (
	wait       = 6
	noticeable = 350 * time.Millisecond
)

// slowed sends an expression that takes time; nil where it takes none. Where the
// database has to be kept busy, it is found out how many rows keep it so.
func (p *Probe) slowed(ctx context.Context, s *slot, d *delay) (*target.Exchange, error) {
	if d.unit != nil {
		x, err := p.send(ctx, s.with(d.text(s.value, wait)))
		if err != nil || x.Status == 0 || x.Duration < s.base.Duration+noticeable {
			return nil, err
		}
		return x, nil
	}
	for _, n := range []int{100_000, 1_200_000} {
		d.unit = rows(n)
		x, err := p.send(ctx, s.with(d.text(s.value, 1)))
		if err != nil {
			return nil, err
		}
		extra := x.Duration - s.base.Duration
		if x.Status == 0 || extra < 60*time.Millisecond {
			continue
		}
		for per := int(float64(n) * 0.1 / extra.Seconds()); per < 20*n; per *= 2 {
			d.unit = rows(per)
			if x, err = p.send(ctx, s.with(d.text(s.value, wait))); err != nil {
				return nil, err
			}
			if x.Duration > s.base.Duration+noticeable*3/2 {
				return x, nil
			}
		}
		return nil, nil
	}
	return nil, nil
}

// evilText is a text on which patterns with nested repetition lose themselves:
// what is repeated, and what keeps the whole from matching.
type evilText struct{ head, unit, tail string }

func (e evilText) of(n int) string { return e.head + strings.Repeat(e.unit, n) + e.tail }

// evilFor are those that an input's patterns may be lost on.
func evilFor(in *graph.Input) []evilText {
	out := []evilText{{"", "a", "!"}}
	name := strings.ToLower(in.Name)
	switch {
	case in.Format == "email" || strings.Contains(name, "mail"):
		out = append(out, evilText{"a@", "a.", "!"})
	case takesURL(in):
		out = append(out, evilText{"http://", "a.", "!"})
	case strings.Contains(name, "phone") || strings.Contains(name, "date") || strings.Contains(name, "version") || strings.Contains(name, "code"):
		out = append(out, evilText{"", "0", "x!"})
	default:
		out = append(out, evilText{"", "a ", "!"})
	}
	return out
}

var rePattern = regexp.MustCompile(`(?i)e-?mail|user_?name|login|phone|url|uri|link|host|domain|name|date|version|code|zip|iban|colou?r|filter|pattern|regex|query|search`)

const maxRegexInputs = 24

func regexTime(ctx context.Context, p *Probe) error {
	var likely, other []*slot
	for _, op := range p.Ops() {
		if op.Has(graph.Register) || op.Has(graph.Login) {
			continue // what is entered there may lock or count
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status >= 500 || base.Status == 429 || base.Status == 401 || base.Status == 403 || base.Duration > 300*time.Millisecond {
			continue
		}
		for _, in := range op.Inputs {
			if !takesText(in) || in.In == "path" && in.Object != nil {
				continue
			}
			if s := slotOf(op, in, call, base); rePattern.MatchString(in.Name) || in.Format == "email" || in.Format == "uri" || in.Schema != nil && in.Schema.Rules().Pattern != "" {
				likely = append(likely, s)
			} else {
				other = append(other, s)
			}
		}
	}
	all := append(likely, other...)
	for _, s := range all[:min(len(all), maxRegexInputs)] {
		p.Note(s.op, Clean)
		if done, err := p.loses(ctx, s); err != nil || done {
			return err // one shows it, and each may have kept the server busy
		}
	}
	return nil
}

// Growth of evil texts: units, and what counts as time.
var growth = []int{10, 14, 18, 22, 25}

const (
	noticed = 120 * time.Millisecond
	lost    = 400 * time.Millisecond
	patient = 8 * time.Second
)

func (p *Probe) loses(ctx context.Context, s *slot) (bool, error) {
	for _, e := range evilFor(s.in) {
		var quick time.Duration
		for i := 0; i < len(growth); i++ {
			n := growth[i]
			x, err := p.timedOut(ctx, s, e.of(n))
			if err != nil {
				return false, err
			}
			if x == nil || x.Status == 429 {
				return false, nil
			}
			if i == 0 {
				quick = x.Duration
			}
			if x.Duration < quick+noticed {
				continue
			}
			for x.Duration < quick+lost && n < growth[i]+6 {
				n++
				if x, err = p.timedOut(ctx, s, e.of(n)); err != nil || x == nil {
					return false, err
				}
			}
			if x.Duration < quick+lost {
				break
			}
			took := x.Duration - quick
			var l steps
			add := func(id string, part scenario.Part, note, text string, times int, e scenario.Expect) {
				st, err := p.slotStep(s, id, part, note, text, e)
				st.Times = times
				l.add(st, err)
			}
			whole := e.of(n)
			add("short", scenario.Control, "a shorter text is answered at once", e.of(growth[0]), 3, scenario.Expect{Status: "any"})
			add("plain", scenario.Control, "one of the same length that is refused at once as well", strings.Repeat("!", len(whole)), 3, scenario.Expect{Status: "any"})
			add("long", scenario.Attack, "a few letters more take many times as long", whole, 2, scenario.Expect{Slower: "short", By: took / 2})
			add("long2", scenario.Attack, "than the other text of that length, too", whole, 1, scenario.Expect{Slower: "plain", By: took / 2})
			ok, err := p.injected(ctx, s, "a text keeps the server busy", "The time that a pattern takes doubles with each letter of a text that nearly matches.", &l)
			if err != nil || ok {
				return ok, err
			}
			break
		}
	}
	return false, nil
}

// timedOut sends a text, with patience that ends; nil where it cannot be sent.
func (p *Probe) timedOut(ctx context.Context, s *slot, text string) (*target.Exchange, error) {
	r, err := p.World.Request(s.with(text))
	if err != nil {
		return nil, nil //nolint:nilerr // a call that cannot be written does not end the run
	}
	r.Timeout = patient
	return p.Do(ctx, s.call.As, r)
}
