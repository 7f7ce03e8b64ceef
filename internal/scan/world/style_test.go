package world

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
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

var styles = []struct {
	name   string
	spec   string
	server func(*memo) http.Handler
	makes  []string // resources of which the user has objects with canaries
	most   int      // requests
	gone   []string // rows of which none is left in the end
}{
	{"strict, nested, wrapped, integers", strictSpec, strict, []string{"workspace", "board", "card"}, 90, []string{"workspace", "board", "card"}},
	{"Location alone, UUIDs", locatedSpec, located, []string{"note"}, 20, []string{"note"}},
	{"forms, slugs, nothing said of answers, found in lists", silentSpec, silent, []string{"book"}, 25, nil},
	{"named by the maker, refusals that are 200", casualSpec, casual, []string{"book"}, 25, nil},
	{"XML, files, text", bagSpec, bag, []string{"album", "photo"}, 30, nil},
}

func pair() []*actor.Actor {
	return []*actor.Actor{
		bearer(actor.User, "ann", map[string]string{"id": "ann", "username": "ann"}),
		bearer(actor.Peer, "ben", map[string]string{"id": "ben", "username": "ben"}),
	}
}

func TestStyles(t *testing.T) {
	for _, s := range styles {
		t.Run(s.name, func(t *testing.T) {
			m := &memo{rows: map[string][]row{}}
			w, c, g := stage(t, s.server(m), s.spec, Options{Seed: 7}, pair()...)
			if err := w.Build(t.Context()); err != nil {
				t.Fatal(err)
			}
			show(t, w)
			if testing.Verbose() {
				for _, x := range c.sent {
					t.Logf("%s %s %s %s -> %d %s", x.As, x.Request.Method, x.Request.Path, cut(string(x.Request.Body), 200), x.Status, cut(string(x.Body), 200))
				}
			}
			for _, c := range w.Coverage() {
				if !c.Reached {
					t.Errorf("%s %s was not reached: %s", c.Method, c.Path, c.Reason)
				}
			}
			if n := c.seq.Load(); n > int64(s.most) {
				t.Errorf("%d requests, more than %d", n, s.most)
			}
			for _, a := range w.actors() {
				for _, name := range s.makes {
					i := slices.IndexFunc(g.Resources, func(r *graph.Resource) bool { return r.Name == name })
					if i < 0 {
						t.Fatalf("the graph has no %s", name)
					}
					owned(t, w, g.Resources[i], a)
				}
			}
			recipes(t, w, c, g, s.makes)
			left := w.Cleanup(t.Context())
			for _, l := range left {
				if !strings.Contains(l.Why, "no operation") {
					t.Errorf("left behind: %+v", l)
				}
			}
			for _, name := range s.gone {
				if n := len(m.rows[name]); n > 0 {
					t.Errorf("%d %ss are still there", n, name)
				}
			}
		})
	}
}

// owned checks that an actor has an object whose canaries it reads back, and nobody else's.
func owned(t *testing.T, w *World, r *graph.Resource, a *actor.Actor) {
	t.Helper()
	list := w.Objects(r, a)
	if len(list) == 0 {
		t.Errorf("%s has no %s", a.Name, r.Name)
		return
	}
	for _, o := range list {
		if !o.Made || o.deleted || len(o.canaries) == 0 || o.reader == nil {
			t.Errorf("%s's %s %s: made %v, canaries %v, reader %v", a.Name, r.Name, o.ID, o.Made, o.canaries, o.reader)
			continue
		}
		x, err := w.Send(context.Background(), w.Reader(o))
		if err != nil || !success(x) {
			t.Errorf("%s cannot read its %s: %v", a.Name, r.Name, err)
			continue
		}
		for pointer, token := range o.canaries {
			if !strings.Contains(string(x.Body), token) {
				t.Errorf("%s's answer lacks %s at %s", r.Name, token, pointer)
			}
		}
	}
}

// recipes runs each recipe as a scenario of its own: what it makes is new.
func recipes(t *testing.T, w *World, c *wire, g *graph.Graph, names []string) {
	t.Helper()
	st := &scenario.Stage{Sender: flock{c, w}, People: named2{w}, RunID: "r2"}
	for _, r := range g.Resources {
		if !slices.Contains(names, r.Name) {
			continue
		}
		recipe, err := w.Recipe(t.Context(), r, w.actors()[0], "x")
		if err != nil {
			t.Errorf("recipe of %s: %v", r.Name, err)
			continue
		}
		var o *Object
		for _, known := range w.Objects(r, w.actors()[0]) {
			if known.Made {
				o = known
				break
			}
		}
		read := w.Reader(o)
		bind := map[string]string{}
		for where, used := range read.Uses {
			if used == o {
				bind[where] = "${" + recipe.ID + "}"
			}
		}
		for i, p := range o.Parents { // the fresh one lies under fresh ones
			_ = i
			for where, used := range read.Uses {
				if used == p {
					bind[where] = "${x_" + p.Resource.Name + ".id}"
					if v := parentVariable(recipe, p.Resource.Name); v != "" {
						bind[where] = "${" + v + "}"
					}
				}
			}
		}
		step, err := w.Step(read, bind)
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		step.ID, step.Part = "read", scenario.Control
		step.Expect = []scenario.Expect{{Status: "2xx"}}
		for _, text := range recipe.Canaries {
			step.Expect = append(step.Expect, scenario.Expect{Contains: []string{text}})
		}
		if len(recipe.Canaries) == 0 {
			t.Errorf("the recipe of %s has no canaries", r.Name)
		}
		out, err := st.Run(t.Context(), &scenario.Scenario{Name: r.Name, Steps: append(recipe.Steps, step)}, "n1")
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		if out.Verdict == scenario.Inconclusive || out.Verdict == scenario.Refuted {
			t.Errorf("the recipe of %s does not make one: %s at %s: %s\n%+v", r.Name, out.Verdict, out.Step, out.Why, recipe.Steps)
		}
	}
}

// parentVariable finds the variable that a step of the recipe saved for a parent.
func parentVariable(r *Recipe, resource string) string {
	for _, s := range r.Steps {
		for _, v := range s.Save {
			head, _, _ := strings.Cut(v.As, ".")
			if strings.HasSuffix(head, "_"+resource) && !v.Optional {
				return v.As
			}
		}
	}
	return ""
}

type flock struct {
	*wire
	w *World
}

func (s flock) Do(ctx context.Context, as string, r *target.Request) (*target.Exchange, error) {
	x, err := s.wire.Do(ctx, as, r)
	if err == nil {
		s.w.Follow(x)
	}
	return x, err
}

func (s flock) DoTogether(ctx context.Context, as string, rs []*target.Request) ([]*target.Exchange, error) {
	var out []*target.Exchange
	for _, r := range rs {
		x, err := s.Do(ctx, as, r)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

type named2 struct{ w *World }

func (n named2) Get(name string) *actor.Actor {
	for _, a := range n.w.people.All() {
		if a.Name == name {
			return a
		}
	}
	return nil
}

func (n named2) Fresh(ctx context.Context) (*actor.Actor, error) { return n.w.people.Fresh(ctx) }

func (n named2) Login(context.Context, *actor.Actor) (*actor.Session, error) {
	return nil, errors.New("nobody logs in again here")
}
