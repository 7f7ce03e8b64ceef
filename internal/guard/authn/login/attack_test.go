package login_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// begun is a login that has come to its callback, which was not opened yet.
func (b *browser) begun(query string) *url.URL {
	b.t.Helper()
	b.stay = true
	defer func() { b.stay = false }()
	r := b.open("/auth/login" + query)
	r = b.open(r.header.Get("Location"))
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || !strings.HasPrefix(u.Path, "/auth/callback") {
		b.t.Fatalf("the issuer sent the browser to %q: %s", r.header.Get("Location"), r.body)
	}
	return u
}

func with(u *url.URL, change func(q url.Values)) string {
	q := u.Query()
	change(q)
	c := *u
	c.RawQuery = q.Encode()
	return c.String()
}

// Callbacks that are not, or not wholly, the answer to a login of this browser.
func TestCallbackAttacks(t *testing.T) {
	s := newStand(t, setup{})
	attacker := s.browser()
	for name, c := range map[string]struct {
		code    string
		attempt func(b *browser) *reply
	}{
		"no login under way (login CSRF)": {"login.state", func(b *browser) *reply {
			return b.open(attacker.begun("").String())
		}},
		"another browser's code in one's own login (code injection)": {"login.token", func(b *browser) *reply {
			theirs := attacker.begun("").Query().Get("code")
			mine := b.begun("")
			// PKCE binds the code to the attacker's login; an issuer that ignores it still signs the attacker's nonce.
			s.op.Set(func(o *oauthServer) { o.IgnorePKCE = true })
			defer s.op.Set(func(o *oauthServer) { o.IgnorePKCE = false })
			return b.open(with(mine, func(q url.Values) { q.Set("code", theirs) }))
		}},
		"another browser's code, PKCE": {"login.refused", func(b *browser) *reply {
			theirs := attacker.begun("").Query().Get("code")
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("code", theirs) }))
		}},
		"another state": {"login.state", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("state", strings.Repeat("A", 26)) }))
		}},
		"no state":      {"login.state", func(b *browser) *reply { return b.open(with(b.begun(""), func(q url.Values) { q.Del("state") })) }},
		"a short state": {"login.state", func(b *browser) *reply { return b.open(with(b.begun(""), func(q url.Values) { q.Set("state", "x") })) }},
		"a long state": {"login.state", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("state", strings.Repeat("x", 1000)) }))
		}},
		"two states": {"login.request", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Add("state", "other") }))
		}},
		"two codes": {"login.request", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Add("code", "other") }))
		}},
		"a query that is none": {"login.request", func(b *browser) *reply {
			u := b.begun("")
			return b.open(u.String() + "&x=%zz")
		}},
		"no code": {"login.request", func(b *browser) *reply { return b.open(with(b.begun(""), func(q url.Values) { q.Del("code") })) }},
		"a long code": {"login.request", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("code", strings.Repeat("c", 5000)) }))
		}},
		"a made-up code": {"login.refused", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("code", "guess") }))
		}},
		"the callback again (replay)": {"login.state", func(b *browser) *reply {
			u := b.begun("")
			b.open(u.String())
			return b.open(u.String())
		}},
		"the callback again, with its cookie kept": {"login.state", func(b *browser) *reply {
			u := b.begun("")
			kept := b.cookies()
			b.open(u.String())
			for name, value := range kept {
				b.set(name, value)
			}
			return b.open(u.String())
		}},
		"another issuer's answer (mix-up)": {"login.issuer", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("iss", "https://evil.example") }))
		}},
		"an answer that names no issuer": {"login.issuer", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Del("iss") }))
		}},
		"another issuer's error": {"login.issuer", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("iss", "https://evil.example"); q.Set("error", "access_denied") }))
		}},
		"the issuer's error": {"login.refused", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("error", "access_denied"); q.Del("code") }))
		}},
		"the issuer's error with markup in it": {"login.refused", func(b *browser) *reply {
			r := b.open(with(b.begun(""), func(q url.Values) { q.Set("error", "<script>alert(1)</script>"); q.Set("error_description", "<b>x") }))
			if strings.Contains(r.body, "<script>") || strings.Contains(r.body, "<b>") {
				t.Error("the page shows the issuer's markup")
			}
			return r
		}},
		"the issuer is overloaded": {"login.unavailable", func(b *browser) *reply {
			return b.open(with(b.begun(""), func(q url.Values) { q.Set("error", "temporarily_unavailable"); q.Del("code") }))
		}},
		"a login that took too long": {"login.state", func(b *browser) *reply {
			u := b.begun("")
			s.clock.forward(11 * time.Minute)
			return b.open(u.String())
		}},
		"the login's cookie changed": {"login.state", func(b *browser) *reply {
			u := b.begun("")
			for name, value := range b.cookies() {
				b.set(name, flip(value, len(value)/2))
			}
			return b.open(u.String())
		}},
		"the login's cookie cut off": {"login.state", func(b *browser) *reply {
			u := b.begun("")
			for name, value := range b.cookies() {
				b.set(name, value[:len(value)-4])
			}
			return b.open(u.String())
		}},
		"another login's cookie under this one's name": {"login.state", func(b *browser) *reply {
			other := s.browser()
			other.begun("")
			u := b.begun("")
			for name := range b.cookies() {
				for _, value := range other.cookies() {
					b.set(name, value)
				}
			}
			return b.open(u.String())
		}},
		"the session's cookie as the login's": {"login.state", func(b *browser) *reply {
			b.logIn()
			session := b.cookies()[sessionCookie]
			u := b.begun("")
			for name := range b.cookies() {
				if strings.Contains(name, "-flow-") {
					b.set(name, strings.TrimPrefix(session, "1."))
				}
			}
			return b.open(u.String())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser()
			r := c.attempt(b)
			if r.status < 400 || !strings.Contains(r.body, c.code+" ") {
				t.Errorf("%d, want %s: %s", r.status, c.code, r.body)
			}
			if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("the page's policy is %q", csp)
			}
		})
	}
}

