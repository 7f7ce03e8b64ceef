package check

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID: "open-redirect", Title: "A redirect leads wherever a caller says",
	OWASP: "API8:2023", CWE: "CWE-601", WSTG: "WSTG-CLNT-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:A/VC:L/VI:L/VA:N/SC:L/SI:L/SA:N",
	About: "Puts the address of another site into each input that takes a URL or a path to return to, and each query parameter of operations that are described to redirect, and each value that a redirect was seen to follow.",
	Proof: "The answer's Location leads to that site by its host, not only in a parameter. Controls: another site's name leads there as well, so it is the caller who chooses.",
	Fix:   "Redirect only to paths of one's own, or to addresses of a fixed list, compared after parsing.",
	Mode:  Default, Dirty: true,
	Run: func(ctx context.Context, p *Probe) error {
		if err := p.everySlot(ctx, func(s *slot) bool { return takesURL(s.in) || leadsOn(s.op) && s.in.In == "query" }, p.redirects); err != nil {
			return err
		}
		return p.followers(ctx)
	},
})

// followers tries what was answered with a redirect, whatever the description calls it:
// each value that the redirect follows. A logout is called by nobody, whom it costs nothing.
func (p *Probe) followers(ctx context.Context) error {
	var list []*graph.Op
	for _, c := range p.World.Coverage() {
		moved := slices.ContainsFunc(c.Statuses, func(n int) bool { return n == 301 || n == 302 || n == 303 || n == 307 || n == 308 })
		if op := p.Graph.Op(c.Method, c.Path); moved && op != nil && op.Method == http.MethodGet && !op.Has(graph.Hazard) && (p.Leave == nil || !p.Leave(op)) {
			list = append(list, op)
		}
	}
	return Each(ctx, p, list, func(ctx context.Context, op *graph.Op) error {
		as := p.Actor(actor.User)
		if op.Has(graph.Logout) || !op.Secured {
			as = nil
		}
		call, err := p.World.Call(ctx, op, as, nil)
		if err != nil {
			return nil //nolint:nilerr // a call that cannot be made is not attacked
		}
		for _, in := range op.Inputs {
			if in.In != "path" && in.In != "query" || !takesText(in) {
				continue
			}
			const site = "crenel-begin.example"
			s := &slot{op: op, in: in, call: call.With(in.Where(), jsonString(site)), value: site}
			if s.base, err = p.send(ctx, s.call); err != nil {
				return err
			}
			p.Note(op, Clean)
			if s.led() {
				if err := p.redirects(ctx, s); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (p *Probe) redirects(ctx context.Context, s *slot) error {
	const site = "crenel-scan.example"
	forms := []string{"https://%s/", "//%s/", `/\%s/`, "https:%s"}
	if s.led() {
		forms = append(forms, "%s") // what stands before it in the Location is the server's
	}
	for _, form := range forms {
		x, err := p.send(ctx, s.with(strings.ReplaceAll(form, "%s", site)))
		if err != nil {
			return err
		}
		if x.Status/100 != 3 || !leadsTo(x.Header.Get("Location"), site) {
			continue
		}
		var l steps
		l.add(p.slotStep(s, "first", scenario.Attack, "the redirect leads to a site that the caller named", strings.ReplaceAll(form, "%s", "${canary.a}."+site), scenario.Expect{Status: "3xx", Header: "Location", Matches: `(?i)^(https?:)?[/\\]*${canary.a}\.` + strings.ReplaceAll(site, ".", `\.`)}))
		l.add(p.slotStep(s, "second", scenario.Attack, "and to another", strings.ReplaceAll(form, "%s", "${canary.b}."+site), scenario.Expect{Status: "3xx", Header: "Location", Matches: `(?i)^(https?:)?[/\\]*${canary.b}\.` + strings.ReplaceAll(site, ".", `\.`)}))
		if ok, err := p.injected(ctx, s, "open redirect", "The redirect's address is the caller's own text.", &l); err != nil || ok {
			return err
		}
	}
	return nil
}

// leadsOn reports whether an operation is there to redirect, by its description.
func leadsOn(op *graph.Op) bool {
	return op.Method == http.MethodGet && slices.ContainsFunc(op.Responses, func(r *spec.Response) bool {
		return len(r.Status) == 3 && strings.HasPrefix(r.Status, "30") && r.Status != "304"
	})
}

// led reports whether a call was answered with a redirect to where its value says: the
// value is the host, or begins it.
func (s *slot) led() bool {
	if s.base == nil || s.base.Status/100 != 3 || s.value == "" {
		return false
	}
	u, err := url.Parse(s.base.Header.Get("Location"))
	return err == nil && u.Host != "" && strings.HasPrefix(strings.ToLower(u.Host+u.Path), strings.ToLower(s.value))
}

func leadsTo(location, host string) bool {
	u, err := url.Parse(strings.ReplaceAll(location, `\`, "/"))
	return err == nil && strings.HasSuffix(u.Hostname(), host)
}
