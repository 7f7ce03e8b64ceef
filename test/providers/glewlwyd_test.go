package providers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/test/providers"
)

const pets = "https://pets.example.com"

// glewlwydService is a client that gets tokens for itself. Its secret has no
// character that RFC 6749 section 2.3.1 would have encoded: glewlwyd does not decode.
func glewlwydService(id string, more map[string]any) map[string]any {
	c := map[string]any{
		"client_id": id, "name": id, "password": secretOf(id), "confidential": true, "enabled": true, "authorization_type": []string{"client_credentials"},
		"token_endpoint_auth_method": []string{"client_secret_basic"}, "scope": []string{"read", "write"}, "resource": []string{pets}, "redirect_uri": []string{"https://localhost/none"},
	}
	for name, v := range more {
		c[name] = v
	}
	return c
}

// A second opinion: tokens of a provider that shares no code with the first.
func TestTokensOfGlewlwyd(t *testing.T) {
	s := newStand(t)
	own := newAuthority(t, "provider")
	cert, key := own.server().pem(t)
	ca, _ := issued{cert: own.file, key: own.file}.pem(t)
	g := providers.StartGlewlwyd(t, providers.GlewlwydSpec{
		TLS:     &providers.TLS{Cert: cert, Key: key, CA: ca},
		Clients: []map[string]any{glewlwydService("tills", nil), glewlwydService("gateway", map[string]any{"scope": []string{"ask"}})},
		Scopes:  map[string][]string{"read": {pets}, "write": {pets}, "ask": nil},
	})
	s.pool.AddCert(own.cert)
	caller := s.caller(nil, false)
	// It lets those ask about others' tokens who have one themselves for that.
	t.Setenv("ASKING_TOKEN", grant(t, caller, g.Issuer, "gateway", url.Values{"scope": {"ask"}}))
	token := func(scope string, more ...string) string {
		return grant(t, caller, g.Issuer, "tills", url.Values{"scope": {scope}, "resource": {pets}}, more...)
	}
	s.serve(setup{
		apis: fmt.Sprintf(`
- name: shop
  hosts: [localhost]
  spec: api.yaml
  upstream: {urls: [%q]}
  guards: &guards
    authn: {methods: [{jwt: {issuer: %q, ca: %q, audience: [%q], type: [at+jwt], dpop: {}}}]}
    limit: {rates: []}
    waf: {mode: off}
- name: asked
  hosts: [127.0.0.1]
  spec: api.yaml
  upstream: {urls: [%[1]q]}
  guards:
    authn: {methods: [{introspection: {issuer: %[2]q, ca: %[3]q, audience: [%[4]q], ttl: 2s, auth: {method: bearer, token: "${ASKING_TOKEN}"}}}]}
    limit: {rates: []}
    waf: {mode: off}
`, s.upstream(), g.Issuer, own.file, pets),
		files: map[string]string{"api.yaml": scoped},
	})

	reader, writer := token("read"), token("read write")
	s.want("a scope", s.ask(caller, http.MethodGet, "/orders", "Authorization", "Bearer "+reader), http.StatusOK, "")
	if saw := s.seen(); saw.Get("X-Crenel-Subject") != "tills" || saw.Get("Authorization") != "" {
		t.Errorf("the upstream saw %v", saw)
	}
	s.want("a scope is missing", s.ask(caller, http.MethodPost, "/orders", "Authorization", "Bearer "+reader), http.StatusForbidden, "authz.scope")
	s.want("both", s.ask(caller, http.MethodPost, "/orders", "Authorization", "Bearer "+writer), http.StatusOK, "")
	s.want("for no audience", s.ask(caller, http.MethodGet, "/orders", "Authorization", "Bearer "+grant(t, caller, g.Issuer, "tills", url.Values{"scope": {"read"}})), http.StatusUnauthorized, "authn.audience")

	// Bound to a key: with its proof and not without.
	owner, thief := newHolder(t), newHolder(t)
	address := s.origin + "/orders"
	bound := token("read", "DPoP", owner.proof(http.MethodPost, g.Issuer+"/token", "", nil))
	proof := owner.proof(http.MethodGet, address, bound, nil)
	s.want("its key", s.ask(caller, http.MethodGet, "/orders", "Authorization", "DPoP "+bound, "DPoP", proof), http.StatusOK, "")
	s.want("the proof again", s.ask(caller, http.MethodGet, "/orders", "Authorization", "DPoP "+bound, "DPoP", proof), http.StatusUnauthorized, "authn.replay")
	s.want("another key", s.ask(caller, http.MethodGet, "/orders", "Authorization", "DPoP "+bound, "DPoP", thief.proof(http.MethodGet, address, bound, nil)), http.StatusUnauthorized, "authn.proof")
	s.want("as a bearer token", s.ask(caller, http.MethodGet, "/orders", "Authorization", "Bearer "+bound), http.StatusUnauthorized, "authn.binding")

	// Its keys change while it runs.
	g.RotateKeys()
	after := token("read")
	eventually(t, 15*time.Second, func() bool {
		return s.ask(caller, http.MethodGet, "/orders", "Authorization", "Bearer "+after).status == http.StatusOK
	}, "a token of the new key")
	s.want("of the last key", s.ask(caller, http.MethodGet, "/orders", "Authorization", "Bearer "+reader), http.StatusOK, "")

	// Asked about, and taken back there.
	s.origin = fmt.Sprintf("https://127.0.0.1:%d", s.port)
	asked := time.Now()
	s.want("asked about", s.ask(caller, http.MethodGet, "/orders", "Authorization", "Bearer "+after), http.StatusOK, "")
	if status, out, _ := form(t, caller, g.Issuer+"/revoke", "tills", url.Values{"token": {after}, "token_type_hint": {"access_token"}}); status != http.StatusOK {
		t.Fatalf("revocation: %d %v\n%s", status, out, g.Log())
	}
	time.Sleep(time.Until(asked.Add(2200 * time.Millisecond)))
	s.want("taken back", s.ask(caller, http.MethodGet, "/orders", "Authorization", "Bearer "+after), http.StatusUnauthorized, "authn.inactive")
	if log := s.said(); strings.Contains(log, endOf(after)) || strings.Contains(log, endOf(bound)) {
		t.Errorf("a token in the log: %s", log)
	}
}

