package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID: "server-url", Title: "The API's public description names servers that are not for the public",
	OWASP: "API9:2023", CWE: "CWE-497", WSTG: "WSTG-INFO-05", CVSS: vectorLow,
	About: "Reads the description as anybody is given it by the target: its servers, what gateways' extensions name, where tokens are had, and the addresses in its texts and examples. Nothing is ever sent to any of them.",
	Proof: "The document, fetched without credentials, names a private address or a name that only a network of one's own resolves; holds a password or a key within an address; or sends callers over plain HTTP to a host that has TLS. A staging or test server counts as information. Localhost, the target's own name, placeholders and names kept for examples are none of these, nor is what a file on one's own disk holds. Controls: a made-up path beside the document is not there.",
	Fix:   "Publish a description with the public server alone (https), made when it is released; keep gateways' extensions and test servers in a copy of one's own.",
	Mode:  Safe,
	Run:   serverURL,
})

// publication is a description that the target gives to anybody.
type publication struct {
	path string
	root bool // path is from the root of the host
	// described: the description has an operation of that path, so that it is meant.
	described bool
	last      *target.Exchange
}

// publications are looked for once, for all checks that ask.
type publications struct {
	mu   sync.Mutex
	done bool
	list []*publication
}

var (
	describedAt   = []string{"/openapi.json", "/openapi.yaml", "/swagger.json", "/v3/api-docs", "/v2/api-docs", "/api-docs", "/swagger/v1/swagger.json", "/docs/openapi.json", "/swagger-ui/swagger.json", "/spec.json"}
	reDescription = regexp.MustCompile(`"(openapi|swagger)"\s*:\s*"[23]\.|(?m)^(openapi|swagger):\s*['"]?[23]\.`)
)

// published are the descriptions that the target gives to anybody: where frameworks
// put them, and where this run's own was fetched from.
func (p *Probe) published(ctx context.Context) ([]*publication, error) {
	v := &p.publications
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.done {
		return v.list, nil
	}
	var places []*publication
	if p.Graph.API != nil {
		if u, err := url.Parse(p.Graph.API.Source); err == nil && u.Host != "" && u.Scheme+"://"+u.Host == p.Origin && u.RawQuery == "" {
			places = append(places, &publication{path: u.EscapedPath(), root: true})
		}
	}
	for _, prefix := range p.prefixes() {
		for _, at := range describedAt {
			path := prefix + at
			places = append(places, &publication{path: path, described: len(p.Graph.At(path)) > 0})
		}
	}
	var found []*publication
	for _, at := range places {
		x, err := p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: at.path, Root: at.root})
		if errors.Is(err, target.ErrRefused) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if x.Status/100 == 2 && reDescription.Match(x.Body) {
			at.last = x
			found = append(found, at)
		}
	}
	v.list, v.done = found, true
	return found, nil
}

// named is an address that a description names.
type named struct {
	said   string // as it stands there, with variables
	url    *url.URL
	server bool // callers or gateways are sent there; otherwise it stands in a text or an example
}

// disclosure is one kind of what should not be in a public description.
type disclosure struct {
	where, cwe, owasp, title, why string
	vector                        string
	hosts                         []string // as told, sorted
	match, of                     string   // a regular expression that the document matches, and the host that it is about
}

