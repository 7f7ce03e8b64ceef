package scan

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// archive is an API with records that are their owner's alone: one looks whose a
// record is, and another reads it, and with a hole open they do not read the same.
type archive struct {
	open map[string]bool

	mu      sync.Mutex
	n       int
	people  map[string]map[string]any // by e-mail address
	tokens  map[string]map[string]any
	records map[int]map[string]any
}

const archiveSpec = `openapi: 3.0.3
info: {title: Archive, version: "1"}
components:
  securitySchemes: {token: {type: apiKey, in: header, name: X-Archive-Token}}
  schemas:
    Record: {type: object, properties: {record_id: {type: integer}, owner_id: {type: integer}, title: {type: string}, remark: {type: string}}}
security: [{token: []}]
paths:
  /readers:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}}}}}}}
  /readers/login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /readers/me:
    get:
      summary: The account of the caller
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, email: {type: string}, shelf: {type: string}}}}}}}
  /records:
    post:
      summary: Keep a private record
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title, remark], properties: {title: {type: string, maxLength: 80}, remark: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: kept, content: {application/json: {schema: {$ref: "#/components/schemas/Record"}}}}}
  /records/{record_id}:
    get:
      summary: One of your own records
      parameters: [{name: record_id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Record"}}}}, "404": {description: not there}}
    patch:
      summary: Change one of your own records
      parameters: [{name: record_id, in: path, required: true, schema: {type: integer}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {title: {type: string, maxLength: 80}, remark: {type: string, maxLength: 80}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Record"}}}}, "404": {description: not there}}
  /record-summary:
    get:
      summary: What one of your own records says
      parameters: [{name: record_id, in: query, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Record"}}}}, "404": {description: not there}}
  /records/lookup:
    post:
      summary: Find one of your own records
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [record_id], properties: {record_id: {type: integer}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Record"}}}}, "404": {description: not there}}
`

// number is what a JSON value says of an identifier: all that a loose one reads.
func number(v any) (int, bool) {
	switch v := v.(type) {
	case float64:
		return int(v), true
	case string:
		n, err := strconv.Atoi(strings.TrimSpace(v))
		return n, err == nil
	case []any:
		if len(v) > 0 {
			return number(v[len(v)-1])
		}
	case map[string]any:
		return number(v["id"])
	}
	return 0, false
}

