package providers_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/test/providers"
)

func tlsServer(s *stand, h http.Handler) (srv *httptest.Server, port string) {
	s.t.Helper()
	pair, err := tls.LoadX509KeyPair(s.cert[0], s.cert[1])
	if err != nil {
		s.t.Fatal(err)
	}
	srv = httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	_, port, err = net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	return srv, port
}

// A real browser goes through the login, calls the API from a page without a
// token, cannot be made to by another's page, and logs out.
func TestLoginInChromium(t *testing.T) {
	c := newChromium(t)
	s := newStand(t)
	out := s.origin + "/auth/logged-out"
	p := providers.StartOIDC(t, providers.Spec{Clients: []map[string]any{s.client(map[string]any{"post_logout_redirect_uris": []string{out}})}, TrustCA: s.ca})
	s.start(p.Issuer, secretAuth+", after_logout: /auth/logged-out", "")

	// A page is opened: the provider's login, its consent, and back.
	c.open(s.origin + "/orders")
	c.until(`document.querySelector("input[name=password]")`)
	c.picture("provider-login")
	if at := fmt.Sprint(c.eval("location.href")); !strings.HasPrefix(at, p.Issuer) {
		t.Fatalf("the login is at %s", at)
	}
	c.eval(`document.querySelector("input[name=login]").value = "alice"; document.querySelector("input[name=password]").value = "any"; document.forms[0].submit()`)
	c.until(`!document.querySelector("input[name=password]") && document.forms.length`)
	c.picture("provider-consent")
	c.eval(`document.forms[0].submit()`)
	c.until(fmt.Sprintf(`location.href === %q`, s.origin+"/orders"))
	c.picture("logged-in")
	if text := c.eval("document.body.innerText"); text != "the orders of alice" {
		t.Fatalf("the page shows %v\n%s", text, s.said())
	}

	// The page's calls: no token anywhere in the browser, and writes prove where they come from.
	if text := fmt.Sprint(c.eval(`document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)`)); strings.Contains(text, "eyJ") || strings.Contains(text, "__Host-crenel-shop=") {
		t.Errorf("scripts can read %s", text)
	}
	if got := c.fetch("/orders", "{}"); got != "200" {
		t.Errorf("a read: %s\n%s", got, s.said())
	}
	if got := c.fetch("/orders", `{method: "POST"}`); got != "403 authn.csrf" {
		t.Errorf("a write without the token: %s", got)
	}
	token := `(await (await fetch("/auth/userinfo")).json()).csrf_token`
	if got := c.eval(`(async () => (await fetch("/orders", {method: "POST", headers: {"X-CSRF-Token": ` + token + `}})).status)()`); got != float64(http.StatusOK) {
		t.Errorf("a write with the token: %v\n%s", got, s.said())
	}

	// Pages of others: of another site, and of another port of this one, whose requests
	// browsers send with the session's cookies.
	attack := fmt.Sprintf(`<!doctype html><title>Elsewhere</title><form method="post" action="%s/orders"><input name="a" value="b"></form><form method="post" action="%[1]s/auth/logout"></form><p><a id="link" href="%[1]s/orders">orders</a> <a id="out" href="%[1]s/auth/logout">out</a>`, s.origin)
	for name, host := range map[string]string{"another site": "127.0.0.1", "another port": "localhost"} {
		elsewhere := s.page(host, attack)
		at := func() { c.open(elsewhere); c.until(`document.title === "Elsewhere"`) }
		at()
		for what, options := range map[string]string{
			"a write":               `{method: "POST", credentials: "include", mode: "no-cors"}`,
			"a write with a type":   `{method: "POST", credentials: "include", headers: {"Content-Type": "application/json"}, body: "{}"}`,
			"a read":                `{credentials: "include"}`,
			"one with a made token": `{method: "POST", credentials: "include", headers: {"X-CSRF-Token": "x"}}`,
		} {
			if got := c.fetch(s.origin+"/orders", options); strings.HasPrefix(got, "2") {
				t.Errorf("%s: %s: %s", name, what, got)
			}
		}
		s.forget()
		c.eval(`document.forms[0].submit()`)
		c.until(fmt.Sprintf(`location.origin !== %q`, elsewhere))
		if s.seen() != nil {
			t.Errorf("%s: a form reached the upstream", name)
		}
		at()
		c.eval(`document.forms[1].submit()`)
		c.until(fmt.Sprintf(`location.origin === %q`, s.origin))
		at() // whose user is still logged in:
		c.eval(`document.getElementById("link").click()`)
		c.until(fmt.Sprintf(`location.href === %q && document.body.innerText === "the orders of alice"`, s.origin+"/orders"))
		at()
		c.eval(`document.getElementById("out").click()`)
		c.until(`document.title === "Log out?"`)
		c.picture("logout-asks")
		c.open(s.origin + "/orders")
		c.until(`document.body.innerText === "the orders of alice"`)
	}

	// Out, here and at the provider, and back.
	c.said()
	c.open(s.page("127.0.0.1", attack))
	c.until(`document.title === "Elsewhere"`)
	c.eval(`document.getElementById("out").click()`)
	c.until(`document.title === "Log out?"`)
	c.eval(`document.querySelector("button").click()`)
	c.until(fmt.Sprintf(`location.href.startsWith(%q)`, p.Issuer+"/session/end"))
	c.picture("provider-logout")
	c.eval(`document.querySelector("button[name=logout], button[value=yes]").click()`)
	c.until(fmt.Sprintf(`location.href.startsWith(%q) && document.body.innerText.includes("You are logged out.")`, out))
	c.picture("logged-out")
	if log := c.said(); strings.Contains(log, "Content Security Policy") {
		t.Errorf("the browser complains: %s", log)
	}
	c.open(s.origin + "/orders")
	c.until(`document.querySelector("input[name=password]")`)
}

// What a person sees when a login goes wrong: a page that says so and leads on.
func TestFailuresInChromium(t *testing.T) {
	c := newChromium(t)
	s := newStand(t)
	p := providers.StartOIDC(t, providers.Spec{Clients: []map[string]any{s.client(nil)}, TrustCA: s.ca})
	s.start(p.Issuer, secretAuth, "")
	shows := func(name string, words ...string) {
		t.Helper()
		c.picture(name)
		text := fmt.Sprint(c.eval("document.body.innerText"))
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s: the page lacks %q: %s", name, w, text)
			}
		}
	}
	c.open(s.origin + "/auth/callback?code=x&state=y&iss=" + url.QueryEscape(p.Issuer))
	c.until("document.querySelector('h1')")
	shows("login-over", "This login is over", "Log in again", "login.state")

	// Somebody says no at the provider.
	c.open(s.origin + "/orders")
	c.until(`document.querySelector("input[name=password]")`)
	c.eval(`[...document.querySelectorAll("a")].find(a => /cancel/i.test(a.textContent)).click()`)
	c.until(fmt.Sprintf(`location.href.startsWith(%q)`, s.origin))
	shows("login-refused", "Not logged in", "login.refused", "Log in again")

	p.Stop()
	c.open(s.origin + "/auth/login")
	c.until("document.querySelector('h1')")
	shows("login-unavailable", "not available", "login.unavailable")
}
