package check

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "request-smuggling", Title: "Two servers disagree where a request ends",
	OWASP: "API8:2023", CWE: "CWE-444", WSTG: "WSTG-INPV-15",
	CVSS:  "CVSS:4.0/AV:N/AC:H/AT:P/PR:N/UI:P/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Sends messages that can be read in two ways (Content-Length beside Transfer-Encoding, either one spelt oddly, a body where none is usual, lengths of HTTP/2 that are not true), each on a connection of its own that is closed after it. None leaves a beginning of a request behind on a connection that others share: where front and back disagree, the back waits for what never comes, or finds what an ordinary body leaves.",
	Proof: "The answer is not there as long as it takes and a second more, again and again, where every reading of the message by one server alone is complete. Controls, before and after: the same message with lengths that agree is answered at once. Or what follows on the own connection is answered as if the body were part of it. A server that reads such messages one way, or refuses them, is no hole.",
	Fix:   "Refuse what has both Content-Length and Transfer-Encoding, and header fields that are not spelt as RFC 9112 has them (sections 5.1, 5.2, 6.3), at the first server; let it write its own lengths; speak HTTP/2 to the end.",
	Mode:  Default, Alone: true,
	Run: requestSmuggling,
})

// spelling is one way to write a header field that some servers see and others do not.
type spelling struct {
	name  string
	lines []string
}

// codings say that the body is chunked; the first as RFC 9112, 6.1, has it.
var codings = []spelling{
	{"as it is usual", []string{"Transfer-Encoding: chunked"}},
	{"with a blank before the colon", []string{"Transfer-Encoding : chunked"}},
	{"with a tab", []string{`Transfer-Encoding:\tchunked`}},
	{"with a vertical tab", []string{`Transfer-Encoding: \x0bchunked`}},
	{"with a letter more", []string{"Transfer-Encoding: xchunked"}},
	{"with a second coding", []string{"Transfer-Encoding: chunked", "Transfer-Encoding: identity"}},
	{"in a list", []string{"Transfer-Encoding: chunked, identity"}},
	{"in quotation marks", []string{`Transfer-Encoding: "chunked"`}},
	{"on a folded line", []string{"Transfer-Encoding:", " chunked"}},
	{"after a bare line feed", []string{`X-Crenel: 1\nTransfer-Encoding: chunked`}},
}

// lengths say that the body is two bytes long.
var lengths = []struct {
	spelling
	method string
}{
	{spelling{"in a GET", []string{"Content-Length: 2"}}, http.MethodGet},
	{spelling{"with a blank before the colon", []string{"Content-Length : 2"}}, ""},
	{spelling{"with a sign", []string{"Content-Length: +2"}}, ""},
	{spelling{"on a folded line", []string{"Content-Length:", " 2"}}, ""},
	{spelling{"after a bare line feed", []string{`X-Crenel: 1\nContent-Length: 2`}}, ""},
	{spelling{"twice", []string{"Content-Length: 0", "Content-Length: 2"}}, ""},
}

// letter is where messages are sent to: an operation that is called, and as whom.
type letter struct {
	method, path string
	media        string
	as           *actor.Actor
	by           time.Duration // how much longer than usual is no chance
	wait         time.Duration // how long to wait for an answer
}

func (l *letter) who() string {
	if l.as == nil {
		return actor.Nobody
	}
	return l.as.Name
}

// raw is a message: the lines of its framing, and its body.
func (l *letter) raw(method string, framing []string, body ...string) *scenario.Raw {
	if method == "" {
		method = l.method
	}
	lines := []string{method + " ${target.base}" + l.path + " HTTP/1.1", "Host: ${target.host}", "${credentials}", "User-Agent: crenel-scan", "Accept: */*"}
	if method != http.MethodGet {
		lines = append(lines, "Content-Type: "+l.media)
	}
	lines = append(append(lines, framing...), "")
	if len(body) == 0 {
		lines = append(lines, "")
	}
	return &scenario.Raw{Lines: append(lines, body...), Wait: l.wait, Answers: 1}
}