func (s *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	s.mu.Lock()
	defer s.mu.Unlock()
	in := map[string]any{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields; of two, the last counts
	me := s.tokens[r.Header.Get("X-Archive-Token")]
	if id, err := strconv.Atoi(r.Header.Get("X-User-Id")); err == nil && s.open["header"] && me != nil {
		for _, p := range s.people {
			if p["id"] == id {
				me = p
			}
		}
	}
	public := r.URL.Path == "/readers" || r.URL.Path == "/readers/login"
	if me == nil && !public {
		fail(401)
		return
	}
	// show shows a record whose reading was granted for one identifier, and which is read by another.
	show := func(granted, read int) {
		a, b := s.records[granted], s.records[read]
		if a == nil || b == nil || a["owner_id"] != me["id"] {
			fail(404)
			return
		}
		answer(200, b)
	}
	query := r.URL.Query()["record_id"]
	first, _ := strconv.Atoi(append(query, "")[0])
	last := first
	if len(query) > 0 {
		last, _ = strconv.Atoi(query[len(query)-1])
	}
	text := func(name string) string { v, _ := in[name].(string); return v }
	id, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/records/"))
	switch {
	case r.Method == "POST" && r.URL.Path == "/readers":
		if s.people[text("email")] != nil || len(text("password")) < 8 || !strings.Contains(text("email"), "@") {
			fail(422)
			return
		}
		s.n++
		s.people[text("email")] = map[string]any{"id": 500 + s.n, "email": text("email"), "password": text("password")}
		answer(201, map[string]any{"id": 500 + s.n})
	case r.Method == "POST" && r.URL.Path == "/readers/login":
		p := s.people[text("email")]
		if p == nil || p["password"] != text("password") {
			fail(401)
			return
		}
		t := rand.Text()
		s.tokens[t] = p
		answer(200, map[string]any{"token": t})
	case r.Method == "GET" && r.URL.Path == "/readers/me":
		answer(200, map[string]any{"id": me["id"], "email": me["email"], "shelf": "third from the left"})
	case r.Method == "POST" && r.URL.Path == "/records":
		if text("title") == "" || text("remark") == "" {
			fail(422)
			return
		}
		s.n++
		s.records[9000+s.n] = map[string]any{"record_id": 9000 + s.n, "owner_id": me["id"], "title": text("title"), "remark": text("remark")}
		answer(201, s.records[9000+s.n])
	case r.URL.Path == "/record-summary" && r.Method == "GET":
		switch {
		case len(query) > 1 && s.open["twice"]:
			show(first, last)
		case len(query) > 1:
			fail(400)
		case len(r.URL.Query()["record_id[]"]) == 1 && s.open["list"]:
			n, _ := strconv.Atoi(r.URL.Query().Get("record_id[]"))
			if b := s.records[n]; b != nil {
				answer(200, b)
				return
			}
			fail(404)
		default:
			show(first, first)
		}
	case r.URL.Path == "/records/lookup" && r.Method == "POST":
		n, ok := in["record_id"].(float64)
		if !ok {
			loose, some := number(in["record_id"])
			if b := s.records[loose]; s.open["types"] && some && b != nil {
				answer(200, b) // only numbers are looked at
				return
			}
			fail(422)
			return
		}
		show(int(n), int(n))
	case strings.HasPrefix(r.URL.Path, "/records/") && r.Method == "GET":
		if s.open["merged"] && first > 0 {
			show(id, first)
			return
		}
		if trimmed, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/records/"), ".json")); s.open["suffix"] && id == 0 && s.records[trimmed] != nil {
			answer(200, s.records[trimmed])
			return
		}
		show(id, id)
	case strings.HasPrefix(r.URL.Path, "/records/") && (r.Method == "PATCH" || r.Method == "PUT" && s.open["put"]):
		rec := s.records[id]
		if rec == nil || rec["owner_id"] != me["id"] && r.Method == "PATCH" {
			fail(404)
			return
		}
		if n, ok := in["record_id"].(float64); ok && s.open["body-id"] && s.records[int(n)] != nil {
			rec = s.records[int(n)]
		}
		for _, f := range []string{"title", "remark"} {
			if text(f) != "" {
				rec[f] = text(f)
			}
		}
		answer(200, rec)
	default:
		fail(404)
	}
}

// TestArchive: each way around the owner's check is found where it is open, and no other.
func TestArchive(t *testing.T) {
	checks := []string{"bola-read", "bola-write", "bola-list", "bola-variant", "identity-header", "old-version"}
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"twice", []string{"bola-variant GET /record-summary query.record_id"}},
		{"list", []string{"bola-variant GET /record-summary query.record_id"}},
		{"types", []string{"bola-variant POST /records/lookup body./record_id"}},
		{"merged", []string{"bola-variant GET /records/{record_id} path.record_id"}},
		{"suffix", []string{"bola-variant GET /records/{record_id} path.record_id"}},
		{"put", []string{"bola-variant PUT /records/{record_id} path.record_id"}},
		{"body-id", []string{"bola-variant PATCH /records/{record_id} path.record_id"}},
		{"header", []string{"identity-header   header.X-User-Id"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			s := &archive{open: map[string]bool{}, people: map[string]map[string]any{}, tokens: map[string]map[string]any{}, records: map[int]map[string]any{}}
			for _, hole := range strings.Fields(c.open) {
				s.open[hole] = true
			}
			if got := rows(t, archiveSpec, s, checks...); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
