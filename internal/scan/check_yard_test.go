package scan

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// yard is an API with tokens, whose settings are merged as a dynamic language
// merges them, which fetches addresses, starts a program, and has an old version
// beside the described one. Its fixed twin does the same with care.
type yard struct {
	open bool

	mu     sync.Mutex
	n      int
	people map[string]map[string]string
	tokens map[string]map[string]string
	prefs  map[string]map[string]any
	proto  map[string]any // what all settings inherit
}

const yardSpec = `openapi: 3.0.3
info: {title: Yard, version: "2"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
security: [{bearer: []}]
paths:
  /v2/register:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}}}}}}}
  /v2/login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /v2/me:
    get:
      summary: Who am I
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, email: {type: string}}}}}}}
  /v2/settings:
    get:
      summary: My settings
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {language: {type: string}}}}}}}
    put:
      summary: Change my settings
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {language: {type: string, maxLength: 20}}}}}}
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {language: {type: string}}}}}}}
  /v2/preview:
    post:
      summary: Fetch a page to preview it
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [page_url], properties: {page_url: {type: string, format: uri}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {bytes: {type: integer}}}}}}}
  /v2/feed:
    post:
      summary: Fetch a feed from outside
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [feed_url], properties: {feed_url: {type: string, format: uri}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {ok: {type: boolean}}}}}}}
  /v2/pings:
    post:
      summary: Look whether a machine is there
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [machine], properties: {machine: {type: string, example: pump}}}}}}
      responses: {"202": {description: started, content: {application/json: {schema: {type: object, properties: {started: {type: boolean}}}}}}}
`

var reMachine = regexp.MustCompile(`^[\w.-]{1,40}$`)

func (s *yard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	in := map[string]any{}
	raw, _ := io.ReadAll(r.Body)
	err := json.Unmarshal(raw, &in)
	text := func(name string) string { v, _ := in[name].(string); return v }
	if r.Method != "GET" && err != nil {
		if s.open {
			answer(400, map[string]any{"error": "SyntaxError: Unexpected end of JSON input\n    at JSON.parse (<anonymous>)\n    at parse (/srv/yard/node_modules/body-parser/lib/types/json.js:92:19)"})
			return
		}
		fail(400)
		return
	}
	s.mu.Lock()
	me := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	s.mu.Unlock()
	key := r.Method + " " + r.URL.Path
	if key == "GET /v1/me" && s.open {
		answer(200, map[string]any{"id": 1, "email": "keeper@yard.example"})
		return
	}
	if me == nil && key != "POST /v2/register" && key != "POST /v2/login" {
		fail(401)
		return
	}
	if key == "POST /v2/preview" || key == "POST /v2/feed" || key == "POST /v2/pings" {
		s.calls(key, text, answer, fail) // which takes its time
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch key {
	case "POST /v2/register":
		if s.people[text("email")] != nil || len(text("password")) < 8 || !strings.Contains(text("email"), "@") {
			fail(422)
			return
		}
		s.n++
		s.people[text("email")] = map[string]string{"id": fmt.Sprint(40 + s.n), "email": text("email"), "password": text("password")}
		answer(201, map[string]any{"id": 40 + s.n})
	case "POST /v2/login":
		p := s.people[text("email")]
		if p == nil || p["password"] != text("password") {
			fail(401)
			return
		}
		s.n++
		t := fmt.Sprintf("yd%08dtoken%08d", s.n*7919, s.n*104729)
		s.tokens[t] = p
		answer(200, map[string]any{"token": t})
	case "GET /v2/me":
		answer(200, map[string]any{"id": json.Number(me["id"]), "email": me["email"]})
	case "PUT /v2/settings":
		mine := s.prefs[me["id"]]
		if mine == nil {
			mine = map[string]any{"language": "en"}
			s.prefs[me["id"]] = mine
		}
		for k, v := range in {
			if k == "__proto__" {
				if more, ok := v.(map[string]any); ok && s.open {
					for name, value := range more {
						s.proto[name] = value
					}
				}
				continue
			}
			mine[k] = v
		}
		answer(200, s.settings(me))
	case "GET /v2/settings":
		answer(200, s.settings(me))
	default:
		fail(404)
	}
}

// settings are a person's, with what they inherit.
func (s *yard) settings(me map[string]string) map[string]any {
	out := map[string]any{"language": "en"}
	for k, v := range s.proto {
		out[k] = v
	}
	for k, v := range s.prefs[me["id"]] {
		out[k] = v
	}
	return out
}

// calls does what calls out.
func (s *yard) calls(key string, text func(string) string, answer func(int, any), fail func(int)) {
	switch key {
	case "POST /v2/preview":
		u, err := url.Parse(text("page_url"))
		if err != nil || !strings.HasPrefix(u.Scheme, "http") {
			fail(422)
			return
		}
		if ip, err := netip.ParseAddr(u.Hostname()); !s.open && (err != nil || !ip.IsGlobalUnicast() || ip.IsPrivate()) {
			answer(200, map[string]any{"bytes": 0}) // not fetched, and not said
			return
		}
		c := &http.Client{Timeout: 5 * time.Second}
		x, err := c.Get(u.String())
		if err != nil {
			fail(502)
			return
		}
		n, _ := io.Copy(io.Discard, x.Body)
		_ = x.Body.Close()
		answer(200, map[string]any{"bytes": n})
	case "POST /v2/feed":
		u, err := url.Parse(text("feed_url"))
		if err != nil || !strings.HasPrefix(u.Scheme, "http") || strings.HasPrefix(u.Hostname(), "127.") || !s.open && u.Hostname() != "feeds.example" {
			fail(422) // what begins as addresses of this machine do
			return
		}
		if strings.HasSuffix(u.Hostname(), ".example") || !s.open {
			answer(200, map[string]any{"ok": true})
			return
		}
		c := &http.Client{Timeout: time.Second}
		x, err := c.Get(u.String())
		if err == nil {
			_ = x.Body.Close()
		}
		answer(200, map[string]any{"ok": err == nil})
	case "POST /v2/pings":
		if !s.open && !reMachine.MatchString(text("machine")) {
			fail(422)
			return
		}
		if s.open {
			_ = exec.Command("sh", "-c", "test -n '"+text("machine")+"'").Run() // nobody is told what it says
		}
		answer(202, map[string]any{"started": true})
	}
}

func TestYard(t *testing.T) {
	t.Parallel()
	holes := []hole{
		{"prototype-pollution", "PUT", "/v2/settings", "body"},
		{"old-version", "GET", "/v1/me", "credentials"},
		{"verbose-errors", "", "", "answer"},
		{"ssrf", "POST", "/v2/preview", "body./page_url"},
		{"ssrf", "POST", "/v2/feed", "body./feed_url"},
		{"unsafe-consumption", "POST", "/v2/preview", "body./page_url redirect"},
		{"unsafe-consumption", "POST", "/v2/preview", "body./page_url size"},
	}
	if _, err := exec.LookPath("curl"); err == nil {
		holes = append(holes, hole{"command-injection", "POST", "/v2/pings", "body./machine"})
	} else if _, err := exec.LookPath("wget"); err == nil {
		holes = append(holes, hole{"command-injection", "POST", "/v2/pings", "body./machine"})
	}
	twins(t, yardSpec, func(_ *testing.T, open bool) http.Handler {
		return &yard{open: open, people: map[string]map[string]string{}, tokens: map[string]map[string]string{}, prefs: map[string]map[string]any{}, proto: map[string]any{}}
	}, holes, "prototype-pollution", "old-version", "verbose-errors", "ssrf", "unsafe-consumption", "command-injection")
}
