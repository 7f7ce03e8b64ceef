package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// locker is an office where each sailor leaves one draft of a letter, written by the
// session alone and read by the sailor's name; and says a few words of themselves, which
// are there for all to read. Open, drafts are shown to whoever names the sailor.
type locker struct {
	open bool

	mu      sync.Mutex
	sailors map[string]string
	drafts  map[string]string
	mottoes map[string]string
}

const lockerSpec = `openapi: 3.0.3
info: {title: Locker, version: '1'}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Sailor: {type: object, required: [username, password], properties: {username: {type: string, minLength: 3}, password: {type: string, minLength: 8}}}
security: [{bearer: []}]
paths:
  /register:
    post: {security: [], requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Sailor'}}}}, responses: {'201': {description: made}}}
  /login:
    post: {security: [], requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Sailor'}}}}, responses: {'200': {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}
  /draft:
    post: {summary: Leave your draft, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string}}}}}}, responses: {'200': {description: kept, content: {application/json: {schema: {type: object, properties: {kept: {type: boolean}}}}}}}}
    get: {summary: Read your draft, parameters: [{name: username, in: query, required: true, schema: {type: string}}], responses: {'200': {description: it, content: {application/json: {schema: {type: object, properties: {text: {type: string}}}}}}}}
  /motto:
    post: {summary: Say something about yourself to everybody, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string}}}}}}, responses: {'200': {description: kept}}}
    get: {summary: A sailor's motto, parameters: [{name: username, in: query, required: true, schema: {type: string}}], responses: {'200': {description: it, content: {application/json: {schema: {type: object, properties: {text: {type: string}}}}}}}}
`

func (s *locker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	in := map[string]string{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	s.mu.Lock()
	defer s.mu.Unlock()
	me, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer sailor-token-of-")
	named := r.URL.Query().Get("username")
	switch key := r.Method + " " + r.URL.Path; {
	case key == "POST /register" && len(in["username"]) > 2 && len(in["password"]) > 7 && s.sailors[in["username"]] == "":
		s.sailors[in["username"]] = in["password"]
		answer(201, map[string]any{})
	case key == "POST /register":
		answer(422, map[string]any{"error": "no"})
	case key == "POST /login" && in["password"] != "" && s.sailors[in["username"]] == in["password"]:
		answer(200, map[string]any{"token": "sailor-token-of-" + in["username"]})
	case s.sailors[me] == "":
		answer(401, map[string]any{"error": "sign in"})
	case key == "POST /draft" && in["text"] != "":
		s.drafts[me] = in["text"]
		answer(200, map[string]any{"kept": true})
	case key == "POST /motto" && in["text"] != "":
		s.mottoes[me] = in["text"]
		answer(200, map[string]any{"kept": true})
	case key == "GET /draft" && s.drafts[named] != "" && (s.open || named == me):
		answer(200, map[string]any{"text": s.drafts[named]})
	case key == "GET /motto" && s.mottoes[named] != "":
		answer(200, map[string]any{"text": s.mottoes[named]})
	default:
		answer(404, map[string]any{"error": "nothing"})
	}
}

// TestLocker: what an account keeps one of is found where others read it by the name of
// whose it is, and what is there for all is not.
func TestLocker(t *testing.T) {
	for _, open := range []bool{true, false} {
		t.Run(fmt.Sprintf("open=%v", open), func(t *testing.T) {
			t.Parallel()
			s := &locker{open: open, sailors: map[string]string{}, drafts: map[string]string{}, mottoes: map[string]string{}}
			r := tested(t, lockerSpec, s, "bola-read").Report
			if found := has(r.Findings, "bola-read", "GET", "/draft", "query.username"); found != open {
				t.Errorf("another's draft found: %v", found)
			}
			if has(r.Findings, "bola-read", "GET", "/motto", "query.username") {
				t.Error("what is said to everybody was taken for private")
			}
		})
	}
}
