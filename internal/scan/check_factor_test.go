package scan

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// tower is an API with a second factor that accounts may turn on.
type tower struct {
	open map[string]bool

	mu     sync.Mutex
	people map[string]*dweller
	tokens map[string]*dweller
	half   map[string]*dweller // by the token of a login that asks for a code
}

type dweller struct {
	email, password, secret string
	on                      bool
	wrong                   int
}

const towerSpec = `openapi: 3.0.3
info: {title: Tower, version: "1"}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
security: [{bearer: []}]
paths:
  /accounts:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}}
  /login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {access_token: {type: string}, mfa_required: {type: boolean}, mfa_token: {type: string}}}}}}}
  /login/mfa:
    post:
      summary: Complete a login with a one-time code
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [mfa_token, otp], properties: {mfa_token: {type: string}, otp: {type: string, pattern: "^[0-9]{6}$"}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {access_token: {type: string}}}}}}}
  /account/mfa/setup:
    post:
      summary: Get the secret of an authenticator
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {secret: {type: string}, uri: {type: string}}}}}}}
  /account/mfa/confirm:
    post:
      summary: Turn the second factor on
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [otp], properties: {otp: {type: string, pattern: "^[0-9]{6}$"}}}}}}
      responses: {"200": {description: "on"}}
  /account:
    get:
      summary: The account of the caller
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {email: {type: string}, floor: {type: string}}}}}}}
`

func (s *tower) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	var in struct {
		Email, Password, OTP string
		Token                string `json:"mfa_token"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	s.mu.Lock()
	defer s.mu.Unlock()
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	me := s.tokens[bearer]
	if me == nil && s.open["skipped"] {
		me = s.half[bearer]
	}
	give := func(d *dweller) {
		t := rand.Text()
		s.tokens[t] = d
		answer(200, map[string]any{"access_token": t})
	}
	right := func(d *dweller) bool {
		code, err := scenario.TOTP(d.secret, time.Now())
		earlier, _ := scenario.TOTP(d.secret, time.Now().Add(-30*time.Second))
		return err == nil && (in.OTP == code || in.OTP == earlier)
	}
	switch key := r.Method + " " + r.URL.Path; {
	case key == "POST /accounts":
		if len(in.Password) < 8 || !strings.Contains(in.Email, "@") || s.people[in.Email] != nil {
			fail(422)
			return
		}
		s.people[in.Email] = &dweller{email: in.Email, password: in.Password}
		answer(201, map[string]any{"email": in.Email})
	case key == "POST /login":
		d := s.people[in.Email]
		switch {
		case d == nil || d.password != in.Password:
			fail(401)
		case d.on:
			t := rand.Text()
			s.half[t] = d
			answer(200, map[string]any{"mfa_required": true, "mfa_token": t})
		default:
			give(d)
		}
	case key == "POST /login/mfa":
		d := s.half[in.Token]
		switch {
		case d == nil:
			fail(401)
		case !right(d):
			if d.wrong++; d.wrong >= 5 && !s.open["unlimited"] {
				delete(s.half, in.Token)
			}
			fail(401)
		default:
			delete(s.half, in.Token)
			give(d)
		}
	case me == nil:
		fail(401)
	case key == "POST /account/mfa/setup":
		me.secret = base32.StdEncoding.EncodeToString([]byte(rand.Text()[:20]))
		answer(200, map[string]any{"secret": me.secret, "uri": "otpauth://totp/Tower:x?secret=" + me.secret})
	case key == "POST /account/mfa/confirm":
		if me.secret == "" || !right(me) {
			fail(422)
			return
		}
		me.on = true
		answer(200, map[string]any{"mfa": "on"})
	case key == "GET /account":
		answer(200, map[string]any{"email": me.email, "floor": "the seventh, on the left"})
	default:
		fail(404)
	}
}

// TestTower: a second factor that can be skipped or guessed is found, and one that holds is not.
func TestTower(t *testing.T) {
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"skipped", []string{"second-factor-skipped POST /login second-factor"}},
		{"unlimited", []string{"second-factor-unlimited POST /login/mfa body./otp"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			s := &tower{open: map[string]bool{}, people: map[string]*dweller{}, tokens: map[string]*dweller{}, half: map[string]*dweller{}}
			for _, hole := range strings.Fields(c.open) {
				s.open[hole] = true
			}
			if got := rows(t, towerSpec, s, "second-factor-skipped", "second-factor-unlimited", "auth-missing", "auth-garbage"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
