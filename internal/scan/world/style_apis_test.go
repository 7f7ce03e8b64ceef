package world

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// memo is a store behind the test servers: rows by collection.
type memo struct {
	mu   sync.Mutex
	n    int
	rows map[string][]row
}

type row struct {
	id, owner, under string
	fields           map[string]any
}

func (m *memo) add(kind, id, owner, under string, fields map[string]any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[kind] = append(m.rows[kind], row{id, owner, under, fields})
}

func (m *memo) next() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	return fmt.Sprint(m.n)
}

func (m *memo) find(kind, id, owner, under string) *row {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rows[kind] {
		if r := &m.rows[kind][i]; r.id == id && (owner == "" || r.owner == owner) && (under == "" || r.under == under) {
			return r
		}
	}
	return nil
}

func (m *memo) list(kind, owner, under string) []map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []map[string]any{}
	for _, r := range m.rows[kind] {
		if (owner == "" || r.owner == owner) && (under == "" || r.under == under) {
			out = append(out, r.fields)
		}
	}
	return out
}

func (m *memo) remove(kind, id, owner string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.rows[kind])
	m.rows[kind] = slices.DeleteFunc(m.rows[kind], func(r row) bool { return r.id == id && r.owner == owner })
	return len(m.rows[kind]) < before
}

// caller is who a request's token names.
func caller(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func body(r *http.Request) map[string]any {
	var v map[string]any
	raw, _ := io.ReadAll(r.Body)
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}

func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains([]string{"ann", "ben"}, caller(r)) {
			answer(w, 401, map[string]string{"error": "unauthorized"})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// strict is nested three deep, wraps its answers, and wants more than its
// description says.
func strict(m *memo) http.Handler {
	mux := http.NewServeMux()
	level := func(path, kind, parent, under string, check func(b map[string]any) []string) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if parent != "" && m.find(parent, r.PathValue(under), caller(r), "") == nil {
				answer(w, 404, map[string]string{"error": parent + " not found"})
				return
			}
			b := body(r)
			if errs := check(b); errs != nil {
				answer(w, 400, map[string]any{"statusCode": 400, "message": errs, "error": "Bad Request"})
				return
			}
			id := m.next()
			n := map[string]any{"ownerName": caller(r)}
			for k, v := range b {
				n[k] = v
			}
			n["id"] = json.Number(id)
			m.add(kind, id, caller(r), r.PathValue(under), n)
			answer(w, 201, map[string]any{"data": n})
		})
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			answer(w, 200, map[string]any{"data": m.list(kind, caller(r), r.PathValue(under)), "meta": map[string]int{"page": 1}})
		})
		mux.HandleFunc("GET "+path+"/{"+kind+"}", func(w http.ResponseWriter, r *http.Request) {
			o := m.find(kind, r.PathValue(kind), caller(r), r.PathValue(under))
			if o == nil {
				answer(w, 404, map[string]string{"error": kind + " not found"})
				return
			}
			answer(w, 200, map[string]any{"data": o.fields})
		})
		mux.HandleFunc("DELETE "+path+"/{"+kind+"}", func(w http.ResponseWriter, r *http.Request) {
			if !m.remove(kind, r.PathValue(kind), caller(r)) {
				answer(w, 404, map[string]string{"error": kind + " not found"})
				return
			}
			w.WriteHeader(204)
		})
	}
	known := func(b map[string]any, names ...string) (errs []string) {
		for k := range b {
			if !slices.Contains(names, k) {
				errs = append(errs, "property "+k+" should not exist")
			}
		}
		return errs
	}
	level("/workspaces", "workspace", "", "", func(b map[string]any) []string {
		errs := known(b, "name", "slug")
		if s, _ := b["name"].(string); len(s) < 3 || len(s) > 30 {
			errs = append(errs, "name must be longer than or equal to 3 and shorter than or equal to 30 characters")
		}
		if s, _ := b["slug"].(string); !regexp.MustCompile(`^[a-z0-9-]{3,40}$`).MatchString(s) {
			errs = append(errs, "slug must match /^[a-z0-9-]{3,40}$/ regular expression")
		}
		return errs
	})
	level("/workspaces/{workspace}/boards", "board", "workspace", "workspace", func(b map[string]any) []string {
		errs := known(b, "title", "visibility", "due")
		if s, _ := b["title"].(string); s == "" {
			errs = append(errs, "title should not be empty")
		}
		if s, _ := b["visibility"].(string); s != "private" && s != "team" {
			errs = append(errs, "visibility must be one of the following values: private, team")
		}
		if s, _ := b["due"].(string); !regexp.MustCompile(`^\d\d/\d\d/\d{4}$`).MatchString(s) {
			errs = append(errs, "due: invalid date format, expected DD/MM/YYYY")
		}
		return errs
	})
	level("/workspaces/{workspace}/boards/{board}/cards", "card", "board", "board", func(b map[string]any) []string {
		errs := known(b, "text", "points", "assignee")
		if s, _ := b["text"].(string); s == "" {
			errs = append(errs, "text should not be empty")
		}
		if n, ok := b["points"].(float64); !ok || n < 5 {
			errs = append(errs, "points must not be less than 5")
		}
		if s, _ := b["assignee"].(string); !strings.Contains(s, "@") {
			errs = append(errs, "assignee must be an email")
		}
		return errs
	})
	return guarded(mux)
}