// ID tokens that an issuer, or someone between, could send.
func TestIDTokenAttacks(t *testing.T) {
	s := newStand(t, setup{})
	now := func() int64 { return s.clock.Now().Unix() }
	for name, tamper := range map[string]func(claims, header map[string]any){
		"another nonce":           func(c, _ map[string]any) { c["nonce"] = "of another login" },
		"no nonce":                func(c, _ map[string]any) { c["nonce"] = nil },
		"another issuer":          func(c, _ map[string]any) { c["iss"] = "https://evil.example" },
		"another audience":        func(c, _ map[string]any) { c["aud"] = "another-client" },
		"several, no azp":         func(c, _ map[string]any) { c["aud"] = []string{"front", "another-client"} },
		"another azp":             func(c, _ map[string]any) { c["azp"] = "another-client" },
		"expired":                 func(c, _ map[string]any) { c["exp"] = now() - 120 },
		"no exp":                  func(c, _ map[string]any) { c["exp"] = nil },
		"issued in the future":    func(c, _ map[string]any) { c["iat"] = now() + 3600; c["exp"] = now() + 7200 },
		"no subject":              func(c, _ map[string]any) { c["sub"] = nil },
		"a subject that is long":  func(c, _ map[string]any) { c["sub"] = strings.Repeat("s", 300) },
		"a subject with controls": func(c, _ map[string]any) { c["sub"] = "alice\r\nX-Crenel-Roles: admin" },
		"another access token":    func(c, _ map[string]any) { c["at_hash"] = "MTIzNDU2Nzg5MDEyMzQ1Ng" },
		"alg none":                func(_, h map[string]any) { h["alg"] = "none" },
		"another's signature":     func(_, h map[string]any) { h["forged"] = true },
		"a logout token":          func(_, h map[string]any) { h["typ"] = "logout+jwt" },
		"an access token":         func(_, h map[string]any) { h["typ"] = "at+jwt" },
	} {
		t.Run(name, func(t *testing.T) {
			s.op.Set(func(o *oauthServer) {
				o.Tamper = func(kind string, claims, header map[string]any) {
					if kind == "id_token" {
						tamper(claims, header)
					}
				}
			})
			b := s.browser()
			if r := b.open("/auth/login"); r.status != http.StatusForbidden || !strings.Contains(r.body, "login.token ") {
				t.Errorf("%d %s", r.status, r.body)
			}
			if b.cookies()[sessionCookie] != "" {
				t.Error("there is a session")
			}
		})
	}
	s.op.Set(func(o *oauthServer) { o.Tamper = nil })
	s.browser().logIn() // the stand itself works
}

