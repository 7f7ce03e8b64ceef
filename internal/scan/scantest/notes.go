package scantest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Spec describes it (OpenAPI 3.0).
const Spec = `openapi: 3.0.3
info: {title: Notes <b>& more</b>, version: '1'}
paths:
  /signup:
    post:
      operationId: signup
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}
      responses: {'201': {description: made}}
  /login:
    post:
      operationId: login
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}
      responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /notes:
    get:
      operationId: listNotes
      security: [{bearer: []}]
      responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Note'}}}}}}
    post:
      operationId: createNote
      security: [{bearer: []}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string}}}}}}
      responses: {'201': {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}}
  /notes/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get:
      operationId: getNote
      security: [{bearer: []}]
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}}
    delete:
      operationId: deleteNote
      security: [{bearer: []}]
      responses: {'204': {description: gone}}
  /broken:
    get:
      operationId: broken
      security: [{bearer: []}]
      responses: {'200': {description: ok}}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Person: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, format: password, minLength: 8}}}
    Note: {type: object, properties: {id: {type: integer}, text: {type: string}, owner: {type: string}}}
`

// Notes is a small API.
type Notes struct {
	// Open lets everybody who is logged in read every note: BOLA, and the only hole.
	Open bool

	mu     sync.Mutex
	people map[string]string // email → password
	tokens map[string]string // token → email
	list   []note
}

type note struct {
	ID    int    `json:"id"`
	Text  string `json:"text"`
	Owner string `json:"owner"`
}

func (n *Notes) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.people == nil {
		n.people, n.tokens = map[string]string{}, map[string]string{}
	}
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var in struct{ Email, Password, Text string }
	if q.Method == http.MethodPost {
		if err := json.NewDecoder(q.Body).Decode(&in); err != nil {
			say(400, map[string]string{"error": "no JSON"})
			return
		}
	}
	switch q.Method + " " + q.URL.Path {
	case "POST /signup":
		if !strings.Contains(in.Email, "@") || len(in.Password) < 8 || n.people[in.Email] != "" {
			say(400, map[string]string{"error": "email or password"})
			return
		}
		n.people[in.Email] = in.Password
		say(201, map[string]string{"email": in.Email})
		return
	case "POST /login":
		if n.people[in.Email] == "" || n.people[in.Email] != in.Password {
			say(401, map[string]string{"error": "no"})
			return
		}
		token := fmt.Sprintf("t%016x-%d", len(n.tokens)*7919+104729, len(n.tokens))
		n.tokens[token] = in.Email
		say(200, map[string]string{"token": token})
		return
	}
	who := n.tokens[strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")]
	if who == "" {
		say(401, map[string]string{"error": "who are you?"})
		return
	}
	switch {
	case q.Method+q.URL.Path == "POST/notes":
		n.list = append(n.list, note{len(n.list) + 1, in.Text, who})
		say(201, n.list[len(n.list)-1])
	case q.Method+q.URL.Path == "GET/notes":
		mine := []note{}
		for _, x := range n.list {
			if x.Owner == who {
				mine = append(mine, x)
			}
		}
		say(200, mine)
	case strings.HasPrefix(q.URL.Path, "/notes/"):
		id := 0
		_, _ = fmt.Sscan(strings.TrimPrefix(q.URL.Path, "/notes/"), &id)
		for i, x := range n.list {
			if x.ID != id || x.Owner != who && !(n.Open && q.Method == http.MethodGet) {
				continue
			}
			if q.Method == http.MethodDelete {
				n.list[i].Owner, n.list[i].ID = "", -1
				w.WriteHeader(http.StatusNoContent)
				return
			}
			say(200, x)
			return
		}
		say(404, map[string]string{"error": "no such note"})
	default:
		say(404, map[string]string{"error": "no such thing"})
	}
}

// Left is how many notes are there.
func (n *Notes) Left() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	left := 0
	for _, x := range n.list {
		if x.ID > 0 {
			left++
		}
	}
	return left
}

// Rewrite gives the first note that is there another text, as an API does that
// has forgotten a note and given its number to another.
func (n *Notes) Rewrite(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.list {
		if n.list[i].ID > 0 {
			n.list[i].Text = text
			return
		}
	}
}
