package scan

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// readingRoom is an API below a base path that has the version, with what teams
// leave open around it: the version before, a page for developers that the
// description has, a redirect, a reset whose answer holds the code, and an
// operation for its staff that all may call.
type readingRoom struct {
	open bool

	mu     sync.Mutex
	n      int
	people map[string]map[string]string
	tokens map[string]string
	pins   map[string]string
	wrong  map[string]int
	files  map[string]map[string]any
	labels map[string]map[string]any
	db     *sql.DB
}

const readingRoomSpec = `openapi: 3.0.3
info: {title: Reading room, version: "3"}
servers: [{url: "https://reading.example/svc/v3"}]
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
security: [{bearer: []}]
paths:
  /readers:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, email, password], properties: {username: {type: string, minLength: 3}, email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made}}
  /session:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /me:
    get:
      summary: Who am I
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {username: {type: string}, email: {type: string}}}}}}}
  /password-resets:
    post:
      summary: Ask for a PIN
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email], properties: {email: {type: string, format: email}}}}}}
      responses: {"202": {description: mailed}}
  /password-resets/confirm:
    post:
      summary: Set a new password with the PIN
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, pin, new_password], properties: {username: {type: string}, pin: {type: string}, new_password: {type: string}}}}}}
      responses: {"204": {description: done}}
  /requests:
    post:
      summary: Order one of my files
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [purpose], properties: {purpose: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Request"}}}}}
    get:
      summary: My requests
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Request"}}}}}}
  /requests/{request_id}:
    get:
      summary: One of my requests
      parameters: [{name: request_id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Request"}}}}}
  /labels:
    post:
      summary: Make a label (curators)
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Label"}}}}}
  /labels/{label_id}:
    get:
      summary: A label
      security: []
      parameters: [{name: label_id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Label"}}}}}
  /shelves:
    get:
      summary: Shelves
      security: []
      parameters: [{name: sort, in: query, schema: {type: string}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: object, properties: {id: {type: integer}, title: {type: string}}}}}}}}
  /shelves/{shelf_id}/picture:
    post:
      summary: Suggest a picture
      parameters: [{name: shelf_id, in: path, required: true, schema: {type: integer}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [image_url], properties: {image_url: {type: string}}}}}}
      responses: {"200": {description: fetched}}
  /onward:
    get:
      summary: Go on
      security: []
      parameters: [{name: to, in: query, schema: {type: string}, example: /start}]
      responses: {"302": {description: there}}
  /debug/settings:
    get:
      summary: Settings
      security: []
      responses: {"200": {description: them}}
`

