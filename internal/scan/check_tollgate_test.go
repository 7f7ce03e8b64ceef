package scan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// tollgate is an API whose tokens may name no end. Where it keeps sessions, a logout ends
// them; else it is answered and nothing happens.
type tollgate struct {
	ends, keeps bool

	mu   sync.Mutex
	n    int
	gone map[string]bool
}

const tollgateSpec = `openapi: 3.0.3
info: {title: Tollgate, version: "1"}
security: [{bearer: []}]
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
paths:
  /login: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}}
  /logout: {post: {summary: Log out, responses: {"204": {description: out}}}}
  /me: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {email: {type: string}, plate: {type: string}}}}}}}}}
`

// tollSigned is a token's first two parts with their signature.
func tollSigned(parts string) string {
	h := hmac.New(sha256.New, []byte("b1946ac92492d2347c6235b4d2611184-9f"))
	_, _ = h.Write([]byte(parts))
	return parts + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func (s *tollgate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/login" {
		var in struct{ Email, Password string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		name, _, _ := strings.Cut(in.Email, "@")
		if in.Password != name+"-pays-31" {
			w.WriteHeader(401)
			return
		}
		s.n++
		end := ""
		if s.ends {
			end = fmt.Sprintf(`,"exp":%d`, time.Now().Add(time.Hour).Unix())
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": tollSigned("eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"sub":%q,"n":%d%s}`, name, s.n, end)))})
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, claims, err := scenario.ParseJWT(token)
	if err != nil || s.gone[token] || tollSigned(token[:strings.LastIndexByte(token, '.')]) != token {
		w.WriteHeader(401)
		return
	}
	if r.URL.Path == "/logout" {
		if s.keeps {
			s.gone[token] = true
		}
		w.WriteHeader(204)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"email": fmt.Sprint(claims["sub"]) + "@tolls.example", "plate": "HH " + fmt.Sprint(claims["sub"]) + " 1964"})
}

// A token that names no end is told of where nothing else ends it.
func TestTokensThatNameNoEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		s    *tollgate
		want bool
	}{
		{"no end", &tollgate{}, true},
		{"an end", &tollgate{ends: true}, false},
		{"sessions that the server keeps", &tollgate{keeps: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.gone = map[string]bool{}
			o := served(t, tollgateSpec, c.s, "jwt-endless", "session-logout")
			o.Actors = actor.Config{NoRegister: true, Accounts: map[string]actor.Account{}}
			for name, who := range map[string]string{actor.User: "nancy", actor.Peer: "oscar"} {
				o.Actors.Accounts[name] = actor.Account{Login: &actor.Login{Email: who + "@tolls.example", Password: actor.Text(who + "-pays-31")}}
			}
			if got := find(scanned(t, o).Report, "jwt-endless") != nil; got != c.want {
				t.Errorf("told: %v, want %v", got, c.want)
			}
		})
	}
}
