package check

import (
	"context"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "cors-any-origin", Title: "Any web page may call with its visitor's credentials",
	OWASP: "API8:2023", CWE: "CWE-942", WSTG: "WSTG-CLNT-07",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:A/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N",
	About: "Calls as a page of another site, of the origin null, and of a site whose name begins or ends as the target's does.",
	Proof: "The answer allows that very origin, with credentials. Controls: another made-up origin is allowed as well, so there is no list.",
	Fix:   "Allow the origins of a fixed list, compared whole, and credentials only where they are needed.",
	Mode:  Safe,
	Run:   corsAnyOrigin,
})

func corsAnyOrigin(ctx context.Context, p *Probe) error {
	w, err := p.witness(ctx, p.Actor(actor.User))
	if err != nil || w == nil {
		return err
	}
	for _, o := range []struct{ first, second, where string }{
		{"https://${canary.a}.example", "https://${canary.b}.example", "header.Origin"},
		{"null", "null", "header.Origin=null"},
	} {
		r, err := p.World.Request(w.call)
		if err != nil {
			return nil //nolint:nilerr // a call that cannot be written proves nothing
		}
		origin := strings.NewReplacer("${canary.a}", "crenel-scan").Replace(o.first)
		r.Header = append(r.Header, target.Field{Name: "Origin", Value: origin})
		x, err := p.Do(ctx, p.Actor(actor.User), r)
		if err != nil {
			return err
		}
		if x.Header.Get("Access-Control-Allow-Origin") != origin || !strings.EqualFold(x.Header.Get("Access-Control-Allow-Credentials"), "true") {
			p.Note(w.call.Op, Clean)
			continue
		}
		var l steps
		for _, s := range []struct{ id, origin string }{{"first", o.first}, {"second", o.second}} {
			st, err := p.look(w, s.id, scenario.Attack, actor.User, "a page of "+s.origin+" is allowed to read it, with credentials")
			if err == nil {
				st.Send.Header = append(st.Send.Header, scenario.Pair{Name: "Origin", Value: s.origin})
				st.Expect = []scenario.Expect{
					{Status: "2xx", Header: "Access-Control-Allow-Origin", Matches: "^" + strings.ReplaceAll(s.origin, ".example", `\.example`) + "$"},
					{Header: "Access-Control-Allow-Credentials", Matches: "(?i)^true$"},
				}
			}
			l.add(st, err)
		}
		if l.err != nil {
			return nil //nolint:nilerr // as above
		}
		ok, err := p.Prove(ctx, Hypothesis{
			Where: o.where, Title: p.Check.Title,
			Description: "The API answers to whichever origin asks that it may read the answer with its visitor's credentials.",
			Scenario:    &scenario.Scenario{Name: "a page of another site", Steps: l.list},
		})
		if err != nil || ok {
			return err
		}
	}
	return nil
}
