package providers_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/test/providers"
)

// Every operation demands a scope of the token; the policy demands a role, and
// hands to the upstream what it saw of the caller.
const (
	scoped = `
openapi: 3.1.0
info: {title: Shop, version: "1"}
paths:
  /orders:
    get: {operationId: list, security: [{login: [read]}], responses: {"200": {description: ok}}}
    post: {operationId: create, security: [{login: [write]}], responses: {"200": {description: ok}}}
components: {securitySchemes: {login: {type: openIdConnect, openIdConnectUrl: "https://id.example.com"}}}
`
	roles = `
package crenel.authz

import data.crenel.lib

allow if lib.has_role("clerk")

decision := {"allow": true, "obligations": {"headers": {"X-Policy-Saw": saw}}} if allow
else := {"allow": false, "reason": saw}

saw := sprintf("%s client=%s roles=%s scopes=%s", [
	input.identity.method,
	input.identity.client_id,
	concat("+", sort(input.identity.roles)),
	concat("+", sort(input.identity.scopes)),
])
`
)

// tokens runs a gateway whose callers bring tokens by this method of authn, one
// line in flow style.
func (s *stand) tokens(method string, more setup) {
	s.t.Helper()
	more.apis = fmt.Sprintf(`
- name: shop
  hosts: [localhost, 127.0.0.1]
  spec: api.yaml
  upstream: {urls: [%q]}
  guards:
    authn: {methods: [%s]}
    authz: {policies: [roles.rego]}
    limit: {rates: []}
    waf: {mode: off}
`, s.upstream(), method)
	more.files = map[string]string{"api.yaml": scoped, "roles.rego": roles}
	s.serve(more)
}

func secretOf(client string) string { return "the-secret-of-" + client + "-in-the-tests" }

// service is a client that gets tokens for itself.
func service(id string, more map[string]any) map[string]any {
	c := map[string]any{"client_id": id, "client_secret": secretOf(id), "redirect_uris": []string{}, "response_types": []string{}, "grant_types": []string{"client_credentials"}}
	for name, v := range more {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

// caller is a program: with a client certificate or without, by HTTP/2 or 1.1.
func (s *stand) caller(own *issued, http1 bool) *http.Client {
	conf := &tls.Config{RootCAs: s.pool}
	if own != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own.Certificate, nil }
	}
	transport := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: !http1}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a *answer) code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal([]byte(a.body), &problem) // what is no problem has no code
	return problem.Code
}

// ask calls an operation of the shop with these fields: name, value, name, value.
func (s *stand) ask(client *http.Client, method, path string, fields ...string) *answer {
	s.t.Helper()
	out, err := s.try(client, method, path, fields...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *stand) try(client *http.Client, method, path string, fields ...string) (*answer, error) {
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.origin+path, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return &answer{res.StatusCode, res.Header, string(b)}, err
}

// want holds an answer to its status and code ("" with 200).
func (s *stand) want(what string, got *answer, status int, code string) {
	s.t.Helper()
	if got.status != status || got.code() != code {
		s.t.Errorf("%s: %d %s %s, want %d %s\n%s", what, got.status, got.code(), got.body, status, code, s.said())
	}
}

// form posts to an endpoint of a provider as a client of its, with more fields of
// the head in more, and answers with status and JSON.
func form(t *testing.T, client *http.Client, to, id string, fields url.Values, more ...string) (int, map[string]any, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secretOf(id)))
	}
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if len(bytes.TrimSpace(b)) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatalf("%s: %d %s", to, res.StatusCode, b)
		}
	}
	return res.StatusCode, out, res.Header
}

// grant is an access token that a client of the provider gets for itself.
func grant(t *testing.T, client *http.Client, issuer, id string, fields url.Values, more ...string) string {
	t.Helper()
	fields.Set("grant_type", "client_credentials")
	status, out, _ := form(t, client, issuer+"/token", id, fields, more...)
	token, _ := out["access_token"].(string)
	if status != http.StatusOK || token == "" {
		t.Fatalf("%s got no token: %d %v", id, status, out)
	}
	return token
}

