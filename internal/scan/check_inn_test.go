package scan

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// inn is an API with accounts and cookies, as a framework's beginner sets it up;
// its fixed twin has the same operations, with what such a set-up leaves out.
type inn struct {
	open bool

	mu       sync.Mutex
	n        int
	guests   map[string]map[string]string // by e-mail address
	sessions map[string]string
	wishes   []map[string]any
}

const innSpec = `openapi: 3.0.3
info: {title: Inn, version: "2"}
components:
  securitySchemes: {sid: {type: apiKey, in: cookie, name: sid}}
security: [{sid: []}]
paths:
  /guests:
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
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {ok: {type: boolean}}}}}}}
  /me:
    get:
      summary: Who am I
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, email: {type: string}}}}}}}
  /wishes:
    post:
      summary: Leave a wish
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, text: {type: string}}}}}}}
    get:
      summary: My own wishes
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {next: {type: string, format: uri}, items: {type: array, items: {type: object, properties: {id: {type: integer}, text: {type: string}}}}}}}}}}
  /rooms:
    get:
      summary: The rooms, as they were listed until last year
      deprecated: true
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {rooms: {type: array, items: {type: string}}}}}}}}
  /staff/report:
    get:
      summary: The report for the staff
      x-allowed-roles: [staff]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {taken: {type: integer}}}}}}, "403": {description: no}}
`

func (s *inn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if s.open {
		h.Set("Server", "innkeeper/1.4.2")
	} else {
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
	}
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	s.mu.Lock()
	defer s.mu.Unlock()
	var me map[string]string
	if c, err := r.Cookie("sid"); err == nil {
		me = s.guests[s.sessions[c.Value]]
	}
	raw, _ := io.ReadAll(r.Body)
	in := map[string]any{}
	_ = json.Unmarshal(raw, &in)
	text := func(name string) string { v, _ := in[name].(string); return v }
	if r.Method == "TRACE" && s.open {
		h.Set("Content-Type", "message/http")
		for name, values := range r.Header {
			_, _ = fmt.Fprintf(w, "%s: %s\r\n", name, values[0])
		}
		return
	}
	key := r.Method + " " + r.URL.Path
	switch {
	case key == "POST /guests":
		if s.guests[text("email")] != nil || len(text("password")) < 8 || !strings.Contains(text("email"), "@") {
			fail(422)
			return
		}
		s.n++
		s.guests[text("email")] = map[string]string{"id": fmt.Sprint(400 + s.n), "email": text("email"), "password": text("password")}
		answer(201, map[string]any{"id": 400 + s.n})
		return
	case key == "POST /login":
		g := s.guests[text("email")]
		if g == nil || g["password"] != text("password") {
			fail(401)
			return
		}
		s.n++
		sid := fmt.Sprintf("s%08dx%08d", s.n*7919, s.n*104729)
		s.sessions[sid] = g["email"]
		flags := "; Path=/"
		if !s.open {
			flags += "; HttpOnly; SameSite=Lax"
		}
		h.Set("Set-Cookie", "sid="+sid+flags)
		answer(200, map[string]any{"ok": true})
		return
	case s.open && key == "GET /guests/all":
		all := []any{}
		for _, g := range s.guests {
			all = append(all, map[string]string{"email": g["email"]})
		}
		answer(200, map[string]any{"guests": all})
		return
	case s.open && key == "GET /openapi.json":
		answer(200, map[string]any{"openapi": "3.0.3", "servers": []any{map[string]any{"url": "http://inn-7.svc.cluster.local/"}}})
		return
	case s.open && key == "GET /uploads/":
		h.Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<pre>\n<a href=\"a.png\">a.png</a>\n</pre>")
		return
	case key == "POST /graphql" && strings.Contains(string(raw), "__"):
		s.graph(answer, raw)
		return
	}
	if me == nil {
		fail(401)
		return
	}
	switch key {
	case "GET /me":
		if s.open {
			h.Set("Cache-Control", "public, max-age=600")
		}
		answer(200, map[string]any{"id": json.Number(me["id"]), "email": me["email"]})
	case "POST /wishes":
		if !s.open && r.Header.Get("Content-Type") != "application/json" {
			fail(415)
			return
		}
		if text("text") == "" {
			fail(422)
			return
		}
		s.n++
		w := map[string]any{"id": s.n, "text": text("text"), "of": me["id"]}
		s.wishes = append(s.wishes, w)
		answer(201, map[string]any{"id": s.n, "text": text("text")})
	case "GET /wishes":
		items := []any{}
		for _, w := range s.wishes {
			if w["of"] == me["id"] {
				items = append(items, map[string]any{"id": w["id"], "text": w["text"]})
			}
		}
		next := "/wishes?page=2"
		if s.open {
			next = "http://" + r.Host + next
		}
		answer(200, map[string]any{"next": next, "items": items})
	case "GET /rooms":
		if !s.open {
			h.Set("Sunset", "Sat, 31 Dec 2033 23:59:59 GMT")
		}
		answer(200, map[string]any{"rooms": []string{"blue", "green"}})
	case "GET /staff/report":
		if !s.open || r.Header.Get("X-Forwarded-For") != "127.0.0.1" {
			fail(403)
			return
		}
		answer(200, map[string]any{"taken": 7})
	case "GET /stats":
		if !s.open {
			fail(404)
			return
		}
		answer(200, map[string]any{"nights": 12})
	default:
		fail(404)
	}
}

