package scan

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
)

// shelf is an API with a public list of books whose pages may have a maximum.
// It repeats what size it was asked for, whatever it gives.
type shelf struct {
	most int // of a page; 0: none

	mu     sync.Mutex
	books  []string
	people map[string]string
}

const shelfSpec = `openapi: 3.0.3
info: {title: Shelf, version: "1"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Book: {type: object, properties: {id: {type: integer}, title: {type: string}}}
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
  /books:
    get:
      parameters: [{name: page_size, in: query, schema: {type: integer}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {page_size: {type: integer}, books: {type: array, items: {$ref: "#/components/schemas/Book"}}}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Book"}}}}}
`

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	var in struct{ Email, Password, Title string }
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
		answer(400, map[string]any{"error": "no JSON"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "POST /register", "POST /login":
		if known, ok := s.people[in.Email]; ok != (r.URL.Path == "/login") || ok && known != in.Password || len(in.Password) < 8 {
			answer(401, map[string]any{"error": "no"})
			return
		}
		s.people[in.Email] = in.Password
		answer(map[bool]int{true: 201, false: 200}[r.URL.Path == "/register"], map[string]any{"token": "t-" + in.Email})
		return
	}
	if _, ok := s.people[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer t-")]; !ok {
		answer(401, map[string]any{"error": "who is it"})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /books":
		size := 20
		if q := r.URL.Query().Get("page_size"); q != "" {
			n, err := strconv.Atoi(q)
			if err != nil || n < 1 {
				answer(422, map[string]any{"error": "page_size"})
				return
			}
			size = n
		}
		give := min(size, len(s.books))
		if s.most > 0 {
			give = min(give, s.most)
		}
		list := []any{}
		for i, t := range s.books[len(s.books)-give:] {
			list = append(list, map[string]any{"id": len(s.books) - give + i + 1, "title": t})
		}
		answer(200, map[string]any{"page_size": size, "books": list})
	case "POST /books":
		s.books = append(s.books, in.Title)
		answer(201, map[string]any{"id": len(s.books), "title": in.Title})
	default:
		answer(404, map[string]any{"error": "nothing"})
	}
}

// Where no maximum is described, only what grows beyond any usual one is a hole:
// what repeats the size that was asked for, and gives a fixed number, is none.
func TestPageSizeWithoutDescription(t *testing.T) {
	for _, c := range []struct {
		name        string
		books, most int
		want        finding.Severity
	}{
		{"a maximum of 250", 600, 250, ""},
		{"a maximum of 1000", 1300, 1000, ""},
		{"a maximum, and fewer books", 40, 50, ""},
		{"none, and few books", 40, 0, finding.Low},
		{"none, and no books", 0, 0, finding.Low},
		{"a maximum of 100, and no books", 0, 100, ""},
		{"none, and some books", 150, 0, finding.Low},
		{"none, and many books", 1300, 0, finding.Medium},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &shelf{most: c.most, books: make([]string, c.books), people: map[string]string{}}
			r := tested(t, shelfSpec, s, "page-size").Report
			f := find(r, "page-size")
			switch {
			case c.want == "" && f != nil:
				t.Errorf("a false alarm: %s %s", f.Severity, f.Title)
			case c.want != "" && (f == nil || f.Severity != c.want || f.Where != "query.page_size"):
				t.Errorf("%+v, want %s", f, c.want)
			}
		})
	}
}

// A maximum that is described and not kept is seen in as few objects as the run
// makes itself; one that is kept is no alarm, whatever size the answer repeats.
func TestPageSizeDescribed(t *testing.T) {
	spec := strings.Replace(shelfSpec, "{name: page_size, in: query, schema: {type: integer}}", "{name: page_size, in: query, schema: {type: integer, minimum: 1, maximum: 40}}", 1)
	for _, c := range []struct {
		name  string
		books int
		most  int
		want  bool
	}{
		{"kept, and hardly a book", 2, 40, false},
		{"kept, and no book", 0, 40, false},
		{"not kept, and no book", 0, 0, true},
		{"not kept, and hardly a book", 2, 0, true},
		{"another maximum, which is more than described", 2, 200, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &shelf{most: c.most, books: make([]string, c.books), people: map[string]string{}}
			r := tested(t, spec, s, "page-size").Report
			if f := find(r, "page-size"); (f != nil) != c.want {
				t.Errorf("%+v, want one: %v", f, c.want)
			}
			if n := len(s.books); n > 140 {
				t.Errorf("%d books were made", n)
			}
		})
	}
}
