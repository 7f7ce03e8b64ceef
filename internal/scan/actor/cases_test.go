package actor

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/target"
)

func prepare(t *testing.T, h *house, s shapeOf, cfg Config) (*People, *Report) {
	t.Helper()
	p, _ := meet(t, h, s.yaml(), cfg)
	rep, err := p.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("report: %+v", rep)
			t.Logf("asked: %q", h.requests)
		}
	})
	return p, rep
}

func need(t *testing.T, p *People, name string) *Actor {
	t.Helper()
	a := p.Get(name)
	if a == nil {
		t.Fatalf("no %s", name)
	}
	return a
}

// A session by cookie, with a token against cross-site requests: by a cookie
// sent once more in a header, demanded of the login too.
func TestCSRFDoubleSubmit(t *testing.T) {
	h := newHouse(t)
	guarded := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			c, err := r.Cookie("XSRF-TOKEN")
			if err != nil || c.Value == "" || r.Header.Get("X-XSRF-TOKEN") != c.Value {
				say(w, 403, obj{"error": "CSRF token missing or invalid"})
				return
			}
			f(w, r)
		}
	}
	inner := newHouse(t)
	plainRegister(inner, 201)
	plainLogin(inner, func(w http.ResponseWriter, a *tenant) {
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: inner.open(a, ""), HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "XSRF-TOKEN", Value: fmt.Sprintf("after-login-%d", a.id)})
		say(w, 200, obj{"ok": true})
	})
	inner.me(inner.cookie("sid"))
	for _, p := range []string{"POST /register", "POST /login", "POST /items"} {
		h.on(p, guarded(inner.ServeHTTP))
	}
	h.on("GET /me", inner.ServeHTTP)
	h.on("GET /items", inner.ServeHTTP)
	h.on("GET /", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "XSRF-TOKEN", Value: "before-login-token"})
		w.WriteHeader(404)
	})
	p, _ := prepare(t, h, shapeOf{register: emailPassword, login: emailPassword}, Config{})
	user := need(t, p, User)
	ex, err := p.Send(t.Context(), user, &target.Request{Method: "POST", Path: "/items", Header: []target.Field{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(`{"title":"x"}`)})
	if err != nil || ex.Status != 201 {
		t.Errorf("a change: %v %d %s", err, ex.Status, ex.Body)
	}
	var csrf []Part
	for _, part := range user.Session.Snapshot() {
		if part.CSRF {
			csrf = append(csrf, part)
		}
	}
	if len(csrf) != 2 || user.Session.Snapshot()[0].Name != "sid" {
		t.Errorf("parts: %s", describe(user.Session))
	}
}

// The same by a token that an operation gives out, and that only changes demand:
// it is fetched when the first change is refused.
func TestCSRFTokenFetchedWhenAsked(t *testing.T) {
	h := newHouse(t)
	plainRegister(h, 201)
	plainLogin(h, func(w http.ResponseWriter, a *tenant) {
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: h.open(a, ""), HttpOnly: true})
		say(w, 200, obj{"ok": true})
	})
	find := h.cookie("sid")
	h.on("GET /me", func(w http.ResponseWriter, r *http.Request) {
		if a := find(r); a != nil {
			say(w, 200, obj{"email": a.email})
			return
		}
		say(w, 401, obj{})
	})
	h.on("GET /items", func(w http.ResponseWriter, r *http.Request) { say(w, 200, []obj{}) })
	h.on("GET /csrf-token", func(w http.ResponseWriter, r *http.Request) {
		if a := find(r); a != nil {
			say(w, 200, obj{"csrfToken": fmt.Sprintf("token-of-%d", a.id)})
			return
		}
		say(w, 401, obj{})
	})
	h.on("POST /items", func(w http.ResponseWriter, r *http.Request) {
		a := find(r)
		if a == nil || r.Header.Get("X-CSRF-Token") != fmt.Sprintf("token-of-%d", a.id) {
			say(w, 403, obj{"message": "invalid csrf token"})
			return
		}
		say(w, 201, obj{})
	})
	p, _ := prepare(t, h, shapeOf{register: emailPassword, login: emailPassword}, Config{})
	for range 2 {
		ex, err := p.Send(t.Context(), need(t, p, User), &target.Request{Method: "POST", Path: "/items", Body: []byte(`{}`)})
		if err != nil || ex.Status != 201 {
			t.Errorf("%v %+v", err, ex)
		}
	}
}

