package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
)

// The upstream may let every origin in with credentials; the gateway takes that
// away, and the records must say so: the browser does not.
func TestForeignOriginIsNoted(t *testing.T) {
	const allowed = "https://app.test"
	for name, c := range map[string]struct {
		settings, origin string
		passes, noted    bool
	}{
		"foreign":           {"", "https://evil.test", false, true},
		"allowed":           {"  allowed_origins: [\"" + allowed + "\"]\n", allowed, true, false},
		"the API's own":     {"", "http://a.test", true, false},
		"no browser":        {"", "", true, false},
		"cors, foreign":     {"  cors: {origins: [\"" + allowed + "\"]}\n", "https://evil.test", false, true},
		"cors, listed":      {"  cors: {origins: [\"" + allowed + "\"]}\n", allowed, true, false},
		"cors, the own one": {"  cors: {origins: [\"" + allowed + "\"]}\n", "http://a.test", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTestGateway(t, c.settings, "")
			r := httptest.NewRequest(http.MethodGet, "http://a.test/items", nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			w, _ := g.do(Upstream(func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("Access-Control-Allow-Origin", "*")
				w.Header().Set("Access-Control-Allow-Credentials", "true")
				w.Header().Set("Content-Type", "application/json")
				_, err := w.Write([]byte(`{"a":1}`))
				return err
			}), r)
			if got := w.Header().Get("Access-Control-Allow-Origin") != ""; got != c.passes {
				t.Errorf("headers %v", w.Header())
			}
			d, _ := g.trail.only(t)
			noted := slices.ContainsFunc(d.Rulings, func(r exchange.RecordedRuling) bool { return r.Guard == originGuard && r.Reason != "" })
			if noted != c.noted || d.Action != "allow" {
				t.Errorf("decision %s, noted %v: %+v", d.Action, noted, d.Rulings)
			}
		})
	}
}

// Whatever a browser adds to a request by itself, no other site's page writes with it.
func TestWritesOfOtherSites(t *testing.T) {
	g := newTestGateway(t, "  allowed_origins: [\"https://app.test\"]\n", "")
	cookie := func(r *http.Request) { r.Header.Set("Cookie", "sid=1") }
	certificate := func(r *http.Request) {
		c := &x509.Certificate{Raw: []byte("der")}
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{c}}}
	}
	scheme := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", name+" abc") }
	}
	both := func(a, b func(*http.Request)) func(*http.Request) { return func(r *http.Request) { a(r); b(r) } }
	for name, c := range map[string]struct {
		with    func(*http.Request)
		borrows bool
	}{
		"a cookie":                   {cookie, true},
		"a client certificate":       {certificate, true},
		"a password":                 {scheme("basic"), true},
		"Kerberos":                   {scheme("Negotiate"), true},
		"a token":                    {scheme("Bearer"), false},
		"a token beside a cookie":    {both(cookie, scheme("DPoP")), false},
		"a password beside a cookie": {both(cookie, scheme("Basic")), true},
		"nothing":                    {func(*http.Request) {}, false},
	} {
		for origin, foreign := range map[string]bool{"https://evil.test": true, "null": true, "https://app.test": false, "": false} {
			r := post(`{"a": 1}`)
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			c.with(r)
			w, _ := g.do(answering(http.StatusNoContent, "", ""), r)
			want := http.StatusNoContent
			if c.borrows && foreign {
				want = http.StatusForbidden
			}
			if w.Code != want {
				t.Errorf("%s from %q: %d %s, want %d", name, origin, w.Code, w.Body, want)
			}
		}
	}
}
