package waf

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/waf/triage"
	"github.com/crenel-project/crenel/internal/value"
)

// Explanation is how the guard came to its verdict on one request.
type Explanation struct {
	Verdict  exchange.Verdict
	Paranoia int
	// Values are all that the request holds, inspected or not.
	Values []ExplainedValue
	// Rules are those that matched in the engine.
	Rules            []ExplainedRule
	Score, Threshold int
	// Silent says that the engine has nothing to say of this request, and is not asked again.
	Silent bool
	// Always are the rules for which the engine is asked about every request, and why.
	Always map[int]string
	// Tried is how many rules the engine had to try on how many of the values and
	// bytes, and Estimated what that takes; Budget is what it may.
	TriedRules, TriedValues, TriedBytes int
	Estimated, Budget                   time.Duration
}

// ExplainedValue is one value of a request.
type ExplainedValue struct {
	At   string
	In   string // "query", "body", "path", "header" or "cookie"
	Text string // the caller masks it
	// Skipped says why it was not inspected, "" when it was.
	Skipped string
	// Suspects are the rules that the triage found to match it, or its name; Muted
	// those of them that an exclusion silences here, or that count nothing in a value
	// of its kind (see the tuned inspection).
	Suspects, Muted []int
	// Points are what it adds to the score.
	Points int
}

// ExplainedRule is one rule that matched.
type ExplainedRule struct {
	ID       int
	Message  string
	Severity string
	Tags     []string
	Places   []Match
}

var sources = [...]string{fromQuery: "query", fromBody: "body", fromXML: "body", fromPath: "path", fromHeader: "header", fromCookie: "cookie"}

// Explain rules on a request as the step does, and tells how. The request has been
// through the steps before, as far as those can be taken without sending it.
func (g *Guard) Explain(ctx context.Context, x *exchange.Exchange) *Explanation {
	g = g.of(x)
	e := &Explanation{Verdict: g.rule(ctx, x), Paranoia: g.cfg.Paranoia, Threshold: g.cfg.Threshold, Always: g.silence.triage.Always(), Budget: g.cfg.Budget}
	c := g.collector(x)
	c.collect(x)
	excluded := g.exclude.of(x)
	mute(excluded, c.fields)
	r := g.silence.judge(x, c.fields, mutedAt(excluded, atPath))
	e.Silent = r.silent
	if !e.Silent {
		l := g.load(x, &r)
		e.TriedRules, e.TriedValues, e.TriedBytes, e.Estimated = l.rules, l.values, l.bytes, l.cost()
	}
	if s, ok := e.Verdict.Detail["score"].(int); ok {
		e.Score = s
	}
	matches, _ := e.Verdict.Detail["matches"].([]Match)
	e.values(g, x, &c, matches)
	e.rules(g, matches)
	return e
}

