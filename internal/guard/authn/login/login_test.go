package login_test

import (
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/oauth/oauthtest"
)

var stores = map[string]string{"cookie": "", "state": ", store: state"}

// A whole life of a session, however it is kept.
func TestLogin(t *testing.T) {
	for name, session := range stores {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, setup{session: session})
			b := s.browser()
			r := b.logIn()
			if r.url.String() != s.origin+"/things" {
				t.Errorf("the login ended at %s", r.url)
			}
			h := s.last()
			if h.Get("X-Crenel-Subject") != "alice" || h.Get("X-Crenel-Roles") != "customer" {
				t.Errorf("the upstream was told of %q with roles %q", h.Get("X-Crenel-Subject"), h.Get("X-Crenel-Roles"))
			}
			if c := h.Get("Cookie"); strings.Contains(c, "__Host-crenel") || h.Get("Authorization") != "" {
				t.Errorf("the upstream got the session: Cookie %q, Authorization %q", c, h.Get("Authorization"))
			}
			for name, value := range b.cookies() {
				if strings.Contains(value, "eyJ") {
					t.Errorf("the cookie %s shows a token", name)
				}
				if strings.Contains(name, "-flow-") {
					t.Errorf("the login's cookie %s is still there", name)
				}
			}
			var who map[string]any
			info := b.call("/auth/userinfo")
			if err := json.Unmarshal([]byte(info.body), &who); err != nil || info.status != 200 {
				t.Fatalf("userinfo: %d %s", info.status, info.body)
			}
			if who["sub"] != "alice" || who["name"] != "Alice Example" || who["csrf_token"] != b.cookies()[csrfCookie] {
				t.Errorf("userinfo: %v", who)
			}
			if strings.Contains(info.body, "eyJ") || strings.Contains(info.body, "nonce") {
				t.Errorf("userinfo tells too much: %s", info.body)
			}
			if r := b.write("/things"); r.status != 403 || r.code(t) != "authn.csrf" {
				t.Errorf("a write without the token: %d %s", r.status, r.body)
			}
			if r := b.write("/things", "X-CSRF-Token", b.cookies()[csrfCookie]); r.status != 200 {
				t.Errorf("a write with the token: %d %s", r.status, r.body)
			}
			stolen := b.cookies()[sessionCookie]
			out := b.do("POST", "/auth/logout", "csrf_token="+b.cookies()[csrfCookie], "Content-Type", "application/x-www-form-urlencoded", "Origin", s.origin, "Accept", "text/html")
			_, to, _ := strings.Cut(out.body, `content="0;url=`)
			to, _, _ = strings.Cut(to, `"`)
			at, err := url.Parse(html.UnescapeString(to))
			if out.status != 200 || err != nil || !strings.HasPrefix(at.String(), s.op.Issuer+"/logout?") {
				t.Fatalf("logout leads to %s: %d %s %v", at, out.status, out.body, err)
			}
			if q := at.Query(); q.Get("id_token_hint") == "" || q.Get("post_logout_redirect_uri") != s.origin+"/" || q.Get("client_id") != "front" {
				t.Errorf("the issuer is asked with %v", q)
			}
			if len(b.cookies()) != 0 {
				t.Errorf("logged out, the browser still has %v", b.cookies())
			}
			if r := b.call("/things"); r.status != 401 || r.code(t) != "authn.missing" {
				t.Errorf("logged out: %d %s", r.status, r.body)
			}
			b.set(sessionCookie, stolen)
			if r := b.call("/things"); r.status != 401 || r.code(t) != "authn.revoked" && r.code(t) != "authn.expired" {
				t.Errorf("a copy of the cookie after logout: %d %s", r.status, r.body)
			}
			everything := s.log.String() + s.trail.text()
			for _, secret := range []string{"eyJ", s.op.Secret, stolen, "code_verifier"} {
				if strings.Contains(everything, secret) {
					t.Errorf("log or records hold %.40q", secret)
				}
			}
			if !strings.Contains(s.trail.text(), `"event":"login"`) || !strings.Contains(s.trail.text(), `"event":"logout"`) {
				t.Error("login and logout are not recorded")
			}
		})
	}
}