func flip(s string, i int) string {
	c := byte('A')
	if s[i] == 'A' {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

// Session cookies that somebody made, changed, or has from elsewhere.
func TestCookieAttacks(t *testing.T) {
	for store, session := range stores {
		s := newStand(t, setup{session: session})
		other := newStand(t, setup{session: session, op: s.op, clock: s.clock, store: s.store}) // another origin with the same keys
		alice := s.browser()
		alice.logIn()
		good := alice.cookies()[sessionCookie]
		s.op.Set(func(o *oauthServer) { o.User, o.Session = "bob", "sid-2" })
		bob := s.browser()
		bob.logIn()
		bobs := bob.cookies()[sessionCookie]
		elsewhere := other.browser()
		elsewhere.logIn()
		u := alice.begun("")
		_ = u
		flow := ""
		for name, value := range alice.cookies() {
			if strings.Contains(name, "-flow-") {
				flow = value
			}
		}
		cases := map[string]string{
			"empty":                         "",
			"rubbish":                       "rubbish",
			"only a count":                  "1.",
			"no count":                      strings.TrimPrefix(good, "1."),
			"count 0":                       "0" + good[1:],
			"count 9":                       "9" + good[1:],
			"a part too few":                "2" + good[1:],
			"cut off":                       good[:len(good)-2],
			"cut in the middle":             good[:len(good)/2],
			"longer":                        good + "AAAA",
			"half of another's":             good[:len(good)/2] + bobs[len(good)/2:],
			"a login's cookie":              "1." + flow,
			"of another origin":             elsewhere.cookies()[sessionCookie],
			"line break":                    good[:10] + "%0a" + good[10:],
			"padding":                       good + "==",
			"a session in plain":            `1.eyJpIjoieCIsImIiOjF9`,
			"the version changed":           flip(good, 2),
			"the key's name changed":        flip(good, 5),
			"the nonce changed":             flip(good, 20),
			"the last byte but one changed": flip(good, len(good)-3),
		}
		for i := 60; i < len(good)-3; i += max(1, len(good)/20) {
			cases[fmt.Sprintf("byte %d changed", i)] = flip(good, i)
		}
		for name, value := range cases {
			t.Run(store+"/"+name, func(t *testing.T) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+"/things", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Cookie", sessionCookie+"="+value)
				res, err := s.browser().client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != http.StatusUnauthorized {
					t.Errorf("status %d", res.StatusCode)
				}
			})
		}
		// Two cookies of one name: whose is it?
		r := s.browser().do("GET", "/things", "", "Cookie", sessionCookie+"="+good+"; "+sessionCookie+"="+bobs)
		if r.status != 400 || r.code(t) != "authn.ambiguous" {
			t.Errorf("%s: twice: %d %s", store, r.status, r.body)
		}
		if r := s.browser().do("GET", "/things", "", "Cookie", sessionCookie+"="+good); r.status != 200 {
			t.Errorf("%s: the stand itself: %d %s", store, r.status, r.body)
		}
	}
}

// What other sites' pages can have a browser send.
func TestCrossSite(t *testing.T) {
	const friend = "https://friend.example"
	s := newStand(t, setup{session: ", same_site: none", api: `  allowed_origins: ["` + friend + `"]`})
	b := s.browser()
	b.logIn()
	token := b.cookies()[csrfCookie]
	eve := s.browser()
	eve.logIn()
	evesToken := eve.cookies()[csrfCookie]
	post, get := http.MethodPost, http.MethodGet
	for name, c := range map[string]struct {
		method string
		header []string
		ok     bool
	}{
		"our page writes":                          {post, []string{"Origin", s.origin, "Sec-Fetch-Site", "same-origin", "X-CSRF-Token", token}, true},
		"a friend's page writes":                   {post, []string{"Origin", friend, "Sec-Fetch-Site", "cross-site", "X-CSRF-Token", token}, true},
		"an old browser, no origin":                {post, []string{"X-CSRF-Token", token}, true},
		"a form of another site":                   {post, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, false},
		"even with the token":                      {post, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "X-CSRF-Token", token}, false},
		"a subdomain's page":                       {post, []string{"Origin", "https://sub.127.0.0.1", "Sec-Fetch-Site", "same-site", "X-CSRF-Token", token}, false},
		"another port of the host":                 {post, []string{"Origin", "https://127.0.0.1:1", "Sec-Fetch-Site", "same-site", "X-CSRF-Token", token}, false},
		"plain http":                               {post, []string{"Origin", strings.Replace(s.origin, "https", "http", 1), "Sec-Fetch-Site", "cross-site", "X-CSRF-Token", token}, false},
		"origin null (a sandboxed frame)":          {post, []string{"Origin", "null", "Sec-Fetch-Site", "cross-site", "X-CSRF-Token", token}, false},
		"two origins":                              {post, []string{"Origin", s.origin, "Origin", "https://evil.example", "X-CSRF-Token", token}, false},
		"no origin, another site":                  {post, []string{"Sec-Fetch-Site", "cross-site", "X-CSRF-Token", token}, false},
		"no origin, a sibling":                     {post, []string{"Sec-Fetch-Site", "same-site", "X-CSRF-Token", token}, false},
		"our page, no token":                       {post, []string{"Origin", s.origin, "Sec-Fetch-Site", "same-origin"}, false},
		"our page, empty token":                    {post, []string{"Origin", s.origin, "Sec-Fetch-Site", "same-origin", "X-CSRF-Token", ""}, false},
		"our page, another's token":                {post, []string{"Origin", s.origin, "Sec-Fetch-Site", "same-origin", "X-CSRF-Token", evesToken}, false},
		"our page, two tokens":                     {post, []string{"Origin", s.origin, "Sec-Fetch-Site", "same-origin", "X-CSRF-Token", token, "X-CSRF-Token", evesToken}, false},
		"our page, token changed":                  {post, []string{"Origin", s.origin, "Sec-Fetch-Site", "same-origin", "X-CSRF-Token", flip(token, 3)}, false},
		"planted cookie and header (tossing)":      {post, []string{"Origin", s.origin, "Cookie", csrfCookie + "=" + evesToken, "X-CSRF-Token", evesToken}, false},
		"our page reads":                           {get, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, true},
		"a link from another site":                 {get, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, true},
		"a frame in another site":                  {get, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, false},
		"an image in another site":                 {get, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, false},
		"a script in another site":                 {get, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, false},
		"a script of a sibling":                    {get, []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, false},
		"a read by another site's script (CORS)":   {get, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, false},
		"a friend's script reads":                  {get, []string{"Origin", friend, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, true},
		"a link to write by overriding the method": {get, []string{"X-HTTP-Method-Override", "POST", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.reached()
			r := b.do(c.method, "/things", "", c.header...)
			if c.ok && r.status != 200 {
				t.Errorf("%d %s", r.status, r.body)
			}
			if !c.ok && (r.status != 403 && r.status != 401 || s.reached() != before) {
				t.Errorf("%d, upstream called: %v", r.status, s.reached() != before)
			}
			if c.ok && s.last().Get("X-Http-Method-Override") != "" {
				t.Error("the upstream is told of another method")
			}
		})
	}
	if r := b.do(post, "/auth/logout", "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); r.status != 403 {
		t.Errorf("another site logs the user out: %d", r.status)
	}
	r := b.do(get, "/auth/logout", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Accept", "text/html")
	if r.status != 200 || !strings.Contains(r.body, `<form method="post"`) {
		t.Errorf("a link to the logout: %d %s", r.status, r.body)
	}
	if r := b.do(get, "/auth/userinfo", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"); r.status != 403 {
		t.Errorf("another site asks who is logged in: %d", r.status)
	}
	if r := b.call("/things"); r.status != 200 {
		t.Errorf("after all that: %d %s", r.status, r.body)
	}
	// A WebSocket carries no token; where it is opened from is all there is.
	for origin, ok := range map[string]bool{s.origin: true, friend: true, "https://evil.example": false, "": false} {
		h := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
		if origin != "" {
			h = append(h, "Origin", origin)
		}
		if r := b.do(get, "/things", "", h...); (r.status == 200) != ok {
			t.Errorf("a WebSocket from %q: %d %s", origin, r.status, r.body)
		}
	}
}

// Where a login may end.
func TestReturnTo(t *testing.T) {
	s := newStand(t, setup{login: ", after_login: /open"})
	for to, want := range map[string]string{
		"/things?a=1&b=%2F#part":        "/things?a=1&b=%2F#part",
		s.origin + "/things":            "/things",
		"":                              "/open",
		"https://evil.example/":         "/open",
		"//evil.example":                "/open",
		"///evil.example":               "/open",
		`/\evil.example`:                "/open",
		`\/evil.example`:                "/open",
		`/things\@evil.example`:         "/open",
		"/\t/evil.example":              "/open",
		"/%0d%0aSet-Cookie:x":           "/%0d%0aSet-Cookie:x", // stays encoded, in the path
		"/\r\nSet-Cookie: x=y":          "/open",
		"javascript:alert(1)":           "/open",
		"things":                        "/open",
		"@evil.example":                 "/open",
		".evil.example":                 "/open",
		s.origin + "@evil.example/":     "/open",
		s.origin + ".evil.example/":     "/open",
		s.origin + "//evil.example":     "/open",
		"http:/evil.example":            "/open",
		"/\u00a0/evil.example":          "/open",
		"/auth/logout":                  "/open",
		"/auth/login?return_to=/things": "/open",
		"/auth":                         "/open",
		"/" + strings.Repeat("a", 3000): "/open",
	} {
		b := s.browser()
		u := b.begun("?return_to=" + url.QueryEscape(to))
		b.stay = true
		r := b.open(u.String())
		if got := r.header.Get("Location"); r.status != 303 || got != s.origin+want {
			t.Errorf("%q leads to %q", to, got)
		}
		if r.header.Get("Set-Cookie") == "" || len(r.header.Values("Set-Cookie")) != 3 {
			t.Errorf("%q: cookies %q", to, r.header.Values("Set-Cookie"))
		}
	}
}

// What the login page takes from its query.
func TestLoginParameters(t *testing.T) {
	s := newStand(t, setup{login: ", params: {audience: \"https://api.example\"}, max_age: 1h"})
	b := s.browser()
	b.stay = true
	for query, want := range map[string]int{
		"prompt=login": 303, "prompt=none": 400, "prompt=login+consent": 400, "max_age=10": 303, "max_age=-1": 400, "max_age=x": 400,
		"acr_values=gold": 303, "acr_values=" + strings.Repeat("x", 300): 400, "login_hint=alice%40example.com": 303, "login_hint=%0d%0a": 400, "ui_locales=%ff": 400,
		"x=%zz": 400,
	} {
		if r := b.open("/auth/login?" + query); r.status != want {
			t.Errorf("%s: %d, want %d: %s", query, r.status, want, r.body)
		}
	}
	u, _ := url.Parse(b.open("/auth/login?max_age=999999&redirect_uri=https://evil.example&scope=admin&client_id=x&state=y&nonce=z&response_mode=fragment").header.Get("Location"))
	q := u.Query()
	if q.Get("redirect_uri") != s.origin+"/auth/callback" || q.Get("scope") != "openid profile" || q.Get("client_id") != "front" || q.Get("response_mode") != "" || q.Get("state") == "y" || q.Get("nonce") == "z" {
		t.Errorf("the browser chooses: %v", q)
	}
	if q.Get("audience") != "https://api.example" || q.Get("max_age") != "3600" {
		t.Errorf("the config's own: %v", q)
	}
}

// An upstream cannot set or end a session, and a shared cache keeps none.
func TestUpstreamCannotTouchTheSession(t *testing.T) {
	s := newStand(t, setup{})
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Add("Set-Cookie", "own=1; Path=/")
		h.Add("Set-Cookie", sessionCookie+"=stolen; Path=/; Secure")
		h.Add("Set-Cookie", "  __HOST-crenel-shop-csrf=x; Path=/; Secure")
		h.Add("Set-Cookie", "other=2")
		h.Set("Cache-Control", "public, max-age=600")
		h.Set("Content-Type", "text/plain")
	}
	b := s.browser()
	b.open("/auth/login")
	r := b.call("/things")
	if got := strings.Join(r.header.Values("Set-Cookie"), "|"); got != "own=1; Path=/|other=2" {
		t.Errorf("Set-Cookie: %s", got)
	}
	s.clock.forward(10 * time.Minute)
	r = b.call("/things")
	if len(r.header.Values("Set-Cookie")) != 3 || !strings.Contains(r.header.Get("Cache-Control"), "private") {
		t.Errorf("a session that is carried on: %q, Cache-Control %q", r.header.Values("Set-Cookie"), r.header.Get("Cache-Control"))
	}
	if r := b.call("/things"); r.status != 200 {
		t.Errorf("then: %d", r.status)
	}
	// The upstream's own cookies pass, the session's do not.
	b.set("own", "1")
	b.call("/things")
	if got := s.last().Get("Cookie"); !strings.Contains(got, "own=1") || strings.Contains(got, "crenel") {
		t.Errorf("the upstream got %q", got)
	}
}

func TestPassCookie(t *testing.T) {
	s := newStand(t, setup{method: "pass_cookie: true"})
	b := s.browser()
	b.logIn()
	if got := s.last().Get("Cookie"); !strings.Contains(got, sessionCookie+"=") {
		t.Errorf("the upstream got %q", got)
	}
}
