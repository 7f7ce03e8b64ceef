package actor

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a small API with accounts, built by each test in a style of its own.
type house struct {
	t  testing.TB
	mu sync.Mutex
	// accounts by what they log in by
	accounts map[string]*tenant
	sessions map[string]*tenant
	n        int
	wrong    map[string]int // failed logins by account
	requests []string
	refusal  string // the WWW-Authenticate of every answer
	mux      *http.ServeMux
}

type tenant struct {
	id                   int
	email, name, pw, org string
}

func newHouse(t testing.TB) *house {
	return &house{t: t, accounts: map[string]*tenant{}, sessions: map[string]*tenant{}, wrong: map[string]int{}, mux: http.NewServeMux()}
}

func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.refusal != "" {
		w.Header().Set("WWW-Authenticate", h.refusal)
	}
	h.mu.Lock()
	h.requests = append(h.requests, r.Method+" "+r.URL.Path)
	h.mu.Unlock()
	h.mux.ServeHTTP(w, r)
}

func (h *house) on(pattern string, f func(w http.ResponseWriter, r *http.Request)) {
	h.mux.HandleFunc(pattern, f)
}

// add makes an account under keys, or says that one is taken.
func (h *house) add(a tenant, keys ...string) (*tenant, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range keys {
		if h.accounts[k] != nil {
			return nil, false
		}
	}
	h.n++
	a.id = 1000 + h.n
	for _, k := range keys {
		h.accounts[k] = &a
	}
	return &a, true
}

func (h *house) check(key, pw string) *tenant {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.accounts[key]
	if a == nil || a.pw != pw {
		h.wrong[key]++
		return nil
	}
	return a
}

// open makes a session.
func (h *house) open(a *tenant, prefix string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	token := fmt.Sprintf("%s%x%08x%012x", prefix, 0xabcdef, h.n*7919, h.n*104729)
	h.sessions[token] = a
	return token
}

// jwt makes a session whose token looks like a JSON Web Token.
func (h *house) jwt(a *tenant) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	enc := base64.RawURLEncoding.EncodeToString
	token := enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc(fmt.Appendf(nil, `{"sub":"%d","n":%d,"exp":4000000000}`, a.id, h.n)) + "." + enc(fmt.Appendf(nil, "signature%d", h.n))
	h.sessions[token] = a
	return token
}

func (h *house) who(token string) *tenant {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[token]
}

func (h *house) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.sessions)
}

func body(r *http.Request) map[string]any {
	var m map[string]any
	b, _ := io.ReadAll(r.Body)
	if json.Unmarshal(b, &m) != nil {
		return map[string]any{}
	}
	return m
}

func str(m map[string]any, key string) string { s, _ := m[key].(string); return s }

func say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

type obj = map[string]any

// me answers /me and /items by whoever finds the caller.
func (h *house) me(find func(r *http.Request) *tenant) {
	h.on("GET /me", func(w http.ResponseWriter, r *http.Request) {
		a := find(r)
		if a == nil {
			say(w, 401, obj{"error": "unauthorized"})
			return
		}
		say(w, 200, obj{"id": a.id, "email": a.email, "username": a.name})
	})
	h.on("GET /items", func(w http.ResponseWriter, r *http.Request) {
		if find(r) == nil {
			say(w, 401, obj{"error": "unauthorized"})
			return
		}
		say(w, 200, []obj{{"id": 1, "title": "x"}})
	})
	h.on("POST /items", func(w http.ResponseWriter, r *http.Request) {
		if find(r) == nil {
			say(w, 401, obj{"error": "unauthorized"})
			return
		}
		say(w, 201, obj{"id": 7})
	})
}

// bearer finds the caller by a header and a prefix.
func (h *house) header(name, prefix string) func(r *http.Request) *tenant {
	return func(r *http.Request) *tenant {
		v, ok := strings.CutPrefix(r.Header.Get(name), prefix)
		if !ok {
			return nil
		}
		return h.who(v)
	}
}

func (h *house) cookie(name string) func(r *http.Request) *tenant {
	return func(r *http.Request) *tenant {
		c, err := r.Cookie(name)
		if err != nil {
			return nil
		}
		return h.who(c.Value)
	}
}

// describe makes a description: register and login take the properties that are given.
type shapeOf struct {
	register, login string // properties of the bodies, as YAML flow: "{email: {type: string, format: email}, …}"
	required        string // of the registration
	security        string // components.securitySchemes, YAML flow; "" none
	media           string // of the login
	extra           string // further paths
	loginRequired   string // of the login
	noRegister      bool
	noLogin         bool
}

func (s shapeOf) yaml() string {
	media := s.media
	if media == "" {
		media = "application/json"
	}
	var b strings.Builder
	b.WriteString("openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n")
	post := func(path, id, media, props, required string) {
		req := ""
		if required != "" {
			req = ", required: [" + required + "]"
		}
		fmt.Fprintf(&b, "  %s:\n    post:\n      operationId: %s\n      security: []\n      requestBody: {required: true, content: {%s: {schema: {type: object, properties: %s%s}}}}\n      responses: {'200': {description: ok}}\n",
			path, id, media, props, req)
	}
	if !s.noRegister {
		post("/register", "register", "application/json", s.register, s.required)
	}
	if !s.noLogin {
		post("/login", "login", media, s.login, s.loginRequired)
	}
	sec := ""
	if s.security != "" {
		sec = "      security: [{main: []}]\n"
	}
	for _, p := range [][2]string{{"/me", "getMe"}, {"/items", "listItems"}} {
		fmt.Fprintf(&b, "  %s:\n    get:\n      operationId: %s\n%s      responses: {'200': {description: ok}, '401': {description: no}}\n", p[0], p[1], sec)
		if p[0] == "/items" {
			fmt.Fprintf(&b, "    post:\n      operationId: addItem\n%s      requestBody: {content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string}}}}}}\n      responses: {'201': {description: ok}, '401': {description: no}}\n", sec)
		}
	}
	b.WriteString(s.extra)
	if s.security != "" {
		b.WriteString("components:\n  securitySchemes:\n    main: " + s.security + "\n")
	}
	return b.String()
}

func graphOf(t testing.TB, yaml string) *graph.Graph {
	t.Helper()
	api, err := spec.Parse([]byte(yaml), "api.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, yaml)
	}
	return graph.Build(api)
}

func meet(t testing.TB, h http.Handler, yaml string, cfg Config) (*People, *target.Client) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := target.New(target.Options{Target: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if cfg.Run == "" {
		cfg.Run = "t1"
	}
	return New(graphOf(t, yaml), c, cfg), c
}
