package check

import (
	"context"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "cors-any-origin", Title: "Any web page may call with its visitor's credentials",
	OWASP: "API8:2023", CWE: "CWE-942", WSTG: "WSTG-CLNT-07",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:A/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N",
	About: "Calls as a page of another site, of the origin null, and of sites whose names begin or end as those do that the API may trust: its own, its servers', the one that it says.",
	Proof: "The answer allows that very origin, with credentials. Controls: another made-up origin is allowed as well, so there is no list.",
	Fix:   "Allow the origins of a fixed list, compared whole, and credentials only where they are needed.",
	Mode:  Safe,
	Run:   corsAnyOrigin,
})

// claimed is an origin that a page may have: what stands before and after a name that
// was made up. Without the two it is the origin null.
type claimed struct {
	before, after string
	where         string
}

// origin is the origin with a text for the name.
func (c claimed) origin(name string) string {
	if c.before == "" {
		return "null"
	}
	return c.before + name + c.after
}

// pattern is a regular expression for it, the name a placeholder.
func (c claimed) pattern(name string) string {
	if c.before == "" {
		return "^null$"
	}
	return "^" + regexp.QuoteMeta(c.before) + name + regexp.QuoteMeta(c.after) + "$"
}

func corsAnyOrigin(ctx context.Context, p *Probe) error {
	w, err := p.witness(ctx, p.Actor(actor.User))
	if err != nil || w == nil {
		return err
	}
	list := []claimed{{"https://", ".example", "header.Origin"}, {where: "header.Origin=null"}}
	for i := 0; i < len(list); i++ {
		r, err := p.World.Request(w.call)
		if err != nil {
			return nil //nolint:nilerr // a call that cannot be written proves nothing
		}
		origin := list[i].origin("crenel-scan")
		r.Header = append(r.Header, target.Field{Name: "Origin", Value: origin})
		x, err := p.Do(ctx, p.Actor(actor.User), r)
		if err != nil {
			return err
		}
		allowed := x.Header.Get("Access-Control-Allow-Origin")
		if i == 0 {
			list = append(list, p.alikeNames(allowed)...)
		}
		if allowed != origin || !strings.EqualFold(x.Header.Get("Access-Control-Allow-Credentials"), "true") {
			p.Note(w.call.Op, Clean)
			continue
		}
		ok, err := p.allowedOrigin(ctx, w, list[i])
		if err != nil || ok {
			return err
		}
	}
	return nil
}

// alikeNames are origins whose names begin or end as those do that an API may trust: its
// own, those of the description's servers, and the one that it says itself. Whoever likes
// may have such a name. A domain's own subdomains are not among them: to trust those is
// a choice.
func (p *Probe) alikeNames(said string) []claimed {
	var out []claimed
	seen := map[string]bool{}
	add := func(origin string) {
		u, err := url.Parse(origin)
		if err != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, "{}*[") || seen[u.Host] || len(seen) >= 3 {
			return
		}
		seen[u.Host] = true
		out = append(out, claimed{u.Scheme + "://" + u.Hostname() + ".", ".example", "header.Origin=begins"})
		// What ends as www.shop.example may be a subdomain of shop.example.
		if _, domain, ok := strings.Cut(u.Host, "."); ok && net.ParseIP(u.Hostname()) == nil {
			if !strings.Contains(domain, ".") {
				domain = u.Host
			}
			out = append(out, claimed{u.Scheme + "://", domain, "header.Origin=ends"})
		}
	}
	add(said)
	for _, op := range p.Graph.Ops {
		for _, s := range op.Servers {
			add(s.URL)
		}
	}
	add(p.Origin)
	return out
}

func (p *Probe) allowedOrigin(ctx context.Context, w *witness, c claimed) (bool, error) {
	var l steps
	for _, id := range []string{"first", "second"} {
		name := "${canary." + id + "}"
		st, err := p.look(w, id, scenario.Attack, actor.User, "a page of "+c.origin(name)+" is allowed to read it, with credentials")
		if err == nil {
			st.Send.Header = append(st.Send.Header, scenario.Pair{Name: "Origin", Value: c.origin(name)})
			st.Expect = []scenario.Expect{
				{Status: "2xx", Header: "Access-Control-Allow-Origin", Matches: c.pattern(name)},
				{Header: "Access-Control-Allow-Credentials", Matches: "(?i)^true$"},
			}
		}
		l.add(st, err)
	}
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h := Hypothesis{
		Where: c.where, Title: p.Check.Title,
		Description: "The API answers to whichever origin asks that it may read the answer with its visitor's credentials: " + map[string]string{
			"header.Origin": "to any at all.", "header.Origin=null": "to null, which any page can make itself.",
			"header.Origin=begins": "to any whose name begins as a trusted one does.", "header.Origin=ends": "to any whose name ends as a trusted one does.",
		}[c.where],
		Scenario: &scenario.Scenario{Name: "a page of another site", Steps: l.list},
	}
	if !p.browsersAddThem() {
		h.CVSS = vectorNoCookie
		h.Description += " What opens the API here, a header, no browser adds by itself: a page gets what nobody needs credentials for, or what a cookie or the visitor's network opens."
	}
	return p.Prove(ctx, h)
}

// vectorNoCookie is what a page gets from an API whose credentials no browser adds by itself.
const vectorNoCookie = "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N"

// browsersAddThem reports whether a browser adds, to what any page asks for, what opens the
// API: a cookie, or what it has asked its user for (Basic, Digest), of an account of the run
// or by the description.
func (p *Probe) browsersAddThem() bool {
	for _, s := range p.Graph.API.SecuritySchemes {
		if s.In == "cookie" || s.Scheme == "basic" || s.Scheme == "digest" || s.Scheme == "negotiate" || s.Type == "mutualTLS" {
			return true
		}
	}
	return slices.ContainsFunc(p.People.All(), func(a *actor.Actor) bool {
		return a.Session != nil && slices.ContainsFunc(a.Session.Snapshot(), func(part actor.Part) bool {
			return part.In == "cookie" || part.Computed() || strings.EqualFold(strings.TrimSpace(part.Prefix), "basic")
		})
	})
}
