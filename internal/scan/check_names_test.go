package scan

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

const galleryAtSpec = `openapi: 3.0.3
info: {title: Gallery, version: "1"}
servers: [{url: "https://api.gallery.example/v1"}]
paths:
  /paintings:
    get:
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: string}}}}}}
`

// gallery is a public API at which other names get what by says.
func gallery(by func(host string) (status int, text string)) func(t *testing.T, open bool) http.Handler {
	return func(_ *testing.T, open bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if status, text := by(r.Host); open && status != 0 && !strings.HasPrefix(r.Host, "127.0.0.1") {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, text)
				return
			}
			if !strings.HasSuffix(r.URL.Path, "/paintings") {
				w.WriteHeader(404)
				_, _ = fmt.Fprintf(w, `{"error":"nothing of that name","host":%q}`, r.Host) // as many a handler repeats it
				return
			}
			_, _ = io.WriteString(w, `["The Night Watch"]`)
		})
	}
}

func TestVirtualHost(t *testing.T) {
	t.Run("a console of the inside", func(t *testing.T) {
		twins(t, galleryAtSpec, gallery(func(host string) (int, string) {
			if host == "admin.gallery.example" {
				return 200, `{"console":"visitors","users":12}`
			}
			return 0, ""
		}), []hole{{"virtual-host", "", "", "host.admin.gallery.example"}}, "virtual-host")
	})
	t.Run("a server that knows its names and refuses others", func(t *testing.T) {
		twins(t, galleryAtSpec, gallery(func(host string) (int, string) {
			switch {
			case host == "staging.gallery.example":
				return 200, "<h1>Gallery, next release</h1>"
			case strings.HasSuffix(host, ".example") && host != "api.gallery.example":
				return 421, "no such site"
			}
			return 0, ""
		}), []hole{{"virtual-host", "", "", "host.staging.gallery.example"}}, "virtual-host")
	})
	t.Run("short names, where no domain is known", func(t *testing.T) {
		twins(t, strings.Replace(galleryAtSpec, "https://api.gallery.example/v1", "/", 1), gallery(func(host string) (int, string) {
			if host == "localhost" {
				return 200, `{"status":"internal","workers":3}`
			}
			return 0, ""
		}), []hole{{"virtual-host", "", "", "host.localhost"}}, "virtual-host")
	})
	// None of these is another application.
	n := 0
	var mu sync.Mutex
	for name, by := range map[string]func(host string) (int, string){
		"every name gets a page of its own": func(host string) (int, string) {
			return 200, fmt.Sprintf(`<title>%s</title><a href="https://%s/start">Welcome to %s</a>`, host, host, strings.Split(host, ".")[0])
		},
		"an administrator's name asks who is there": func(host string) (int, string) {
			if strings.HasPrefix(host, "admin.") {
				return 401, `{"error":"who are you"}`
			}
			return 0, ""
		},
		"what is another each time": func(string) (int, string) {
			mu.Lock()
			defer mu.Unlock()
			n++
			return 200, fmt.Sprintf(`{"visits":%d}`, n)
		},
	} {
		t.Run(name, func(t *testing.T) {
			res := tested(t, galleryAtSpec, gallery(by)(t, true), "virtual-host")
			if got := wheres(res.Report.Findings); got != nil {
				t.Errorf("found %q", got)
			}
		})
	}
}

const jottingsSpec = `openapi: 3.0.3
info: {title: Jottings, version: "1"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
paths:
  /signup:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: you, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, email: {type: string}}}}}}}
  /signin:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: a token, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /jottings:
    post:
      security: [{bearer: []}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string, maxLength: 200}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, text: {type: string}}}}}}}
  /jottings/{jottingId}:
    get:
      security: [{bearer: []}]
      parameters: [{name: jottingId, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, text: {type: string}}}}}}, "404": {description: none}}
`

type jotting struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
	by   string
}

