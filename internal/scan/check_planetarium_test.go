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

// planetarium has shows that were there before anybody came, each with three seats, and
// hosts who take guests along to what they know of the sky: a walk is never one's own.
// With open set, tickets and places are looked up by their number alone.
type planetarium struct {
	open bool

	mu     sync.Mutex
	n      int
	people map[string]string // e-mail address → password
	keys   map[string]string // key → e-mail address
	sold   map[int]int       // by show
	made   map[string]map[int]*ticket
}

type ticket struct {
	of, host string
	body     map[string]any
}

const planetariumSpec = `openapi: 3.0.3
info: {title: Planetarium, version: "1"}
security: [{key: []}]
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}
  schemas:
    Ticket: {type: object, properties: {ticket_id: {type: integer}, show_id: {type: integer}, note: {type: string}, owner: {type: string}}}
    Place: {type: object, properties: {place_id: {type: integer}, walk_id: {type: integer}, wish: {type: string}, guest: {type: string}}}
paths:
  /register: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}, responses: {"201": {description: made}}}}
  /login: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {key: {type: string}}}}}}}}}
  /shows: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object, properties: {show_id: {type: integer}, title: {type: string}}}}}}}}}}
  /tickets:
    post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [show_id, note], properties: {show_id: {type: integer}, note: {type: string}}}}}}, responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Ticket"}}}}}}
    get: {description: The caller's own tickets, responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Ticket"}}}}}}}
  /tickets/{ticket_id}:
    parameters: [{in: path, name: ticket_id, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Ticket"}}}}}}
    patch: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [note], properties: {note: {type: string}}}}}}, responses: {"200": {description: ok}}}
  /walks:
    post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string}}}}}}, responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {walk_id: {type: integer}, title: {type: string}}}}}}}}
    get: {description: All walks, responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object, properties: {walk_id: {type: integer}, title: {type: string}}}}}}}}}
  /places:
    post: {description: "A place on somebody's walk", requestBody: {required: true, content: {application/json: {schema: {type: object, required: [walk_id, wish], properties: {walk_id: {type: integer}, wish: {type: string}}}}}}, responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Place"}}}}}}
    get: {description: The caller's own places, responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Place"}}}}}}}
  /places/{place_id}:
    parameters: [{in: path, name: place_id, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Place"}}}}}}
`

func newPlanetarium(open bool) *planetarium {
	return &planetarium{open: open, people: map[string]string{}, keys: map[string]string{}, sold: map[int]int{}, made: map[string]map[int]*ticket{"tickets": {}, "walks": {}, "places": {}}}
}

func (s *planetarium) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in map[string]any
	_ = json.NewDecoder(q.Body).Decode(&in)
	status, answer := s.answer(q, in)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *planetarium) answer(q *http.Request, in map[string]any) (int, any) {
	text := func(name string) string { v, _ := in[name].(string); return v }
	no := func(status int, why string) (int, any) { return status, map[string]string{"error": why} }
	switch q.Method + " " + q.URL.Path {
	case "POST /register":
		if text("email") == "" || text("password") == "" || s.people[text("email")] != "" {
			return no(400, "no")
		}
		s.people[text("email")] = text("password")
		return 201, map[string]string{"email": text("email")}
	case "POST /login":
		if p := s.people[text("email")]; p == "" || p != text("password") {
			return no(401, "no")
		}
		s.n++
		key := fmt.Sprintf("k%d-%x", s.n, s.n*104729)
		s.keys[key] = text("email")
		return 200, map[string]string{"key": key}
	}
	me := s.keys[q.Header.Get("X-Key")]
	if me == "" {
		return no(401, "no key")
	}
	kind, id, one := strings.Cut(strings.TrimPrefix(q.URL.Path, "/"), "/")
	switch {
	case kind == "shows" && q.Method == "GET":
		var list []any
		for i := range 9 {
			list = append(list, map[string]any{"show_id": 101 + i, "title": fmt.Sprintf("The sky in month %d", i)})
		}
		return 200, list
	case s.made[kind] == nil:
		return no(404, "no such page")
	case one:
		return s.one(q.Method, kind, id, me, text("note"))
	case q.Method == "GET":
		list := []any{}
		for _, e := range s.made[kind] {
			if e.of == me || kind == "walks" {
				list = append(list, e.body)
			}
		}
		return 200, list
	}
	return s.make(kind, me, in)
}

func (s *planetarium) make(kind, me string, in map[string]any) (int, any) {
	s.n++
	e := &ticket{of: me, body: map[string]any{strings.TrimSuffix(kind, "s") + "_id": s.n}}
	number := func(name string) int { v, _ := in[name].(float64); return int(v) }
	refuse := func(status int, why string) (int, any) { return status, map[string]string{"error": why} }
	for _, name := range map[string][]string{"tickets": {"note"}, "walks": {"title"}, "places": {"wish"}}[kind] {
		if in[name] == nil || in[name] == "" {
			return refuse(400, name+" is required")
		}
		e.body[name] = in[name]
	}
	switch kind {
	case "tickets":
		show := number("show_id")
		switch {
		case show < 101 || show > 109:
			return refuse(404, "no such show")
		case s.sold[show] == 3:
			return refuse(409, "sold out")
		}
		s.sold[show]++
		e.body["show_id"], e.body["owner"] = show, me
	case "places":
		walk := s.made["walks"][number("walk_id")]
		switch {
		case walk == nil:
			return refuse(404, "no such walk")
		case walk.of == me:
			return refuse(409, "this is your own walk")
		}
		e.host, e.body["walk_id"], e.body["guest"] = walk.of, number("walk_id"), me
	}
	s.made[kind][s.n] = e
	return 201, e.body
}

func (s *planetarium) one(method, kind, id, me, note string) (int, any) {
	var n int
	_, _ = fmt.Sscan(id, &n)
	e := s.made[kind][n]
	if e == nil || kind == "walks" || e.of != me && e.host != me && !s.open {
		return 404, map[string]string{"error": "not found"}
	}
	if method == "PATCH" && note != "" {
		e.body["note"] = note
	}
	return 200, e.body
}

// TestPlanetarium: what proofs need is made of another show when one is sold out, and a
// place that is as much its host's as its guest's is gone after by somebody else.
func TestPlanetarium(t *testing.T) {
	for _, c := range []struct {
		open bool
		want []string
	}{
		{false, nil},
		{true, []string{"bola-read GET /places/{place_id} path.place_id", "bola-read GET /tickets/{ticket_id} path.ticket_id", "bola-write PATCH /tickets/{ticket_id} path.ticket_id"}},
	} {
		t.Run(fmt.Sprintf("open=%v", c.open), func(t *testing.T) {
			t.Parallel()
			if got := rows(t, planetariumSpec, newPlanetarium(c.open), "bola-read", "bola-write"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