const strictSpec = `
openapi: 3.0.3
info: {title: Boards, version: "1"}
components:
  securitySchemes: {b: {type: http, scheme: bearer}}
security: [{b: []}]
paths:
  /workspaces:
    get: {responses: {"200": {description: ok}}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {name: {type: string}, slug: {type: string}}}}}}
      responses: {"201": {description: ok}}
  /workspaces/{workspaceId}:
    parameters: [{in: path, name: workspaceId, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok}}}
    delete: {responses: {"204": {description: ok}}}
  /workspaces/{workspaceId}/boards:
    parameters: [{in: path, name: workspaceId, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok}}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {title: {type: string}, color: {type: string}}}}}}
      responses: {"201": {description: ok}}
  /workspaces/{workspaceId}/boards/{boardId}:
    parameters: [{in: path, name: workspaceId, required: true, schema: {type: integer}}, {in: path, name: boardId, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok}}}
    delete: {responses: {"204": {description: ok}}}
  /workspaces/{workspaceId}/boards/{boardId}/cards:
    parameters: [{in: path, name: workspaceId, required: true, schema: {type: integer}}, {in: path, name: boardId, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok}}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {text: {type: string}, points: {type: integer}}}}}}
      responses: {"201": {description: ok}}
  /workspaces/{workspaceId}/boards/{boardId}/cards/{cardId}:
    parameters: [{in: path, name: workspaceId, required: true, schema: {type: integer}}, {in: path, name: boardId, required: true, schema: {type: integer}}, {in: path, name: cardId, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok}}}
    delete: {responses: {"204": {description: ok}}}
`

// located answers a Create with nothing but a Location; identifiers are UUIDs.
func located(m *memo) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/notes", func(w http.ResponseWriter, r *http.Request) {
		b := body(r)
		if s, _ := b["body"].(string); s == "" {
			answer(w, 422, map[string]any{"errors": map[string][]string{"body": {"can't be blank"}}})
			return
		}
		id := fmt.Sprintf("3f1c2b4a-5d6e-4f70-8a9b-%012s", m.next())
		m.add("note", id, caller(r), "", map[string]any{"uuid": id, "body": b["body"], "tags": b["tags"]})
		w.Header().Set("Location", "/api/v1/notes/"+id)
		w.WriteHeader(201)
	})
	mux.HandleFunc("GET /api/v1/notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		if o := m.find("note", r.PathValue("id"), caller(r), ""); o != nil {
			answer(w, 200, o.fields)
			return
		}
		w.WriteHeader(404)
	})
	mux.HandleFunc("DELETE /api/v1/notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		if m.remove("note", r.PathValue("id"), caller(r)) {
			w.WriteHeader(204)
			return
		}
		w.WriteHeader(404)
	})
	return guarded(mux)
}

const locatedSpec = `
openapi: 3.0.3
info: {title: Notes, version: "1"}
components:
  securitySchemes: {b: {type: http, scheme: bearer}}
security: [{b: []}]
paths:
  /api/v1/notes:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [body], properties: {body: {type: string, maxLength: 100}, tags: {type: array, items: {type: string}}}}}}}
      responses: {"201": {description: made, headers: {Location: {schema: {type: string}}}}}
  /api/v1/notes/{noteId}:
    parameters: [{in: path, name: noteId, required: true, schema: {type: string, format: uuid}}]
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object}}}}}}
    delete: {responses: {"204": {description: gone}}}
`

