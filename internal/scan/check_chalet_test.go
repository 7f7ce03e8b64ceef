package scan

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// chalet is an API in which some things are paid in one way only, and in which what
// calls want stands inside addresses.
type chalet struct {
	mu      sync.Mutex
	people  map[string]string
	tickets map[string]string // ticket → who is invited
	joined  int
}

const chaletSpec = `openapi: 3.0.3
info: {title: Chalet, version: "1"}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
security: [{bearer: []}]
paths:
  /register:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /login:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /stays:
    post:
      summary: Book a stay
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [nights, paid_by], properties: {nights: {type: integer, minimum: 1, maximum: 9}, paid_by: {type: string, enum: [credit, card, voucher, invoice]}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, nights: {type: integer}}}}}}, "402": {description: not paid}}
  /guests/invitations:
    post:
      summary: Invite somebody, by a link that can be sent on
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [note], properties: {note: {type: string}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {link: {type: string, format: uri}}}}}}}
  /invitations/{ticket}:
    get:
      summary: What an invitation says
      parameters: [{name: ticket, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {note: {type: string}}}}}}, "404": {description: none}}
  /invitations/{ticket}/join:
    post:
      summary: Follow an invitation
      parameters: [{name: ticket, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: in}, "404": {description: none}}
`

func (s *chalet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	var in struct {
		Email, Password, Note string
		Nights                int
		PaidBy                string `json:"paid_by"`
	}
	if r.Method == http.MethodPost && r.ContentLength > 0 && json.NewDecoder(r.Body).Decode(&in) != nil {
		answer(400, map[string]any{"error": "no JSON"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/register" || r.URL.Path == "/login" {
		if known, ok := s.people[in.Email]; ok != (r.URL.Path == "/login") || ok && known != in.Password || len(in.Password) < 8 {
			answer(401, map[string]any{"error": "no"})
			return
		}
		s.people[in.Email] = in.Password
		answer(map[bool]int{true: 201, false: 200}[r.URL.Path == "/register"], map[string]any{"token": "t-" + in.Email})
		return
	}
	me := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer t-")
	if _, ok := s.people[me]; !ok {
		answer(401, map[string]any{"error": "who is it"})
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == "POST" && r.URL.Path == "/stays":
		if in.PaidBy != "invoice" {
			answer(402, map[string]any{"error": "This is not enough."})
			return
		}
		answer(201, map[string]any{"id": 7, "nights": in.Nights})
	case r.Method == "POST" && r.URL.Path == "/guests/invitations":
		ticket := "k" + strings.Repeat("7q", 6) + string(rune('a'+len(s.tickets)%26)) + "x9"
		s.tickets[ticket] = in.Note
		answer(201, map[string]any{"link": "https://chalet.example/invitations/" + ticket})
	case len(parts) > 1 && parts[0] == "invitations":
		note, ok := s.tickets[parts[1]]
		switch {
		case !ok:
			answer(404, map[string]any{"error": "no such invitation"})
		case r.Method == "GET" && len(parts) == 2:
			answer(200, map[string]any{"note": note})
		case r.Method == "POST" && len(parts) == 3 && parts[2] == "join":
			s.joined++
			answer(200, map[string]any{"ok": true})
		default:
			answer(404, map[string]any{"error": "nothing"})
		}
	default:
		answer(404, map[string]any{"error": "nothing"})
	}
}

// What is paid in one way only, and what stands inside addresses, is reached.
func TestChalet(t *testing.T) {
	s := &chalet{people: map[string]string{}, tickets: map[string]string{}}
	r := tested(t, chaletSpec, s, "security-headers").Report
	for _, c := range r.Coverage {
		if !c.Reached {
			t.Errorf("not reached: %s %s: %s", c.Method, c.Path, c.Reason)
		}
	}
}