// Bodies. A Z is no JSON, and a form without what is asked for, so that nothing is made of it.
var (
	agreeing  = []string{"1", "Z", "0", "", ""} // eleven bytes, and whole as chunks
	malformed = []string{"1", "Z", "Q", "", ""} // four bytes are a body; as chunks it is none
	whole     = []string{"1", "Z", "0", "", ""} // four bytes are a body; as chunks it is eleven
	emptied   = []string{"0", "", "", ""}       // as chunks it ends two bytes before the end
)

func sized(coding []string, length int) []string {
	return append(slices.Clone(coding), fmt.Sprintf("Content-Length: %d", length))
}

func requestSmuggling(ctx context.Context, p *Probe) error {
	if p.Client == nil {
		return nil
	}
	l, err := p.letter(ctx)
	if err != nil || l == nil {
		return err
	}
	disagree, err := p.twoLengths(ctx, l)
	if err != nil {
		return err
	}
	if !disagree {
		if err := p.lengthFirst(ctx, l); err != nil {
			return err
		}
	}
	if err := p.hiddenLength(ctx, l); err != nil {
		return err
	}
	if err := p.falseLength(ctx, l); err != nil {
		return err
	}
	left, err := p.bodyLeft(ctx, l)
	if err != nil || left || l.path == "/" {
		return err
	}
	// Where nobody expects a body, nobody may read it.
	_, err = p.bodyLeft(ctx, &letter{method: http.MethodPost, path: "/", media: "application/json", by: l.by, wait: l.wait})
	return err
}

// told sends a raw step's message outside a scenario.
func (p *Probe) told(ctx context.Context, as *actor.Actor, raw *scenario.Raw) (*target.Exchange, error) {
	sc := &scenario.Scenario{Name: "a look", Steps: []scenario.Step{{ID: "look", Raw: raw}}}
	if as != nil {
		sc.Steps[0].As = as.Name
	}
	out, err := p.stage(ctx, sc, false)
	if err != nil {
		return nil, err
	}
	if r := out.Of("look"); r != nil && r.Last() != nil {
		return r.Last(), nil
	}
	return nil, nil
}

const (
	maxLetters = 3
	patience0  = time.Second            // how much longer than usual is no chance, at least
	patience1  = 6 * time.Second        // and at most
	grace      = 300 * time.Millisecond // beyond that, for an answer that is on its way
)

// letter finds an operation behind which a body is waited for: what is
// answered before it came cannot show who waits for what.
func (p *Probe) letter(ctx context.Context) (*letter, error) {
	var first *letter
	for _, l := range p.letters(ctx) {
		l.wait = patience1
		var usual time.Duration
		for range 2 {
			x, err := p.told(ctx, l.as, l.raw("", []string{"Content-Length: 1"}, "Z"))
			if err != nil {
				return nil, err
			}
			if x == nil || len(x.Raw.Whole) == 0 {
				usual = -1
				break
			}
			usual = max(usual, x.Duration)
		}
		if usual < 0 || usual > patience1/8 {
			continue
		}
		l.by = min(max(patience0, 8*usual), patience1)
		l.wait = l.by + usual + grace
		if first == nil {
			first = l
		}
		x, err := p.told(ctx, l.as, l.raw("", []string{"Content-Length: 2"}, "Z"))
		if err != nil {
			return nil, err
		}
		if x != nil && x.Duration >= l.by {
			return l, nil
		}
	}
	return first, nil
}

