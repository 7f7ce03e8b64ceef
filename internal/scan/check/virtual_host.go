package check

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "virtual-host", Title: "Another application answers at the same address, under another name",
	OWASP: "API9:2023", CWE: "CWE-1059", WSTG: "WSTG-INFO-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Asks the target, at its own address, for what other names would get there: those of the description's servers and of the certificate, and names of what is for a few (admin, internal, staging) in the same domain. Only the Host header changes.",
	Proof: "A success with a content of its own, each time. Controls: the target's own name and a name that was made up get something else, each time the same, the name that was asked for taken out of all of them.",
	Fix:   "Serve what is for a few on an address of its own, or let it ask who is there; answer unknown names with nothing (421).",
	Mode:  Safe,
	Run:   virtualHost,
})

// insideNames are what hosts for a few are called.
var insideNames = strings.Fields("admin internal staging dev test debug backoffice console management beta old legacy uat preprod qa intranet private portal ops monitoring metrics grafana jenkins api-internal internal-api admin-api")

const maxHosts = 48

// hosts are names worth asking for, and whether each is one of those for a few; and the
// domain in which a made-up one lies, "" where none is known.
func (p *Probe) hosts(certified []string) (names []string, inside map[string]bool, domain string) {
	own := ""
	if u, err := url.Parse(p.Origin); err == nil {
		own = strings.ToLower(u.Hostname())
	}
	inside = map[string]bool{}
	var domains []string
	add := func(name string, in bool) {
		if name = strings.ToLower(name); name != "" && name != own && !strings.Contains(name, "*") && net.ParseIP(name) == nil && !slices.Contains(names, name) {
			names, inside[name] = append(names, name), in
		}
	}
	learn := func(name string) {
		name = strings.TrimPrefix(strings.ToLower(name), "*.")
		if net.ParseIP(name) != nil || !strings.Contains(name, ".") || strings.ContainsAny(name, "{}") {
			return
		}
		if parts := strings.Split(name, "."); len(parts) > 2 {
			name = strings.Join(parts[1:], ".")
		}
		if !slices.Contains(domains, name) && len(domains) < 2 {
			domains = append(domains, name)
		}
	}
	learn(own)
	var known []string
	for _, op := range p.Graph.Ops {
		for _, s := range op.Servers {
			if u, err := url.Parse(s.URL); err == nil && u.Hostname() != "" && !strings.ContainsAny(u.Hostname(), "{}") && !slices.Contains(known, u.Hostname()) {
				known = append(known, u.Hostname())
			}
		}
	}
	for _, name := range append(known, certified...) {
		learn(name)
		first, _, _ := strings.Cut(name, ".")
		add(name, slices.Contains(insideNames, first))
	}
	for _, word := range insideNames {
		for _, d := range domains {
			add(word+"."+d, true)
		}
		if len(domains) == 0 {
			add(word, true)
		}
	}
	add("localhost", true)
	if len(domains) > 0 {
		domain = "." + domains[0]
	}
	return names[:min(len(names), maxHosts)], inside, domain
}

func virtualHost(ctx context.Context, p *Probe) error {
	certified, err := p.namesOfCertificate(ctx)
	if err != nil {
		return err
	}
	names, inside, domain := p.hosts(certified)
	paths := []string{"/"}
	for _, op := range p.Ops() {
		if op.Method == http.MethodGet && len(op.PathParams) == 0 && op.Kind == graph.List && !op.Has(graph.Hazard) {
			paths = append(paths, op.Path)
			break
		}
	}
	const madeUp = "crenel-no-such-host"
	for _, path := range paths {
		get := func(host string) (*target.Exchange, error) {
			return p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: path, Host: host, Root: path == "/"})
		}
		own, err := get("")
		if err != nil {
			return err
		}
		none, err := get(madeUp + domain)
		if err != nil {
			return err
		}
		for _, name := range names {
			x, err := get(name)
			if err != nil {
				return err
			}
			if x.Status/100 != 2 || len(x.Body) == 0 || sameSite(x, own) || sameSite(x, none) {
				continue
			}
			if err := p.anotherSite(ctx, path, name, domain, inside[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameSite: two answers say the same but for the names that were asked for.
func sameSite(a, b *target.Exchange) bool {
	if scenario.Alike(a, b) {
		return true
	}
	a, b = scenario.WithoutHosts(a, b)
	return scenario.Alike(a, b)
}

func (p *Probe) anotherSite(ctx context.Context, path, name, domain string, inside bool) error {
	step := func(id string, part scenario.Part, note, host string, e ...scenario.Expect) scenario.Step {
		return scenario.Step{ID: id, Part: part, Note: note, Send: &scenario.Send{Method: http.MethodGet, Path: path, Host: host, Root: path == "/"}, Expect: e}
	}
	h := Hypothesis{
		Where: "host." + name, Title: fmt.Sprintf("Another application answers as %s", name),
		Description: fmt.Sprintf("At the target's own address, GET %s with the host %s is answered by something else than the API, to anybody.", path, name),
		Scenario: &scenario.Scenario{Name: "another name at the same address", Steps: []scenario.Step{
			step("own", scenario.Control, "what the target's own name gets", "", scenario.Expect{Status: "any"}),
			step("own2", scenario.Control, "each time the same", "", scenario.Expect{Like: "own"}),
			step("none", scenario.Control, "what a name that was made up gets", "${canary.none}"+domain, scenario.Expect{Status: "any"}),
			step("none2", scenario.Control, "each time the same", "${canary.none2}"+domain, scenario.Expect{Like: "none"}),
			step("other", scenario.Attack, "the other name gets something else", name, scenario.Expect{Status: "2xx", Unlike: "own"}, scenario.Expect{Unlike: "none"}),
			step("other2", scenario.Attack, "each time the same", name, scenario.Expect{Status: "2xx", Like: "other"}),
		}},
	}
	if !inside {
		h.CVSS = vectorInfo // it is known to be there
	}
	_, err := p.Prove(ctx, h)
	return err
}
