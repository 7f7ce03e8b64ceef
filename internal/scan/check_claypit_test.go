package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// claypit names its objects by their addresses and by nothing else, as Google's AIP-122 and
// HAL have it: "name": "pits/4f/blocks/9a", "_links": {"self": {"href": "/v1/pits/4f"}}.
// With open set it looks at no owner.
type claypit struct {
	open, hal bool

	mu     sync.Mutex
	n      int
	people map[string]string
	keys   map[string]string
	things map[string]*stone // by address
}

type stone struct {
	of   string
	body map[string]any
}

const claypitSpec = `openapi: 3.0.3
info: {title: Claypit, version: "1"}
security: [{key: []}]
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}}
paths:
  /v1/register: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}, responses: {"201": {description: made}}}}
  /v1/login: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {key: {type: string}}}}}}}}}
  /v1/pits:
    post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string}}}}}}, responses: {"201": {description: made}}}
    get: {description: The caller's own, responses: {"200": {description: ok}}}
  /v1/pits/{pit}:
    get: {parameters: [{in: path, name: pit, required: true, schema: {type: string}}], responses: {"200": {description: ok}}}
  /v1/pits/{pit}/blocks:
    post: {parameters: [{in: path, name: pit, required: true, schema: {type: string}}], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [note], properties: {note: {type: string}}}}}}, responses: {"201": {description: made}}}
  /v1/pits/{pit}/blocks/{block}:
    parameters: [{in: path, name: pit, required: true, schema: {type: string}}, {in: path, name: block, required: true, schema: {type: string}}]
    get: {responses: {"200": {description: ok}}}
    patch: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [note], properties: {note: {type: string}}}}}}, responses: {"200": {description: ok}}}
`

func (s *claypit) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in map[string]any
	_ = json.NewDecoder(q.Body).Decode(&in)
	status, answer := s.answer(q, in)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

var rePit = regexp.MustCompile(`^pits(/[0-9a-f]+(/blocks(/[0-9a-f]+)?)?)?$`)

func (s *claypit) answer(q *http.Request, in map[string]any) (int, any) {
	text := func(name string) string { v, _ := in[name].(string); return v }
	no := func(status int) (int, any) { return status, map[string]string{"error": http.StatusText(status)} }
	at := strings.TrimPrefix(q.URL.Path, "/v1/")
	s.n++
	switch q.Method + " " + at {
	case "POST register":
		if text("email") == "" || text("password") == "" || s.people[text("email")] != "" {
			return no(400)
		}
		s.people[text("email")] = text("password")
		return 201, map[string]string{}
	case "POST login":
		if p := s.people[text("email")]; p == "" || p != text("password") {
			return no(401)
		}
		key := fmt.Sprintf("k%d-%x", s.n, s.n*104729)
		s.keys[key] = text("email")
		return 200, map[string]string{"key": key}
	}
	me := s.keys[q.Header.Get("X-Key")]
	switch {
	case me == "":
		return no(401)
	case !rePit.MatchString(at):
		return no(404)
	}
	parts := strings.Split(at, "/")
	if len(parts) > 1 { // the pit decides who may
		if pit := s.things[strings.Join(parts[:2], "/")]; pit == nil || pit.of != me && !s.open {
			return no(404)
		}
	}
	if len(parts)%2 == 0 {
		t := s.things[at]
		if t == nil {
			return no(404)
		}
		if q.Method == http.MethodPatch && text("note") != "" {
			t.body["note"] = text("note")
		}
		return 200, t.body
	}
	if q.Method == http.MethodGet {
		list := []any{}
		for address, t := range s.things {
			if t.of == me && strings.Count(address, "/") == 1 {
				list = append(list, t.body)
			}
		}
		return 200, map[string]any{"pits": list}
	}
	field := map[int]string{1: "title", 3: "note"}[len(parts)]
	if text(field) == "" {
		return no(400)
	}
	address := fmt.Sprintf("%s/%x", at, s.n*104729)
	body := map[string]any{field: text(field)}
	if s.hal {
		body["_links"] = map[string]any{"self": map[string]any{"href": "/v1/" + address}}
	} else {
		body["name"] = address
	}
	s.things[address] = &stone{me, body}
	return 201, body
}

// TestClaypit: objects that are known by their addresses alone are found, made, and gone after.
func TestClaypit(t *testing.T) {
	holes := []string{"bola-read GET /v1/pits/{pit} path.pit", "bola-read GET /v1/pits/{pit}/blocks/{block} path.block", "bola-write PATCH /v1/pits/{pit}/blocks/{block} path.block"}
	for _, hal := range []bool{false, true} {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprintf("hal=%v,open=%v", hal, open), func(t *testing.T) {
				t.Parallel()
				var want []string
				if open {
					want = holes
				}
				s := &claypit{open: open, hal: hal, people: map[string]string{}, keys: map[string]string{}, things: map[string]*stone{}}
				if got := rows(t, claypitSpec, s, "bola-read", "bola-write"); !slices.Equal(got, want) {
					t.Errorf("found %q, want %q", got, want)
				}
			})
		}
	}
}