// letters are operations that take a body, those open to anybody and those
// that most likely read it first.
func (p *Probe) letters(ctx context.Context) []*letter {
	type ranked struct {
		l    *letter
		rank int
	}
	var all []ranked
	for _, op := range p.Ops() {
		if op.Method != http.MethodPost && op.Method != http.MethodPut && op.Method != http.MethodPatch || strings.Contains(op.Path, "{") {
			continue
		}
		if slices.ContainsFunc([]graph.Purpose{graph.Hazard, graph.Logout, graph.PasswordChange, graph.PasswordReset, graph.Refresh}, op.Has) || op.Kind == graph.Delete {
			continue
		}
		for _, a := range []*actor.Actor{nil, p.Actor(actor.User)} {
			if a == nil && op.Secured {
				continue
			}
			call, err := p.World.Call(ctx, op, a, nil)
			if err != nil {
				continue
			}
			r, err := p.World.Request(call)
			if err != nil || !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, `\$`) || !strings.Contains(call.Media, "json") && !strings.Contains(call.Media, "urlencoded") {
				continue
			}
			rank := 3
			switch {
			case op.Has(graph.Login):
				rank = 0
			case !op.Secured && op.Method == http.MethodPost:
				rank = 1
			case op.Method == http.MethodPost:
				rank = 2
			}
			all = append(all, ranked{&letter{method: op.Method, path: r.Path, media: call.Media, as: a}, rank})
			break
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return a.rank - b.rank })
	var out []*letter
	for _, r := range all[:min(len(all), maxLetters)] {
		out = append(out, r.l)
	}
	return append(out, &letter{method: http.MethodPost, path: "/", media: "application/json"})
}

// late: no answer came in the time in which one always comes.
func (l *letter) late(x *target.Exchange) bool { return x != nil && x.Duration >= l.by }

// twoLengths looks for CL.TE and TE.CL, with each spelling of the coding. The first
// is looked for first, because what shows the second would be left behind by it.
func (p *Probe) twoLengths(ctx context.Context, l *letter) (found bool, err error) {
	for _, c := range codings {
		x, err := p.told(ctx, l.as, l.raw("", sized(c.lines, 4), malformed...))
		if err != nil {
			return found, err
		}
		if l.late(x) {
			ok, err := p.disagree(ctx, l, "CL.TE", c, "The server in front takes the message to end where Content-Length says, the one behind it where the chunks end: what a caller puts between is the beginning of somebody else's request.",
				l.raw("", sized(c.lines, 4), malformed...), l.raw("", sized(c.lines, 4), whole...))
			if err != nil || ok {
				return ok, err
			}
			continue // slow for a reason of its own: nothing else is tried with it
		}
		if x, err = p.told(ctx, l.as, l.raw("", sized(c.lines, 7), emptied...)); err != nil {
			return found, err
		}
		if l.late(x) {
			ok, err := p.disagree(ctx, l, "TE.CL", c, "The server in front takes the message to end where the chunks do, the one behind it where Content-Length says: what a caller puts between is the beginning of somebody else's request.",
				l.raw("", sized(c.lines, 7), emptied...))
			if err != nil || ok {
				return ok, err
			}
		}
	}
	return found, nil
}

// disagree proves that a message that is complete in each reading is waited on.
func (p *Probe) disagree(ctx context.Context, l *letter, where string, c spelling, why string, attacks ...*scenario.Raw) (bool, error) {
	agree := l.raw("", sized(c.lines, 11), agreeing...)
	return p.waited(ctx, l, where, fmt.Sprintf("Requests can be smuggled (%s): Transfer-Encoding %s", where, c.name), why, "with lengths that agree it is answered at once", agree, attacks...)
}

