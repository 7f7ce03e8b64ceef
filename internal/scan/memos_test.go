package scan

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
)

// memosSpec is a description as people write them in haste: no security, hardly
// a schema for an answer, names in every style.
const memosSpec = `
openapi: 3.0.0
info: {title: Memo Board, version: "1"}
paths:
  /signup:
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {userName: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /signin:
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {userName: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /signout:
    post: {summary: sign out, responses: {"200": {description: ok}}}
  /me:
    get: {summary: the signed-in user, responses: {"200": {description: ok}, "401": {description: sign in first}}}
  /memos:
    get: {summary: my memos, responses: {"200": {description: ok}, "401": {description: sign in first}}}
    post:
      summary: write a private memo
      requestBody: {content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string}, text: {type: string}}}}}}
      responses: {"201": {description: made}, "401": {description: sign in first}}
  /memos/{memoId}:
    parameters: [{name: memoId, in: path, required: true, schema: {type: integer}}]
    get: {summary: read my memo, responses: {"200": {description: ok}, "401": {description: sign in first}, "403": {description: not yours}}}
    put:
      requestBody: {content: {application/json: {schema: {type: object, properties: {title: {type: string}, text: {type: string}}}}}}
      responses: {"200": {description: ok}, "401": {description: sign in first}}
    delete: {responses: {"200": {description: gone}, "401": {description: sign in first}}}
  /link-preview:
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: [url], properties: {url: {type: string, format: uri}}}}}}
      responses: {"200": {description: ok}, "401": {description: sign in first}}
  /greeting:
    get:
      parameters: [{name: text, in: query, required: true, schema: {type: string}}]
      responses: {"200": {description: ok}}
  /go:
    get:
      parameters: [{name: next, in: query, required: true, schema: {type: string}}]
      responses: {"302": {description: away}}
`

// memos is that API, with cookies for sessions and some of its holes open.
type memos struct {
	open map[string]bool

	mu       sync.Mutex
	users    map[string]string // name → password
	sessions map[string]string // cookie → name
	list     []memo
}

type memo struct {
	ID     int    `json:"id"`
	Title  string `json:"title"`
	Text   string `json:"text"`
	Author string `json:"authorName"`
	gone   bool
}