// Each answer brings the token of the next request; the old one is worth nothing.
func TestRotatingSession(t *testing.T) {
	for _, in := range []string{"header", "cookie"} {
		t.Run(in, func(t *testing.T) {
			h := newHouse(t)
			give := func(w http.ResponseWriter, token string) {
				if in == "header" {
					w.Header().Set("X-Auth-Token", token)
				} else {
					http.SetCookie(w, &http.Cookie{Name: "session", Value: token})
				}
			}
			take := func(r *http.Request) string {
				if in == "header" {
					return r.Header.Get("X-Auth-Token")
				}
				c, err := r.Cookie("session")
				if err != nil {
					return ""
				}
				return c.Value
			}
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { give(w, h.open(a, "")); say(w, 200, obj{"ok": true}) })
			next := func(w http.ResponseWriter, r *http.Request) *tenant {
				h.mu.Lock()
				a := h.sessions[take(r)]
				delete(h.sessions, take(r))
				h.mu.Unlock()
				if a != nil {
					give(w, h.open(a, ""))
				}
				return a
			}
			for _, path := range []string{"GET /me", "GET /items"} {
				h.on(path, func(w http.ResponseWriter, r *http.Request) {
					a := next(w, r)
					if a == nil {
						say(w, 401, obj{"error": "no"})
						return
					}
					say(w, 200, obj{"email": a.email})
				})
			}
			p, _ := prepare(t, h, shapeOf{register: emailPassword, login: emailPassword}, Config{})
			user := need(t, p, User)
			if err := p.Alive(t.Context(), user); err != nil {
				t.Error(err)
			}
			var wg sync.WaitGroup
			for range 8 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for range 5 {
						ex, err := p.Send(t.Context(), user, &target.Request{Method: "GET", Path: "/items"})
						if err != nil || ex.Status != 200 {
							t.Error(err, ex.Status)
						}
					}
				}()
			}
			wg.Wait()
		})
	}
}

// Accounts of one company see one another's tenant; foreign is in another.
func TestTenants(t *testing.T) {
	h := newHouse(t)
	orgs := map[string]int{}
	h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
		m := body(r)
		a, ok := h.add(tenant{email: str(m, "email"), pw: str(m, "password"), org: str(m, "company")}, str(m, "email"))
		if !ok {
			say(w, 409, obj{})
			return
		}
		h.mu.Lock()
		if orgs[a.org] == 0 {
			orgs[a.org] = len(orgs) + 1
		}
		h.mu.Unlock()
		say(w, 201, obj{"id": a.id, "company_id": orgs[a.org]})
	})
	plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.jwt(a)}) })
	h.me(h.header("Authorization", "Bearer "))
	p, _ := prepare(t, h, shapeOf{register: "{email: {type: string}, password: {type: string}, company: {type: string}}", login: emailPassword}, Config{})
	user, peer, foreign := need(t, p, User), need(t, p, Peer), need(t, p, Foreign)
	if user.Facts[factTenant] == "" || user.Facts[factTenant] != peer.Facts[factTenant] || user.Facts[factTenant] == foreign.Facts[factTenant] {
		t.Errorf("tenants: %q, %q, %q", user.Facts[factTenant], peer.Facts[factTenant], foreign.Facts[factTenant])
	}
}

func TestNoTenantsNoForeign(t *testing.T) {
	h := newHouse(t)
	styles[0].serve(h)
	p, _ := prepare(t, h, styles[0].shape, Config{})
	if need(t, p, User).Facts[factTenant] != "" || p.Get(Foreign) != nil || p.Get(Admin) != nil {
		t.Errorf("%v %v", p.Get(User).Facts, p.Get(Foreign))
	}
}

// What stands in the way is said, and nobody is made up.
func TestObstacles(t *testing.T) {
	reg := func(h *house) { plainRegister(h, 201) }
	for _, c := range []struct {
		name  string
		serve func(h *house)
		want  obstacle
	}{
		{"e-mail not confirmed", func(h *house) {
			reg(h)
			h.on("POST /login", func(w http.ResponseWriter, _ *http.Request) {
				say(w, 403, obj{"message": "Please verify your email before logging in"})
			})
		}, obstacleVerify},
		{"second factor", func(h *house) {
			reg(h)
			h.on("POST /login", func(w http.ResponseWriter, _ *http.Request) {
				say(w, 200, obj{"mfa_required": true, "mfa_token": "0123456789abcdef01234567"})
			})
		}, obstacleOTP},
		{"captcha", func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, _ *http.Request) {
				say(w, 400, obj{"errors": []obj{{"field": "g-recaptcha-response", "message": "captcha is required"}}})
			})
		}, obstacleCaptcha},
		{"closed", func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, _ *http.Request) { say(w, 403, obj{"error": "Registration is disabled"}) })
		}, obstacleClosed},
		{"only for those who are logged in", func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, _ *http.Request) { say(w, 401, obj{"error": "authentication needed"}) })
		}, obstacleLogin},
		{"invitation", func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, _ *http.Request) { say(w, 422, obj{"error": "invite code is required"}) })
		}, obstacleInvite},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			c.serve(h)
			h.me(h.header("Authorization", "Bearer "))
			p, rep := prepare(t, h, shapeOf{register: emailPassword, login: emailPassword}, Config{})
			if len(p.All()) != 0 || len(rep.Problems) != 1 {
				t.Fatalf("%v %+v", p.All(), rep)
			}
			if pr := rep.Problems[0]; !strings.Contains(pr.What, string(c.want)) || pr.Advice == "" {
				t.Errorf("%+v, want %q", pr, c.want)
			}
			if _, err := p.Fresh(t.Context()); !errors.Is(err, ErrCannotRegister) {
				t.Errorf("fresh: %v", err)
			}
		})
	}
}