// waited proves that messages are waited on for which nothing is missing.
func (p *Probe) waited(ctx context.Context, l *letter, where, title, why, usual string, control *scenario.Raw, attacks ...*scenario.Raw) (bool, error) {
	var list []scenario.Step
	add := func(id string, part scenario.Part, note string, raw *scenario.Raw, times int, e scenario.Expect) {
		list = append(list, scenario.Step{ID: id, Part: part, As: l.who(), Note: note, Raw: raw, Times: times, Expect: []scenario.Expect{e}})
	}
	one := 1
	for i, raw := range attacks {
		n := strconv.Itoa(i + 1)
		add("usual"+n, scenario.Control, usual, control, 2, scenario.Expect{Answers: &one})
		add("attack"+n, scenario.Attack, "complete in each reading, and still waited on", raw, 1, scenario.Expect{Slower: "usual" + n, By: l.by})
	}
	add("after", scenario.Control, "and then again: "+usual, control, 2, scenario.Expect{Answers: &one})
	// What the usual takes after it bounds what it took before.
	add("again", scenario.Attack, "and the other is waited on again", attacks[len(attacks)-1], 1, scenario.Expect{Slower: "after", By: l.by})
	return p.Prove(ctx, Hypothesis{Where: where, Title: title, Description: why, Scenario: &scenario.Scenario{Name: "request smuggling: " + where, Steps: list}})
}

// lengthFirst looks whether Content-Length is believed where the message is
// chunked: harmless by itself, and a hole behind a server that believes the chunks.
func (p *Probe) lengthFirst(ctx context.Context, l *letter) error {
	const length = 30
	attack := l.raw("", sized(codings[0].lines, length), "0", "", "")
	x, err := p.told(ctx, l.as, attack)
	if err != nil || !l.late(x) {
		return err
	}
	chunked := l.raw("", codings[0].lines, "0", "", "")
	var list []scenario.Step
	one := 1
	for _, n := range []string{"1", "2"} {
		list = append(list,
			scenario.Step{ID: "chunks" + n, Part: scenario.Control, As: l.who(), Note: "without Content-Length it is answered at once", Raw: chunked, Times: 2, Expect: []scenario.Expect{{Answers: &one}}},
			scenario.Step{ID: "both" + n, Part: scenario.Attack, As: l.who(), Note: "with a longer Content-Length the rest is waited for", Raw: attack, Expect: []scenario.Expect{{Slower: "chunks" + n, By: l.by}}})
	}
	_, err = p.Prove(ctx, Hypothesis{
		Where: "CL over TE", Title: "Content-Length is believed where the message is chunked", CVSS: vectorLow,
		Description: "RFC 9112, 6.3, has it the other way round, or the message refused. Behind a server that does as it says, requests can be smuggled.",
		Scenario:    &scenario.Scenario{Name: "request smuggling: CL over TE", Steps: list},
	})
	return err
}

// hiddenLength looks for 0.CL: a length that only the server behind sees.
func (p *Probe) hiddenLength(ctx context.Context, l *letter) error {
	for _, c := range lengths {
		attack := l.raw(c.method, c.lines, "", "")
		x, err := p.told(ctx, l.as, attack)
		if err != nil {
			return err
		}
		if !l.late(x) {
			continue
		}
		none := []string{"Content-Length: 0"}
		if c.method == http.MethodGet {
			none = nil
		}
		ok, err := p.waited(ctx, l, "0.CL", "Requests can be smuggled (0.CL): Content-Length "+c.name,
			"The server in front takes the message to have no body, the one behind it waits for one: the next request on the connection is taken for it.", "without a body it is answered at once",
			l.raw(c.method, none), attack)
		if err != nil || ok {
			return err
		}
	}
	return nil
}

