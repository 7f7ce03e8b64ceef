package login_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/state"
)

func (b *browser) logoutToken(token string) *reply {
	b.t.Helper()
	return b.do(http.MethodPost, "/auth/backchannel-logout", url.Values{"logout_token": {token}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// A logout token ends sessions on every gateway, at once.
func TestBackChannelLogout(t *testing.T) {
	for store, session := range stores {
		t.Run(store, func(t *testing.T) {
			s := newStand(t, setup{session: session})
			issuer := s.browser()
			first, second := s.gateway(), s.gateway()
			s.serve(first)
			one := s.browser()
			one.logIn()
			s.op.Set(func(o *oauthServer) { o.Session = "sid-2" })
			two := s.browser()
			two.logIn()
			s.op.Set(func(o *oauthServer) { o.User, o.Session = "bob", "sid-3" })
			bob := s.browser()
			bob.logIn()
			for _, b := range []*browser{one, two, bob} {
				if r := b.call("/things"); r.status != 200 {
					t.Fatalf("before: %d %s", r.status, r.body)
				}
			}
			// The token comes to one gateway, the calls to another.
			if r := issuer.logoutToken(s.op.LogoutToken(map[string]any{"sub": "alice", "sid": "sid-1"})); r.status != 200 || r.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("by session: %d %s\n%s", r.status, r.body, s.log)
			}
			s.serve(second)
			if r := one.call("/things"); r.status != 401 || r.code(t) != "authn.revoked" {
				t.Errorf("the session: %d %s", r.status, r.body)
			}
			if r := two.call("/things"); r.status != 200 {
				t.Errorf("another session of the user: %d %s", r.status, r.body)
			}
			s.clock.forward(2 * time.Second)
			if r := issuer.logoutToken(s.op.LogoutToken(map[string]any{"sub": "alice"})); r.status != 200 {
				t.Fatalf("by subject: %d %s", r.status, r.body)
			}
			s.serve(first)
			if r := two.call("/things"); r.status != 401 {
				t.Errorf("every session of the user: %d %s", r.status, r.body)
			}
			if r := bob.call("/things"); r.status != 200 {
				t.Errorf("another user: %d %s", r.status, r.body)
			}
			s.op.Set(func(o *oauthServer) { o.User, o.Session = "alice", "sid-4" })
			s.clock.forward(2 * time.Second)
			one.logIn()
			if r := one.call("/things"); r.status != 200 {
				t.Errorf("logged in anew: %d %s", r.status, r.body)
			}
		})
	}
}

func TestLogoutTokenAttacks(t *testing.T) {
	s := newStand(t, setup{})
	b := s.browser()
	b.logIn()
	used := s.op.LogoutToken(map[string]any{"sid": "another"})
	if r := b.logoutToken(used); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	sid := map[string]any{"sid": "sid-1"}
	and := func(more map[string]any) map[string]any {
		for k, v := range sid {
			if _, ok := more[k]; !ok {
				more[k] = v
			}
		}
		return more
	}
	now := time.Now().Unix()
	signed := func(header func(h map[string]any), claims map[string]any) string {
		s.op.Set(func(o *oauthServer) { o.Tamper = func(_ string, _, h map[string]any) { header(h) } })
		defer s.op.Set(func(o *oauthServer) { o.Tamper = nil })
		return s.op.LogoutToken(claims)
	}
	event := "http://schemas.openid.net/event/backchannel-logout"
	for name, token := range map[string]string{
		"used before":             used,
		"rubbish":                 "rubbish",
		"empty":                   "",
		"nobody's signature":      signed(func(h map[string]any) { h["alg"] = "none" }, and(map[string]any{})),
		"another's signature":     signed(func(h map[string]any) { h["forged"] = true }, and(map[string]any{})),
		"typ of an access token":  signed(func(h map[string]any) { h["typ"] = "at+jwt" }, and(map[string]any{})),
		"typ of a security event": signed(func(h map[string]any) { h["typ"] = "secevent+jwt" }, and(map[string]any{})),
		"another issuer":          s.op.LogoutToken(and(map[string]any{"iss": "https://evil.example"})),
		"another audience":        s.op.LogoutToken(and(map[string]any{"aud": "another-client"})),
		"expired":                 s.op.LogoutToken(and(map[string]any{"exp": now - 120, "iat": now - 240})),
		"no exp":                  s.op.LogoutToken(and(map[string]any{"exp": nil})),
		"good for a year":         s.op.LogoutToken(and(map[string]any{"exp": now + 365*86400})),
		"no iat":                  s.op.LogoutToken(and(map[string]any{"iat": nil})),
		"issued in the future":    s.op.LogoutToken(and(map[string]any{"iat": now + 600, "exp": now + 700})),
		"no jti":                  s.op.LogoutToken(and(map[string]any{"jti": nil})),
		"jti is a number":         s.op.LogoutToken(and(map[string]any{"jti": 7})),
		"no events":               s.op.LogoutToken(and(map[string]any{"events": nil})),
		"events is a list":        s.op.LogoutToken(and(map[string]any{"events": []string{event}})),
		"another event":           s.op.LogoutToken(and(map[string]any{"events": map[string]any{"https://schemas.openid.net/secevent/risc/event-type/account-purged": map[string]any{}}})),
		"the event is no object":  s.op.LogoutToken(and(map[string]any{"events": map[string]any{event: "yes"}})),
		"a nonce":                 s.op.LogoutToken(and(map[string]any{"nonce": "n"})),
		"a nonce that is null":    signedNull(s),
		"neither sub nor sid":     s.op.LogoutToken(map[string]any{}),
		"sid is a number":         s.op.LogoutToken(map[string]any{"sid": 1}),
		"a sid that is long":      s.op.LogoutToken(map[string]any{"sid": strings.Repeat("s", 300)}),
	} {
		if r := b.logoutToken(token); r.status != 400 || !strings.Contains(r.body, `"invalid_request"`) || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	good := s.op.LogoutToken(sid)
	for name, r := range map[string]*reply{
		"two tokens":      b.do("POST", "/auth/backchannel-logout", "logout_token="+good+"&logout_token="+good, "Content-Type", "application/x-www-form-urlencoded"),
		"in the query":    b.do("POST", "/auth/backchannel-logout?logout_token="+good, "", "Content-Type", "application/x-www-form-urlencoded"),
		"JSON":            b.do("POST", "/auth/backchannel-logout", `{"logout_token":"`+good+`"}`, "Content-Type", "application/json"),
		"no content type": b.do("POST", "/auth/backchannel-logout", "logout_token="+good),
	} {
		if r.status != 400 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	if r := b.do("GET", "/auth/backchannel-logout?logout_token="+good, ""); r.status != 405 {
		t.Errorf("GET: %d", r.status)
	}
	if r := b.call("/things"); r.status != 200 {
		t.Fatalf("after all that: %d %s", r.status, r.body)
	}
	if r := b.logoutToken(good); r.status != 200 {
		t.Errorf("a good one: %d %s", r.status, r.body)
	}
	if r := b.call("/things"); r.status != 401 {
		t.Errorf("then: %d", r.status)
	}
}

// signedNull makes a token whose nonce is there, and null.
func signedNull(s *stand) string {
	type null struct{}
	return s.op.LogoutToken(map[string]any{"sid": "sid-1", "nonce": (*null)(nil)})
}

func TestFrontChannelLogout(t *testing.T) {
	s := newStand(t, setup{login: ", front_channel_logout: true"})
	b := s.browser()
	b.logIn()
	frame := s.browser() // without the cookies, as in a frame of the issuer's page
	at := func(iss, sid string) string {
		return "/auth/frontchannel-logout?" + url.Values{"iss": {iss}, "sid": {sid}}.Encode()
	}
	for name, path := range map[string]string{
		"another issuer": at("https://evil.example", "sid-1"), "no session": at(s.op.Issuer, ""), "nothing": "/auth/frontchannel-logout",
		"two sessions": at(s.op.Issuer, "x") + "&sid=sid-1", "a long session": at(s.op.Issuer, strings.Repeat("s", 300)),
	} {
		if r := frame.do("GET", path, ""); r.status != 400 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	// Whoever has a browser open the address logs nobody out by that.
	if r := b.do("GET", at(s.op.Issuer, "sid-of-nobody"), ""); r.status != 200 || r.header.Get("Set-Cookie") != "" {
		t.Errorf("another session, opened by a browser that has one: %d, cookies %q", r.status, r.header.Values("Set-Cookie"))
	}
	// A session that never was here takes no room in the shared state.
	if r := frame.do("GET", at(s.op.Issuer, "sid-of-nobody"), ""); r.status != 200 {
		t.Errorf("an unknown session: %d", r.status)
	}
	if v, err := s.store.View(t.Context(), "revoked"); err != nil || v.Len() != 0 {
		t.Errorf("%d entries, %v", v.Len(), err)
	}
	if r := b.call("/things"); r.status != 200 {
		t.Fatalf("before: %d", r.status)
	}
	r := frame.do("GET", at(s.op.Issuer, "sid-1"), "")
	if csp := r.header.Get("Content-Security-Policy"); r.status != 200 || !strings.Contains(csp, "frame-ancestors "+s.op.Issuer) || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d, policy %q", r.status, csp)
	}
	if r := b.call("/things"); r.status != 401 || r.code(t) != "authn.revoked" {
		t.Errorf("after: %d %s", r.status, r.body)
	}
}

// A form of another site comes without the session's cookies: it must not remove
// them. The page that asks sends its origin, which the button needs.
func TestLogoutForm(t *testing.T) {
	s := newStand(t, setup{login: ", after_logout: /auth/logged-out"})
	stranger := s.browser()
	if r := stranger.do("POST", "/auth/logout", "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Accept", "text/html", "Content-Type", "application/x-www-form-urlencoded"); len(r.header.Values("Set-Cookie")) != 0 {
		t.Errorf("without cookies: %d, cookies %q", r.status, r.header.Values("Set-Cookie"))
	}
	b := s.browser()
	b.logIn()
	r := b.do("GET", "/auth/logout", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Accept", "text/html")
	if got := r.header.Get("Referrer-Policy"); got != "same-origin" || !strings.Contains(r.body, `href="`+s.origin+`/"`) {
		t.Errorf("the page that asks: referrer policy %q, %s", got, r.body)
	}
	if r := b.do("POST", "/auth/logout", "csrf_token=x", "Origin", s.origin, "Accept", "text/html", "Content-Type", "application/x-www-form-urlencoded"); r.status != 403 || !strings.Contains(r.body, "Not logged out") || !strings.Contains(r.body, `href="/auth/logout"`) {
		t.Errorf("another token: %d %s", r.status, r.body)
	}
	r = b.do("POST", "/auth/logout", "csrf_token="+b.cookies()[csrfCookie], "Origin", s.origin, "Accept", "text/html", "Content-Type", "application/x-www-form-urlencoded")
	if want := url.QueryEscape(s.origin + "/auth/logged-out"); r.status != 200 || !strings.Contains(r.body, want) {
		t.Errorf("logged out: %d %s", r.status, r.body)
	}
	if r := b.open("/auth/logged-out"); r.status != 200 || !strings.Contains(r.body, "You are logged out.") || !strings.Contains(r.body, "/auth/login") {
		t.Errorf("the page for after it: %d %s", r.status, r.body)
	}
}

func TestLogoutByScript(t *testing.T) {
	s := newStand(t, setup{})
	b := s.browser()
	b.logIn()
	token := b.cookies()[csrfCookie]
	if r := b.do("POST", "/auth/logout", "", "Origin", s.origin, "Accept", "application/json"); r.status != 403 || r.code(t) != "authn.csrf" {
		t.Errorf("without the token: %d %s", r.status, r.body)
	}
	r := b.do("POST", "/auth/logout", "", "Origin", s.origin, "Accept", "application/json", "X-CSRF-Token", token)
	if r.status != 200 || !strings.Contains(r.body, `{"location":"`+s.op.Issuer+`/logout?`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := b.call("/things"); r.status != 401 {
		t.Errorf("then: %d", r.status)
	}
	// The issuer was told to forget the refresh token, beside the answer.
	for range 100 {
		if s.op.Count("/revoke") == 1 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the refresh token was not revoked at the issuer")
}

// forgetful is a shared state that cannot revoke for a while.
type forgetful struct {
	state.Store
	failing atomic.Bool
}

func (f *forgetful) PutIf(ctx context.Context, set, key string, was, value []byte, expires time.Time) (bool, error) {
	if f.failing.Load() {
		return false, errors.New("connection refused")
	}
	return f.Store.PutIf(ctx, set, key, was, value, expires)
}

// An issuer whose logout could not be done is told to try again, and then heard.
func TestLogoutTokenIsTakenAgainAfterFailure(t *testing.T) {
	m := state.NewMemory(nil)
	t.Cleanup(func() { _ = m.Close() })
	store := &forgetful{Store: m}
	s := newStand(t, setup{store: store})
	b := s.browser()
	b.logIn()
	token := s.op.LogoutToken(map[string]any{"sid": "sid-1"})
	store.failing.Store(true)
	if r := b.logoutToken(token); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Fatalf("the state is away: %d %s", r.status, r.body)
	}
	store.failing.Store(false)
	if r := b.logoutToken(token); r.status != 200 {
		t.Errorf("again: %d %s", r.status, r.body)
	}
	if r := b.call("/things"); r.status != 401 || r.code(t) != "authn.revoked" {
		t.Errorf("then: %d %s", r.status, r.body)
	}
	if r := b.logoutToken(token); r.status != 400 {
		t.Errorf("once more: %d", r.status)
	}
}

// Security events may name a person by address or number (RFC 9493): sessions
// that began before end.
func TestSessionsEndByAddressAndNumber(t *testing.T) {
	for name, key := range map[string]string{
		"email":        revocation.ForEmail("ISSUER", "Alice@Example.com"),
		"phone_number": revocation.ForPhone("ISSUER", "+12065550100"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, setup{})
			s.op.Set(func(o *oauthServer) {
				o.Claims = map[string]any{"email": "alice@example.com", "phone_number": "+12065550100"}
			})
			alice, bob := s.browser(), s.browser()
			alice.logIn()
			s.op.Set(func(o *oauthServer) {
				o.User, o.Session, o.Claims = "bob", "sid-2", map[string]any{"email": "bob@example.com"}
			})
			bob.logIn()
			key := strings.Replace(key, "ISSUER", s.op.Issuer, 1)
			if err := revocation.Put(t.Context(), s.store, key, revocation.Entry{Reason: "account disabled"}, s.clock.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if r := alice.call("/things"); r.status != http.StatusUnauthorized || r.code(t) != "authn.revoked" {
				t.Errorf("whom it names: %d %s", r.status, r.body)
			}
			if r := bob.call("/things"); r.status != http.StatusOK {
				t.Errorf("somebody else: %d %s", r.status, r.body)
			}
		})
	}
}