// Accounts that only an administrator may make.
func TestAdminMakesAccounts(t *testing.T) {
	h := newHouse(t)
	root, _ := h.add(tenant{email: "root@example.com", pw: "a-root-password"}, "root@example.com")
	find := h.header("Authorization", "Bearer ")
	h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
		if find(r) != root {
			say(w, 401, obj{"error": "no"})
			return
		}
		m := body(r)
		a, _ := h.add(tenant{email: str(m, "email"), pw: str(m, "password")}, str(m, "email"))
		say(w, 201, obj{"id": a.id})
	})
	plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.jwt(a)}) })
	h.me(find)
	p, rep := prepare(t, h, shapeOf{register: emailPassword, login: emailPassword}, Config{Accounts: map[string]Account{
		Admin: {Role: "boss", Login: &Login{Email: "root@example.com", Password: Text("a-root-password")}},
	}})
	if a := need(t, p, Admin); a.Made || a.Role != "boss" || a.Proven == "" {
		t.Errorf("%+v", a)
	}
	if !need(t, p, User).Made || len(rep.Problems) > 0 {
		t.Errorf("%+v", rep)
	}
	if _, err := p.Fresh(t.Context()); err != nil {
		t.Error(err)
	}
}

// A target that was restarted has forgotten its accounts: they are made again.
func TestAccountsAreMadeAgain(t *testing.T) {
	h := newHouse(t)
	styles[0].serve(h)
	p, _ := prepare(t, h, styles[0].shape, Config{})
	user := need(t, p, User)
	h.mu.Lock()
	clear(h.accounts)
	clear(h.sessions)
	h.mu.Unlock()
	if err := p.Alive(t.Context(), user); !errors.Is(err, ErrSessionEnded) {
		t.Fatal(err)
	}
	if err := p.Renew(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if err := p.Alive(t.Context(), user); err != nil {
		t.Error(err)
	}
}

// Tokens that nobody checks: the session is taken, and known to prove little.
func TestGarbageOpensAsWell(t *testing.T) {
	h := newHouse(t)
	plainRegister(h, 201)
	plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.jwt(a)}) })
	for _, path := range []string{"GET /me", "GET /items"} {
		h.on(path, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
				say(w, 401, obj{"error": "no token"})
				return
			}
			say(w, 200, obj{"anything": 1})
		})
	}
	p, _ := prepare(t, h, shapeOf{register: emailPassword, login: emailPassword, security: bearerScheme}, Config{})
	if a := need(t, p, User); !strings.Contains(a.Proven, "garbage") || describe(a.Session) != "header Authorization: Bearer …" {
		t.Errorf("%q %s", a.Proven, describe(a.Session))
	}
}

// An API that asks nobody who they are: there is no session to be had, and that is said.
func TestNothingTellsSomebodyFromNobody(t *testing.T) {
	h := newHouse(t)
	plainRegister(h, 201)
	plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.jwt(a)}) })
	h.on("GET /items", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, []obj{{"id": 1}}) })
	h.on("GET /me", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, obj{"name": "x"}) })
	p, rep := prepare(t, h, shapeOf{register: emailPassword, login: emailPassword}, Config{})
	if len(p.All()) != 0 || len(rep.Problems) != 1 || !strings.Contains(rep.Problems[0].What, "opens nothing") {
		t.Errorf("%+v", rep)
	}
}