// bodyLeft looks whether a body is read as the next request: TE.0 and CL.0. The
// body is an ordinary one; what it would leave behind, every client leaves behind.
func (p *Probe) bodyLeft(ctx context.Context, l *letter) (found bool, err error) {
	next := []string{"GET ${target.base}/ HTTP/1.1", "Host: ${target.host}", "User-Agent: crenel-scan", "Accept: */*", "", ""}
	follow := func(framing []string, body ...string) *scenario.Raw {
		raw := l.raw("", framing, body...)
		raw.Lines[len(raw.Lines)-1] += next[0]
		raw.Lines, raw.Answers = append(raw.Lines, next[1:]...), 2
		return raw
	}
	none := follow([]string{"Content-Length: 0"})
	usual, err := p.told(ctx, l.as, none)
	if err != nil || usual == nil || usual.Answer(2) == nil || usual.Answer(2).Status == 400 {
		return false, err
	}
	for _, c := range []struct {
		where, how string
		raw        *scenario.Raw
	}{
		{"TE.0", "in chunks", follow(codings[0].lines, "1", "Z", "0", "", "")},
		{"CL.0", "with its length", follow([]string{"Content-Length: 3"}, `Z\r\n`)},
	} {
		x, err := p.told(ctx, l.as, c.raw)
		if err != nil {
			return found, err
		}
		second := x.Answer(2)
		if second == nil || scenario.Alike(second, usual.Answer(2)) {
			continue
		}
		two := 2
		bare := func(id string) scenario.Step {
			return scenario.Step{ID: id, Part: scenario.Control, As: l.who(), Note: "after a message without a body, the next request is answered as it should be", Raw: none, Expect: []scenario.Expect{{Answers: &two}, {Answer: 2, Status: "!400"}}}
		}
		// Like and Unlike look at the first answer, so the second is told by its status.
		odd := func(id string) scenario.Step {
			return scenario.Step{ID: id, Part: scenario.Attack, As: l.who(), Note: "after one with a body " + c.how + ", the same request is answered as something else", Raw: c.raw, Times: 2, Expect: []scenario.Expect{{Answers: &two}, {Answer: 2, Status: "400|405|501"}}}
		}
		ok, err := p.Prove(ctx, Hypothesis{
			Where: c.where, Title: fmt.Sprintf("A body %s is read as the next request (%s)", c.how, c.where),
			Description: "The body of a message is left on the connection, and read as the beginning of the request after it, whoever sent that.",
			Scenario:    &scenario.Scenario{Name: "request smuggling: " + c.where, Steps: []scenario.Step{bare("bare"), odd("body"), bare("bare2"), odd("body2")}},
		})
		if err != nil {
			return found, err
		}
		found = found || ok
	}
	return found, nil
}

// falseLength looks for H2.CL and H2.TE: lengths that are believed by a server
// behind, where the one in front speaks HTTP/2.
func (p *Probe) falseLength(ctx context.Context, l *letter) error {
	if !p.overTLS() {
		return nil
	}
	message := func(data string, more ...scenario.Pair) *scenario.Raw {
		fields := []scenario.Pair{{Name: ":method", Value: l.method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "${target.host}"}, {Name: ":path", Value: "${target.base}" + l.path}, {Name: "user-agent", Value: "crenel-scan"}, {Name: "content-type", Value: l.media}}
		return &scenario.Raw{H2: append(fields, more...), Lines: strings.Split(data, "\r\n"), Wait: l.wait}
	}
	right := message("ZZZ", scenario.Pair{Name: "content-length", Value: "3"})
	x, err := p.told(ctx, nil, right)
	if err != nil || x == nil || len(x.Raw.Whole) == 0 {
		return err
	}
	nobody := *l
	nobody.as = nil
	for _, c := range []struct {
		where, why string
		raw        *scenario.Raw
	}{
		{"H2.CL", "The server in front, which speaks HTTP/2, passes a content-length on that is not true; the one behind waits for the rest, and takes it from the next request.", message("Z", scenario.Pair{Name: "content-length", Value: "3"})},
		{"H2.TE", "The server in front, which speaks HTTP/2, passes transfer-encoding on; the one behind waits for chunks that never come, and takes them from the next request.", message("1\r\nZ\r\n", scenario.Pair{Name: "transfer-encoding", Value: "chunked"})},
	} {
		x, err := p.told(ctx, nil, c.raw)
		if err != nil {
			return err
		}
		if !nobody.late(x) {
			continue
		}
		if ok, err := p.waited(ctx, &nobody, c.where, "Requests can be smuggled ("+c.where+"): from HTTP/2 to HTTP/1.1", c.why, "with a length that is true it is answered at once", right, c.raw); err != nil || ok {
			return err
		}
	}
	return nil
}