func say(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func (m *memos) handler() http.Handler {
	mux := http.NewServeMux()
	read := func(r *http.Request, into any) bool { return json.NewDecoder(r.Body).Decode(into) == nil }
	type account struct {
		Name     string `json:"userName"`
		Password string `json:"password"`
	}
	mux.HandleFunc("POST /signup", func(w http.ResponseWriter, r *http.Request) {
		var a account
		if !read(r, &a) || len(a.Name) < 3 || len(a.Password) < 10 {
			say(w, 400, map[string]string{"error": "userName needs 3 and password 10 characters"})
			return
		}
		if m.users[a.Name] != "" {
			say(w, 409, map[string]string{"error": "that name is taken"})
			return
		}
		m.users[a.Name] = a.Password
		say(w, 200, map[string]bool{"ok": true})
	})
	mux.HandleFunc("POST /signin", func(w http.ResponseWriter, r *http.Request) {
		var a account
		if !read(r, &a) || a.Password == "" || m.users[a.Name] != a.Password {
			say(w, 401, map[string]string{"error": "wrong name or password"})
			return
		}
		var b [12]byte
		_, _ = rand.Read(b[:])
		sid := hex.EncodeToString(b[:])
		m.sessions[sid] = a.Name
		http.SetCookie(w, &http.Cookie{Name: "board_sid", Value: sid, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		say(w, 200, map[string]bool{"ok": true})
	})
	who := func(w http.ResponseWriter, r *http.Request) string {
		if c, err := r.Cookie("board_sid"); err == nil && m.sessions[c.Value] != "" {
			return m.sessions[c.Value]
		}
		say(w, 401, map[string]string{"error": "sign in first"})
		return ""
	}
	in := func(pattern string, h func(w http.ResponseWriter, r *http.Request, name string)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if name := who(w, r); name != "" {
				h(w, r, name)
			}
		})
	}
	in("POST /signout", func(w http.ResponseWriter, r *http.Request, _ string) {
		if c, err := r.Cookie("board_sid"); err == nil && !m.open["session-logout"] {
			delete(m.sessions, c.Value)
		}
		say(w, 200, map[string]bool{"ok": true})
	})
	in("GET /me", func(w http.ResponseWriter, _ *http.Request, name string) {
		say(w, 200, map[string]any{"user": map[string]string{"userName": name, "plan": "free of charge"}})
	})
	in("POST /memos", func(w http.ResponseWriter, r *http.Request, name string) {
		var n memo
		if !read(r, &n) || n.Title == "" {
			say(w, 400, map[string]string{"error": "title is required"})
			return
		}
		n.ID, n.Author = len(m.list)+1, name
		m.list = append(m.list, n)
		say(w, 201, map[string]any{"memo": n})
	})
	in("GET /memos", func(w http.ResponseWriter, _ *http.Request, name string) {
		out := []memo{}
		for _, n := range m.list {
			if !n.gone && (n.Author == name || m.open["bola-list"]) {
				out = append(out, n)
			}
		}
		say(w, 200, map[string]any{"memos": out})
	})
	one := func(hole string, w http.ResponseWriter, r *http.Request, name string) *memo {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || id < 1 || id > len(m.list) || m.list[id-1].gone {
			say(w, 404, map[string]string{"error": "no such memo"})
			return nil
		}
		if m.list[id-1].Author != name && !m.open[hole] {
			say(w, 403, map[string]string{"error": "not yours"})
			return nil
		}
		return &m.list[id-1]
	}
	in("GET /memos/{id}", func(w http.ResponseWriter, r *http.Request, name string) {
		if n := one("bola-read", w, r, name); n != nil {
			say(w, 200, map[string]any{"memo": n})
		}
	})
	in("PUT /memos/{id}", func(w http.ResponseWriter, r *http.Request, name string) {
		if n := one("bola-write", w, r, name); n != nil {
			var c memo
			if !read(r, &c) {
				say(w, 400, map[string]string{"error": "that is no JSON"})
				return
			}
			n.Title, n.Text = c.Title, c.Text
			say(w, 200, map[string]any{"memo": n})
		}
	})
	in("DELETE /memos/{id}", func(w http.ResponseWriter, r *http.Request, name string) {
		if n := one("bola-delete", w, r, name); n != nil {
			n.gone = true
			say(w, 200, map[string]bool{"ok": true})
		}
	})
	in("POST /link-preview", func(w http.ResponseWriter, r *http.Request, _ string) {
		var p struct {
			URL string `json:"url"`
		}
		u, err := url.Parse("")
		if read(r, &p) {
			u, err = url.Parse(p.URL)
		}
		if err != nil || u.Host == "" {
			say(w, 400, map[string]string{"error": "url must be an address"})
			return
		}
		ip := net.ParseIP(u.Hostname())
		if m.open["ssrf"] && ip != nil && ip.IsLoopback() {
			c := &http.Client{Timeout: time.Second}
			if resp, err := c.Get(p.URL); err == nil {
				_ = resp.Body.Close()
			}
		}
		say(w, 200, map[string]string{"title": "A page"})
	})
	mux.HandleFunc("GET /greeting", func(w http.ResponseWriter, r *http.Request) {
		text := r.URL.Query().Get("text")
		if m.open["template-injection"] {
			for strings.Contains(text, "{{") {
				before, rest, _ := strings.Cut(text, "{{")
				expr, after, ok := strings.Cut(rest, "}}")
				a, b, times := strings.Cut(strings.TrimSpace(expr), "*")
				x, err1 := strconv.Atoi(a)
				y, err2 := strconv.Atoi(b)
				if !ok || !times || err1 != nil || err2 != nil {
					break
				}
				text = before + strconv.Itoa(x*y) + after
			}
		}
		say(w, 200, map[string]string{"greeting": "Hello, " + text})
	})
	mux.HandleFunc("GET /go", func(w http.ResponseWriter, r *http.Request) {
		next := r.URL.Query().Get("next")
		if !m.open["open-redirect"] && (!strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`)) {
			next = "/"
		}
		w.Header().Set("Location", next)
		w.WriteHeader(http.StatusFound)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

// TestMemos scans an API of another style, with no options but its description
// and address: each hole alone is found, and nothing else of weight; with none
// open, nothing.
func TestMemos(t *testing.T) {
	spec := filepath.Join(t.TempDir(), "memos.yaml")
	if err := os.WriteFile(spec, []byte(memosSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, hole := range []string{"", "bola-read", "bola-list", "bola-write", "bola-delete", "session-logout", "ssrf", "template-injection", "open-redirect"} {
		t.Run("hole="+hole, func(t *testing.T) {
			t.Parallel()
			m := &memos{open: map[string]bool{hole: true}, users: map[string]string{}, sessions: map[string]string{}}
			s := httptest.NewServer(m.handler())
			t.Cleanup(s.Close)
			o := &Options{Spec: spec, Target: s.URL, Seed: *seedFlag}
			if *verbose {
				o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
			}
			res, err := Run(t.Context(), o, Events{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range res.Report.Counted(finding.Medium, false) {
				got = append(got, f.Check)
			}
			slices.Sort(got)
			var want []string
			if hole != "" {
				want = []string{hole}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				for _, f := range res.Report.Findings {
					t.Logf("%s %s [%s]: %s", f.Severity, f.Title, f.Where, f.Description)
				}
				t.Errorf("found %v, want %v; reached %d of %d, %v", got, want, res.Report.Stats.Reached, res.Report.Stats.Operations, res.Report.Problems)
			}
		})
	}
}