func serverURL(ctx context.Context, p *Probe) error {
	list, err := p.published(ctx)
	if err != nil {
		return err
	}
	for _, at := range list[:min(len(list), 3)] {
		tree, err := spec.ReadTree(at.last.Body, "description", spec.LoadOptions{MaxBytes: 16 << 20})
		if err != nil {
			continue // what cannot be read says nothing
		}
		for _, l := range p.leaks(addressesIn(tree.ToAny())) {
			beside := at.path + "${canary.beside}"
			if _, err := p.Prove(ctx, Hypothesis{
				Where: l.where, CWE: l.cwe, OWASP: l.owasp, CVSS: l.vector, Title: l.title,
				Description: l.why + " " + strings.Join(l.hosts[:min(len(l.hosts), 6)], ", ") + ".",
				Scenario: &scenario.Scenario{Name: "what a public description names", Steps: []scenario.Step{
					{ID: "beside", Part: scenario.Control, Note: "a made-up path beside it is not there", Send: &scenario.Send{Method: http.MethodGet, Path: beside, Root: at.root}, Expect: []scenario.Expect{{Status: "any"}}},
					{ID: "attack", Part: scenario.Attack, Note: "anybody is given the description, and what it names", Send: &scenario.Send{Method: http.MethodGet, Path: at.path, Root: at.root}, Expect: []scenario.Expect{{Status: "2xx", Matches: l.match, Unlike: "beside"}}},
				}},
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	reAddress   = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s"'<>()\[\]\\` + "`" + `,;|]+`)
	reServerAt  = regexp.MustCompile(`^(/paths/[^/]+(/[^/]+)?)?/servers/\d+$|^/components/links/[^/]+/server$`)
	reTokenAt   = regexp.MustCompile(`/(tokenUrl|authorizationUrl|refreshUrl|openIdConnectUrl)$`)
	reExtension = regexp.MustCompile(`/x-[^/]*(/|$)`)
	reDataAt    = regexp.MustCompile(`/(headers|example|examples|properties|default|enum|schema)(/|$)`)
	reServerVar = regexp.MustCompile(`\{([^{}]*)\}`)
)

const maxNamed = 2000 // addresses of one document

// addressesIn are the addresses that a document names, those of servers with their
// variables replaced by each value that is named for them.
func addressesIn(tree any) []named {
	var out []named
	add := func(said, text string, server bool) {
		text = strings.TrimRight(text, ".:!?*_")
		if u, err := url.Parse(text); err == nil && u.Hostname() != "" && len(out) < maxNamed {
			out = append(out, named{said, u, server})
		}
	}
	root, _ := tree.(map[string]any)
	if host, _ := root["host"].(string); host != "" && root["swagger"] != nil {
		schemes, _ := root["schemes"].([]any)
		for _, s := range schemes {
			if s, ok := s.(string); ok {
				add(host, s+"://"+host, true)
			}
		}
		if len(schemes) == 0 {
			add(host, "https://"+host, true)
		}
	}
	servers(tree, "", 0, func(s map[string]any) {
		for _, text := range serverTexts(s) {
			said, _ := s["url"].(string)
			add(said, text, true)
		}
	})
	scenario.Walk(tree, func(at string, v any) {
		text, ok := v.(string)
		if !ok || strings.HasSuffix(at, "/url") && reServerAt.MatchString(strings.TrimSuffix(at, "/url")) || len(text) > 1<<16 {
			return
		}
		steers := reTokenAt.MatchString(at) || reExtension.MatchString(at) && !reDataAt.MatchString(at)
		for _, a := range reAddress.FindAllString(text, 50) {
			add(a, a, steers && a == strings.TrimSpace(text))
		}
	})
	return out
}

// servers calls see for each server object of a description.
func servers(v any, at string, depth int, see func(map[string]any)) {
	if depth > 5 {
		return // they stand higher
	}
	switch v := v.(type) {
	case map[string]any:
		if reServerAt.MatchString(at) {
			see(v)
			return
		}
		for k, sub := range v {
			servers(sub, at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), depth+1, see)
		}
	case []any:
		for i, sub := range v {
			servers(sub, fmt.Sprintf("%s/%d", at, i), depth+1, see)
		}
	}
}

// serverTexts are the addresses that a server object stands for.
func serverTexts(s map[string]any) []string {
	text, _ := s["url"].(string)
	texts := []string{text}
	vars, _ := s["variables"].(map[string]any)
	for _, m := range reServerVar.FindAllStringSubmatch(text, 4) {
		about, _ := vars[m[1]].(map[string]any)
		values, _ := about["enum"].([]any)
		values = append([]any{about["default"]}, values...)
		var next []string
		for _, t := range texts {
			for _, v := range values[:min(len(values), 8)] {
				if value, ok := v.(string); ok && len(next) < 32 {
					next = append(next, strings.Replace(t, m[0], value, 1))
				}
			}
		}
		texts = next
	}
	return texts
}

var (
	insideSuffixes = []string{".internal", ".local", ".localdomain", ".lan", ".corp", ".intranet", ".intra", ".private", ".home.arpa", ".svc"}
	knownToAll     = []string{"host.docker.internal", "gateway.docker.internal", "kubernetes.docker.internal", "metadata.google.internal", "localhost.localdomain"}
	placeholders   = strings.Fields("example example-corp yourdomain your-domain yourhost your-host yourcompany your-company mycompany domain hostname host server myserver acme foo bar baz test-domain localhost")
	testWords      = strings.Fields("staging stage stg dev develop development test testing uat qa preprod nonprod integration")
	rePlaceholder  = regexp.MustCompile(`(?i)[<>{}$*…%]|pass|secret|example|your|token|xxx|user|changeme|redacted|dummy|sample|placeholder`)
	reMadeUp       = regexp.MustCompile(`[<>{}$*…%]|^your|example|xxx`)
	reKeyName      = regexp.MustCompile(`(?i)^(api_?-?key|access_?token|token|auth|secret|password|sig|signature|subscription-key|code)$`)
)

// insideHost: a host that only a network of one's own knows.
func insideHost(host string, server bool) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return server && ip.Unmap().IsPrivate() // in a text it is any network's
	}
	labels := strings.Split(host, ".")
	if slices.Contains(knownToAll, host) || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.ContainsFunc(labels, func(l string) bool { return slices.Contains(placeholders, l) || reMadeUp.MatchString(l) }) {
		return false
	}
	if len(labels) == 1 {
		return server && host != "api" // a container's name, a service's
	}
	return slices.ContainsFunc(insideSuffixes, func(s string) bool { return strings.HasSuffix(host, s) })
}

// forExamples: names that are kept for examples (RFC 2606, RFC 6761), and those of no network.
func forExamples(host string) bool {
	host = strings.ToLower(host)
	for _, s := range []string{"example.com", "example.org", "example.net", "example", "test", "invalid", "localhost"} {
		if host == s || strings.HasSuffix(host, "."+s) {
			return true
		}
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// testHost: a server on which things are tried before they are released, by its name.
func testHost(host string) bool {
	labels := strings.Split(strings.ToLower(host), ".")
	if len(labels) < 3 {
		return false // dev.to is a name of its own
	}
	return slices.ContainsFunc(labels[:len(labels)-2], func(l string) bool {
		return slices.ContainsFunc(strings.FieldsFunc(l, func(r rune) bool { return r == '-' || r == '_' }), func(w string) bool { return slices.Contains(testWords, strings.TrimRight(w, "0123456789")) })
	})
}

// isSecret: a text in an address that somebody has drawn, and that stands for nothing else.
func isSecret(text string, least int) bool {
	return len(text) >= least && !rePlaceholder.MatchString(text) && strings.ContainsFunc(text, unicode.IsLetter) && strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
}

// leaks are what addresses tell that the public need not know.
func (p *Probe) leaks(all []named) []*disclosure {
	own := ""
	if u, err := url.Parse(p.Origin); err == nil {
		own = strings.ToLower(u.Hostname())
	}
	safe := map[string]bool{own: strings.HasPrefix(p.Origin, "https://")}
	for _, a := range all {
		if a.server && a.url.Scheme == "https" {
			safe[strings.ToLower(a.url.Hostname())] = true
		}
	}
	kinds := []*disclosure{
		{where: "description.credentials", cwe: "CWE-522", owasp: "API8:2023", vector: vectorLow, title: "The API's public description holds a credential in an address", why: "Whoever asks is given an address with a password or a key in it, of"},
		{where: "description.inside", vector: vectorLow, title: "The API's public description names servers that are inside", why: "Whoever asks is told how servers are called that only a network of one's own knows:"},
		{where: "description.plain", cwe: "CWE-319", owasp: "API8:2023", vector: vectorLow, title: "The API's public description sends callers over plain HTTP", why: "Clients made from it may send credentials in clear, though the host has TLS:"},
		{where: "description.test", vector: vectorInfo, title: "The API's public description names test servers", why: "What is tried out there is seldom guarded as what is released:"},
	}
	tell := func(kind int, a named) {
		l, host := kinds[kind], strings.ToLower(a.url.Hostname())
		if slices.Contains(l.hosts, host) {
			return
		}
		l.hosts = append(l.hosts, host)
		match := regexp.QuoteMeta(host)
		if strings.Contains(a.said, "{") {
			match = strings.ReplaceAll(regexp.QuoteMeta(a.said), "/", `\\?/`)
		}
		switch kind {
		case 0:
			match = `@` + match // never the credential itself
			if a.url.User == nil {
				match = regexp.QuoteMeta(host) + `[^"'\s]*[?&]`
			}
		case 2:
			match = `http:(\\?/){2}` + match + `|host"?\s*:\s*["']?` + match
		}
		if l.match == "" || host < l.of {
			l.match, l.of = "(?i)"+match, host
		}
	}
	for _, a := range all {
		host := strings.ToLower(a.url.Hostname())
		if host == own && a.url.User == nil {
			if a.server && a.url.Scheme == "http" && safe[own] && !forExamples(host) && p.asksCredentials() {
				tell(2, a)
			}
			continue
		}
		switch {
		case forExamples(host):
		case a.secret():
			tell(0, a)
		case insideHost(host, a.server):
			tell(1, a)
		case a.server && a.url.Scheme == "http" && safe[host] && p.asksCredentials():
			tell(2, a)
		case a.server && testHost(host):
			tell(3, a)
		}
	}
	kinds = slices.DeleteFunc(kinds, func(l *disclosure) bool { return l.hosts == nil })
	for _, l := range kinds {
		slices.Sort(l.hosts)
	}
	return kinds
}

// secret: the address holds a password, or, where somebody is sent there, a key.
func (a named) secret() bool {
	if a.url.User != nil {
		password, _ := a.url.User.Password()
		return isSecret(password, 8)
	}
	if !a.server {
		return false
	}
	for name, values := range a.url.Query() {
		if reKeyName.MatchString(name) && slices.ContainsFunc(values, func(v string) bool { return isSecret(v, 16) }) {
			return true
		}
	}
	return false
}

func (p *Probe) asksCredentials() bool {
	return slices.ContainsFunc(p.Graph.Ops, func(op *graph.Op) bool { return op.Secured })
}