// Who is not logged in is sent to the login when opening a page, and told where it
// is when calling.
func TestNotLoggedIn(t *testing.T) {
	s := newStand(t, setup{})
	b := s.browser()
	b.stay = true
	r := b.open("/things?page=2&x=%2F")
	want := s.origin + "/auth/login?return_to=" + url.QueryEscape("/things?page=2&x=%2F")
	if r.status != 303 || r.header.Get("Location") != want {
		t.Errorf("a page: %d to %q, want %q", r.status, r.header.Get("Location"), want)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the redirect may be cached: %q", r.header.Get("Cache-Control"))
	}
	for name, header := range map[string][]string{
		"a script":           {"Accept", "application/json", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"},
		"a script, any type": {"Accept", "*/*"},
		"an old script":      {"Accept", "text/html", "X-Requested-With", "XMLHttpRequest"},
		"a frame":            {"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
		"an image":           {"Accept", "image/*", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"},
		"no HTML":            {"Accept", "text/html;q=0, application/json"},
	} {
		r := b.do("GET", "/things", "", header...)
		var p struct{ Code, Login string }
		if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.status != 401 || p.Code != "authn.missing" || p.Login != s.origin+"/auth/login" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if !strings.Contains(r.header.Get("Www-Authenticate"), `Cookie realm="Shop", cookie-name="`+sessionCookie+`"`) {
			t.Errorf("%s: challenge %q", name, r.header.Get("Www-Authenticate"))
		}
	}
	// A plain browser without Fetch Metadata.
	if r := b.do("GET", "/things", "", "Accept", "text/html"); r.status != 303 {
		t.Errorf("an old browser: %d", r.status)
	}
	if r := b.do("POST", "/things", "", page...); r.status != 401 {
		t.Errorf("a form: %d", r.status)
	}
	if r := b.open("/open"); r.status != 200 {
		t.Errorf("a public page: %d", r.status)
	}
	if r := b.open("/auth/userinfo"); r.status != 401 {
		t.Errorf("userinfo: %d", r.status)
	}
	if s.op.Count("/authorize") != 0 {
		t.Error("the issuer was asked")
	}
}

func TestNoRedirect(t *testing.T) {
	s := newStand(t, setup{login: ", redirect: false"})
	b := s.browser()
	if r := b.open("/things"); r.status != 401 || !strings.Contains(r.body, "/auth/login?return_to=%2Fthings") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestLifetimes(t *testing.T) {
	for name, session := range stores {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, setup{session: session + ", idle: 30m, absolute: 2h"})
			b := s.browser()
			b.logIn()
			s.clock.forward(29 * time.Minute)
			if r := b.call("/things"); r.status != 200 {
				t.Fatalf("before the idle time: %d %s", r.status, r.body)
			}
			s.clock.forward(29 * time.Minute)
			if r := b.call("/things"); r.status != 200 {
				t.Fatalf("use does not prolong it: %d %s", r.status, r.body)
			}
			s.clock.forward(31 * time.Minute)
			if r := b.call("/things"); r.status != 401 || r.code(t) != "authn.expired" {
				t.Errorf("after the idle time: %d %s", r.status, r.body)
			}
			b.logIn()
			for range 5 {
				s.clock.forward(23 * time.Minute)
				if r := b.call("/things"); r.status != 200 {
					t.Fatalf("in use: %d %s", r.status, r.body)
				}
			}
			s.clock.forward(6 * time.Minute)
			if r := b.call("/things"); r.status != 401 || r.code(t) != "authn.expired" {
				t.Errorf("after the absolute time: %d %s", r.status, r.body)
			}
		})
	}
}

// A second login ends the first session of the same browser: what another has of
// it is worth nothing (CWE-384).
func TestLoginAnewEndsTheLastSession(t *testing.T) {
	s := newStand(t, setup{})
	b := s.browser()
	b.logIn()
	first := b.cookies()[sessionCookie]
	b.logIn()
	if b.cookies()[sessionCookie] == first {
		t.Fatal("the session was kept")
	}
	if r := b.call("/things"); r.status != 200 {
		t.Fatalf("the second session: %d", r.status)
	}
	other := s.browser()
	other.set(sessionCookie, first)
	if r := other.call("/things"); r.status != 401 || r.code(t) != "authn.revoked" {
		t.Errorf("the first session: %d %s", r.status, r.body)
	}
}

func TestSeveralTabs(t *testing.T) {
	s := newStand(t, setup{})
	b := s.browser()
	b.stay = true
	var back []string
	for _, to := range []string{"/things?tab=1", "/things?tab=2", "/things?tab=3"} {
		r := b.open("/auth/login?return_to=" + url.QueryEscape(to))
		r = b.open(r.header.Get("Location"))
		back = append(back, r.header.Get("Location"))
	}
	// They come back in another order.
	for _, i := range []int{1, 2, 0} {
		r := b.open(back[i])
		if want := s.origin + "/things?tab=" + string(rune('1'+i)); r.status != 303 || r.header.Get("Location") != want {
			t.Errorf("tab %d: %d to %q: %s", i+1, r.status, r.header.Get("Location"), r.body)
		}
	}
	if r := b.call("/things"); r.status != 200 {
		t.Errorf("then: %d %s", r.status, r.body)
	}
	// Many that are never finished do not pile up.
	for range 20 {
		b.open("/auth/login")
	}
	flows := 0
	for name := range b.cookies() {
		if strings.Contains(name, "-flow-") {
			flows++
		}
	}
	if flows > 6 {
		t.Errorf("%d logins are under way", flows)
	}
}

func TestSessionTooLarge(t *testing.T) {
	long := strings.Repeat("x", 480)
	many := make([]string, 25)
	for i := range many {
		many[i] = long
	}
	s := newStand(t, setup{})
	s.op.Claims = map[string]any{"groups": many[:6]} // some 4 KB: two cookies
	b := s.browser()
	b.logIn()
	if b.cookies()[sessionCookie+"-1"] == "" {
		t.Error("the session should need a second cookie")
	}
	if r := b.call("/things"); r.status != 200 {
		t.Errorf("in two cookies: %d %s", r.status, r.body)
	}
	s.op.Claims = nil
	b.logIn()
	if b.cookies()[sessionCookie+"-2"] != "" {
		t.Error("what was left of the larger session is still there")
	}
	s.op.Tamper = func(_ string, claims, _ map[string]any) { claims["groups"] = many[:18] }
	s.op.Claims = map[string]any{"at_hash": nil}
	if r := b.open("/auth/login"); r.status != 403 || !strings.Contains(r.body, "login.too_large") {
		t.Errorf("a session that does not fit: %d %s", r.status, r.body)
	}
}

func TestStrictSameSite(t *testing.T) {
	s := newStand(t, setup{session: ", same_site: strict"})
	b := s.browser()
	b.stay = true
	r := b.open(b.open(b.open("/auth/login?return_to=/things").header.Get("Location")).header.Get("Location"))
	if r.status != 200 || !strings.Contains(r.body, `http-equiv="refresh" content="0;url=`+s.origin+`/things"`) {
		t.Fatalf("the callback: %d %s", r.status, r.body)
	}
	for _, line := range r.header.Values("Set-Cookie") {
		if strings.HasPrefix(line, sessionCookie) && !strings.Contains(line, "SameSite=Strict") {
			t.Errorf("%s", line)
		}
	}
}

func TestCookieAttributes(t *testing.T) {
	s := newStand(t, setup{})
	b := s.browser()
	b.stay = true
	r := b.open("/auth/login")
	lines := r.header.Values("Set-Cookie")
	r = b.open(b.open(r.header.Get("Location")).header.Get("Location"))
	lines = append(lines, r.header.Values("Set-Cookie")...)
	if len(lines) < 4 {
		t.Fatalf("%q", lines)
	}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "__Host-") || !strings.Contains(line, "; Path=/") || !strings.Contains(line, "; Secure") || !strings.Contains(line, "; SameSite=Lax") || strings.Contains(line, "Domain") {
			t.Errorf("%s", line)
		}
		if name != csrfCookie && !strings.Contains(line, "HttpOnly") && !strings.Contains(line, "Max-Age=0") {
			t.Errorf("scripts can read %s", line)
		}
	}
}

