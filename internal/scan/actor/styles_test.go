package actor

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/target"
)

const (
	emailPassword = "{email: {type: string, format: email}, password: {type: string}}"
	userPassword  = "{username: {type: string}, password: {type: string}}"
	bearerScheme  = "{type: http, scheme: bearer}"
)

// style is one way in which APIs know their callers.
type style struct {
	name  string
	shape shapeOf
	serve func(h *house)
	how   string // how the session is presented
	// noRenew: what the registration gave is all there is
	noRenew bool
}

// plainRegister makes accounts by e-mail and password.
func plainRegister(h *house, status int) {
	h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
		m := body(r)
		email, pw := str(m, "email"), str(m, "password")
		if !strings.Contains(email, "@") || len(pw) < 8 {
			say(w, 400, obj{"error": "email and password are required"})
			return
		}
		a, ok := h.add(tenant{email: email, name: str(m, "username"), pw: pw}, email)
		if !ok {
			say(w, 409, obj{"error": "User already exists"})
			return
		}
		if status == 202 {
			say(w, 202, obj{"message": "accepted"})
			return
		}
		say(w, status, obj{"id": a.id, "email": email})
	})
}

// plainLogin answers a login by e-mail with what give makes of it.
func plainLogin(h *house, give func(w http.ResponseWriter, a *tenant)) {
	h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
		m := body(r)
		a := h.check(str(m, "email"), str(m, "password"))
		if a == nil {
			say(w, 401, obj{"error": "wrong credentials"})
			return
		}
		give(w, a)
	})
}