// jottings has methods that its description lacks: works says which. allow is what
// OPTIONS answers.
func jottings(allow string, works ...string) http.Handler {
	var mu sync.Mutex
	people, tokens, all := map[string]string{}, map[string]string{}, map[string]*jotting{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		answer := func(status int, v any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
		}
		if r.Method == http.MethodOptions {
			w.Header().Set("Allow", allow)
			w.WriteHeader(204)
			return
		}
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		who := tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		id, one := strings.CutPrefix(r.URL.Path, "/jottings/")
		switch {
		case r.URL.Path == "/signup" && r.Method == "POST":
			if in["email"] == "" || len(in["password"]) < 8 || people[in["email"]] != "" {
				answer(422, map[string]any{"error": "email or password"})
				return
			}
			people[in["email"]] = in["password"]
			answer(201, map[string]any{"id": len(people), "email": in["email"]})
		case r.URL.Path == "/signin" && r.Method == "POST":
			if in["password"] == "" || people[in["email"]] != in["password"] {
				answer(401, map[string]any{"error": "no"})
				return
			}
			token := fmt.Sprintf("tk-%06d-%d", 7919*(len(tokens)+1), len(tokens))
			tokens[token] = in["email"]
			answer(200, map[string]any{"token": token})
		case who == "":
			answer(401, map[string]any{"error": "who are you"})
		case r.URL.Path == "/jottings" && r.Method == "POST":
			if in["text"] == "" {
				answer(422, map[string]any{"error": "text"})
				return
			}
			j := &jotting{len(all) + 1, in["text"], who}
			all[fmt.Sprint(j.ID)] = j
			answer(201, j)
		case r.URL.Path == "/jottings" && r.Method == "GET" && slices.Contains(works, "GET"):
			var mine []*jotting
			for _, j := range all {
				if j != nil && j.by == who {
					mine = append(mine, j)
				}
			}
			answer(200, map[string]any{"count": 1, "items": mine})
		case one && (all[id] == nil || all[id].by != who):
			answer(404, map[string]any{"error": "none"})
		case one && r.Method == "GET":
			answer(200, all[id])
		case one && slices.Contains(works, r.Method):
			if r.Method == "DELETE" {
				all[id] = nil
				answer(200, map[string]any{"ok": true})
				return
			}
			all[id].Text = in["text"]
			answer(200, all[id])
		default:
			answer(405, map[string]any{"error": "not here"})
		}
	})
}

func TestUndocumentedMethod(t *testing.T) {
	const every = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	twins(t, jottingsSpec, func(_ *testing.T, open bool) http.Handler {
		if !open {
			return jottings(every) // as frameworks say that do not look
		}
		return jottings(every, "DELETE", "PATCH", "PUT", "GET")
	}, []hole{
		{"undocumented-method", "DELETE", "/jottings/{jottingId}", "method"},
		{"undocumented-method", "PATCH", "/jottings/{jottingId}", "method"},
		{"undocumented-method", "PUT", "/jottings/{jottingId}", "method"},
		{"undocumented-method", "GET", "/jottings", "method"},
	}, "undocumented-method")
	for name, h := range map[string]http.Handler{
		"what is described":                      jottings(every),
		"Allow names nothing but what there is":  jottings("GET, POST, OPTIONS"),
		"what works, and Allow does not name it": jottings("GET, POST", "DELETE"), // not looked for
		"every method does what GET does": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", every)
			if p := r.URL.Path; p != "/jottings" && !strings.HasPrefix(p, "/jottings/") && p != "/signup" && p != "/signin" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":1,"token":"tk-000001-1","text":"`+r.URL.Path+`"}`)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			o := served(t, jottingsSpec, h, "undocumented-method")
			res, err := Run(t.Context(), o, Events{})
			if err != nil {
				t.Fatal(err)
			}
			if got := wheres(res.Report.Findings); got != nil {
				t.Errorf("found %q", got)
			}
		})
	}
}
