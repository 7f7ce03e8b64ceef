package providers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/test/providers"
)

// person uses a browser: follows redirects, fills in forms.
type person struct {
	*stand
	client *http.Client
}

func (s *stand) person() *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pool}}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &person{s, &http.Client{Jar: jar, Transport: transport, Timeout: time.Minute}}
}

type shown struct {
	status int
	at     *url.URL
	body   string
}

var leadsOn = regexp.MustCompile(`<meta http-equiv="refresh" content="0;url=([^"]*)"`)

func (p *person) send(r *http.Request) *shown {
	p.t.Helper()
	page := p.sent(r)
	if on := leadsOn.FindStringSubmatch(page.body); on != nil {
		return p.open(html.UnescapeString(on[1]))
	}
	return page
}

func (p *person) sent(r *http.Request) *shown {
	p.t.Helper()
	res, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return &shown{res.StatusCode, res.Request.URL, string(b)}
}

func (p *person) open(at string) *shown {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, at, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	return p.send(r)
}

func (p *person) call(path string) *shown {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.origin+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.send(r)
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	formInput  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// submit fills in the page's form.
func (p *person) submit(page *shown, fields url.Values) *shown {
	p.t.Helper()
	action := formAction.FindStringSubmatch(page.body)
	if action == nil {
		p.t.Fatalf("no form at %s (%d): %s\n%s", page.at, page.status, page.body, p.said())
	}
	to, err := page.at.Parse(html.UnescapeString(action[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, in := range formInput.FindAllStringSubmatch(page.body, -1) {
		if !fields.Has(in[1]) {
			fields.Set(in[1], html.UnescapeString(in[2]))
		}
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, to.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Origin", page.at.Scheme+"://"+page.at.Host)
	return p.send(r)
}

// logIn opens a page of the API and goes through the provider's own pages.
func (p *person) logIn(who string) *shown {
	p.t.Helper()
	page := p.open(p.origin + "/orders")
	for range 3 {
		switch {
		case strings.HasPrefix(page.at.String(), p.origin):
			if page.status != http.StatusOK {
				p.t.Fatalf("the login ended at %s with %d: %s\n%s", page.at, page.status, page.body, p.said())
			}
			return page
		case strings.Contains(page.body, `name="password"`):
			page = p.submit(page, url.Values{"login": {who}, "password": {"any"}})
		default:
			page = p.submit(page, url.Values{})
		}
	}
	p.t.Fatalf("the login does not end: %s (%d) %s", page.at, page.status, page.body)
	return nil
}

const secretAuth = `, client_secret: "${FRONT_SECRET}", scopes: [openid, profile, email, offline_access], params: {prompt: consent}`

// The whole of it with a provider that is not ours: code with PKCE through its
// pages, a pushed request, refresh, logout here and there.
func TestLoginWithOIDCProvider(t *testing.T) {
	s := newStand(t)
	p := providers.StartOIDC(t, providers.Spec{Clients: []map[string]any{s.client(nil)}, TTL: map[string]int{"AccessToken": 4}, TrustCA: s.ca})
	s.start(p.Issuer, secretAuth, "")
	alice := s.person()
	if page := alice.logIn("admin"); page.at.Path != "/orders" || page.body != "the orders of admin" {
		t.Fatalf("ended at %s: %s", page.at, page.body)
	}
	if got := s.seen(); got.Get("X-Crenel-Roles") != "admin,customer" || got.Get("Authorization") != "" || strings.Contains(got.Get("Cookie"), "crenel") {
		t.Errorf("the upstream got %v", got)
	}
	if who := alice.call("/auth/userinfo"); !strings.Contains(who.body, `"sub":"admin"`) || !strings.Contains(who.body, `"csrf_token":"`) || strings.Contains(who.body, "eyJ") {
		t.Errorf("userinfo: %d %s", who.status, who.body)
	}
	// Past the access token's end, in several calls at once: its refresh token, which is rotated, is used once.
	time.Sleep(5 * time.Second)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if page := alice.call("/orders"); page.status != http.StatusOK {
				t.Errorf("after a refresh: %d %s\n%s", page.status, page.body, strings.Join(p.Log(), "\n"))
			}
		})
	}
	wg.Wait()
	time.Sleep(5 * time.Second)
	if page := alice.call("/orders"); page.status != http.StatusOK {
		t.Errorf("after two refreshes: %d %s\n%s", page.status, page.body, strings.Join(p.Log(), "\n"))
	}
	// Out here, and then at the provider's page.
	page := alice.open(s.origin + "/auth/logout")
	page = alice.submit(page, url.Values{})
	if !strings.HasPrefix(page.at.String(), p.Issuer+"/session/end") {
		t.Fatalf("the logout led to %s: %d %s", page.at, page.status, page.body)
	}
	page = alice.submit(page, url.Values{"logout": {"yes"}})
	if !strings.HasPrefix(page.at.String(), s.origin+"/") {
		t.Errorf("logged out at the provider, one ends at %s: %d %s", page.at, page.status, page.body)
	}
	if page := alice.call("/orders"); page.status != http.StatusUnauthorized {
		t.Errorf("logged out: %d", page.status)
	}
	for _, line := range append(p.Log(), s.said()) {
		if strings.Contains(line, "grant_error") || strings.Contains(line, `"error"`) || strings.Contains(line, "eyJ") {
			t.Errorf("said: %s", line)
		}
	}
}

// Someone logs out at the provider itself: its logout token ends the session here.
func TestBackChannelLogoutOfOIDCProvider(t *testing.T) {
	s := newStand(t)
	p := providers.StartOIDC(t, providers.Spec{Clients: []map[string]any{s.client(nil)}, TrustCA: s.ca})
	s.start(p.Issuer, secretAuth, "")
	alice, bob := s.person(), s.person()
	alice.logIn("alice")
	bob.logIn("bob")
	page := alice.submit(alice.open(p.Issuer+"/session/end"), url.Values{"logout": {"yes"}})
	if page.status != http.StatusOK {
		t.Fatalf("%d %s", page.status, page.body)
	}
	if page := alice.call("/orders"); page.status != http.StatusUnauthorized || !strings.Contains(page.body, "authn.revoked") {
		t.Errorf("after the provider's logout: %d %s\n%s\n%s", page.status, page.body, strings.Join(p.Log(), "\n"), s.said())
	}
	if page := bob.call("/orders"); page.status != http.StatusOK {
		t.Errorf("somebody else: %d %s", page.status, page.body)
	}
	if !strings.Contains(strings.Join(p.Log(), "\n"), `"backchannel":"front"`) {
		t.Errorf("the provider: %s", strings.Join(p.Log(), "\n"))
	}
}

// A key in place of a secret; the provider's keys change while it runs; it stops
// and starts again; the upstream's token is exchanged there.
func TestOIDCProviderChanges(t *testing.T) {
	s := newStand(t)
	key, public := keyFile(t)
	exchange := s.client(map[string]any{"client_id": "exchanger", "redirect_uris": []string{}, "response_types": []string{}, "backchannel_logout_uri": nil, "backchannel_logout_session_required": nil,
		"post_logout_redirect_uris": []string{}, "grant_types": []string{"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"}})
	p := providers.StartOIDC(t, providers.Spec{
		Clients: []map[string]any{
			s.client(map[string]any{"client_secret": nil, "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{public}}}),
			exchange,
		},
		Resources: map[string]providers.Resource{"urn:pets": {Scope: "read"}, "urn:inner": {Scope: "inner"}},
	})
	s.start(p.Issuer, fmt.Sprintf(`, client_key: %q, client_key_id: k1, par: require, scopes: [openid, read], resource: ["urn:pets"], identity: access_token, access_token_audience: ["urn:pets"]`, key),
		fmt.Sprintf(`, token: {exchange: {issuer: %q, client_id: exchanger, client_secret: "${FRONT_SECRET}"}, audience: ["urn:inner"]}`, p.Issuer))
	alice := s.person()
	alice.logIn("alice")
	token := strings.TrimPrefix(s.seen().Get("Authorization"), "Bearer ")
	if c := claimsOf(t, token); c["aud"] != "urn:inner" || c["sub"] != "alice" {
		t.Errorf("the upstream's token: %v", c)
	}
	p.ReplaceKeys()
	time.Sleep(11 * time.Second) // unknown keys have a key set fetched once in ten seconds
	s.person().logIn("carol")
	p.Stop()
	if page := alice.call("/orders"); page.status != http.StatusOK {
		t.Errorf("the provider is down, a session: %d %s", page.status, page.body)
	}
	if page := s.person().open(s.origin + "/auth/login"); page.status != http.StatusServiceUnavailable || !strings.Contains(page.body, "login.unavailable") {
		t.Errorf("the provider is down, a login: %d %s", page.status, page.body)
	}
	p.Start()
	s.person().logIn("dave")
	if page := alice.call("/orders"); page.status != http.StatusOK {
		t.Errorf("the provider is back, a session: %d %s", page.status, page.body)
	}
}

func TestLoginWithMockServer(t *testing.T) {
	s := newStand(t)
	p := providers.StartMock(t, providers.Spec{Claims: map[string]any{"roles": []string{"tester"}}})
	s.start(p.Issuer, `, client_secret: "${FRONT_SECRET}"`, "")
	who := s.person()
	if page := who.logIn("johndoe"); page.body != "the orders of johndoe" || s.seen().Get("X-Crenel-Roles") != "tester" {
		t.Errorf("%s: %v", page.body, s.seen())
	}
	page := who.submit(who.open(s.origin+"/auth/logout"), url.Values{})
	if page := who.call("/orders"); page.status != http.StatusUnauthorized {
		t.Errorf("logged out: %d %s", page.status, page.body)
	}
	_ = page
}

// keyFile makes a key for private_key_jwt: the private one in a file, the public
// one as the provider takes it.
func keyFile(t *testing.T) (file string, public map[string]any) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, publicJWK(t, key)
}
