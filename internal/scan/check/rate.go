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

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID: "rate-unlimited", Title: "Nothing bounds how often an operation may be called",
	OWASP: "API4:2023", CWE: "CWE-770", WSTG: "WSTG-BUSL-05", CVSS: vectorInfo,
	About: "Calls an operation that gives much data or costs much (an export, a search, a list) seventy times in a row, at the end of the run and once an API; one whose limit the description or the answers promise, until a little more than that. Logins, codes and messages have checks of their own.",
	Proof: "All were answered with a success within a minute, none was slowed down, and no header speaks of a limit: that is information, because a limit may be beyond what was sent. It is a hole where a limit of a number within reach is promised and not kept: more than that number were answered within its time, or calls go on being answered after a header has said that none are left.",
	Fix:   "Bound calls by account and by address, more tightly where one is costly; answer 429 with Retry-After, and say what is left (RateLimit fields).",
	Mode:  Aggressive, Late: true,
	Run: rateUnlimited,
})

const (
	burst          = 70          // requests in a row: more than one a second for a minute
	burstWithin    = time.Minute // in which they have to be answered
	mostPromised   = 200         // the largest promise that is tried
	vectorPromised = "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N"
)

// vectorUnmet is of a limit that is spoken of, and was not met.
const vectorUnmet = "CVSS:4.0/AV:N/AC:H/AT:P/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N"

// limitHeaders are those by which answers speak of a limit.
var limitHeaders = []string{"RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Limit-Remaining", "Retry-After"}

// promise is a limit that somebody speaks of.
type promise struct {
	n      int
	within time.Duration
	where  string // who says so, for people
}

func rateUnlimited(ctx context.Context, p *Probe) error {
	for _, op := range p.costly() {
		c, x, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if c == nil || x.Status/100 != 2 || len(x.Body) == 0 {
			p.Note(op, Skipped)
			continue
		}
		p.Note(op, Clean)
		_, err = p.bursts(ctx, c, x)
		return err // what is shown, or refused, of one is so of the API
	}
	return nil
}

// costly are the operations worth a burst, the best first: whose limit is promised, then
// those that give much.
func (p *Probe) costly() []*graph.Op {
	rank := map[*graph.Op]int{}
	var out []*graph.Op
	for _, op := range p.Ops() {
		if !p.reads(op) || op.Method != http.MethodGet && !op.Has(graph.Search) && !op.Has(graph.Export) || op.Has(graph.Health) || op.Has(graph.Debug) {
			continue
		}
		switch {
		case p.promisedFor(op) != nil:
			rank[op] = 5
		case op.Has(graph.Export):
			rank[op] = 4
		case op.Has(graph.Search):
			rank[op] = 3
		case op.Answered == "list" && op.About != nil && op.About.IsPerson:
			rank[op] = 2
		case op.Answered == "list":
			rank[op] = 1
		default:
			continue
		}
		out = append(out, op)
	}
	slices.SortStableFunc(out, func(a, b *graph.Op) int { return rank[b] - rank[a] })
	return out[:min(len(out), 3)]
}

var (
	rePromise = regexp.MustCompile(`(?i)(?:^|[^\w.,/-])(\d{1,3}(?:,\d{3})+|\d{1,7})\s*(?:api\s+)?(?:requests?|calls?|queries|hits|reqs?)\b[^.\n\d]{0,40}?(?:\bper\b|\ban?\b|\beach\b|\bevery\b|/|\bin\b|\bwithin\b)\s*(?:(\d{1,3})[\s-]*)?(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)\b`)
	reDepends = regexp.MustCompile(`(?i)\b(plan|tier|free|premium|paid|enterprise|anonymous|unauthenticated|production|sandbox|per (key|route|endpoint)|default|configurable|may|burst)`)
	reLimits  = regexp.MustCompile(`(?i)limit|throttl|quota|429|too many|at most|no more than|maximum|up to|allowed`)
)

// units are the lengths of time that limits are promised for, by their first letter.
var units = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour}

// promisedIn is the limit that a text speaks of, the widest where it speaks of several;
// nil where it speaks of none, or of different ones for different callers or places.
func promisedIn(text string) *promise {
	if !reLimits.MatchString(text) || reDepends.MatchString(text) {
		return nil
	}
	var widest *promise
	for _, m := range rePromise.FindAllStringSubmatch(text, 10) {
		n, err := strconv.Atoi(strings.NewReplacer(",", "", "\u00a0", "").Replace(m[1]))
		times := 1
		if m[2] != "" && err == nil {
			times, err = strconv.Atoi(m[2])
		}
		if err != nil || times == 0 {
			return nil
		}
		q := &promise{n: n, within: time.Duration(times) * units[strings.ToLower(m[3])[0]]}
		if widest == nil || float64(q.n)/q.within.Seconds() > float64(widest.n)/widest.within.Seconds() {
			widest = q
		}
	}
	return widest
}

