package scan

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// keep is an API of accounts and notes whose sessions are held in one of four
// styles, with the holes of sessions that are open.
type keep struct {
	style string // "cookie", "opaque", "body" (a JWT, renewed with a token in the body), "held" (… in a cookie)
	open  map[string]bool
	life  time.Duration // of an access token
	slack time.Duration // by which clocks may differ

	mu       sync.Mutex
	n        int
	key      []byte
	people   map[string]map[string]string
	sessions map[string]string   // identifier → e-mail address
	renewals map[string][]string // token → e-mail address, "used" and the family
	resets   map[string]string   // token → e-mail address
	wrong    map[string]int      // tries with a wrong password, by e-mail address
	dead     map[string]bool     // families that were ended
}

func newKeep(style, open string) *keep {
	k := &keep{style: style, open: map[string]bool{}, life: 15 * time.Minute, key: []byte(rand.Text()), people: map[string]map[string]string{}, sessions: map[string]string{}, renewals: map[string][]string{}, resets: map[string]string{}, wrong: map[string]int{}, dead: map[string]bool{}}
	for _, hole := range strings.Fields(open) {
		k.open[hole] = true
	}
	return k
}

func keepSpec(style string) string {
	scheme := "{type: http, scheme: bearer}"
	answer := "access_token: {type: string}, expires_in: {type: integer}"
	renew := ""
	switch style {
	case "cookie":
		scheme, answer = "{type: apiKey, in: cookie, name: keep_sid}", "email: {type: string}"
	case "body":
		answer += ", refresh_token: {type: string}"
		renew = `
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [refresh_token], properties: {refresh_token: {type: string}}}}}}`
	}
	spec := `openapi: 3.0.3
info: {title: Keep, version: "1"}
components: {securitySchemes: {auth: ` + scheme + `}}
security: [{auth: []}]
paths:
  /signup:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}}
  /signin:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {` + answer + `}}}}}}
  /signout:
    post:
      summary: Log out
      responses: {"204": {description: out}}
  /profile:
    get:
      summary: The caller's own account
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {email: {type: string}, plan: {type: string}, since: {type: string}}}}}}}
  /profile/password:
    put:
      summary: Change the caller's password
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [current_password, new_password], properties: {current_password: {type: string}, new_password: {type: string, minLength: 8}}}}}}
      responses: {"204": {description: changed}}
  /password/forgot:
    post:
      summary: Ask for a password reset
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email], properties: {email: {type: string, format: email}}}}}}
      responses: {"202": {description: sent, content: {application/json: {schema: {type: object, properties: {sent: {type: boolean}, reset_token: {type: string}}}}}}}
  /password/reset:
    post:
      summary: Reset the password
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [reset_token, password], properties: {reset_token: {type: string}, password: {type: string, minLength: 8}}}}}}
      responses: {"204": {description: changed}}
`
	if style == "body" || style == "held" {
		spec += `  /token/refresh:
    post:
      summary: Renew the access token
      security: []` + renew + `
      responses: {"200": {description: renewed, content: {application/json: {schema: {type: object, properties: {` + answer + `}}}}}}
`
	}
	return spec
}