// silent answers a Create with "ok": what it made is seen in a list alone. It
// takes forms, names things as it likes, and says nothing of its answers.
func silent(m *memo) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /addBook", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			http.Error(w, "only forms", http.StatusUnsupportedMediaType)
			return
		}
		_ = r.ParseForm()
		for _, name := range []string{"book_title", "author_name", "pages"} {
			if r.PostForm.Get(name) == "" {
				http.Error(w, "Missing required field: "+name, 400)
				return
			}
		}
		if !regexp.MustCompile(`^\d+$`).MatchString(r.PostForm.Get("pages")) {
			http.Error(w, "pages must be a number", 400)
			return
		}
		slug := "bk-" + m.next()
		m.add("book", slug, caller(r), "", map[string]any{"book_slug": slug, "title": r.PostForm.Get("book_title"), "author": r.PostForm.Get("author_name")})
		answer(w, 200, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /books/list", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, map[string]any{"Books": m.list("book", caller(r), "")})
	})
	mux.HandleFunc("GET /book/{slug}", func(w http.ResponseWriter, r *http.Request) {
		if o := m.find("book", r.PathValue("slug"), caller(r), ""); o != nil {
			answer(w, 200, o.fields)
			return
		}
		http.Error(w, "no such book", 404)
	})
	return guarded(mux)
}

const silentSpec = `
swagger: "2.0"
info: {title: Books, version: "1"}
securityDefinitions: {b: {type: apiKey, in: header, name: Authorization}}
security: [{b: []}]
paths:
  /addBook:
    post:
      operationId: addBook
      consumes: [application/x-www-form-urlencoded]
      parameters:
        - {in: formData, name: book_title, type: string}
        - {in: formData, name: author_name, type: string}
        - {in: formData, name: pages, type: integer}
      responses: {"200": {description: ok}}
  /books/list:
    get: {operationId: getAllBooks, responses: {"200": {description: ok}}}
  /book/{bookSlug}:
    get:
      operationId: getBookBySlug
      parameters: [{in: path, name: bookSlug, required: true, type: string}]
      responses: {"200": {description: ok}}
`

// casual is what a tutorial makes: things are called by a name that their maker
// gives, a refusal is a 200, a number may be a text.
func casual(m *memo) http.Handler {
	mux := http.NewServeMux()
	no := func(w http.ResponseWriter, why string) {
		answer(w, 200, map[string]string{"status": "fail", "message": why})
	}
	mux.HandleFunc("POST /books/v1", func(w http.ResponseWriter, r *http.Request) {
		b := body(r)
		title, _ := b["book_title"].(string)
		secret, _ := b["secret"].(string)
		if title == "" || secret == "" {
			no(w, "book_title and secret are required")
			return
		}
		if _, ok := b["price"].(string); !ok {
			no(w, "price must be a string")
			return
		}
		if m.find("book", title, "", "") != nil {
			no(w, "Book Already exists!")
			return
		}
		m.add("book", title, caller(r), "", map[string]any{"book_title": title, "secret": secret, "owner": caller(r)})
		answer(w, 200, map[string]string{"status": "success", "message": "Book has been added."})
	})
	mux.HandleFunc("GET /books/v1", func(w http.ResponseWriter, r *http.Request) {
		var list []map[string]any
		for _, b := range m.list("book", "", "") {
			list = append(list, map[string]any{"book_title": b["book_title"], "user": b["owner"]})
		}
		answer(w, 200, map[string]any{"Books": list})
	})
	mux.HandleFunc("GET /books/v1/{title}", func(w http.ResponseWriter, r *http.Request) {
		if o := m.find("book", r.PathValue("title"), caller(r), ""); o != nil {
			answer(w, 200, o.fields)
			return
		}
		answer(w, 404, map[string]string{"status": "fail", "message": "Book not found!"})
	})
	mux.HandleFunc("PUT /books/v1/{title}/secret", func(w http.ResponseWriter, r *http.Request) {
		o := m.find("book", r.PathValue("title"), caller(r), "")
		s, _ := body(r)["secret"].(string)
		if o == nil || s == "" {
			no(w, "secret is required")
			return
		}
		o.fields["secret"] = s
		w.WriteHeader(204)
	})
	return guarded(mux)
}

const casualSpec = `
openapi: 3.0.1
info: {title: Books, version: "1"}
components:
  securitySchemes: {b: {type: http, scheme: bearer}}
security: [{b: []}]
paths:
  /books/v1:
    get:
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {Books: {type: array, items: {type: object, properties: {book_title: {type: string}, user: {type: string}}}}}}}}}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {book_title: {type: string, example: book99}, secret: {type: string, example: pass1secret}, price: {type: number}}}}}}
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {status: {type: string}, message: {type: string}}}}}}}
  /books/v1/{book_title}:
    get:
      parameters: [{in: path, name: book_title, required: true, schema: {type: string, example: bookTitle77}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {book_title: {type: string}, secret: {type: string}, owner: {type: string}}}}}}}
  /books/v1/{book_title}/secret:
    put:
      parameters: [{in: path, name: book_title, required: true, schema: {type: string, example: bookTitle77}}]
      requestBody: {content: {application/json: {schema: {type: object, properties: {secret: {type: string, example: new}}}}}}
      responses: {"204": {description: ok}}
`
