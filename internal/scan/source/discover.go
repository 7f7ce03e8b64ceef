package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// wellKnown are paths at which frameworks and tools serve an API's description,
// or a page that names it, the commonest first. They are tried below the address
// that the user gave, and then below the origin.
var wellKnown = []string{
	"/openapi.json", "/v3/api-docs", "/swagger.json", "/swagger/v1/swagger.json", "/api-docs", "/openapi.yaml", "/api/openapi.json", "/api/swagger.json",
	"/docs", "/swagger-ui.html", "/swagger-ui/index.html", "/swagger", "/api-docs/", "/swagger/", "/docs/", "/redoc", "/api/docs", "/api-docs.json", "/v2/api-docs",
	"/openapi.yml", "/swagger.yaml", "/swagger.yml", "/openapi", "/spec.json", "/api-json", "/docs-json", "/api/docs-json", "/docs/json", "/documentation/json", "/documentation", "/docs/openapi.json", "/docs/api-docs.json", "/docs.json", "/api-spec.json", "/apispec_1.json", "/apispec.json", "/api/spec", "/api/schema/", "/schema/", "/api/schema",
	"/api/v1/openapi.json", "/api/v2/openapi.json", "/api/v3/openapi.json", "/v1/openapi.json", "/v2/openapi.json", "/v3/openapi.json", "/api/v1/swagger.json", "/v1/swagger.json", "/v2/swagger.json", "/swagger/docs/v1", "/swagger/v2/swagger.json", "/swagger/doc.json", "/api/v3/api-docs", "/v3/api-docs.yaml", "/v3/api-docs/swagger-config", "/swagger-resources",
	"/api/api-docs", "/q/openapi", "/openapi/v1.json", "/openapi/openapi.json", "/static/openapi.json", "/static/swagger.json", "/public/openapi.json", "/rest/api-docs", "/rest/openapi.json", "/api/openapi.yaml", "/api/swagger.yaml", "/api/v1/docs", "/api/explorer", "/explorer", "/explorer/openapi.json", "/scalar", "/rapidoc", "/api/doc.json", "/api/doc", "/doc",
	"/.well-known/api-catalog", "/.well-known/openapi.json", "/.well-known/openapi", "/.well-known/openapi.yaml", "/.well-known/service-desc",
}

// maxProbes bounds how many addresses one search looks at.
const maxProbes = 150

// search looks for a description behind an address.
type search struct {
	ctx    context.Context //nolint:containedctx // a search lives as long as one Open
	opts   Options
	origin *url.URL
	probed []Probe
	seen   map[string]bool
	found  *Result
	others []string
	last   error // why the likeliest description could not be used
}

// discover reads what is at an address; where that is no description, looks at
// what it names and at well-known places of the same origin.
func discover(ctx context.Context, from string, o Options) (*Result, error) {
	if o.Get == nil {
		return nil, errors.New("reading the API description: nothing may be fetched here; name a file")
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("reading the API description: %q is no address", from)
	}
	u.Fragment = ""
	s := &search{ctx: ctx, opts: o, origin: u, seen: map[string]bool{}}
	if err := s.look(u.String(), 0); err != nil {
		return nil, fmt.Errorf("reading the API description: %w", err)
	}
	base := *u
	base.RawQuery, base.Fragment = "", ""
	if dot := strings.LastIndexByte(base.Path, '/'); dot >= 0 && strings.Contains(base.Path[dot:], ".") {
		base.Path = base.Path[:dot]
	}
	bases := []string{strings.TrimSuffix(base.String(), "/")}
	root := base
	root.Path, root.RawPath = "", ""
	if r := root.String(); r != bases[0] {
		bases = append(bases, r)
	}
	for _, b := range bases {
		for _, p := range wellKnown {
			if s.found != nil {
				break
			}
			if err := s.look(b+p, 0); err != nil {
				return nil, fmt.Errorf("looking for an API description: %w", err)
			}
		}
	}
	if s.found == nil {
		if s.last != nil {
			return nil, fmt.Errorf("reading the API description: %w", s.last)
		}
		return nil, &NotFoundError{From: from, Probed: s.probed}
	}
	s.found.Probed = s.probed
	s.found.Others = slices.DeleteFunc(s.others, func(x string) bool { return x == s.found.From })
	return s.found, nil
}

