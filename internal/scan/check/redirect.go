package check

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID: "open-redirect", Title: "A redirect leads wherever a caller says",
	OWASP: "API8:2023", CWE: "CWE-601", WSTG: "WSTG-CLNT-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:A/VC:L/VI:L/VA:N/SC:L/SI:L/SA:N",
	About: "Puts the address of another site into each input that takes a URL or a path to return to, and each query parameter of operations that are described to redirect.",
	Proof: "The answer's Location leads to that site by its host, not only in a parameter. Controls: another site's name leads there as well, so it is the caller who chooses.",
	Fix:   "Redirect only to paths of one's own, or to addresses of a fixed list, compared after parsing.",
	Mode:  Default, Dirty: true,
	Run: func(ctx context.Context, p *Probe) error {
		return p.everySlot(ctx, func(s *slot) bool { return takesURL(s.in) || leadsOn(s.op) && s.in.In == "query" }, p.redirects)
	},
})

func (p *Probe) redirects(ctx context.Context, s *slot) error {
	const site = "crenel-scan.example"
	for _, form := range []string{"https://%s/", "//%s/", `/\%s/`, "https:%s"} {
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

func leadsTo(location, host string) bool {
	u, err := url.Parse(strings.ReplaceAll(location, `\`, "/"))
	return err == nil && strings.HasSuffix(u.Hostname(), host)
}