// inReach: so many calls can be sent, in the time for which they are counted.
func (q *promise) inReach() bool {
	return q != nil && q.n > 0 && q.n <= mostPromised && q.within >= 5*time.Second
}

// promisedFor is the limit within reach that the description promises for an
// operation: in its words, in those of its 429, of an extension, or of the API as a whole.
func (p *Probe) promisedFor(op *graph.Op) *promise {
	texts := []string{op.Summary + ". " + op.Description}
	for _, r := range op.Responses {
		if r.Status == "429" {
			texts = append(texts, "429: "+r.Description)
		}
	}
	for _, t := range texts {
		if q := promisedIn(t); q.inReach() {
			q.where = "the description of the operation"
			return q
		}
	}
	for name, v := range op.Extensions {
		if q := promisedBy(name, v); q.inReach() {
			return q
		}
	}
	if p.Graph.API == nil || slices.ContainsFunc(texts, func(t string) bool { return promisedIn(t) != nil }) {
		return nil // its own is beyond reach
	}
	if q := promisedIn(p.Graph.API.Description); q.inReach() {
		q.where = "the description of the API"
		return q
	}
	for name, v := range p.Graph.API.Extensions {
		if q := promisedBy(name, v); q.inReach() {
			return q
		}
	}
	return nil
}

var (
	reRateExtension = regexp.MustCompile(`(?i)^x-.*(rate-?limit|throttl|quota)`)
	reRateNumber    = regexp.MustCompile(`(?i)^(limit|requests|max|max_?requests|rate|count|calls|quota)$`)
	reRatePeriod    = regexp.MustCompile(`(?i)^(period|window|per|interval|unit|duration|within)(_?(s|sec|seconds))?$`)
	rePeriod        = regexp.MustCompile(`(?i)^(\d{0,4})\s*(s|sec|seconds?|m|min|minutes?|h|hours?)$`)
)

// promisedBy is the limit that an extension of the description states.
func promisedBy(name string, v any) *promise {
	if !reRateExtension.MatchString(name) {
		return nil
	}
	q := &promise{where: "the description's " + name}
	if text, ok := v.(string); ok {
		if said := promisedIn("limit " + text); said != nil {
			q.n, q.within = said.n, said.within
		}
		return q
	}
	members, _ := v.(map[string]any)
	for k, m := range members {
		text := scenario.Plain(m)
		switch {
		case reRateNumber.MatchString(k):
			q.n, _ = strconv.Atoi(text) // what is no number is none
		case reRatePeriod.MatchString(k):
			if n, err := strconv.Atoi(text); err == nil {
				q.within = time.Duration(n) * time.Second
			} else if p := rePeriod.FindStringSubmatch(text); p != nil {
				times := 1
				if p[1] != "" {
					times, _ = strconv.Atoi(p[1]) // digits
				}
				q.within = time.Duration(times) * units[strings.ToLower(p[2])[0]]
			}
		}
	}
	return q
}

// leftOf is the header by which an answer says how many calls are left, and how many.
func leftOf(x *target.Exchange) (name string, left int) {
	for _, name := range limitHeaders {
		if !strings.HasSuffix(name, "Remaining") {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(x.Header.Get(name))); err == nil {
			return name, n
		}
	}
	return "", 0
}

// bursts tries one operation: true where something was shown.
func (p *Probe) bursts(ctx context.Context, c *world.Call, base *target.Exchange) (bool, error) {
	if name, left := leftOf(base); name != "" {
		if left <= mostPromised {
			return p.goesOn(ctx, c, name, left)
		}
		return false, nil // there is a limit, beyond reach
	}
	if q := p.promisedFor(c.Op); q != nil {
		return p.unkept(ctx, c, q)
	}
	if slices.ContainsFunc(limitHeaders, func(name string) bool { return base.Header.Get(name) != "" }) {
		return false, nil
	}
	var none []scenario.Expect
	for _, name := range limitHeaders {
		none = append(none, scenario.Expect{Header: name, Missing: true})
	}
	h := Hypothesis{
		Where: "rate", Title: fmt.Sprintf("%s %s is answered however often it is called", c.Op.Method, c.Op.Path),
		Description: fmt.Sprintf("%d calls in a row, by one account, were all answered within a minute, and no header speaks of a limit. There may be one beyond that. Others of the API were not tried so.", burst),
	}
	if slices.ContainsFunc(c.Op.Responses, func(r *spec.Response) bool { return r.Status == "429" }) {
		h.CVSS = vectorUnmet
		h.Description += " The description has a 429 for it, and says of no number."
	}
	return p.burst(ctx, c, burst, burstWithin, none, h)
}

