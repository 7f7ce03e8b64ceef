package scan

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// workshop is an API with rooms that only wardens change, jobs that are paid
// before they are started, a public status page, XML orders, mails and files.
// With open set it has the holes that its fixed twin has not.
type workshop struct {
	open bool

	mu     sync.Mutex
	n      int
	people map[string]map[string]string // by e-mail address
	tokens map[string]map[string]string
	seats  int
	jobs   map[string]map[string]any
	files  map[string][2]string // type, content
}

const workshopSpec = `openapi: 3.1.0
info: {title: Workshop, version: "3"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Job: {type: object, properties: {id: {type: integer}, customer_id: {type: integer}, code: {type: string}, title: {type: string}, access_note: {type: string}, state: {type: string}}}
security: [{bearer: []}]
paths:
  /signup:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}}}}}}}
  /login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {access_token: {type: string}}}}}}}
  /me:
    get:
      summary: Who am I
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, email: {type: string}, role: {type: string}}}}}}}
  /room:
    get:
      summary: The room
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {room_name: {type: string}, seats: {type: integer}}}}}}}
    patch:
      summary: Change the room
      x-allowed-roles: [warden]
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {seats: {type: integer, minimum: 1, maximum: 500, example: 12}}}}}}
      responses: {"200": {description: it}, "403": {description: no}}
  /jobs:
    post:
      summary: Order a private job
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title, access_note], properties: {title: {type: string, maxLength: 60}, access_note: {type: string, maxLength: 60}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Job"}}}}}
  /jobs/{job_id}:
    get:
      summary: One of your own jobs
      parameters: [{name: job_id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Job"}}}}, "403": {description: no}}
  /jobs/{job_id}/start:
    post:
      summary: Start a job that is paid
      parameters: [{name: job_id, in: path, required: true, schema: {type: integer}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [payment_id], properties: {payment_id: {type: string, format: uuid}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Job"}}}}}
  /jobs/{job_id}/share:
    post:
      summary: Mail a link to somebody
      parameters: [{name: job_id, in: path, required: true, schema: {type: integer}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, subject], properties: {email: {type: string, format: email}, subject: {type: string, maxLength: 200}}}}}}
      responses: {"202": {description: sent, content: {application/json: {schema: {type: object, properties: {went_to: {type: array, items: {type: string}}}}}}}}
  /status/{code}:
    get:
      summary: How far a job is
      security: []
      parameters: [{name: code, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {state: {type: string}, title: {type: string}}}}}}}
  /orders/xml:
    post:
      summary: Order by a document
      requestBody: {required: true, content: {application/xml: {schema: {type: object, xml: {name: order}, required: [remark], properties: {remark: {type: string, example: soon}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {remark: {type: string}}}}}}}
  /pictures:
    post:
      summary: Upload a picture
      requestBody: {required: true, content: {multipart/form-data: {schema: {type: object, required: [file], properties: {file: {type: string, format: binary}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: string}}}}}}}
  /pictures/{picture_id}:
    get:
      summary: A picture
      parameters: [{name: picture_id, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {image/png: {schema: {type: string, format: binary}}}}}
`

var reEntity = regexp.MustCompile(`<!ENTITY (\w+) (?:SYSTEM )?"([^"]*)">`)