func (s *readingRoom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	in := map[string]any{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	text := func(name string) string { v, _ := in[name].(string); return v }
	s.mu.Lock()
	defer s.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/svc/v3")
	if !ok {
		old, was := strings.CutPrefix(r.URL.Path, "/svc/v2/requests/")
		if f := s.files[old]; was && s.open && f != nil && r.Method == http.MethodGet {
			answer(200, f)
			return
		}
		fail(404)
		return
	}
	me := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	switch key := r.Method + " " + path; {
	case key == "POST /readers":
		if len(text("username")) < 3 || s.people[text("username")] != nil || len(text("password")) < 8 || !strings.Contains(text("email"), "@") {
			fail(422)
			return
		}
		s.people[text("username")] = map[string]string{"email": text("email"), "password": text("password")}
		answer(201, map[string]any{"message": "welcome"})
		return
	case key == "POST /session":
		p := s.people[text("username")]
		if p == nil || p["password"] != text("password") {
			fail(401)
			return
		}
		s.n++
		t := fmt.Sprintf("ar%08dt%08d", s.n*7919, s.n*104729)
		s.tokens[t] = text("username")
		answer(200, map[string]any{"token": t})
		return
	case key == "POST /password-resets":
		out := map[string]any{"message": "if we know you, a PIN is on its way"}
		for name, p := range s.people {
			if p["email"] == text("email") {
				s.n++
				s.pins[name] = fmt.Sprintf("%08d", s.n*1299709%100000000)
				if s.open {
					out["pin"] = s.pins[name]
				}
			}
		}
		answer(202, out)
		return
	case key == "POST /password-resets/confirm":
		name := text("username")
		if pin := s.pins[name]; pin == "" || pin != text("pin") {
			if s.wrong[name]++; s.wrong[name]%5 == 0 {
				delete(s.pins, name)
			}
			fail(400)
			return
		}
		delete(s.pins, text("username"))
		s.people[text("username")]["password"] = text("new_password")
		w.WriteHeader(204)
		return
	case strings.HasPrefix(key, "GET /labels/"):
		if l := s.labels[strings.TrimPrefix(path, "/labels/")]; l != nil {
			answer(200, l)
			return
		}
		fail(404)
		return
	case key == "GET /shelves":
		s.shelves(r.URL.Query(), answer, fail)
		return
	case key == "GET /onward":
		to := r.URL.Query().Get("to")
		if !s.open && (!strings.HasPrefix(to, "/") || strings.ContainsAny(to[1:], `/\`)) {
			to = "/start"
		}
		w.Header().Set("Location", to)
		w.WriteHeader(302)
		return
	case key == "GET /debug/settings":
		out := map[string]any{"debug": false, "database": "main", "mail_password": "****"}
		if s.open {
			out["mail_password"] = "relay-4711"
		}
		answer(200, out)
		return
	}
	if me == "" {
		fail(401)
		return
	}
	switch key := r.Method + " " + path; {
	case key == "GET /me":
		answer(200, map[string]any{"username": me, "email": s.people[me]["email"]})
	case key == "POST /requests":
		if text("purpose") == "" {
			fail(422)
			return
		}
		s.n++
		id := fmt.Sprint(s.n)
		s.files[id] = map[string]any{"id": s.n, "reader": me, "purpose": text("purpose")}
		answer(201, s.files[id])
	case key == "GET /requests":
		mine := []any{}
		for _, f := range s.files {
			if f["reader"] == me {
				mine = append(mine, f)
			}
		}
		answer(200, mine)
	case strings.HasPrefix(key, "GET /requests/"):
		if f := s.files[strings.TrimPrefix(path, "/requests/")]; f != nil && f["reader"] == me {
			answer(200, f)
			return
		}
		fail(404)
	case key == "POST /shelves/31/picture" || key == "POST /shelves/32/picture":
		if !s.open {
			answer(202, map[string]any{"queued": true})
			return
		}
		c := &http.Client{Timeout: time.Second}
		x, err := c.Get(text("image_url"))
		if err != nil {
			fail(502)
			return
		}
		_ = x.Body.Close()
		answer(200, map[string]any{"fetched": true})
	case key == "POST /labels":
		if !s.open {
			fail(403)
			return
		}
		if text("title") == "" {
			fail(422)
			return
		}
		s.n++
		s.labels[fmt.Sprint(s.n)] = map[string]any{"id": s.n, "title": text("title")}
		answer(201, s.labels[fmt.Sprint(s.n)])
	default:
		fail(404)
	}
}

// shelves are listed in the order that a caller names: as the open twin's
// database works it out, or one of two.
func (s *readingRoom) shelves(q url.Values, answer func(int, any), fail func(int)) {
	order := "id"
	if q.Has("sort") {
		order = q.Get("sort")
	}
	if !s.open && order != "id" && order != "title" {
		fail(422)
		return
	}
	rows, err := s.db.Query("SELECT id, title FROM shelves ORDER BY " + order)
	if err != nil {
		fail(500)
		return
	}
	defer func() { _ = rows.Close() }()
	list := []any{}
	for rows.Next() {
		var id int
		var title string
		if rows.Scan(&id, &title) != nil {
			break
		}
		list = append(list, map[string]any{"id": id, "title": title})
	}
	if rows.Err() != nil {
		fail(500)
		return
	}
	answer(200, list)
}

func TestReadingRoom(t *testing.T) {
	t.Parallel()
	spec := strings.Replace(readingRoomSpec, "components: {", "components: {schemas: {Request: {type: object, properties: {id: {type: integer}, reader: {type: string}, purpose: {type: string}}}, Label: {type: object, properties: {id: {type: integer}, title: {type: string}}}}, ", 1)
	twins(t, spec, func(t *testing.T, open bool) http.Handler {
		db, err := sql.Open("sqlite", ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1) // each connection has a memory of its own
		t.Cleanup(func() { _ = db.Close() })
		if _, err := db.Exec("CREATE TABLE shelves (id INTEGER, title TEXT); INSERT INTO shelves VALUES (31, 'Maps'), (32, 'Letters'), (33, 'Deeds')"); err != nil {
			t.Fatal(err)
		}
		return &readingRoom{open: open, db: db, people: map[string]map[string]string{}, tokens: map[string]string{}, pins: map[string]string{}, wrong: map[string]int{}, files: map[string]map[string]any{}, labels: map[string]map[string]any{}}
	}, []hole{
		{"old-version", "GET", "/svc/v2/requests/{request_id}", "credentials"},
		{"debug-exposed", "GET", "/debug/settings", "path"},
		{"open-redirect", "GET", "/onward", "query.to"},
		{"reset-token-leak", "POST", "/password-resets", "answer./pin"},
		{"bfla", "POST", "/labels", "role"},
		{"ssrf", "POST", "/shelves/{shelf_id}/picture", "body./image_url"},
		{"sqli", "GET", "/shelves", "query.sort"},
	}, "ssrf", "sqli", "bola-shared", "old-version", "debug-exposed", "open-redirect", "reset-token-leak", "bfla", "bola-account")
}
