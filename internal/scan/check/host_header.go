package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "host-header", Title: "Links are made of the host that a caller names",
	OWASP: "API8:2023", CWE: "CWE-644", WSTG: "WSTG-INPV-17", CVSS: vectorLow,
	About: "Calls what answers with whole addresses of the API itself (links, redirects, reset links) under another host's name, in Host and in X-Forwarded-Host.",
	Proof: "The answer's links lead to that host. Controls: under the own name they lead to the own one. In what mails a reset link it counts more.",
	Fix:   "Make links of a configured address, and refuse hosts that are not yours.",
	Mode:  Default,
	Run:   hostHeader,
})

func hostHeader(ctx context.Context, p *Probe) error {
	_, own, _ := strings.Cut(p.Origin, "://")
	own, _, _ = strings.Cut(own, "/")
	tried := 0
	for _, op := range p.Ops() {
		if op.Method != http.MethodGet && !op.Has(graph.PasswordForgot) || op.Has(graph.Hazard) {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 > 3 || !strings.Contains(string(base.Body)+" "+base.Header.Get("Location"), "//"+own) {
			continue
		}
		if tried++; tried > 6 {
			return nil
		}
		p.Note(op, Clean)
		for _, name := range []string{"Host", "X-Forwarded-Host"} {
			r, err := p.World.Request(call)
			if err != nil {
				continue
			}
			const other = "crenel-scan.example"
			if name == "Host" {
				r.Host = other
			} else {
				r.Header = append(r.Header, target.Field{Name: name, Value: other})
			}
			x, err := p.Do(ctx, call.As, r)
			if err != nil {
				return err
			}
			if x.Status/100 > 3 || !strings.Contains(string(x.Body)+" "+x.Header.Get("Location"), "//"+other) {
				continue
			}
			where := scenario.Expect{Status: "2xx|3xx", Matches: `//${canary.host}\.example`}
			if strings.Contains(x.Header.Get("Location"), other) {
				where.Header = "Location"
			}
			var l steps
			st, err := p.step(nil, call, "attack", scenario.Attack)
			if err == nil {
				if name == "Host" {
					st.Send.Host = "${canary.host}.example"
				} else {
					st.Send.Header = append(st.Send.Header, scenario.Pair{Name: name, Value: "${canary.host}.example"})
				}
			}
			st.Note, st.Expect = "the answer's links lead to the host that was named", []scenario.Expect{where}
			l.add(st, err)
			if l.err != nil {
				continue
			}
			h := Hypothesis{
				Where: "header." + name, Title: fmt.Sprintf("Links are made of %s, which a caller chooses", name),
				Description: fmt.Sprintf("%s %s answers with links to the host that the request names: where an answer is cached or mailed, they lead others astray.", op.Method, op.Path),
				Scenario:    &scenario.Scenario{Name: "another host's name", Steps: l.list},
			}
			if op.Has(graph.PasswordForgot) {
				h.Op, h.CVSS = op, "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:A/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N"
			}
			if ok, err := p.Prove(ctx, h); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

var _ = register(&Check{
	ID: "graphql", Title: "GraphQL answers without bounds",
	OWASP: "API8:2023", CWE: "CWE-770", WSTG: "WSTG-APIT-01", CVSS: vectorLow,
	About: "Looks for a GraphQL endpoint, described or at the usual paths, and asks it for its schema, for the same field under a hundred names, for a list of queries, and for a query that is deep.",
	Proof: "The answer holds the schema, every one of the hundred, every query of the list, or the whole depth. Controls: what is no query is answered with errors.",
	Fix:   "Turn introspection off in production, bound depth, aliases and cost, and leave batches out.",
	Mode:  Default,
	Run:   graphQL,
})

// graphPaths are where GraphQL usually is.
var graphPaths = []string{"/graphql", "/api/graphql", "/v1/graphql", "/query", "/graphql/v1", "/gql"}

func graphQL(ctx context.Context, p *Probe) error {
	var paths []string
	for _, op := range p.Graph.Ops {
		if op.Method == http.MethodPost && strings.Contains(strings.ToLower(op.Path), "graphql") && !strings.Contains(op.Path, "{") {
			paths = append(paths, op.Path)
		}
	}
	for _, prefix := range p.prefixes() {
		for _, at := range graphPaths {
			paths = append(paths, prefix+at)
		}
	}
	seen := map[string]bool{}
	for _, path := range paths {
		if seen[path] {
			continue
		}
		seen[path] = true
		for _, as := range []*actor.Actor{p.Actor(actor.User), nil} {
			x, err := p.Do(ctx, as, queryOf(path, `{"query":"{__typename}"}`))
			if errors.Is(err, target.ErrRefused) {
				continue
			}
			if err != nil {
				return err
			}
			v, ok := scenario.Decode(x.Body)
			if !ok || len(scenario.Find(v, "/data/__typename")) == 0 {
				continue
			}
			return p.graphHoles(ctx, path, as)
		}
	}
	return nil
}

func queryOf(path, body string) *target.Request {
	return &target.Request{Method: http.MethodPost, Path: path, Header: []target.Field{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(body)}
}

func (p *Probe) graphHoles(ctx context.Context, path string, as *actor.Actor) error {
	name := actor.Nobody
	if as != nil {
		name = as.Name
	}
	var aliases strings.Builder
	for i := range 100 {
		fmt.Fprintf(&aliases, "c%d:__typename ", i)
	}
	deep, shut := "", ""
	for range 12 {
		deep += "fields{type{"
		shut += "}}"
	}
	batch := "[" + strings.TrimSuffix(strings.Repeat(`{"query":"{__typename}"},`, 20), ",") + "]"
	for _, h := range []struct {
		where, title, cwe, vector, body string
		expect                          scenario.Expect
	}{
		{"introspection", "shows its whole schema", "CWE-200", vectorInfo, `{"query":"{__schema{types{name fields{name}}}}"}`, scenario.Expect{Status: "2xx", At: "/data/__schema/types", MinItems: 3}},
		{"aliases", "works out one field a hundred times", "CWE-770", vectorLow, jsonQuery("{" + aliases.String() + "}"), scenario.Expect{Status: "2xx", At: "/data/c99", Matches: "."}},
		{"batch", "works off a list of queries", "CWE-770", vectorLow, batch, scenario.Expect{Status: "2xx", At: "/19/data/__typename", Matches: "."}},
		{"depth", "works out queries of any depth", "CWE-674", vectorLow, jsonQuery("{__schema{types{" + deep + "name" + shut + "}}}"), scenario.Expect{Status: "2xx", At: "/data/__schema/types", MinItems: 1}},
	} {
		x, err := p.Do(ctx, as, queryOf(path, h.body))
		if err != nil {
			return err
		}
		v, ok := scenario.Decode(x.Body)
		if !ok || x.Status/100 != 2 || len(scenario.Find(v, h.expect.At)) == 0 {
			continue
		}
		send := func(body string) *scenario.Send {
			return &scenario.Send{Method: http.MethodPost, Path: path, Body: body, Type: "application/json"}
		}
		if _, err := p.Prove(ctx, Hypothesis{
			Method: http.MethodPost, Path: path, Where: h.where, Title: "POST " + path + " " + h.title, CWE: h.cwe, CVSS: h.vector,
			Description: "The GraphQL endpoint " + h.title + ".",
			Scenario: &scenario.Scenario{Name: "GraphQL: " + h.where, Steps: []scenario.Step{
				{ID: "none", Part: scenario.Control, As: name, Note: "what is no query is no answer", Send: send(`{"query":"{crenelNoSuchField}"}`), Expect: []scenario.Expect{{At: h.expect.At, Missing: true}}},
				{ID: "attack", Part: scenario.Attack, As: name, Note: "it " + h.title, Send: send(h.body), Expect: []scenario.Expect{h.expect}},
			}},
		}); err != nil {
			return err
		}
	}
	return nil
}

func jsonQuery(query string) string { return `{"query":` + jsonString(query) + `}` }