// The address lacks the base path, or has a wrong one.
func TestBasePath(t *testing.T) {
	for _, given := range []string{"", "/wrong"} {
		h := newHouse(t)
		inner := newHouse(t)
		styles[0].serve(inner)
		h.mux.Handle("/api/v1/", http.StripPrefix("/api/v1", inner))
		yaml := strings.Replace(styles[0].shape.yaml(), "paths:\n", "servers: [{url: 'https://prod.example.com/api/v1'}]\npaths:\n", 1)
		p, c := meet(t, h, yaml, Config{})
		c.SetBase(given)
		rep, err := p.Prepare(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.Base() != "/api/v1" || rep.Base != "/api/v1" || p.Get(User) == nil || !slices.ContainsFunc(rep.Notes, func(n string) bool { return strings.Contains(n, "/api/v1") }) {
			t.Errorf("from %q: base %q, %+v", given, c.Base(), rep)
		}
	}
	// What is right already stays, and a target that is something else is told.
	h := newHouse(t)
	h.on("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>a page for all paths")) })
	p, c := meet(t, h, styles[0].shape.yaml(), Config{})
	rep, err := p.Prepare(t.Context())
	if err != nil || c.Base() != "" || len(rep.Problems) == 0 || !strings.Contains(rep.Problems[0].What, "none of") {
		t.Errorf("%v %+v", err, rep)
	}
}

// No registration: the account that the description shows as an example is tried, once.
func TestExampleAccount(t *testing.T) {
	h := newHouse(t)
	_, _ = h.add(tenant{email: "ann@example.com", pw: "shown-in-the-docs"}, "ann@example.com")
	plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.jwt(a)}) })
	h.me(h.header("Authorization", "Bearer "))
	p, rep := prepare(t, h, shapeOf{noRegister: true, login: "{email: {type: string, example: ann@example.com}, password: {type: string, example: shown-in-the-docs}}"}, Config{})
	if a := need(t, p, User); a.Made || a.Facts[factEmail] != "ann@example.com" {
		t.Errorf("%+v", a)
	}
	if p.Get(Peer) != nil || len(rep.Notes) == 0 {
		t.Errorf("%+v", rep)
	}
}

func TestEntries(t *testing.T) {
	h := newHouse(t)
	styles[0].serve(h)
	p, _ := prepare(t, h, styles[0].shape, Config{})
	login, reg := p.LoginEntry(), p.RegisterEntry()
	if login == nil || reg == nil || login.Fields[factEmail] != "body./email" || login.Fields[factPassword] != "body./password" || reg.Op.Path != "/register" {
		t.Fatalf("%+v %+v", login, reg)
	}
	user := need(t, p, User)
	r, err := login.Request(user.Facts, map[string]any{"body./password": []any{1}}, map[string]any{"/extra": true})
	if err != nil || string(r.Body) != fmt.Sprintf(`{"email":%q,"extra":true,"password":[1]}`, user.Facts[factEmail]) || r.Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", err, r.Body)
	}
	if _, ex, err := p.LoginWith(t.Context(), map[string]string{factEmail: user.Facts[factEmail], factPassword: "wrong"}); !errors.Is(err, ErrCannotLogin) || ex == nil || ex.Status != 401 {
		t.Errorf("%v %+v", err, ex)
	}
	s, ex, err := p.LoginWith(t.Context(), user.Facts)
	if err != nil || ex.Status != 200 || len(s.Parts) != 1 {
		t.Errorf("%v %+v", err, ex)
	}
	a, ex, err := p.Register(t.Context(), map[string]any{"/role": "admin"})
	if err != nil || ex.Status != 201 || !strings.Contains(string(ex.Request.Body), `"role":"admin"`) || p.Get(a.Name) != nil {
		t.Errorf("%v %+v", err, ex)
	}
	b, ex, err := p.Register(t.Context(), nil)
	if err != nil || strings.Contains(string(ex.Request.Body), "admin") || b.Facts[factEmail] == a.Facts[factEmail] {
		t.Errorf("what one registration added stays: %v %s", err, ex.Request.Body)
	}
	if f := p.NewFacts("x"); f[factEmail] == user.Facts[factEmail] || f[factPassword] == "" {
		t.Errorf("%v", f)
	}
}

// Two runs with one id and seed make the same people; another id, others.
func TestPersonasRepeat(t *testing.T) {
	a, b, c := newPersona("r1", "user", 1), newPersona("r1", "user", 1), newPersona("r2", "user", 1)
	if a.facts[factEmail] != b.facts[factEmail] || a.facts[factPassword] != b.facts[factPassword] || a.facts[factEmail] == c.facts[factEmail] {
		t.Errorf("%v %v %v", a.facts, b.facts, c.facts)
	}
}

// The run's budget ends in the middle: Prepare says so.
func TestBudgetEnds(t *testing.T) {
	h := newHouse(t)
	styles[0].serve(h)
	p, _ := meet(t, h, styles[0].shape.yaml(), Config{})
	_ = p.c.Close()
	if _, err := p.Prepare(t.Context()); !errors.Is(err, target.ErrClosed) {
		t.Error(err)
	}
}