// values lists what was inspected, and what was not.
func (e *Explanation) values(g *Guard, x *exchange.Exchange, c *collector, matches []Match) {
	points := map[string]int{}
	for _, m := range matches {
		points[m.At] += m.Points
	}
	seen := map[string]bool{}
	texts := g.textsOf(x, c.fields, nil)
	first := len(texts) - 2*len(c.fields) // each field is two texts
	scan := func(list []triage.Text) (found []int) {
		for _, t := range list {
			found = append(found, g.silence.triage.Why(t)...)
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	for i := range c.fields {
		f := &c.fields[i]
		v := ExplainedValue{At: f.at, In: sources[f.src], Text: f.text, Suspects: scan(texts[first+2*i : first+2*i+2])}
		if !seen[f.at] {
			v.Points = points[f.at]
		}
		seen[f.at] = true
		mute, _ := g.mutes(f)
		for _, id := range v.Suspects {
			if mute != nil && mute.Mutes(id) {
				v.Muted = append(v.Muted, id)
			}
		}
		e.Values = append(e.Values, v)
	}
	whole := slices.DeleteFunc(texts[:first:first], func(t triage.Text) bool { return t.Kind == triage.Header })
	e.Values = append(e.Values, ExplainedValue{At: atPath, In: "path", Text: x.Request.RawPath, Points: points[atPath], Suspects: scan(whole)})
	for _, v := range all(x) {
		if seen[v.At] {
			continue
		}
		v.Skipped = c.why(x, &v)
		e.Values = append(e.Values, v)
	}
	slices.SortStableFunc(e.Values, func(a, b ExplainedValue) int { return b.Points - a.Points })
}

// why says why a value was not inspected.
func (c *collector) why(x *exchange.Exchange, v *ExplainedValue) string {
	in, name, _ := strings.Cut(v.At, ":")
	switch {
	case c.over.Action != exchange.Allow:
		return "the inspection ended before it"
	case c.skip.has(v.At):
		return "in guards.waf.skip"
	case v.In == "header" && transport[http.CanonicalHeaderKey(name)]:
		return "says how the message travels"
	case v.In == "header" || v.In == "cookie":
		if proven(x, in, name) {
			return "a credential that was verified"
		}
		return "it was not looked at"
	case v.Skipped != "":
		return v.Skipped
	}
	return "held to a harmless form by the contract"
}

// all are the values of a request, as they come.
func all(x *exchange.Exchange) []ExplainedValue {
	var out []ExplainedValue
	r := &x.Request
	for i, text := range r.PathParams {
		if op := x.Operation; op != nil && i < len(op.PathParams) {
			out = append(out, ExplainedValue{At: "path:" + op.PathParams[i].Name, In: "path", Text: text})
		}
	}
	if pairs, err := value.Query(r.Query, value.Limits{}); err == nil {
		for i := range pairs {
			out = append(out, ExplainedValue{At: "query:" + pairs[i].Name, In: "query", Text: pairs[i].Value})
		}
	}
	for name, list := range r.Header {
		if name == "Cookie" {
			continue
		}
		for _, text := range list {
			out = append(out, ExplainedValue{At: "header:" + strings.ToLower(name), In: "header", Text: text})
		}
	}
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			if name, text, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
				out = append(out, ExplainedValue{At: "cookie:" + name, In: "cookie", Text: text})
			}
		}
	}
	if r.Body != nil && r.Body.Root != nil {
		out = leaves(out, r.Body.Root, "")
	}
	slices.SortStableFunc(out, func(a, b ExplainedValue) int { return strings.Compare(a.In+a.At, b.In+b.At) })
	return out
}

// leaves are the values below v that hold no others.
func leaves(out []ExplainedValue, v *value.Value, at string) []ExplainedValue {
	switch {
	case v.Kind == value.Array:
		for i := range v.Kids {
			out = leaves(out, &v.Kids[i], at+"/"+strconv.Itoa(i))
		}
	case v.Kind == value.Object:
		for i := range v.Kids {
			out = leaves(out, &v.Kids[i], at+"/"+value.EscapeToken(v.Kids[i].Name))
		}
	case v.Kind == value.String:
		e := ExplainedValue{At: at, In: "body", Text: v.Text}
		if v.File {
			e.Skipped = "the content of a file"
		}
		out = append(out, e)
	default:
		out = append(out, ExplainedValue{At: at, In: "body", Text: v.Text, Skipped: "a number, true, false or null"})
	}
	return out
}

var message = regexp.MustCompile(`[,"\s]msg:'((?:[^'\\]|\\.)*)'`)

// rules lists the rules that matched, the heaviest first.
func (e *Explanation) rules(g *Guard, matches []Match) {
	ids, _ := e.Verdict.Detail["rules"].([]int)
	for _, id := range ids {
		r := ExplainedRule{ID: id}
		for i := range g.rules {
			if l := &g.rules[i]; l.id == id {
				r.Severity, r.Tags = l.severity, l.tags
				if m := message.FindStringSubmatch(l.raw); m != nil {
					r.Message = m[1]
				}
			}
		}
		for _, m := range matches {
			if m.Rule == id {
				r.Places = append(r.Places, m)
			}
		}
		e.Rules = append(e.Rules, r)
	}
	sum := func(r *ExplainedRule) (n int) {
		for _, p := range r.Places {
			n += p.Points
		}
		return n
	}
	slices.SortStableFunc(e.Rules, func(a, b ExplainedRule) int { return sum(&b) - sum(&a) })
}