func (s *workshop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	s.mu.Lock()
	defer s.mu.Unlock()
	me := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	public := parts[0] == "signup" || parts[0] == "login" || parts[0] == "status"
	if me == nil && !public {
		fail(401)
		return
	}
	in := map[string]any{}
	var raw []byte
	if parts[0] != "pictures" {
		raw, _ = io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &in) // what is no JSON has no fields
	}
	text := func(name string) string { v, _ := in[name].(string); return v }
	method := r.Method
	if o := r.Header.Get("X-HTTP-Method-Override"); o != "" && s.open {
		method = o
	}
	var job map[string]any
	if parts[0] == "jobs" && len(parts) > 1 {
		if job = s.jobs[parts[1]]; job == nil || fmt.Sprint(job["customer_id"]) != me["id"] {
			fail(404)
			return
		}
		parts[1] = "{}"
	}
	switch key := method + " /" + strings.Join(parts, "/"); {
	case key == "POST /signup":
		if s.people[text("email")] != nil || len(text("password")) < 8 || !strings.Contains(text("email"), "@") {
			fail(422)
			return
		}
		s.n++
		s.people[text("email")] = map[string]string{"id": fmt.Sprint(700 + s.n), "email": text("email"), "password": text("password"), "role": "client"}
		answer(201, map[string]any{"id": 700 + s.n})
	case key == "POST /login":
		p := s.people[text("email")]
		if p == nil || p["password"] != text("password") {
			fail(401)
			return
		}
		s.n++
		t := fmt.Sprintf("wk%08dtoken%08d", s.n*7919, s.n*104729)
		s.tokens[t] = p
		answer(200, map[string]any{"access_token": t})
	case key == "GET /me":
		answer(200, map[string]any{"id": json.Number(me["id"]), "email": me["email"], "role": me["role"]})
	case key == "GET /room":
		answer(200, map[string]any{"room_name": "The long room", "seats": s.seats})
	case key == "PATCH /room" || key == "PUT /room" && s.open:
		if me["role"] != "warden" && r.Method == "PATCH" {
			fail(403)
			return
		}
		if n, ok := in["seats"].(float64); ok {
			s.seats = int(n)
		}
		answer(200, map[string]any{"room_name": "The long room", "seats": s.seats})
	case key == "POST /jobs":
		if text("title") == "" || text("access_note") == "" {
			fail(422)
			return
		}
		s.n++
		id := fmt.Sprint(90000 + s.n)
		j := map[string]any{"id": json.Number(id), "customer_id": json.Number(me["id"]), "code": fmt.Sprintf("WS%06dX", s.n*7919%1000000), "title": text("title"), "access_note": text("access_note"), "state": "new"}
		s.jobs[id] = j
		answer(201, j)
	case key == "GET /jobs/{}":
		answer(200, job)
	case key == "POST /jobs/{}/start":
		if !s.open {
			fail(409) // nobody can pay here, so nothing is paid
			return
		}
		job["state"] = "started"
		answer(200, job)
	case key == "POST /jobs/{}/share":
		if !s.open && strings.ContainsAny(text("subject")+text("email"), "\r\n") || !strings.Contains(text("email"), "@") {
			fail(422)
			return
		}
		m, err := mail.ReadMessage(strings.NewReader("To: " + text("email") + "\r\nSubject: " + text("subject") + "\r\n\r\nx\r\n"))
		if err != nil {
			fail(422)
			return
		}
		to := []string{}
		for _, h := range []string{"To", "Cc", "Bcc"} {
			if v := m.Header.Get(h); v != "" {
				to = append(to, v)
			}
		}
		answer(202, map[string]any{"went_to": to})
	case parts[0] == "status" && len(parts) == 2:
		for _, j := range s.jobs {
			if j["code"] == parts[1] {
				v := map[string]any{"state": j["state"], "title": j["title"]}
				if s.open {
					v["access_note"] = j["access_note"]
				}
				answer(200, v)
				return
			}
		}
		fail(404)
	case key == "POST /orders/xml":
		if m := reEntity.FindSubmatch(raw); m != nil {
			if !s.open {
				fail(400)
				return
			}
			value := string(m[2])
			if strings.HasPrefix(value, "http") {
				if x, err := http.Get(value); err == nil { // the hole
					_ = x.Body.Close()
				}
			}
			raw = bytes.ReplaceAll(raw, []byte("&"+string(m[1])+";"), []byte("x"))
			raw = regexp.MustCompile(`<!DOCTYPE[^\]]*\]>`).ReplaceAll(raw, nil)
		}
		var doc struct {
			Remark string `xml:"remark"`
		}
		if xml.Unmarshal(raw, &doc) != nil || doc.Remark == "" {
			fail(400)
			return
		}
		answer(201, map[string]any{"remark": doc.Remark})
	case key == "POST /pictures":
		f, h, err := r.FormFile("file")
		if err != nil {
			fail(400)
			return
		}
		content, _ := io.ReadAll(f)
		kind := h.Header.Get("Content-Type")
		if !s.open {
			if kind = http.DetectContentType(content); kind != "image/png" {
				fail(415)
				return
			}
		}
		s.n++
		id := fmt.Sprintf("pic%06d", s.n)
		s.files[id] = [2]string{kind, string(content)}
		answer(201, map[string]any{"id": id})
	case method == "GET" && parts[0] == "pictures" && len(parts) == 2 && s.files[parts[1]][0] != "":
		w.Header().Set("Content-Type", s.files[parts[1]][0])
		_, _ = io.WriteString(w, s.files[parts[1]][1])
	case strings.HasSuffix(key, " /room"):
		fail(405)
	default:
		fail(404)
	}
}

var workshopHoles = []struct{ check, method, path string }{
	{"bfla-variant", "PUT", "/room"},
	{"bfla-variant", "GET", "/room"},
	{"step-skipped", "POST", "/jobs/{job_id}/start"},
	{"header-injection", "POST", "/jobs/{job_id}/share"},
	{"public-excess", "GET", "/status/{code}"},
	{"xxe", "POST", "/orders/xml"},
	{"upload-unrestricted", "POST", "/pictures"},
}

// TestWorkshop: each hole of the workshop is found, and its fixed twin has none.
func TestWorkshop(t *testing.T) {
	for _, open := range []bool{true, false} {
		t.Run(fmt.Sprintf("open=%v", open), func(t *testing.T) {
			s := &workshop{open: open, seats: 12, people: map[string]map[string]string{}, tokens: map[string]map[string]string{}, jobs: map[string]map[string]any{}, files: map[string][2]string{}}
			res := tested(t, workshopSpec, s, "bfla", "bfla-variant", "step-skipped", "header-injection", "public-excess", "xxe", "upload-unrestricted", "bola-read", "mass-assignment")
			for _, h := range workshopHoles {
				if open && !has(res.Report.Findings, h.check, h.method, h.path, "") {
					t.Errorf("not found: %s %s %s", h.check, h.method, h.path)
				}
			}
			for _, f := range res.Report.Findings {
				if !open || !slices.ContainsFunc(workshopHoles, func(h struct{ check, method, path string }) bool { return h.path == f.Path }) && f.Check != "bola-read" {
					t.Errorf("what is no hole was found: %s %s [%s]", f.Check, f.Title, f.Where)
				}
			}
			if s.seats != 12 {
				t.Errorf("the room was left with %d seats", s.seats)
			}
		})
	}
}