func TestPushedRequest(t *testing.T) {
	s := newStand(t, setup{login: ", par: require"})
	s.op.Set(func(op *oauthtest.Server) { op.PAR = true })
	b := s.browser()
	b.logIn()
	if s.op.Count("/par") != 1 {
		t.Error("the request was not pushed")
	}
	b.stay = true
	u, _ := url.Parse(b.open("/auth/login").header.Get("Location"))
	if q := u.Query(); len(q) != 2 || q.Get("client_id") != "front" || !strings.HasPrefix(q.Get("request_uri"), "urn:") {
		t.Errorf("the browser carries %v", q)
	}
}

func TestUserinfoIdentity(t *testing.T) {
	s := newStand(t, setup{login: ", identity: userinfo, show: [sub, email]"})
	s.op.Claims = map[string]any{"roles": nil}
	b := s.browser()
	b.logIn()
	if got := s.last().Get("X-Crenel-Roles"); got != "admin" {
		t.Errorf("roles %q", got)
	}
	if r := b.call("/auth/userinfo"); !strings.Contains(r.body, `"email":"alice@example.com"`) {
		t.Errorf("%s", r.body)
	}
}

func TestAccessTokenIdentity(t *testing.T) {
	s := newStand(t, setup{login: ", identity: access_token, access_token_audience: [api]"})
	s.op.Claims = map[string]any{"roles": []string{"nobody"}}
	b := s.browser()
	b.logIn()
	if got := s.last().Get("X-Crenel-Roles"); got != "customer" {
		t.Errorf("roles %q", got)
	}
	s.op.Tamper = func(kind string, claims, _ map[string]any) {
		if kind == "access_token" {
			claims["aud"] = "another-api"
		}
	}
	if r := b.open("/auth/login"); r.status != 403 || !strings.Contains(r.body, "login.token") {
		t.Errorf("an access token for another API: %d %s", r.status, r.body)
	}
}

