package check

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "outage", Title: "One request takes the whole service down",
	OWASP: "API4:2023", CWE: "CWE-400", WSTG: "WSTG-ERRH-01",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N",
	About: "Where the target died, hung or was restarted during the run, sends again what was under way then, one request after the other, the likeliest first.",
	Proof: "After that one request, sent alone, the target answers nobody: nothing listens any more, or new connections get no answer. Control: before it, harmless requests are answered. It is the second time at least: the first made the run look for it.",
	Fix:   "Handle the error where it happens, instead of ending the process; bound what a request may cost (time, memory, recursion), and let one request's failure be that request's alone.",
	Mode:  Default, Late: true, Last: true,
	Run: outages,
})

// Bounds of what is sent again: each may cost an outage.
const (
	maxSuspects = 8 // of one outage
	maxOutages  = 6
)

func outages(ctx context.Context, p *Probe) error {
	tried := map[string]bool{}
	list := p.Client.Outages()
	for _, o := range list[:min(len(list), maxOutages)] {
		if o.Back.IsZero() || p.explained(o) {
			continue
		}
		for _, s := range o.Suspects[:min(len(o.Suspects), maxSuspects)] {
			key := suspectKey(s.Exchange)
			if s.Exchange.Request.Origin != "" || tried[key] {
				continue
			}
			tried[key] = true
			if done, err := p.suspected(ctx, s.Exchange); err != nil {
				return err
			} else if done {
				break
			}
		}
	}
	return nil
}

// explained: one of the suspects is known to take the target down.
func (p *Probe) explained(o target.Outage) bool {
	return slices.ContainsFunc(o.Suspects, func(s target.Suspect) bool {
		op := p.World.OpOf(s.Exchange.Request)
		return op != nil && p.open(op, "")
	})
}

func suspectKey(x *target.Exchange) string {
	r := x.Request
	return strings.Join([]string{x.As, r.Method, r.Path, r.Query, string(r.Body)}, "\x00")
}

// suspected sends a suspect again, alone, and says whether it took the target down.
func (p *Probe) suspected(ctx context.Context, x *target.Exchange) (bool, error) {
	op := p.World.OpOf(x.Request)
	h := Hypothesis{Op: op, Method: x.Request.Method, Path: x.Request.Path}
	name := x.Request.Method + " " + x.Request.Path
	if op != nil {
		h.Method, h.Path = op.Method, op.Path
		name = op.Method + " " + op.Path
	}
	h.Title = name + " takes the whole service down"
	h.Description = "After this request nobody is answered, until the service is started again or comes to itself."
	for _, path := range p.suspectPaths(ctx, x, op) {
		attack, ok := p.suspectStep(x, path)
		if !ok {
			return false, nil
		}
		harmless := &scenario.Send{Method: http.MethodGet, Path: "/"}
		h.Scenario = &scenario.Scenario{Name: h.Title, Steps: []scenario.Step{
			{ID: "before", Part: scenario.Control, Note: "a harmless request is answered, again and again", Send: harmless, Times: 3, Expect: []scenario.Expect{{Status: "any", AtLeast: 3}}},
			attack,
		}}
		done, err := p.takesDown(ctx, h, x)
		if done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// takesDown runs the scenario once: that the target went down at first is what
// it repeats, and each run costs an outage.
func (p *Probe) takesDown(ctx context.Context, h Hypothesis, x *target.Exchange) (bool, error) {
	mark := finding.Print(p.Check.ID, h.Method, h.Path, h.Where)
	out, err := p.attempt(ctx, h.Scenario, true)
	switch {
	case target.IsDown(err):
		// It went down again, and this time nobody starts it: the exchange that is shown is the first.
		step := &h.Scenario.Steps[1]
		out = &scenario.Outcome{Verdict: scenario.Proven, Results: []scenario.Result{{Step: step, As: p.Actor(x.As), Exchanges: []*target.Exchange{x}}}}
	case err != nil:
		return false, err
	case out.Verdict != scenario.Proven:
		p.refuted(ctx, h, out)
		return false, nil
	}
	f, ferr := p.finding(h, mark, h.Scenario, out)
	if ferr != nil {
		return false, ferr
	}
	p.keep(h, f, h.Scenario)
	return true, err
}

// suspectPaths are the paths to send a suspect to: its own; and where it names
// objects, which a restart may have lost, that of a call that works now.
func (p *Probe) suspectPaths(ctx context.Context, x *target.Exchange, op *graph.Op) []string {
	out := []string{x.Request.Path}
	if op == nil || len(op.PathParams) == 0 {
		return out
	}
	c, err := p.World.Call(ctx, op, p.Actor(x.As), nil)
	if err != nil {
		return out
	}
	if r, err := p.World.Request(c); err == nil && r.Path != x.Request.Path {
		out = append(out, r.Path)
	}
	return out
}

// suspectStep is a recorded request as a step: its actor's credentials are put
// on anew. ok is false where a step cannot hold it.
func (p *Probe) suspectStep(x *target.Exchange, path string) (scenario.Step, bool) {
	r := x.Request
	s := &scenario.Send{Method: r.Method, Path: path, RawQ: r.Query, Host: r.Host}
	as := x.As
	a := p.Actor(as)
	if a == nil && !strings.HasPrefix(as, "fresh") && !strings.HasPrefix(as, "again-") {
		as = actor.Nobody
	}
	var parts []actor.Part
	if a != nil {
		parts = a.Session.Snapshot()
	}
	known := func(in, name string) bool {
		return slices.ContainsFunc(parts, func(c actor.Part) bool { return c.In == in && strings.EqualFold(c.Name, name) })
	}
	holds := func(text string) bool { return p.Client.Secrets().Text(text) != text } // a credential of an account
	for _, f := range r.Header {
		own := holds(f.Value)
		switch {
		case strings.EqualFold(f.Name, "Content-Type"):
			s.Type = f.Value
		case own && (a == nil || known("header", f.Name) || strings.EqualFold(f.Name, "Cookie")): // the session brings its like
		case own:
			return scenario.Step{}, false // another's: no file may hold it
		default:
			s.Header = append(s.Header, scenario.Pair{Name: f.Name, Value: f.Value})
		}
	}
	var query []string
	for pair := range strings.SplitSeq(r.Query, "&") {
		if name, _, _ := strings.Cut(pair, "="); pair != "" && !known("query", name) {
			query = append(query, pair)
		}
	}
	s.RawQ = strings.Join(query, "&")
	if holds(s.Path) || holds(s.RawQ) || holds(string(r.Body)) {
		return scenario.Step{}, false // no file may hold it; the outage itself is told
	}
	for _, text := range append([]string{s.Path, s.RawQ, s.Host, s.Type}, headerTexts(s.Header)...) {
		if strings.Contains(text, "${") {
			return scenario.Step{}, false // it would be taken for a placeholder
		}
	}
	if r.Body != nil {
		s.Base64 = base64.StdEncoding.EncodeToString(r.Body)
	}
	who := as
	if who == "" {
		who = "nobody"
	}
	return scenario.Step{
		ID: "attack", Part: scenario.Attack, As: as, Send: s, Note: fmt.Sprintf("%s sends this one request, and nobody is answered any more", who),
		Expect: []scenario.Expect{{Gone: true, By: 3 * time.Second}},
	}, true
}

func headerTexts(list []scenario.Pair) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.Name, p.Value)
	}
	return out
}