// graph answers a few GraphQL queries, without bounds or with them.
func (s *inn) graph(answer func(int, any), raw []byte) {
	var list []struct{ Query string }
	single := json.Unmarshal(raw, &list) != nil
	if single {
		list = make([]struct{ Query string }, 1)
		_ = json.Unmarshal(raw, &list[0]) // what is no query has none
	}
	out := []any{}
	for _, q := range list {
		data := map[string]any{}
		switch {
		case strings.Contains(q.Query, "crenelNoSuchField"):
		case strings.Contains(q.Query, "__schema"):
			if s.open && strings.Count(q.Query, "fields") < 20 {
				data["__schema"] = map[string]any{"types": []any{map[string]any{"name": "Query"}, map[string]any{"name": "Wish"}, map[string]any{"name": "Int"}}}
			}
		default:
			for _, f := range strings.Fields(strings.Trim(q.Query, "{}")) {
				alias, _, _ := strings.Cut(f, ":")
				if s.open || len(data) < 10 {
					data[alias] = "Query"
				}
			}
		}
		out = append(out, map[string]any{"data": data})
	}
	switch {
	case single:
		answer(200, out[0])
	case !s.open:
		answer(400, map[string]any{"error": "no lists"})
	default:
		answer(200, out)
	}
}

func TestInn(t *testing.T) {
	twins(t, innSpec, func(_ *testing.T, open bool) http.Handler {
		return &inn{open: open, guests: map[string]map[string]string{}, sessions: map[string]string{}}
	}, []hole{
		{"security-headers", "", "", "answer"}, {"banner", "", "", "header.Server"}, {"trace-method", "", "", "method"},
		{"directory-listing", "GET", "/uploads/", "path"}, {"description-public", "", "", "description"}, {"server-url", "", "", "description.inside"}, {"deprecated-live", "", "", "deprecated"},
		{"cache-personal", "", "", "header.Cache-Control"}, {"cookie-flags", "", "", "cookie.HttpOnly"}, {"cross-site-request", "", "", "cookie"},
		{"undocumented", "", "", "paths"}, {"undocumented", "GET", "/guests/all", "path"}, {"client-address", "GET", "/staff/report", "header.X-Forwarded-For"},
		{"host-header", "", "", "header.Host"},
		{"graphql", "POST", "/graphql", "introspection"}, {"graphql", "POST", "/graphql", "aliases"}, {"graphql", "POST", "/graphql", "batch"}, {"graphql", "POST", "/graphql", "depth"},
	}, "security-headers", "banner", "trace-method", "directory-listing", "description-public", "server-url", "deprecated-live", "cache-personal", "cookie-flags", "cross-site-request", "undocumented", "client-address", "host-header", "graphql")
}
