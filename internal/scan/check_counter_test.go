package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// counter is an API whose login answers a wrong password with 200 and other words,
// as a cookie's or a body's, and whose reset codes go by mail.
type counter struct {
	cookie bool
	// After how many wrong ones: login and code are refused. 0: never. They are
	// refused by status, or, where quiet, in words alone.
	login, code int
	quiet       bool
	tells       bool // of accounts that exist

	mu     sync.Mutex
	people map[string]string
	wrong  map[string]int // logins, by account
	codes  map[string]int // codes, by account
	asked  map[string]bool
}

func counterSpec(cookie bool, code string) string {
	scheme, answer := "{type: http, scheme: bearer}", ", content: {application/json: {schema: {type: object, properties: {note: {type: string}, token: {type: string, nullable: true}}}}}"
	if cookie {
		scheme, answer = "{type: apiKey, in: cookie, name: desk}", ""
	}
	return `openapi: 3.0.3
info: {title: Counter, version: "1"}
components: {securitySchemes: {auth: ` + scheme + `}}
security: [{auth: []}]
paths:
  /accounts:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made}}
  /login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in` + answer + `}}
  /me:
    get: {summary: Who am I, responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}}}
  /password/forgotten:
    post:
      summary: Forgot the password, a code of six digits comes by mail
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email], properties: {email: {type: string, format: email}}}}}}
      responses: {"202": {description: sent}}
  /password/reset:
    post:
      summary: Reset the password with the code
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, code, new_password], properties: {email: {type: string, format: email}, code: ` + code + `, new_password: {type: string, minLength: 8}}}}}}
      responses: {"204": {description: set}}
`
}

func (s *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	var in struct {
		Email, Password, Code string
		New                   string `json:"new_password"`
	}
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
		answer(400, map[string]any{"note": "no JSON"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "POST /accounts":
		if s.people[in.Email] != "" || len(in.Password) < 8 || !strings.Contains(in.Email, "@") {
			answer(422, map[string]any{"note": "no"})
			return
		}
		s.people[in.Email] = in.Password
		answer(201, map[string]any{"note": "welcome"})
	case "POST /login":
		note := "These do not belong together."
		switch {
		case s.login > 0 && s.wrong[in.Email] >= s.login && s.quiet:
			note = "The account rests for a while."
		case s.login > 0 && s.wrong[in.Email] >= s.login:
			answer(429, map[string]any{"note": "later"})
			return
		case s.people[in.Email] == "" && s.tells:
			note = "Nobody is called so."
		case in.Password != "" && s.people[in.Email] == in.Password:
			s.wrong[in.Email] = 0
			if s.cookie {
				w.Header().Set("Set-Cookie", "desk=of-"+in.Email+"; HttpOnly; SameSite=Lax")
				answer(200, map[string]any{"note": "Come in.", "screen": "home"})
			} else {
				answer(200, map[string]any{"note": "Come in.", "token": "of-" + in.Email})
			}
			return
		}
		s.wrong[in.Email]++
		answer(200, map[string]any{"note": note, "token": nil, "screen": "login"})
	case "GET /me":
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if c, err := r.Cookie("desk"); err == nil && s.cookie {
			token = c.Value
		}
		me := strings.TrimPrefix(token, "of-")
		if s.people[me] == "" {
			answer(401, map[string]any{"note": "who is it"})
			return
		}
		answer(200, map[string]any{"email": me})
	case "POST /password/forgotten":
		s.asked[in.Email] = true
		answer(202, map[string]any{"note": "If there is such an account, a code is on its way."})
	case "POST /password/reset":
		s.codes[in.Email]++
		switch n := s.codes[in.Email]; {
		case s.code > 0 && n > s.code && s.quiet:
			answer(400, map[string]any{"note": "Ask for another code."})
		case s.code > 0 && n > s.code:
			answer(429, map[string]any{"note": "later"})
		default:
			answer(400, map[string]any{"note": "That is not the code."})
		}
	default:
		answer(404, map[string]any{"note": "nothing"})
	}
}

// A login that answers everything with 200 is judged by what it gives and says, and
// codes that go by mail by whether anybody says stop.
func TestCounter(t *testing.T) {
	const six, long = `{type: string, pattern: "^[0-9]{6}$"}`, `{type: string, minLength: 32}`
	for _, c := range []struct {
		name  string
		s     *counter
		code  string
		holes []string
	}{
		{"nobody counts", &counter{}, six, []string{"login-unlimited", "reset-unlimited"}},
		{"nobody counts, sessions in cookies", &counter{cookie: true}, six, []string{"login-unlimited", "reset-unlimited"}},
		{"codes are too long to try", &counter{login: 5}, long, nil},
		{"both are counted", &counter{login: 10, code: 5}, six, nil},
		{"both are counted, sessions in cookies", &counter{cookie: true, login: 10, code: 5}, six, nil},
		{"both are counted, in words alone", &counter{login: 10, code: 5, quiet: true}, six, nil},
		{"who exists is told", &counter{login: 10, code: 5, tells: true}, six, []string{"login-enumeration"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.s
			s.people, s.wrong, s.codes, s.asked = map[string]string{}, map[string]int{}, map[string]int{}, map[string]bool{}
			var got []string
			r := tested(t, counterSpec(c.s.cookie, c.code), s, "login-unlimited", "login-enumeration", "reset-unlimited", "reset-token-leak").Report
			for _, f := range r.Findings {
				got = append(got, f.Check)
			}
			if fmt.Sprint(slices.Sorted(slices.Values(got))) != fmt.Sprint(slices.Sorted(slices.Values(c.holes))) {
				t.Errorf("found %v, want %v", got, c.holes)
			}
		})
	}
}
