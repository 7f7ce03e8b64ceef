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

const stargazersSpec = `openapi: 3.0.3
info: {title: Stargazers, version: "1"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Plate: {type: object, properties: {id: {type: integer}, note: {type: string}}}
    Observer: {type: object, required: [username, password], properties: {username: {type: string, minLength: 3}, password: {type: string, minLength: 8}}}
security: [{bearer: []}]
paths:
  /observers:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Observer'}}}}
      responses: {"201": {description: made}}
  /login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Observer'}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /observers/me:
    get:
      summary: The account of the caller
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {username: {type: string}, dome: {type: string}}}}}}}
  /plates:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [note], properties: {note: {type: string, minLength: 3, maxLength: 200}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Plate'}}}}}
  /plates/{plateId}:
    get:
      parameters: [{name: plateId, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: '#/components/schemas/Plate'}}}}}
  /plates/search:
    post:
      summary: Look up several plates at once
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [plate_ids], properties: {plate_ids: {type: array, maxItems: 20, items: {type: integer}}}}}}}
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Plate'}}}}}}
  /weather:
    get:
      security: []
      responses: {"200": {description: now, content: {application/json: {schema: {type: object, properties: {seeing: {type: string}, wind: {type: string}}}}}}}
`

type glassPlate struct {
	ID   int    `json:"id"`
	Note string `json:"note"`
	by   string
}

// stargazers has a factory account, a login whose password becomes part of a query,
// a search that works any list off, and one page that names the software; or none of them.
type stargazers struct {
	open bool

	mu     sync.Mutex
	people map[string]string
	tokens map[string]string
	plates []*glassPlate
}

// matches is what a document database makes of a password that is no text.
func (s *stargazers) matches(want string, given any) bool {
	m, operator := given.(map[string]any)
	if !operator || !s.open {
		return given == want
	}
	if v, ok := m["$ne"]; ok {
		return v != want
	}
	return m["$eq"] == want
}

func (s *stargazers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	refuse := func(status int, text string) { say(status, map[string]string{"error": text}) }
	in := map[string]any{}
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(400, "no JSON")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name, _ := in["username"].(string)
	me := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	id, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/plates/"))
	switch at := r.Method + " " + r.URL.Path; {
	case at == "POST /observers":
		if p, _ := in["password"].(string); len(name) < 3 || len(p) < 8 || s.people[name] != "" {
			refuse(422, "username or password")
			return
		}
		s.people[name], _ = in["password"].(string)
		say(201, map[string]string{"username": name})
	case at == "POST /login":
		if s.people[name] == "" || !s.matches(s.people[name], in["password"]) {
			refuse(401, "no")
			return
		}
		token := fmt.Sprintf("ob-%06d-%d", 7919*(len(s.tokens)+1), len(s.tokens))
		s.tokens[token] = name
		say(200, map[string]string{"token": token})
	case at == "GET /weather":
		if s.open {
			w.Header().Set("X-Powered-By", "Almanac/2.4.1")
		}
		say(200, map[string]string{"seeing": "fair", "wind": "calm all night"})
	case me == "":
		refuse(401, "who are you")
	case at == "GET /observers/me":
		say(200, map[string]string{"username": me, "dome": "the western one"})
	case at == "POST /plates":
		note, _ := in["note"].(string)
		if len(note) < 3 || len(note) > 200 {
			refuse(422, "note")
			return
		}
		s.plates = append(s.plates, &glassPlate{len(s.plates) + 1, note, me})
		say(201, s.plates[len(s.plates)-1])
	case at == "POST /plates/search":
		ids, ok := in["plate_ids"].([]any)
		if !ok || len(ids) > 20 && !s.open {
			refuse(422, "plate_ids: 20 at most")
			return
		}
		out := []*glassPlate{}
		for _, p := range s.plates {
			if p.by == me && slices.Contains(ids, any(float64(p.ID))) {
				out = append(out, p)
			}
		}
		say(200, out)
	case r.Method == http.MethodGet && id > 0 && id <= len(s.plates) && s.plates[id-1].by == me:
		say(200, s.plates[id-1])
	default:
		refuse(404, "nothing here")
	}
}

func TestStargazers(t *testing.T) {
	twins(t, stargazersSpec, func(_ *testing.T, open bool) http.Handler {
		s := &stargazers{open: open, people: map[string]string{"admin": "a long one that nobody guesses"}, tokens: map[string]string{}}
		if open {
			s.people["admin"] = "changeme"
		}
		return s
	}, []hole{
		{"batch-size", "POST", "/plates/search", ""}, {"default-credentials", "POST", "/login", ""}, {"nosql-login", "POST", "/login", ""}, {"banner", "", "", "header.X-Powered-By"},
	}, "batch-size", "default-credentials", "nosql-login", "banner")
}