func (k *keep) sign(email string) string {
	part := func(v any) string {
		b, _ := json.Marshal(v) // what it is made of here can be written
		return base64.RawURLEncoding.EncodeToString(b)
	}
	id := rand.Text()
	k.sessions[id] = email
	now := time.Now()
	text := part(map[string]any{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{"sub": email, "jti": id, "iat": now.Unix(), "exp": now.Add(k.life).Unix()})
	return text + "." + k.mac(text)
}

func (k *keep) mac(text string) string {
	m := hmac.New(sha256.New, k.key)
	m.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// session is the identifier of a request's session, "" when it has none that lives.
func (k *keep) session(r *http.Request) string {
	text := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if k.style == "cookie" {
		c, err := r.Cookie("keep_sid")
		if err != nil {
			return ""
		}
		text = c.Value
	}
	if k.style == "cookie" || k.style == "opaque" {
		return text
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 || !hmac.Equal([]byte(k.mac(parts[0]+"."+parts[1])), []byte(parts[2])) {
		return ""
	}
	raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		JTI string
		Exp int64
	}
	if json.Unmarshal(raw, &claims) != nil || !k.open["expiry"] && time.Now().Add(-k.slack).After(time.Unix(claims.Exp, 0)) {
		return ""
	}
	return claims.JTI
}

// enter begins a session, and answers with it.
func (k *keep) enter(w http.ResponseWriter, email, family string) {
	var out any = map[string]any{"email": email}
	switch k.style {
	case "cookie":
		sid := rand.Text()
		k.sessions[sid] = email
		http.SetCookie(w, &http.Cookie{Name: "keep_sid", Value: sid, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	case "opaque":
		sid := rand.Text()
		k.sessions[sid] = email
		out = map[string]any{"access_token": sid}
	default:
		renewal := rand.Text() + rand.Text()
		k.renewals[renewal] = []string{email, "", family}
		body := map[string]any{"access_token": k.sign(email), "expires_in": int(k.life.Seconds())}
		if k.style == "body" {
			body["refresh_token"] = renewal
		} else {
			http.SetCookie(w, &http.Cookie{Name: "keep_renewal", Value: renewal, Path: "/token", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		}
		out = body
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // to a client of the test's own
}

// endAll ends all sessions of an account but one.
func (k *keep) endAll(email, but string) {
	for sid, of := range k.sessions {
		if of == email && sid != but {
			delete(k.sessions, sid)
		}
	}
}

func (k *keep) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	in := map[string]string{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	k.mu.Lock()
	defer k.mu.Unlock()
	sid := k.session(r)
	me := k.people[k.sessions[sid]]
	switch r.Method + " " + r.URL.Path {
	case "POST /signup":
		if k.people[in["email"]] != nil || len(in["password"]) < 8 || !strings.Contains(in["email"], "@") {
			fail(422)
			return
		}
		k.n++
		k.people[in["email"]] = map[string]string{"email": in["email"], "password": in["password"], "since": fmt.Sprintf("2025-01-%02d", k.n%28+1)}
		answer(201, map[string]any{"email": in["email"]})
	case "POST /signin":
		p := k.people[in["email"]]
		tries := k.wrong[in["email"]]
		switch {
		case k.open["refuses"] && tries >= 8:
			w.Header().Set("Retry-After", "30")
			fail(429)
			return
		case k.open["locks"] && tries >= 6:
			answer(401, map[string]any{"error": "the account is locked"})
			return
		case k.open["captcha"] && tries >= 5:
			answer(400, map[string]any{"error": "captcha_required", "site_key": "10000000"})
			return
		case k.open["captcha-ok"] && tries >= 5:
			answer(200, map[string]any{"challenge": "captcha", "site_key": "10000000"})
			return
		case k.open["delays"] && tries >= 5:
			k.mu.Unlock()
			time.Sleep(time.Duration(tries-4) * 250 * time.Millisecond)
			k.mu.Lock()
		}
		if p == nil || p["password"] != in["password"] {
			k.wrong[in["email"]]++
			fail(401)
			return
		}
		delete(k.wrong, in["email"])
		k.enter(w, in["email"], rand.Text())
	case "POST /token/refresh":
		token := in["refresh_token"]
		if c, err := r.Cookie("keep_renewal"); k.style == "held" && err == nil {
			token = c.Value
		}
		had := k.renewals[token]
		if had == nil || k.style != "body" && k.style != "held" || k.dead[had[2]] && !k.open["renewal"] {
			fail(401)
			return
		}
		if had[1] != "" && !k.open["renewal"] {
			k.dead[had[2]] = true // somebody has copied it
			fail(401)
			return
		}
		had[1] = "used"
		k.enter(w, had[0], had[2])
	case "POST /password/forgot":
		out := map[string]any{"sent": true}
		if p := k.people[in["email"]]; p != nil {
			token := rand.Text()
			k.resets[token] = in["email"]
			if k.open["leak"] {
				out["reset_token"] = token
			}
		}
		answer(202, out)
	case "POST /password/reset":
		p := k.people[k.resets[in["reset_token"]]]
		if p == nil || len(in["password"]) < 8 {
			fail(422)
			return
		}
		if !k.open["reset"] {
			delete(k.resets, in["reset_token"])
		}
		p["password"] = in["password"]
		k.endAll(p["email"], "")
		w.WriteHeader(204)
	default:
		if me == nil {
			fail(401)
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "GET /profile":
			answer(200, map[string]any{"email": me["email"], "plan": "free", "since": me["since"]})
		case "POST /signout":
			if !k.open["logout"] {
				delete(k.sessions, sid)
			}
			if k.style == "cookie" {
				http.SetCookie(w, &http.Cookie{Name: "keep_sid", Path: "/", MaxAge: -1})
			}
			w.WriteHeader(204)
		case "PUT /profile/password":
			if me["password"] != in["current_password"] || len(in["new_password"]) < 8 {
				fail(422)
				return
			}
			me["password"] = in["new_password"]
			if !k.open["others"] {
				k.endAll(me["email"], sid)
			}
			w.WriteHeader(204)
		default:
			fail(404)
		}
	}
}

// TestKeep: each hole of the sessions is found in each style that can have it,
// and no other.
func TestKeep(t *testing.T) {
	checks := []string{"session-logout", "session-renewal", "session-password", "session-fixation", "reset-token-leak", "password-unconfirmed", "login-enumeration"}
	for _, c := range []struct {
		style, open string
		want        []string
	}{
		{"cookie", "", nil},
		{"opaque", "", nil},
		{"body", "", nil},
		{"held", "", nil},
		{"cookie", "logout", []string{"session-logout POST /signout credential"}},
		{"opaque", "logout", []string{"session-logout POST /signout credential"}},
		{"body", "logout", []string{"session-logout POST /signout credential"}},
		{"held", "logout", []string{"session-logout POST /signout credential"}},
		{"body", "renewal", []string{"session-renewal POST /token/refresh credential"}},
		{"held", "renewal", []string{"session-renewal POST /token/refresh credential"}},
		{"cookie", "others", []string{"session-password PUT /profile/password credential"}},
		{"opaque", "others", []string{"session-password PUT /profile/password credential"}},
		{"body", "others", []string{"session-password PUT /profile/password credential"}},
		{"opaque", "leak", []string{"reset-token-leak POST /password/forgot answer./reset_token"}},
		{"opaque", "leak reset", []string{"reset-token-leak POST /password/forgot answer./reset_token", "reset-token-leak POST /password/reset body./reset_token again"}},
		{"cookie", "leak reset", []string{"reset-token-leak POST /password/forgot answer./reset_token", "reset-token-leak POST /password/reset body./reset_token again"}},
	} {
		t.Run(c.style+"/open="+c.open, func(t *testing.T) {
			t.Parallel()
			if got := rows(t, keepSpec(c.style), newKeep(c.style, c.open), checks...); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// TestKeepTries: passwords that can be tried without end are found in each style,
// and whatever ends the tries is no hole: an answer that says so, a delay that
// grows, a lock, a question for people.
func TestKeepTries(t *testing.T) {
	for _, style := range []string{"cookie", "opaque", "body"} {
		for _, limit := range []string{"", "refuses", "locks", "captcha", "captcha-ok", "delays"} {
			t.Run(style+"/"+limit, func(t *testing.T) {
				t.Parallel()
				r := tested(t, keepSpec(style), newKeep(style, limit), "login-unlimited").Report
				if found := has(r.Findings, "login-unlimited", "POST", "/signin", "body./password"); found != (limit == "") {
					t.Errorf("found: %v, with the limit %q", found, limit)
				}
			})
		}
	}
}

// TestKeepLifetime: a token that works after its own end is found by waiting for it,
// and neither a difference of clocks nor a token that lives on is an alarm.
func TestKeepLifetime(t *testing.T) {
	const life, beyond = 2 * time.Second, 8 * time.Second // the latter in place of two minutes
	for _, c := range []struct {
		name, style, open string
		life, slack       time.Duration
		want              bool
	}{
		{"looked at", "body", "", life, 0, false},
		{"looked at, in a cookie", "held", "", life, 0, false},
		{"not looked at", "body", "expiry", life, 0, true},
		{"not looked at, in a cookie", "held", "expiry", life, 0, true},
		{"clocks may differ", "body", "", life, 5 * time.Second, false},
		{"it lives on", "body", "expiry", time.Hour, 0, false},
		{"no word of its end", "opaque", "", life, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKeep(c.style, c.open)
			k.life, k.slack = c.life, c.slack
			o := served(t, keepSpec(c.style), k, "token-lifetime")
			o.leeway = beyond
			r := scanned(t, o).Report
			if found := has(r.Findings, "token-lifetime", "", "", "credential"); found != c.want {
				t.Errorf("found: %v, want %v", found, c.want)
			}
		})
	}
}

// TestKeepNoWait: where tokens can be signed with a guessed secret, one whose end is past
// tells whether ends are looked at, and none is waited for.
func TestKeepNoWait(t *testing.T) {
	k := newKeep("body", "")
	k.key, k.life = []byte("secret"), 40*time.Second
	began := time.Now()
	r := tested(t, keepSpec("body"), k, "jwt-weak-secret", "jwt-expiry", "token-lifetime").Report
	if !has(r.Findings, "jwt-weak-secret", "", "", "credential") {
		t.Error("the secret was not guessed")
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("it took %v", took)
	}
}
