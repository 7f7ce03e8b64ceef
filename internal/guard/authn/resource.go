package authn

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/oauth"
	"github.com/crenel-project/crenel/internal/spec"
)

// wellKnown is where RFC 9728 section 3 has a resource's metadata.
const wellKnown = "/.well-known/oauth-protected-resource"

// Resource is the API's protected resource metadata (RFC 9728).
type Resource struct {
	Path     string // of the URL that it is served at, escaped
	Document []byte // JSON
	url      string // of the document
}

// metadataDocument is RFC 9728 section 2's.
type metadataDocument struct {
	Resource       string   `json:"resource"`
	Servers        []string `json:"authorization_servers,omitempty"`
	Scopes         []string `json:"scopes_supported,omitempty"`
	BearerMethods  []string `json:"bearer_methods_supported"`
	Name           string   `json:"resource_name,omitempty"`
	Documentation  string   `json:"resource_documentation,omitempty"`
	ProofSigning   []string `json:"dpop_signing_alg_values_supported,omitempty"`
	ProofsRequired bool     `json:"dpop_bound_access_tokens_required,omitempty"`
}

// newResource makes the metadata of an API whose methods are compiled.
func newResource(c *config.Resource, o *Options, methods []*method) (*Resource, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("resource: %q is not the URL of an API", c.URL)
	}
	doc := metadataDocument{
		Resource: c.URL, Servers: c.AuthorizationServers, Scopes: c.Scopes, Documentation: c.Documentation, BearerMethods: []string{},
	}
	if o.API != nil {
		doc.Name = o.API.Title
		if doc.Scopes == nil {
			doc.Scopes = scopesOf(o.API)
		}
	}
	tokens, required := 0, 0
	for _, m := range methods {
		if !m.token() {
			continue
		}
		tokens++
		if m.place.in == "header" && m.place.name == authorization && len(doc.BearerMethods) == 0 {
			doc.BearerMethods = []string{"header"}
		}
		if m.dpop != nil {
			if m.dpop.required {
				required++
			}
			for a := range strings.FieldsSeq(m.dpop.algorithms) {
				if !slices.Contains(doc.ProofSigning, a) {
					doc.ProofSigning = append(doc.ProofSigning, a)
				}
			}
		}
		if c.AuthorizationServers == nil {
			if iss := m.issuer(); iss != "" && !slices.Contains(doc.Servers, iss) {
				doc.Servers = append(doc.Servers, iss)
			}
		}
	}
	doc.ProofsRequired = tokens > 0 && required == tokens
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	path := wellKnown + strings.TrimSuffix(u.EscapedPath(), "/")
	return &Resource{Path: path, Document: b, url: u.Scheme + "://" + u.Host + path}, nil
}

// issuer is the authorization server that a method's tokens are of, "" when it
// has no metadata that a client could read.
func (m *method) issuer() string {
	iss := ""
	switch {
	case m.jwt != nil && m.jwt.discovered && !strings.Contains(m.jwt.name, tenantMark):
		iss = m.jwt.name
	case m.asks != nil:
		iss = m.asks.issuer
	}
	if u, err := url.Parse(iss); err != nil || !oauth.Trustworthy(u) {
		return ""
	}
	return iss
}

// scopesOf are all scopes that a document's operations demand, sorted.
func scopesOf(api *spec.API) []string {
	var out []string
	for _, op := range api.Operations {
		for _, r := range op.Security {
			for _, use := range r {
				if use.Scheme.Type == "oauth2" || use.Scheme.Type == "openIdConnect" {
					out = append(out, use.Scopes...)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ServeHTTP answers with the document. Scripts of any origin may read it: it is
// public, and a client in a browser needs it.
func (r *Resource) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	if q.Method != http.MethodHead {
		_, _ = w.Write(r.Document)
	}
}

// Resource is the API's metadata, nil when the config names no resource.
func (g *Guard) Resource() *Resource { return g.resource }