// People log in there: code with PKCE and a pushed request, refresh, the provider's
// own logout told over the back channel, a stop and a start.
func TestLoginWithGlewlwyd(t *testing.T) {
	s := newStand(t)
	front := map[string]any{
		"client_id": "front", "name": "front", "password": secretOf("front"), "confidential": true, "enabled": true, "authorization_type": []string{"code", "refresh_token"},
		"token_endpoint_auth_method": []string{"client_secret_basic"}, "scope": []string{"openid"}, "redirect_uri": []string{s.origin + "/auth/callback"},
		"post_logout_redirect_uri": s.origin + "/", "backchannel_logout_uri": s.origin + "/auth/backchannel-logout", "backchannel_logout_session_required": "1",
	}
	g := providers.StartGlewlwyd(t, providers.GlewlwydSpec{
		Clients: []map[string]any{front}, Users: map[string]string{"alice": "clerk", "bob": "customer"}, Scopes: map[string][]string{"openid": nil}, TTL: 4,
	})
	t.Setenv("PLAIN_SECRET", secretOf("front"))
	s.start(g.Issuer, `, client_secret: "${PLAIN_SECRET}", scopes: [openid], par: require, claims: {subject: email}`, "")
	logIn := func(who string) *person {
		p := s.person()
		page := p.open(s.origin + "/orders")
		if page.at.Path != "/login.html" {
			t.Fatalf("the login led to %s: %d %s\n%s", page.at, page.status, page.body, s.said())
		}
		g.LogIn(p.client, who, "front", "openid")
		page = p.open(page.at.Query().Get("callback_url") + "&g_continue")
		if page.at.Path != "/orders" || page.body != "the orders of "+who+"@example.com" {
			t.Fatalf("%s ended at %s: %d %s\n%s\n%s", who, page.at, page.status, page.body, s.said(), g.Log())
		}
		return p
	}
	alice := logIn("alice")
	if saw := s.seen(); saw.Get("X-Crenel-Roles") != "clerk" || saw.Get("Authorization") != "" {
		t.Errorf("the upstream saw %v", saw)
	}
	time.Sleep(5 * time.Second)
	if page := alice.call("/orders"); page.status != http.StatusOK {
		t.Errorf("after a refresh: %d %s\n%s", page.status, page.body, g.Log())
	}
	bob := logIn("bob")
	g.Stop()
	if page := bob.call("/orders"); page.status != http.StatusOK {
		t.Errorf("the provider is down, a session: %d %s", page.status, page.body)
	}
	if page := s.person().open(s.origin + "/auth/login"); page.status != http.StatusServiceUnavailable {
		t.Errorf("the provider is down, a login: %d %s", page.status, page.body)
	}
	g.Start()
	alice = logIn("alice")
	// Out here, and on to the provider, which asks about its own session.
	page := alice.submit(alice.open(s.origin+"/auth/logout"), url.Values{})
	if !strings.HasPrefix(page.at.String(), strings.TrimSuffix(g.Issuer, "/api/oidc")+"/login.html") || page.at.Query().Get("prompt") != "end_session" {
		t.Errorf("the logout led to %s: %d %s", page.at, page.status, page.body)
	}
	if page := alice.call("/orders"); page.status != http.StatusUnauthorized {
		t.Errorf("logged out: %d %s", page.status, page.body)
	}
}