// NotFoundError says that no description was found behind an address.
type NotFoundError struct {
	From   string
	Probed []Probe
}

func (e *NotFoundError) Error() string {
	answered := 0
	for _, p := range e.Probed {
		if p.Status != 0 {
			answered++
		}
	}
	if answered == 0 {
		return fmt.Sprintf("%s does not answer: is the API running there?", e.From)
	}
	const instead = "give one: an OpenAPI file, a Postman collection or a HAR file recorded while the API is used"
	if len(e.Probed) == 1 {
		return fmt.Sprintf("no API description was found at %s%s; %s", e.From, e.first(), instead)
	}
	return fmt.Sprintf("no API description was found at %s%s, nor at %d well-known places there%s; %s", e.From, e.first(), len(e.Probed)-1, e.shut(), instead)
}

// first says what the address itself answered.
func (e *NotFoundError) first() string {
	if len(e.Probed) == 0 {
		return ""
	}
	p := e.Probed[0]
	switch {
	case p.Status == 0:
		return " (it did not answer)"
	case p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden:
		return fmt.Sprintf(" (it answers %d: it wants credentials; give an account that may read it in scan.yaml, with bearer, basic, headers or api_key, and name it in spec_as)", p.Status)
	case p.Status >= 300 && p.Status < 400:
		return fmt.Sprintf(" (it answers %d, which leads elsewhere)", p.Status)
	case p.Status >= 400:
		return fmt.Sprintf(" (it answers %d)", p.Status)
	case p.Found == "page":
		return " (it answers with a page, and what that names is none)"
	}
	return fmt.Sprintf(" (it answers %d, and what it answers is none)", p.Status)
}

// shut says how many places refused.
func (e *NotFoundError) shut() string {
	n := 0
	for _, p := range e.Probed[1:] {
		if p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of which want credentials: one that may be read by an account, spec and spec_as in scan.yaml name)", n)
}

