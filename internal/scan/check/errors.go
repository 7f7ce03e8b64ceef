package check

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "verbose-errors", Title: "Errors tell of the inside",
	OWASP: "API8:2023", CWE: "CWE-209", WSTG: "WSTG-ERRH-02",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Sends what is refused (a broken body, an identifier of nothing, a path of nothing) and reads the error.",
	Proof: "The error holds a stack trace or a database's or framework's own words. Controls: the same call, sent well, does not.",
	Fix:   "Answer errors with a stable code and an id to look up; keep the rest in the log.",
	Mode:  Safe,
	Run:   verboseErrors,
})

// reInside is what only the inside of a server says: stack traces of the usual
// languages, drivers, absolute paths of source files.
var reInside = regexp.MustCompile(`goroutine \d+ \[running\]|(?m)^\s*at [\w$.<>]+ ?\([^)\n]*:\d+(:\d+)?\)|\bat [\w$.]+\([\w]+\.java:\d+\)|Traceback \(most recent call last\)|File \\?"[^"\n]+\.py\\?", line \d+|(?:/[\w.-]+){2,}\.(?:go|py|rb|js|ts|php|java|cs):\d+|node_modules/|vendor/bundle|System\.\w+Exception|org\.springframework\.|java\.lang\.\w+(?:Exception|Error)|PDOException|Sequelize\w*Error|SQLSTATE\[|sqlite3\.\w+Error|\bpq: |MongoServerError|ActiveRecord::|Werkzeug Debugger|Whoops, looks like something went wrong`)

func verboseErrors(ctx context.Context, p *Probe) error {
	found := 0
	for _, op := range p.Ops() {
		if op.Has(graph.Hazard) || op.Kind == graph.Delete || op.Has(graph.Logout) || found > 0 {
			continue
		}
		c, err := p.World.Call(ctx, op, p.Actor(actor.User), nil)
		if err != nil {
			continue
		}
		for _, bad := range p.refusals(op, c) {
			x, err := p.sendRefusal(ctx, bad)
			if err != nil {
				return err
			}
			if x.Status < 400 || !reInside.Match(x.Body) {
				p.Note(op, Clean)
				continue
			}
			var l steps
			l.add(p.step(nil, c, "well", scenario.Control))
			l.list[0].Note, l.list[0].Expect = "the call as it should be", []scenario.Expect{{Status: "any"}}
			st, err := p.step(nil, bad.call, "refused", scenario.Attack)
			if err == nil && bad.body != "" {
				st.Send.Body = bad.body
			}
			st.Note, st.Expect = bad.note, []scenario.Expect{{Status: "4xx|5xx", Matches: reInside.String()}}
			l.add(st, err)
			if l.err != nil {
				continue
			}
			ok, err := p.Prove(ctx, Hypothesis{
				Where: "answer", Title: "Errors tell of the inside: stack traces, drivers, paths",
				Description: "What is refused is answered with a stack trace or with a driver's own words.",
				Scenario:    &scenario.Scenario{Name: "an error that tells too much", Steps: l.list},
			})
			if err != nil {
				return err
			}
			if ok {
				p.Note(op, Open)
				found++ // one row says it: errors are made in one place
				break
			}
		}
	}
	return nil
}

type refusal struct {
	call *world.Call
	note string
	body string // in place of the call's; "" the call's own
}

// brokenBody is the beginning of a JSON object.
const brokenBody = `{"crenel`

// sendRefusal sends a call that ought to be refused.
func (p *Probe) sendRefusal(ctx context.Context, bad refusal) (*target.Exchange, error) {
	if bad.body == "" {
		return p.send(ctx, bad.call)
	}
	r, err := p.World.Request(bad.call)
	if err != nil {
		return &target.Exchange{}, nil //nolint:nilerr // what cannot be written is not sent
	}
	r.Body = []byte(bad.body)
	return p.Do(ctx, bad.call.As, r)
}

// refusals are calls of an operation that ought to be refused.
func (p *Probe) refusals(op *graph.Op, c *world.Call) []refusal {
	var out []refusal
	if op.Body != nil && c.Media == "application/json" {
		out = append(out, refusal{c, "a body that breaks off", brokenBody})
	}
	for _, in := range op.Inputs {
		switch {
		case in.In == "path":
			id := ""
			if o := c.Uses[in.Where()]; o != nil {
				id = o.ID
			}
			out = append(out, refusal{c.With(in.Where(), jsonID(in, absent(id))), "an identifier of nothing", ""})
		case in.In == "body" && !in.ReadOnly && (strings.HasPrefix(in.Format, "date") || in.Meaning == graph.MeansDate):
			out = append(out, refusal{c.With(in.Where(), `"crenel"`), "a date that is none", ""})
		case op.Has(graph.PasswordChange) && in.In == "body":
			// Where nothing is looked at, the account would have a password that nobody knows.
		case in.In == "body" && in.Required && (in.Type == "string" || in.Type == "integer"):
			out = append(out, refusal{c.With(in.Where(), `{"crenel":[1]}`), "an object in place of a scalar", ""})
		case in.In == "query" && in.Meaning == graph.MeansSort:
			out = append(out, refusal{c.With(in.Where(), `"crenel'"`), "a field of nothing to sort by", ""})
		case in.In == "query" && in.Type == "integer":
			out = append(out, refusal{c.With(in.Where(), `"crenel'"`), "a text in place of a number", ""})
		case in.In == "query" && takesText(in):
			out = append(out, refusal{c.With(in.Where(), "\"crenel\\u0000'\""), "a NUL byte and a quote", ""})
		}
	}
	// Each kind once: what one place makes of it others make as well.
	seen := map[string]bool{}
	out = slices.DeleteFunc(out, func(r refusal) bool {
		again := seen[r.note]
		seen[r.note] = true
		return again
	})
	return out[:min(len(out), 5)]
}