var styles = []style{
	{
		name:  "bearer JWT",
		shape: shapeOf{register: emailPassword, login: emailPassword, security: bearerScheme},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				say(w, 200, obj{"access_token": h.jwt(a), "token_type": "bearer"})
			})
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
	{
		name:  "Authorization with Token, nothing declared",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"key": h.open(a, "")}) })
			h.me(h.header("Authorization", "Token "))
		},
		how: "header Authorization: Token …",
	},
	{
		name:  "Authorization bare, though bearer is declared",
		shape: shapeOf{register: emailPassword, login: emailPassword, security: bearerScheme},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.jwt(a)}) })
			h.me(h.header("Authorization", ""))
		},
		how: "header Authorization",
	},
	{
		name:  "X-Auth-Token, nothing declared",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 200)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.open(a, "")}) })
			h.me(h.header("X-Auth-Token", ""))
		},
		how: "header X-Auth-Token",
	},
	{
		name:  "a header of its own, called like the field",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 200)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"result": obj{"memberTicket": h.open(a, "")}}) })
			h.me(h.header("X-Member-Ticket", ""))
		},
		how: "header X-Member-Ticket",
	},
	{
		name:  "declared API key in a header, got by logging in",
		shape: shapeOf{register: emailPassword, login: emailPassword, security: "{type: apiKey, in: header, name: X-Harp}"},
		serve: func(h *house) {
			plainRegister(h, 200)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				say(w, 200, obj{"data": obj{"auth": obj{"token": h.open(a, "")}}})
			})
			h.me(h.header("X-Harp", ""))
		},
		how: "header X-Harp",
	},
	{
		name:  "token in a header of the answer",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 200)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				w.Header().Set("Authorization", "Bearer "+h.jwt(a))
				w.WriteHeader(204)
			})
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
	{
		name:  "cookie session",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				http.SetCookie(w, &http.Cookie{Name: "connect.sid", Value: h.open(a, "s"), HttpOnly: true, Path: "/"})
				say(w, 200, obj{"ok": true})
			})
			h.me(h.cookie("connect.sid"))
		},
		how: "cookie connect.sid",
	},
	{
		name:  "form login with redirect and session cookie",
		shape: shapeOf{register: emailPassword, login: userPassword, media: "application/x-www-form-urlencoded"},
		serve: func(h *house) {
			plainRegister(h, 201)
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				a := h.check(r.FormValue("username"), r.FormValue("password"))
				if a == nil {
					http.Redirect(w, r, "/login?error=1", http.StatusFound)
					return
				}
				http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: h.open(a, ""), Path: "/"})
				http.Redirect(w, r, "/home", http.StatusFound)
			})
			h.me(h.cookie("JSESSIONID"))
		},
		how: "cookie JSESSIONID",
	},
	{
		name:  "Basic only",
		shape: shapeOf{register: userPassword, noLogin: true, security: "{type: http, scheme: basic}"},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				if _, ok := h.add(tenant{name: str(m, "username"), pw: str(m, "password")}, str(m, "username")); !ok {
					say(w, 400, obj{"username": []string{"A user with that username already exists."}})
					return
				}
				say(w, 201, obj{"username": str(m, "username")})
			})
			h.me(func(r *http.Request) *tenant {
				u, p, ok := r.BasicAuth()
				if !ok {
					return nil
				}
				return h.check(u, p)
			})
		},
		how: "header Authorization: Basic …",
	},
	{
		name:    "API key given at registration",
		shape:   shapeOf{register: "{name: {type: string}, email: {type: string}}", noLogin: true, security: "{type: apiKey, in: query, name: api_key}"},
		noRenew: true,
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				a, ok := h.add(tenant{email: str(m, "email"), name: str(m, "name")}, str(m, "email"))
				if !ok {
					say(w, 409, obj{"error": "taken"})
					return
				}
				say(w, 201, obj{"client": obj{"name": a.name, "apiKey": h.open(a, "k")}})
			})
			h.me(func(r *http.Request) *tenant { return h.who(r.URL.Query().Get("api_key")) })
		},
		how: "query api_key",
	},
	{
		name:  "base64 pair as a token",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				say(w, 200, obj{"token": base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%d:%s", a.id, h.open(a, ""))))})
			})
			h.me(func(r *http.Request) *tenant {
				_, token, ok := r.BasicAuth()
				if !ok {
					return nil
				}
				return h.who(token)
			})
		},
		how: "header Authorization: Basic …",
	},
	{
		name:  "registration answers with the token, there is no login",
		shape: shapeOf{register: emailPassword, noLogin: true, security: bearerScheme},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				a, ok := h.add(tenant{email: str(m, "email"), pw: str(m, "password")}, str(m, "email"))
				if !ok {
					say(w, 422, obj{"detail": "email already registered"})
					return
				}
				say(w, 200, obj{"user": obj{"id": a.id}, "tokens": obj{"access": obj{"token": h.jwt(a)}, "refresh": obj{"token": "refresh-" + h.open(a, "r")}}})
			})
			h.me(h.header("Authorization", "Bearer "))
		},
		how:     "header Authorization: Bearer …",
		noRenew: true,
	},
	{
		name:  "202 to a registration that tells nothing",
		shape: shapeOf{register: emailPassword, login: emailPassword, security: bearerScheme},
		serve: func(h *house) {
			plainRegister(h, 202)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"access_token": h.jwt(a)}) })
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
	{
		name:  "the login field is called username and wants the e-mail",
		shape: shapeOf{register: "{email: {type: string, format: email}, username: {type: string}, password: {type: string}}", login: userPassword, security: bearerScheme},
		serve: func(h *house) {
			plainRegister(h, 201)
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				a := h.check(str(m, "username"), str(m, "password"))
				if a == nil {
					say(w, 401, obj{"message": "Invalid username or password"})
					return
				}
				say(w, 200, obj{"jwt": h.jwt(a)})
			})
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
	{
		name: "fields and rules that only error messages tell",
		shape: shapeOf{register: "{email: {type: string}, password: {type: string}, phone: {type: string}, role: {type: string}}", login: emailPassword,
			required: "email, password"},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				bad := func(field, text string) {
					say(w, 422, obj{"detail": []obj{{"loc": []string{"body", field}, "msg": text, "type": "value_error"}}})
				}
				pw := str(m, "password")
				switch {
				case str(m, "full_name") == "":
					bad("full_name", "field required")
				case len(pw) < 18:
					bad("password", "Password must be at least 18 characters long")
				case len(pw) > 20:
					bad("password", "Password must not exceed 20 characters")
				case strings.ContainsAny(pw, "!@#$%"):
					bad("password", "Password must be alphanumeric")
				case str(m, "passwordConfirmation") != pw:
					bad("passwordConfirmation", "field required")
				case str(m, "phone") == "":
					bad("phone", "field required")
				case strings.HasPrefix(str(m, "phone"), "+"):
					bad("phone", "not a valid phone number")
				case str(m, "role") == "":
					bad("role", "field required")
				case str(m, "role") != "member":
					bad("role", "role must be one of: admin, manager, member")
				default:
					a, ok := h.add(tenant{email: str(m, "email"), pw: pw}, str(m, "email"))
					if !ok {
						bad("email", "this email is already in use")
						return
					}
					say(w, 201, obj{"id": a.id})
				}
			})
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.open(a, "")}) })
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
	{
		name:  "login only by form, the description says JSON",
		shape: shapeOf{register: emailPassword, login: userPassword, security: bearerScheme},
		serve: func(h *house) {
			plainRegister(h, 201)
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
					say(w, 415, obj{"error": "unsupported media type"})
					return
				}
				a := h.check(r.FormValue("username"), r.FormValue("password"))
				if a == nil {
					say(w, 401, obj{"error": "no"})
					return
				}
				say(w, 200, obj{"access_token": h.jwt(a)})
			})
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
	{
		name: "OAuth2 password grant at a token operation",
		shape: shapeOf{register: emailPassword, noLogin: true, security: "{type: oauth2, flows: {password: {tokenUrl: /token, scopes: {}}}}",
			extra: "  /token:\n    post:\n      operationId: login_for_access_token\n      requestBody: {required: true, content: {application/x-www-form-urlencoded: {schema: {type: object, required: [username, password], properties: {grant_type: {type: string, pattern: '^password$'}, username: {type: string}, password: {type: string}, scope: {type: string}, client_id: {type: string}}}}}}\n      responses: {'200': {description: ok}}\n"},
		serve: func(h *house) {
			plainRegister(h, 201)
			h.on("POST /token", func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("grant_type") != "password" {
					say(w, 400, obj{"error": "unsupported_grant_type"})
					return
				}
				a := h.check(r.FormValue("username"), r.FormValue("password"))
				if a == nil {
					say(w, 400, obj{"error": "invalid_grant"})
					return
				}
				say(w, 200, obj{"access_token": h.jwt(a), "token_type": "bearer", "expires_in": 300})
			})
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
	{
		name:  "every answer is 200, and says so or not in its body",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				if _, ok := h.add(tenant{email: str(m, "email"), pw: str(m, "password")}, str(m, "email")); !ok {
					say(w, 200, obj{"success": false, "message": "exists"})
					return
				}
				say(w, 200, obj{"success": true})
			})
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				a := h.check(str(m, "email"), str(m, "password"))
				if a == nil {
					say(w, 200, obj{"success": false, "message": "wrong"})
					return
				}
				say(w, 200, obj{"success": true, "data": obj{"session_id": h.open(a, "")}})
			})
			find := func(r *http.Request) *tenant { return h.who(r.Header.Get("X-Session-Id")) }
			h.on("GET /me", func(w http.ResponseWriter, r *http.Request) {
				if a := find(r); a != nil {
					say(w, 200, obj{"success": true, "data": obj{"email": a.email}})
					return
				}
				say(w, 200, obj{"success": false, "message": "please log in"})
			})
			h.on("GET /items", func(w http.ResponseWriter, r *http.Request) {
				if find(r) != nil {
					say(w, 200, obj{"success": true, "data": []obj{}})
					return
				}
				say(w, 200, obj{"success": false, "message": "please log in"})
			})
		},
		how: "header X-Session-Id",
	},
	{
		name:  "several cookies, of which one counts, and a token in the answer that opens nothing",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				http.SetCookie(w, &http.Cookie{Name: "lang", Value: "en"})
				http.SetCookie(w, &http.Cookie{Name: "app_session", Value: h.open(a, ""), HttpOnly: true})
				say(w, 200, obj{"tracking_token": "0123456789abcdef0123456789abcdef"})
			})
			h.me(h.cookie("app_session"))
		},
		how: "cookie app_session, cookie lang",
	},
	{
		name:  "whole answer is the token, as text",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { _, _ = w.Write([]byte(h.jwt(a))) })
			h.me(h.header("Authorization", "JWT "))
		},
		how: "header Authorization: JWT …",
	},
	{
		name:  "account nested in the body, terms to accept, id chosen by the client",
		shape: shapeOf{register: "{user: {type: object, required: [id, email, password, accept_terms], properties: {id: {type: string, format: uuid}, email: {type: string, format: email}, password: {type: string, minLength: 12, maxLength: 16, pattern: '^[A-Za-z0-9]+$'}, accept_terms: {type: boolean}}}}", required: "user", login: "{user: {type: object, properties: {email: {type: string}, password: {type: string}}}}", security: bearerScheme},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				u, _ := body(r)["user"].(map[string]any)
				pw := str(u, "password")
				if len(str(u, "id")) != 36 || u["accept_terms"] != true || len(pw) < 12 || len(pw) > 16 || strings.ContainsAny(pw, "!@#$%") {
					say(w, 400, obj{"errors": obj{"body": []string{"bad"}}})
					return
				}
				if _, ok := h.add(tenant{email: str(u, "email"), pw: pw}, str(u, "email")); !ok {
					say(w, 422, obj{"errors": obj{"email": []string{"has already been taken"}}})
					return
				}
				say(w, 201, obj{"user": obj{"email": str(u, "email")}})
			})
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				u, _ := body(r)["user"].(map[string]any)
				a := h.check(str(u, "email"), str(u, "password"))
				if a == nil {
					say(w, 401, obj{"errors": obj{"body": []string{"email or password is invalid"}}})
					return
				}
				say(w, 200, obj{"user": obj{"email": a.email, "token": h.jwt(a)}})
			})
			h.me(h.header("Authorization", "Token "))
		},
		how: "header Authorization: Token …",
	},
}