// look fetches an address and follows what it names.
func (s *search) look(address string, depth int) error {
	u, err := url.Parse(address)
	if err != nil {
		return nil //nolint:nilerr // what a page names need not be an address
	}
	if s.seen[address] || depth > 3 || s.found != nil || len(s.probed) >= maxProbes {
		return nil
	}
	if u.Scheme != s.origin.Scheme || !strings.EqualFold(u.Host, s.origin.Host) {
		return nil // what a page names elsewhere is out of scope
	}
	s.seen[address] = true
	a, err := s.opts.Get(s.ctx, address)
	if err != nil {
		s.probed = append(s.probed, Probe{URL: address})
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		answered := slices.ContainsFunc(s.probed, func(p Probe) bool { return p.Status != 0 })
		if !answered && len(s.probed) >= 3 {
			return fmt.Errorf("%s does not answer: %w", s.origin.Host, err)
		}
		return nil // one place that does not answer is no reason to stop looking
	}
	s.probed = append(s.probed, Probe{URL: address, Status: a.Status})
	at := len(s.probed) - 1
	switch {
	case a.Status >= 300 && a.Status < 400:
		if to := u.ResolveReference(reference(a.Header.Get("Location"))); a.Header.Get("Location") != "" {
			return s.look(to.String(), depth+1)
		}
		return nil
	case a.Status != 200 || int64(len(a.Body)) > s.opts.MaxBytes:
		return nil
	}
	if !looksLikePage(a.Body) {
		r, err := Read(s.ctx, a.Body, address, s.opts)
		if err == nil {
			s.probed[at].Found = string(r.Kind)
			s.found = r
			return nil
		}
		if bytes.Contains(a.Body, []byte("openapi")) || bytes.Contains(a.Body, []byte("\"swagger\"")) {
			s.last = fmt.Errorf("%s: %w", address, err)
		}
	} else if inner, _ := embedded(a.Body); inner != nil {
		if r, err := Read(s.ctx, a.Body, address, s.opts); err == nil {
			s.probed[at].Found = string(r.Kind)
			s.found = r
			return nil
		}
	}
	links := namedBy(a, depth > 0 || looksLikePage(a.Body))
	if len(links) > 0 {
		s.probed[at].Found = "page"
	}
	for _, l := range links {
		to := u.ResolveReference(reference(l))
		if s.found != nil {
			if !strings.HasSuffix(to.Path, ".js") && !slices.Contains(s.others, to.String()) {
				s.others = append(s.others, to.String())
			}
			continue
		}
		if err := s.look(to.String(), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func reference(s string) *url.URL {
	u, err := url.Parse(strings.TrimSpace(html.UnescapeString(s)))
	if err != nil {
		return &url.URL{}
	}
	return u
}

var (
	// pageURL are places in pages and scripts of documentation tools that name a description.
	pageURL = regexp.MustCompile(`(?:\b(?:url|specUrl|spec_url|openapiUrl|swaggerUrl|apiDescriptionUrl|configUrl)["']?\s*[:=]\s*|(?:spec-url|data-url|apiDescriptionUrl|specUrl|data-spec-url)\s*=\s*|defaultDefinitionUrl\s*=\s*)["']([^"'\s<>]{1,500})["']`)
	// pageScript are the scripts beside a page that name it.
	pageScript = regexp.MustCompile(`<script[^>]+src=["']([^"']*(?:swagger-initializer|swagger-ui-init|init|config|redoc|index)[^"']*\.js[^"']*)["']`)
	pageLink   = regexp.MustCompile(`<link[^>]+rel=["']service-(?:desc|doc)["'][^>]*href=["']([^"']+)["']|<a[^>]+href=["']([^"']*(?:openapi|swagger|api-docs|apidoc|redoc)[^"']*)["']`)
	linkHeader = regexp.MustCompile(`<([^>]+)>\s*;[^,]*rel="?service-(?:desc|doc)"?`)
)

// namedBy lists the addresses that an answer names: of descriptions, and of
// scripts and settings that name some.
func namedBy(a *Answer, page bool) []string {
	var out []string
	add := func(s string) {
		if s != "" && !slices.Contains(out, s) && !strings.HasPrefix(s, "data:") && len(out) < 40 && !strings.Contains(s, "petstore.swagger.io") {
			out = append(out, s)
		}
	}
	for _, m := range linkHeader.FindAllStringSubmatch(strings.Join(a.Header.Values("Link"), ", "), 10) {
		add(m[1])
	}
	body := a.Body[:min(len(a.Body), 4<<20)]
	if t := bytes.TrimSpace(body); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		if v, err := spec.ReadTree(t, "settings.json", spec.LoadOptions{}); err == nil {
			settings(v, add, 0)
		}
		return out
	}
	if !page && !bytes.Contains(body, []byte("SwaggerUI")) && !bytes.Contains(body, []byte("swagger")) {
		return out
	}
	for _, m := range pageURL.FindAllSubmatch(body, 50) {
		add(strings.ReplaceAll(string(m[1]), `\/`, "/"))
	}
	for _, m := range pageScript.FindAllSubmatch(body, 20) {
		add(string(m[1]))
	}
	for _, m := range pageLink.FindAllSubmatch(body, 20) {
		add(string(m[1]))
		add(string(m[2]))
	}
	return out
}

// settings reads what documentation tools are told: {"url": …}, {"urls": [{"url": …}]},
// [{"location": …}], and RFC 9264's linkset as RFC 9727's catalog has it.
func settings(v *value.Value, add func(string), depth int) {
	if depth > 4 {
		return
	}
	if isList(v) {
		each(v, func(k *value.Value) { settings(k, add, depth+1) })
		return
	}
	if !isObject(v) {
		return
	}
	for _, name := range []string{"url", "location", "swaggerUrl", "openapi_url", "href"} {
		if s := v.Get(name); isText(s) && (depth > 0 || name != "href") {
			add(s.Text)
		}
	}
	for _, name := range []string{"urls", "apis", "linkset", "service-desc", "item", "service-doc", "configs"} {
		if k := v.Get(name); k != nil {
			settings(k, add, depth+1)
		}
	}
}
