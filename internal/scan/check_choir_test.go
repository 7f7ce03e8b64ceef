package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// choir is an API whose singers have numbers, and whose accounts are changed by
// naming them: in the path, or in the body. Its fixed twin has two manners: it
// refuses another's, or takes no notice of who is named and changes the caller's.
type choir struct {
	open, deaf bool

	mu      sync.Mutex
	n       int
	singers map[int]map[string]string
	tokens  map[string]int
}

const choirSpec = `openapi: 3.0.3
info: {title: Choir, version: "1"}
components: {schemas: {Singer: {type: object, properties: {id: {type: integer}, email: {type: string}, voice_name: {type: string}}}}, securitySchemes: {key: {type: apiKey, in: header, name: X-Singer}}}
security: [{key: []}]
paths:
  /auth/register:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password, voice_name], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}, voice_name: {type: string}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}}}}}}}
  /auth/login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /auth/password:
    post:
      summary: Change password
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, new_password], properties: {email: {type: string, format: email}, old_password: {type: string}, new_password: {type: string, minLength: 8}}}}}}
      responses: {"200": {description: changed}}
  /profile:
    get:
      summary: Who am I
      responses: {"200": {description: me, content: {application/json: {schema: {$ref: "#/components/schemas/Singer"}}}}}
  /members/{memberId}:
    parameters: [{name: memberId, in: path, required: true, schema: {type: integer}}]
    patch:
      summary: Change a singer
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {voice_name: {type: string, maxLength: 80}}}}}}
      responses: {"200": {description: changed}}
    delete:
      summary: Leave the choir
      responses: {"204": {description: left}}
`

func (s *choir) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	in := map[string]string{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	s.mu.Lock()
	defer s.mu.Unlock()
	by := func(email string) int {
		for id, m := range s.singers {
			if m["email"] == email {
				return id
			}
		}
		return 0
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /auth/register":
		if len(in["password"]) < 8 || !strings.Contains(in["email"], "@") || in["voice_name"] == "" || by(in["email"]) != 0 {
			answer(422, map[string]any{"error": "email, password of 8 characters, voice_name"})
			return
		}
		s.n++
		s.singers[s.n] = map[string]string{"email": in["email"], "password": in["password"], "voice_name": in["voice_name"]}
		answer(201, map[string]any{"id": s.n})
		return
	case "POST /auth/login":
		id := by(in["email"])
		if id == 0 || s.singers[id]["password"] != in["password"] {
			answer(401, map[string]any{"error": "no"})
			return
		}
		token := fmt.Sprintf("k%d-%x", id, len(s.tokens)*7919+104729)
		s.tokens[token] = id
		answer(200, map[string]any{"token": token})
		return
	}
	me := s.tokens[r.Header.Get("X-Singer")]
	if s.singers[me] == nil {
		answer(401, map[string]any{"error": "no key"})
		return
	}
	// whose is whom a call is about: the one who is named, where that is allowed.
	whose := func(named int) int {
		switch {
		case s.open && s.singers[named] != nil, named == me:
			return named
		case s.deaf:
			return me
		}
		return 0
	}
	switch {
	case r.URL.Path == "/profile":
		answer(200, map[string]any{"id": me, "email": s.singers[me]["email"], "voice_name": s.singers[me]["voice_name"]})
	case r.URL.Path == "/auth/password":
		id := whose(by(in["email"]))
		if id == 0 || len(in["new_password"]) < 8 {
			answer(403, map[string]any{"error": "no"})
			return
		}
		s.singers[id]["password"] = in["new_password"]
		answer(200, map[string]any{"ok": true})
	case strings.HasPrefix(r.URL.Path, "/members/"):
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/members/"))
		id := whose(n)
		if id == 0 {
			answer(404, map[string]any{"error": "not found"})
			return
		}
		if r.Method == http.MethodDelete {
			delete(s.singers, id)
			w.WriteHeader(204)
			return
		}
		if in["voice_name"] != "" {
			s.singers[id]["voice_name"] = in["voice_name"]
		}
		answer(200, map[string]any{"ok": true})
	default:
		answer(404, map[string]any{"error": "not found"})
	}
}

// TestChoir: an account that is set a password, changed or deleted by another
// is found; that one's own account may be named is none, nor that who is named
// counts for nothing.
func TestChoir(t *testing.T) {
	all := []string{"DELETE /members/{memberId}", "PATCH /members/{memberId}", "POST /auth/password"}
	for _, c := range []struct {
		name       string
		open, deaf bool
		want       []string
	}{
		{"open", true, false, all},
		{"refuses", false, false, nil},
		{"takes no notice", false, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &choir{open: c.open, deaf: c.deaf, singers: map[int]map[string]string{}, tokens: map[string]int{}}
			var got []string
			for _, f := range tested(t, choirSpec, s, "bola-account").Report.Findings {
				got = append(got, f.Method+" "+f.Path)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