// What a service is let do with its token: its scopes are the document's to ask,
// its roles the policy's.
func TestClientCredentialsOfOIDCProvider(t *testing.T) {
	s := newStand(t)
	p := providers.StartOIDC(t, providers.Spec{
		Clients:   []map[string]any{service("tills", nil), service("crawler", nil), service("gateway", map[string]any{"introspection_signed_response_alg": "ES256"})},
		Resources: map[string]providers.Resource{"urn:pets": {Scope: "read write"}, "urn:opaque": {Scope: "read write", Format: "opaque"}, "urn:other": {Scope: "read write"}},
		Roles:     map[string][]string{"tills": {"clerk", "night"}, "crawler": {"robot"}},
	})
	t.Setenv("GATEWAY_SECRET", secretOf("gateway"))
	s.tokens(fmt.Sprintf(`{jwt: {issuer: %q, audience: ["urn:pets"], type: [at+jwt]}},
      {introspection: {issuer: %[1]q, audience: ["urn:opaque"], tokens: opaque, signed: true, auth: {client_id: gateway, client_secret: "${GATEWAY_SECRET}"}}}`, p.Issuer), setup{})
	client := s.caller(nil, false)
	for kind, resource := range map[string]string{"jwt": "urn:pets", "introspection": "urn:opaque"} {
		token := func(id, scope string) string {
			return grant(t, http.DefaultClient, p.Issuer, id, url.Values{"scope": {scope}, "resource": {resource}})
		}
		reader, writer := token("tills", "read"), token("tills", "read write")
		if isJWT := strings.Count(reader, ".") == 2; isJWT != (kind == "jwt") {
			t.Fatalf("a token of %s: %s", resource, reader)
		}
		s.want(kind+": a scope and a role", s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+reader), http.StatusOK, "")
		saw := s.seen()
		if want := kind + " client=tills roles=clerk+night scopes=read"; saw.Get("X-Policy-Saw") != want || saw.Get("X-Crenel-Subject") != "tills" || saw.Get("Authorization") != "" {
			t.Errorf("%s: the policy saw %q, want %q; the upstream %v", kind, saw.Get("X-Policy-Saw"), want, saw)
		}
		refused := s.ask(client, http.MethodPost, "/orders", "Authorization", "Bearer "+reader)
		s.want(kind+": a scope is missing", refused, http.StatusForbidden, "authz.scope")
		if got := refused.header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_scope"`) || !strings.Contains(got, `scope="write"`) {
			t.Errorf("%s: the challenge %q", kind, got)
		}
		s.want(kind+": both scopes", s.ask(client, http.MethodPost, "/orders", "Authorization", "Bearer "+writer), http.StatusOK, "")
		s.want(kind+": another role", s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+token("crawler", "read")), http.StatusForbidden, "authz.denied")
		broken := writer[:len(writer)-4] + "AAAA"
		if got := s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+broken); got.status != http.StatusUnauthorized {
			t.Errorf("%s: a token changed at its end: %d %s", kind, got.status, got.body)
		}
	}
	other := grant(t, http.DefaultClient, p.Issuer, "tills", url.Values{"scope": {"read"}, "resource": {"urn:other"}})
	s.want("for another audience", s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+other), http.StatusUnauthorized, "authn.audience")
	s.want("none", s.ask(client, http.MethodGet, "/orders"), http.StatusUnauthorized, "authn.missing")
	// Keys change while it runs; those of before still verify what they signed.
	before := grant(t, http.DefaultClient, p.Issuer, "tills", url.Values{"scope": {"read"}, "resource": {"urn:pets"}})
	p.RotateKeys()
	after := grant(t, http.DefaultClient, p.Issuer, "tills", url.Values{"scope": {"read"}, "resource": {"urn:pets"}})
	eventually(t, 15*time.Second, func() bool {
		return s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+after).status == http.StatusOK
	}, "a token of the new key")
	s.want("of the last key", s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+before), http.StatusOK, "")
	for _, line := range append(p.Log(), s.said()) {
		if strings.Contains(line, endOf(before)) || strings.Contains(line, endOf(after)) {
			t.Errorf("a token in what was said: %s", line)
		}
	}
}

// endOf is enough of a token's end to find it again.
func endOf(token string) string { return token[len(token)-16:] }

// eventually waits for something that may take a while, and not longer than within.
func eventually(t *testing.T, within time.Duration, holds func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, within)
		}
	}
}

// A token that the provider takes back is refused when the answer about it is no
// longer believed, and not asked about before.
func TestIntrospectionOfOIDCProvider(t *testing.T) {
	const ttl = 3 * time.Second
	s := newStand(t)
	key, public := keyFile(t)
	p := providers.StartOIDC(t, providers.Spec{
		Clients: []map[string]any{service("tills", nil), service("gateway", map[string]any{
			"client_secret": nil, "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{public}}})},
		Resources: map[string]providers.Resource{"urn:pets": {Scope: "read write", Format: "opaque"}},
		Roles:     map[string][]string{"tills": {"clerk"}},
	})
	s.tokens(fmt.Sprintf(`{introspection: {issuer: %q, audience: ["urn:pets"], ttl: %s, refused_ttl: 1s, max_age: 6s, auth: {method: private_key_jwt, client_id: gateway, key: %q, key_id: k1}}}`, p.Issuer, ttl, key), setup{})
	client := s.caller(nil, false)
	token := grant(t, http.DefaultClient, p.Issuer, "tills", url.Values{"scope": {"read"}, "resource": {"urn:pets"}})
	call := func() *answer { return s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+token) }
	s.want("in force", call(), http.StatusOK, "")
	asked := time.Now()
	if status, out, _ := form(t, http.DefaultClient, p.Issuer+"/token/revocation", "tills", url.Values{"token": {token}}); status != http.StatusOK {
		t.Fatalf("revocation: %d %v", status, out)
	}
	if got := call(); time.Since(asked) < ttl && got.status != http.StatusOK {
		t.Errorf("within ttl the answer is not believed: %d %s", got.status, got.body)
	}
	time.Sleep(time.Until(asked.Add(ttl + 100*time.Millisecond)))
	s.want("taken back", call(), http.StatusUnauthorized, "authn.inactive")
	s.want("never given", s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+strings.Repeat("x", 43)), http.StatusUnauthorized, "authn.inactive")

	// The provider goes away: what it said is believed until max_age, and then nobody.
	token = grant(t, http.DefaultClient, p.Issuer, "tills", url.Values{"scope": {"read"}, "resource": {"urn:pets"}})
	s.want("another", call(), http.StatusOK, "")
	asked = time.Now()
	p.Stop()
	time.Sleep(time.Until(asked.Add(ttl + 200*time.Millisecond)))
	if got := call(); time.Since(asked) < 5*time.Second && got.status != http.StatusOK {
		t.Errorf("the provider is away, within max_age: %d %s\n%s", got.status, got.body, s.said())
	}
	time.Sleep(time.Until(asked.Add(6*time.Second + 200*time.Millisecond)))
	s.want("past max_age", call(), http.StatusServiceUnavailable, "authn.unavailable")
}