func TestStyles(t *testing.T) {
	for _, st := range styles {
		t.Run(st.name, func(t *testing.T) {
			h := newHouse(t)
			st.serve(h)
			p, c := meet(t, h, st.shape.yaml(), Config{})
			rep, err := p.Prepare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if t.Failed() {
					t.Logf("report: %+v", rep)
					t.Logf("asked: %q", h.requests)
				}
			}()
			for _, name := range []string{User, Peer} {
				a := p.Get(name)
				if a == nil {
					t.Fatalf("no %s", name)
				}
				if got := describe(a.Session); got != st.how {
					t.Errorf("%s is presented as %q, want %q", name, got, st.how)
				}
				if err := p.Alive(t.Context(), a); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if p.Get(User).Facts[factEmail] == p.Get(Peer).Facts[factEmail] && p.Get(User).Facts[factUsername] == p.Get(Peer).Facts[factUsername] {
				t.Error("user and peer are the same account")
			}
			t.Logf("%d requests", c.Sent())
			if n := c.Sent(); n > 90 {
				t.Errorf("%d requests", n)
			}
			for k, n := range h.wrong {
				if n > maxWrong {
					t.Errorf("%d wrong logins as %s", n, k)
				}
			}
			// A session that has ended is noticed, and renewed.
			h.forget()
			user := p.Get(User)
			if st.shape.noLogin && strings.HasPrefix(user.by.way.secret.from, "pair ") {
				return // name and password themselves: there is no session to end
			}
			if err := p.Alive(t.Context(), user); !errors.Is(err, ErrSessionEnded) {
				t.Errorf("ended: %v", err)
			}
			if st.noRenew {
				if err := p.Renew(t.Context(), user); !errors.Is(err, ErrCannotRenew) {
					t.Errorf("renewing what is given once: %v", err)
				}
				return
			}
			ex, err := p.Send(t.Context(), user, &target.Request{Method: "GET", Path: "/items"})
			if err != nil || ex.Status != 200 || !worked(ex) {
				t.Errorf("after the session's end: %v %+v", err, ex)
			}
			// A second session of the same account, beside the first.
			s2, err := p.Login(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			if s2.Parts[0].Value == user.Session.Snapshot()[0].Value {
				t.Error("the second session is the first")
			}
			if err := p.Alive(t.Context(), user); err != nil {
				t.Errorf("the first session, after the second: %v", err)
			}
			fresh, err := p.Fresh(t.Context())
			if err != nil || fresh.Name != "fresh1" || p.Alive(t.Context(), fresh) != nil || p.Get("fresh1") != fresh {
				t.Errorf("fresh: %v %+v", err, fresh)
			}
		})
	}
}
