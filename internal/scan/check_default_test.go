package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
)

// forge asks for credentials everywhere, its description says; its licences are
// there for all all the same, as they should be. When it is open, so are the
// notes of its users.
type forge struct {
	open bool

	mu    sync.Mutex
	users []string
	notes map[string]string // text by owner
}

const forgeSpec = `swagger: "2.0"
info: {title: Forge, version: "1"}
securityDefinitions: {token: {type: apiKey, in: header, name: Authorization}}
security: [{token: []}]
paths:
  /register:
    post:
      security: []
      parameters: [{in: body, name: body, required: true, schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}]
      responses: {"201": {description: made}}
  /login:
    post:
      security: []
      parameters: [{in: body, name: body, required: true, schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}]
      responses: {"200": {description: ok, schema: {type: object, properties: {token: {type: string}}}}}
  /me:
    get: {responses: {"200": {description: ok, schema: {type: object, properties: {email: {type: string}}}}}}
  /licenses:
    get: {summary: Licence templates, responses: {"200": {description: ok, schema: {type: array, items: {type: object, properties: {key: {type: string}, text: {type: string}}}}}}}
  /notes:
    get: {summary: Your notes, responses: {"200": {description: ok, schema: {type: array, items: {$ref: '#/definitions/Note'}}}}}
    post:
      parameters: [{in: body, name: body, required: true, schema: {type: object, required: [text], properties: {text: {type: string}}}}]
      responses: {"201": {description: made, schema: {$ref: '#/definitions/Note'}}}
  /notes/{id}:
    get:
      summary: One of your notes
      parameters: [{in: path, name: id, required: true, type: string}]
      responses: {"200": {description: ok, schema: {$ref: '#/definitions/Note'}}}
definitions: {Note: {type: object, properties: {id: {type: string}, text: {type: string}}}}
`

func (s *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	me := ""
	for i, u := range s.users {
		if r.Header.Get("Authorization") == fmt.Sprintf("token-%d-of-the-forge", i) {
			me = u
		}
	}
	switch id := strings.TrimPrefix(r.URL.Path, "/notes/"); {
	case r.URL.Path == "/licenses":
		answer(200, []map[string]string{{"key": "apache-2.0", "text": "You may use it as you like, and must say whose it is."}})
	case r.URL.Path == "/register":
		s.users = append(s.users, body["email"]+"\x00"+body["password"])
		answer(201, map[string]string{"email": body["email"]})
	case r.URL.Path == "/login":
		for i, u := range s.users {
			if u == body["email"]+"\x00"+body["password"] {
				answer(200, map[string]string{"token": fmt.Sprintf("token-%d-of-the-forge", i)})
				return
			}
		}
		answer(401, map[string]string{"message": "wrong"})
	case id != r.URL.Path && s.open && s.notes[id] != "":
		_, text, _ := strings.Cut(s.notes[id], "\x00\x00")
		answer(200, map[string]string{"id": id, "text": text})
	case me == "":
		answer(401, map[string]string{"message": "token is required"})
	case r.URL.Path == "/me":
		email, _, _ := strings.Cut(me, "\x00")
		answer(200, map[string]string{"email": email})
	case r.URL.Path == "/notes" && r.Method == http.MethodPost:
		id := fmt.Sprintf("n%07d", 1000+len(s.notes))
		s.notes[id] = me + "\x00\x00" + body["text"]
		answer(201, map[string]string{"id": id, "text": body["text"]})
	case r.URL.Path == "/notes":
		list := []map[string]string{}
		for id, n := range s.notes {
			if text, mine := strings.CutPrefix(n, me+"\x00\x00"); mine {
				list = append(list, map[string]string{"id": id, "text": text})
			}
		}
		answer(200, list)
	case id != r.URL.Path && strings.HasPrefix(s.notes[id], me+"\x00\x00"):
		answer(200, map[string]string{"id": id, "text": strings.TrimPrefix(s.notes[id], me+"\x00\x00")})
	default:
		answer(404, map[string]string{"message": "no such thing"})
	}
}

// A default for the whole description says little of one operation: what is there
// for all is told, and harms nobody; what is somebody's is a hole.
func TestOpenAgainstTheDefault(t *testing.T) {
	for _, open := range []bool{true, false} {
		res := scanned(t, served(t, forgeSpec, &forge{open: open, notes: map[string]string{}}, "auth-missing"))
		for _, f := range res.Report.Findings {
			switch {
			case f.Path == "/licenses" && f.Severity == finding.Info, open && f.Path == "/notes/{id}" && f.Severity == finding.High:
			default:
				t.Errorf("open=%v: %s %s", open, f.Severity, f.Title)
			}
		}
		if got := has(res.Report.Findings, "auth-missing", "GET", "/notes/{id}", ""); got != open {
			t.Errorf("open=%v: the notes were found open: %v", open, got)
		}
	}
}