// unkept: more calls than were promised to be allowed are answered in that time.
func (p *Probe) unkept(ctx context.Context, c *world.Call, q *promise) (bool, error) {
	// A bucket that is full gives what it holds, and what flows in meanwhile.
	return p.burst(ctx, c, 2*q.n+5, min(q.within*9/10, burstWithin), nil, Hypothesis{
		Where: "rate", CVSS: vectorPromised, Title: fmt.Sprintf("%s %s: the limit that is promised is not kept", c.Op.Method, c.Op.Path),
		Description: fmt.Sprintf("By %s %d calls in %v are allowed. More than twice as many, by one account, were all answered in less.", q.where, q.n, q.within),
	})
}

// burst proves that n calls in a row are all answered, in some time.
func (p *Probe) burst(ctx context.Context, c *world.Call, n int, within time.Duration, more []scenario.Expect, h Hypothesis) (bool, error) {
	zero := 0
	var l steps
	st, err := p.step(nil, c, "first", scenario.Control)
	st.Note, st.Expect = "a call is answered", append([]scenario.Expect{{Status: "2xx"}}, more...)
	l.add(st, err)
	st, err = p.step(nil, c, "attack", scenario.Attack)
	st.Note, st.Times = fmt.Sprintf("and %d more, one after the other", n), n
	st.Expect = append([]scenario.Expect{{Steady: growingDelay}, {Status: "429|503|420", AtMost: &zero}, {Status: "2xx", AtLeast: n}, {Within: within}}, more...)
	l.add(st, err)
	return p.rated(ctx, c, &l, h)
}

// goesOn: calls are answered after a header has said that none are left.
func (p *Probe) goesOn(ctx context.Context, c *world.Call, name string, left int) (bool, error) {
	x, err := p.send(ctx, c)
	if err != nil {
		return false, err
	}
	if _, now := leftOf(x); now > left {
		left = now
	}
	for _, h := range limitHeaders {
		if n, err := strconv.Atoi(x.Header.Get(h)); strings.HasSuffix(h, "Limit") && err == nil && n > left {
			left = n
		}
	}
	if left > mostPromised {
		return false, nil
	}
	zero := 0
	var l steps
	st, err := p.step(nil, c, "uses", scenario.Control)
	st.Note, st.Times = "calls until none are left, and a few more", left+5
	st.Expect = []scenario.Expect{{Status: "429|503|420", AtMost: &zero}}
	l.add(st, err)
	st, err = p.step(nil, c, "none", scenario.Control)
	st.Note, st.Expect = "the answer says that none are left", []scenario.Expect{{Header: name, Matches: `^\s*0\s*$`}}
	l.add(st, err)
	const more = 10
	st, err = p.step(nil, c, "attack", scenario.Attack)
	st.Note, st.Times = fmt.Sprintf("and %d more are answered", more), more
	st.Expect = []scenario.Expect{{Status: "429|503|420", AtMost: &zero}, {Status: "2xx", AtLeast: more}, {Header: name, Matches: `^\s*0\s*$`}}
	l.add(st, err)
	return p.rated(ctx, c, &l, Hypothesis{
		Where: "rate", CVSS: vectorPromised, Title: fmt.Sprintf("%s %s: the limit is counted, and not kept", c.Op.Method, c.Op.Path),
		Description: fmt.Sprintf("The answers say in %s how many calls are left. When none were, the next were answered all the same.", name),
	})
}

func (p *Probe) rated(ctx context.Context, c *world.Call, l *steps, h Hypothesis) (bool, error) {
	if l.err != nil {
		p.Note(c.Op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h.Op = c.Op
	h.Scenario = &scenario.Scenario{Name: "a burst of calls", Steps: l.list}
	// A limit on everything that the run met, it has waited for and keeps to since.
	h.Unless = func() bool { return p.Client.Eased().Holds > 0 }
	return p.Prove(ctx, h)
}
