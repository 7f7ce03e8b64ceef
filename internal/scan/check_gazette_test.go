package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// gazette is an API in which some things are for editors: columns, which everybody sees,
// and to approve what authors submit.
type gazette struct {
	open bool

	mu       sync.Mutex
	people   map[string]string // token by e-mail address and password
	columns  map[string]string
	articles map[string]*gazetteArticle
	n        int
}

type gazetteArticle struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	State  string `json:"state"`
	Author string `json:"author"`
}

const gazetteSpec = `openapi: 3.0.3
info: {title: Gazette, version: "1"}
security: [{bearer: []}]
paths:
  /signup:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"201": {description: made}}
  /login:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /columns:
    get:
      responses: {"200": {description: all, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Column"}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Column"}}}}}
  /columns/{columnId}:
    parameters: [{name: columnId, in: path, required: true, schema: {type: string}}]
    get:
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Column"}}}}}
    put:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Column"}}}}}
  /articles:
    get:
      responses: {"200": {description: the caller's, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Article"}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string, maxLength: 100}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Article"}}}}}
  /articles/{articleId}:
    parameters: [{name: articleId, in: path, required: true, schema: {type: string}}]
    get:
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Article"}}}}}
  /articles/{articleId}/submit:
    parameters: [{name: articleId, in: path, required: true, schema: {type: string}}]
    post:
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Article"}}}}}
  /articles/{articleId}/approve:
    parameters: [{name: articleId, in: path, required: true, schema: {type: string}}]
    post:
      summary: APPROVE
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Article"}}}}}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Column: {type: object, properties: {id: {type: string}, name: {type: string}}}
    Article: {type: object, properties: {id: {type: string}, title: {type: string}, state: {type: string}, author: {type: string}}}
`

func newGazette(open bool) http.Handler {
	return &gazette{open: open, people: map[string]string{}, columns: map[string]string{"c-culture": "Culture", "c-letters": "Letters to us"}, articles: map[string]*gazetteArticle{}}
}

func (s *gazette) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]string{"error": http.StatusText(status)}) }
	var in struct{ Email, Password, Name, Title string }
	if r.Method != http.MethodGet && r.ContentLength > 0 && json.NewDecoder(r.Body).Decode(&in) != nil {
		fail(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	credentials := in.Email + "\n" + in.Password
	switch r.Method + " " + r.URL.Path {
	case "POST /signup":
		if in.Email == "" || in.Password == "" || s.people[credentials] != "" {
			fail(http.StatusUnprocessableEntity)
			return
		}
		s.n++
		s.people[credentials] = fmt.Sprintf("%x-%d", len(credentials)*7919+s.n*104729, s.n)
		answer(http.StatusCreated, map[string]string{"email": in.Email})
		return
	case "POST /login":
		token := s.people[credentials]
		if token == "" {
			fail(http.StatusUnauthorized)
			return
		}
		answer(http.StatusOK, map[string]string{"token": token})
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	who := ""
	for person, t := range s.people {
		if t == token {
			who, _, _ = strings.Cut(person, "\n")
		}
	}
	if who == "" {
		fail(http.StatusUnauthorized)
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	id := ""
	if len(parts) > 1 {
		id = parts[1]
	}
	article := s.articles[id]
	column := func(id string) map[string]string { return map[string]string{"id": id, "name": s.columns[id]} }
	switch route := r.Method + " " + parts[0] + strings.Repeat("/*", len(parts)-1); {
	case route == "GET columns":
		answer(http.StatusOK, []any{column("c-culture"), column("c-letters")})
	case route == "POST columns", route == "PUT columns/*" && !s.open:
		fail(http.StatusForbidden)
	case route == "GET columns/*" && s.columns[id] != "":
		answer(http.StatusOK, column(id))
	case route == "PUT columns/*" && s.columns[id] != "" && in.Name != "":
		s.columns[id] = in.Name
		answer(http.StatusOK, column(id))
	case route == "GET articles":
		list := []any{}
		for _, a := range s.articles {
			if a.Author == who {
				list = append(list, a)
			}
		}
		answer(http.StatusOK, list)
	case route == "POST articles" && in.Title != "":
		s.n++
		a := &gazetteArticle{ID: fmt.Sprintf("a%d", 1000+s.n*37), Title: in.Title, State: "draft", Author: who}
		s.articles[a.ID] = a
		answer(http.StatusCreated, a)
	case route == "GET articles/*" && article != nil && article.Author == who:
		answer(http.StatusOK, article)
	case route == "POST articles/*/*" && parts[2] == "submit" && article != nil && article.Author == who:
		article.State = "submitted"
		answer(http.StatusOK, article)
	case route == "POST articles/*/*" && parts[2] == "approve" && article != nil && article.Author == who && article.State == "submitted" && s.open:
		article.State = "approved"
		answer(http.StatusOK, article)
	case route == "POST articles/*/*" && parts[2] == "approve":
		fail(http.StatusForbidden)
	default:
		fail(http.StatusNotFound)
	}
}

// TestGazette: a role that is asked for where something is made and forgotten where it is
// changed, and what authors approve for themselves, are found; not where nothing says that
// somebody else decides.
func TestGazette(t *testing.T) {
	twins(t, strings.Replace(gazetteSpec, "APPROVE", "An editor, who is another person than the author, approves it", 1), func(_ *testing.T, open bool) http.Handler { return newGazette(open) },
		[]hole{{"bfla", "PUT", "/columns/{columnId}", "role"}, {"bfla", "POST", "/articles/{articleId}/approve", "role"}}, "bfla")
	for _, f := range tested(t, strings.Replace(gazetteSpec, "APPROVE", "Approve an article", 1), newGazette(true), "bfla").Report.Findings {
		if strings.HasSuffix(f.Path, "/approve") {
			t.Errorf("nobody said that somebody else decides: %s", f.Title)
		}
	}
}
