package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

// boathouse lets nobody register. Open, it counts no wrong passwords, and tells whoever
// has forgotten one what there is to know; its fixed twin locks an account after five.
type boathouse struct {
	open bool

	mu    sync.Mutex
	n     int
	wrong map[string]int
	keys  map[string]string // what sets a password, by whose
	set   int               // passwords that were set
}

const boathouseSpec = `openapi: 3.0.3
info: {title: Boathouse, version: "1"}
security: [{bearer: []}]
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
paths:
  /login: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}}
  /password/forgot: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, required: [email], properties: {email: {type: string}}}}}}, responses: {"202": {description: ok}}}}
  /password/reset: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, required: [token, new_password], properties: {token: {type: string}, new_password: {type: string}}}}}}, responses: {"204": {description: set}}}}
  /me: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {email: {type: string}, locker: {type: string}}}}}}}}}
`

func (s *boathouse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	say := func(code int, v map[string]any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	in := map[string]string{}
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
		say(400, map[string]any{"error": "JSON of texts, please"})
		return
	}
	who, _, _ := strings.Cut(in["email"], "@")
	there := slices.Contains([]string{"ratty", "mole", "toad"}, who)
	s.n++
	switch r.URL.Path {
	case "/login":
		switch {
		case !s.open && s.wrong[in["email"]] >= 5:
			say(429, map[string]any{"error": "too many"})
		case !there || in["password"] != who+"-messes-about-6":
			s.wrong[in["email"]]++
			say(401, map[string]any{"error": "wrong"})
		default:
			s.wrong[in["email"]] = 0
			say(200, map[string]any{"token": fmt.Sprintf("bh.%s.%024x", who, s.n*7919)})
		}
	case "/password/forgot":
		said := map[string]any{"state": "sent"}
		switch {
		case s.open && !there:
			say(404, map[string]any{"error": "nobody of that name"})
			return
		case s.open:
			said["token"] = fmt.Sprintf("%020x-%d", s.n*104729, s.n)
			s.keys[fmt.Sprint(said["token"])] = who
		}
		say(202, said)
	case "/password/reset":
		if s.keys[in["token"]] == "" {
			say(400, map[string]any{"error": "no such token"})
			return
		}
		s.set++
		say(204, nil)
	case "/me":
		_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Bearer bh.")
		me, end, _ := strings.Cut(rest, ".")
		if len(end) != 24 {
			say(401, map[string]any{"error": "log in"})
			return
		}
		say(200, map[string]any{"email": me + "@river.example", "locker": "shelf of " + me})
	default:
		say(404, map[string]any{"error": "no such thing"})
	}
}

// Where accounts are given and none can be registered, one of those given stands in for
// what bursts may do to an account; its password stays what it is.
func TestAGivenAccountStandsIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		open bool
		mode string
		want []string
	}{
		{"open", true, "aggressive", []string{"login-unlimited POST /login", "reset-enumeration POST /password/forgot", "reset-token-leak POST /password/forgot"}},
		{"fixed", false, "aggressive", nil},
		{"open, without bursts", true, "default", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &boathouse{open: c.open, wrong: map[string]int{}, keys: map[string]string{}}
			o := served(t, boathouseSpec, s, "login-unlimited", "reset-enumeration", "reset-token-leak")
			o.Mode, o.Actors = c.mode, actor.Config{NoRegister: true, Accounts: map[string]actor.Account{}}
			for name, who := range map[string]string{actor.User: "ratty", actor.Peer: "mole", actor.Foreign: "toad"} {
				o.Actors.Accounts[name] = actor.Account{Login: &actor.Login{Email: who + "@river.example", Password: actor.Text(who + "-messes-about-6")}}
			}
			var got []string
			for _, f := range scanned(t, o).Report.Findings {
				got = append(got, f.Check+" "+f.Method+" "+f.Path)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.set > 0 || s.wrong["ratty@river.example"] > 1 || s.wrong["mole@river.example"] > 1 {
				t.Errorf("%d passwords were set; wrong ones: %v", s.set, s.wrong)
			}
		})
	}
}