// RFC 9470: what a policy demands is had by logging in again.
func TestStepUp(t *testing.T) {
	s := newStand(t, setup{policy: stepUpPolicy})
	s.op.Claims = map[string]any{"acr": "bronze"}
	b := s.browser()
	b.logIn()
	r := b.call("/strict")
	if r.status != 401 || r.code(t) != "authz.step_up" || !strings.Contains(r.body, "acr_values=gold") || !strings.Contains(r.header.Get("Www-Authenticate"), "insufficient_user_authentication") {
		t.Errorf("a call: %d %s %v", r.status, r.body, r.header)
	}
	b.stay = true
	r = b.open("/strict")
	u, _ := url.Parse(r.header.Get("Location"))
	if q := u.Query(); r.status != 303 || q.Get("acr_values") != "gold" || q.Get("max_age") != "60" || q.Get("prompt") != "login" || q.Get("return_to") != "/strict" {
		t.Fatalf("a page: %d %s", r.status, u)
	}
	at := r.header.Get("Location")
	u, _ = url.Parse(b.open(at).header.Get("Location"))
	if q := u.Query(); q.Get("acr_values") != "gold" || q.Get("max_age") != "60" || q.Get("prompt") != "login" {
		t.Errorf("the issuer is asked with %v", q)
	}
	b.stay = false
	if r := b.open(at); r.status != 403 || !strings.Contains(r.body, "login.step_up") {
		t.Errorf("an issuer that does not step up: %d %s", r.status, r.body)
	}
	s.op.Claims = map[string]any{"acr": "gold", "auth_time": s.clock.Now().Add(-time.Hour).Unix()}
	if r := b.open(at); r.status != 403 || !strings.Contains(r.body, "login.step_up") {
		t.Errorf("an authentication that is too old: %d %s", r.status, r.body)
	}
	s.op.Claims = map[string]any{"acr": "gold"}
	if r := b.open(at); r.status != 200 || r.body != "the upstream's answer" {
		t.Errorf("stepped up: %d %s", r.status, r.body)
	}
}
