package login_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authn"
)

// What an access token that reached the upstream is for, and whose it is.
func about(t *testing.T, h http.Header) (subject, audience string) {
	t.Helper()
	text, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !ok {
		t.Fatalf("Authorization is %q", h.Get("Authorization"))
	}
	c, err := authn.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return c.Text("sub"), strings.Join(c.Texts("aud"), " ")
}

// The upstream gets a token of its own audience, whoever brings what.
func TestExchangeForTheUpstream(t *testing.T) {
	s := newStand(t, setup{upstream: `, token: {exchange: {issuer: "ISSUER", client_id: front, client_secret: "${LOGIN_SECRET}"}, audience: [inner]}`})
	b := s.browser()
	b.logIn()
	if sub, aud := about(t, s.last()); sub != "alice" || aud != "inner" {
		t.Errorf("of a session: a token of %s for %s", sub, aud)
	}
	token := s.op.AccessToken("bob", nil)
	if r := s.browser().do("GET", "/things", "", "Authorization", "Bearer "+token); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if sub, aud := about(t, s.last()); sub != "bob" || aud != "inner" {
		t.Errorf("of a token: a token of %s for %s", sub, aud)
	}
	if r := s.browser().do("GET", "/open", "", "Authorization", "Bearer rubbish"); r.status != 200 || s.last().Get("Authorization") != "" {
		t.Errorf("of nobody: %d, Authorization %q", r.status, s.last().Get("Authorization"))
	}
	if got := s.op.Count("urn:ietf:params:oauth:grant-type:token-exchange"); got != 2 {
		t.Errorf("%d exchanges", got)
	}
	before := s.reached()
	s.op.Set(func(o *oauthServer) {
		o.Fail = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
	})
	if r := s.browser().do("GET", "/things", "", "Authorization", "Bearer "+s.op.AccessToken("carol", nil)); r.status != 503 || r.code(t) != "gateway.token_unavailable" || s.reached() != before {
		t.Errorf("the server is down: %d %s, upstream called: %v", r.status, r.body, s.reached() != before)
	}
	if r := b.call("/things"); r.status != 200 {
		t.Errorf("who has a token already: %d", r.status)
	}
	if text := s.log.String() + s.trail.text(); strings.Contains(text, "eyJ") {
		t.Error("log or records hold a token")
	}
}

func TestOwnTokenForTheUpstream(t *testing.T) {
	s := newStand(t, setup{upstream: `, token: {client_credentials: {issuer: "ISSUER", client_id: front, client_secret: "${LOGIN_SECRET}"}, resource: ["https://inner.example"], header: X-Token}`})
	b := s.browser()
	if r := b.open("/open"); r.status != 200 || strings.Count(s.last().Get("X-Token"), ".") != 2 {
		t.Fatalf("%d, X-Token %q", r.status, s.last().Get("X-Token"))
	}
	b.do("GET", "/open", "", "X-Token", "theirs")
	if got := s.last().Values("X-Token"); len(got) != 1 || got[0] == "theirs" {
		t.Errorf("the upstream gets %q", got)
	}
	if n := s.op.Count("client_credentials"); n != 1 {
		t.Errorf("%d grants", n)
	}
}

func TestSessionTokenForTheUpstream(t *testing.T) {
	s := newStand(t, setup{upstream: ", token: {session: true}"})
	s.op.Set(func(o *oauthServer) { o.NoRefresh, o.TokenLife = true, 10*time.Minute })
	b := s.browser()
	b.logIn()
	if sub, aud := about(t, s.last()); sub != "alice" || aud != "api" {
		t.Errorf("a token of %s for %s", sub, aud)
	}
	s.clock.forward(11 * time.Minute)
	before := s.reached()
	if r := b.call("/things"); r.status != 401 || r.code(t) != "authn.expired" || !strings.Contains(r.body, `"login":`) || s.reached() != before {
		t.Errorf("when it has ended: %d %s", r.status, r.body)
	}
	b.stay = true
	if r := b.open("/things"); r.status != 303 {
		t.Errorf("a page then: %d", r.status)
	}
}
