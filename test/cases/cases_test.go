package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/limit"
)

// file is one file of cases: they share a config and its users.
type file struct {
	// Config is a whole crenel.yaml; paths in it are relative to testdata.
	Config string `yaml:"config"`
	// Users get tokens signed with the secret that the config names as CASES_SECRET.
	Users map[string]map[string]any `yaml:"users"`
	Cases []testCase                `yaml:"cases"`
}

type testCase struct {
	Note    string  `yaml:"note"`
	Request request `yaml:"request"`
	// Before are requests sent first, in order; their answers are not looked at.
	Before   []request `yaml:"before"`
	Upstream answer    `yaml:"upstream"`
	Want     want      `yaml:"want"`
}

type request struct {
	Method string            `yaml:"method"`
	Path   string            `yaml:"path"` // with query
	Host   string            `yaml:"host"`
	From   string            `yaml:"from"` // client address
	As     string            `yaml:"as"`
	Header map[string]string `yaml:"header"`
	JSON   any               `yaml:"json"` // a body, sent as application/json
	Body   *string           `yaml:"body"` // a body as it is
	Type   string            `yaml:"type"` // its content type
	Times  int               `yaml:"times"`
}

type answer struct {
	Status int               `yaml:"status"`
	Header map[string]string `yaml:"header"`
	JSON   any               `yaml:"json"`
	Body   *string           `yaml:"body"`
	Type   string            `yaml:"type"`
	Error  string            `yaml:"error"` // code of a gateway.UpstreamError
}

// want is what must come of it. A field that is left out is not looked at,
// except Code: none means that the request is let through.
type want struct {
	Status   int               `yaml:"status"`
	Code     string            `yaml:"code"`
	At       string            `yaml:"at"`
	Guard    string            `yaml:"guard"`
	Upstream string            `yaml:"upstream"` // "called" or "not called"; default: as Code says
	Header   map[string]string `yaml:"header"`   // of the answer; "" means absent
	JSON     any               `yaml:"json"`     // the whole answer
	Body     *string           `yaml:"body"`
	Sent     map[string]string `yaml:"sent"` // header fields as the upstream saw them; "" means absent
	SentPath string            `yaml:"sent_path"`
	Monitor  string            `yaml:"monitor"` // a code that was ruled and only recorded
}

// recorder is a Trail that keeps what it is told.
type recorder struct {
	mu          sync.Mutex
	decisions   []*exchange.Decision
	completions []*exchange.Completion
}

func (r *recorder) Admit() bool { return true }

func (r *recorder) Decide(_ context.Context, d *exchange.Decision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decisions = append(r.decisions, d)
	return nil
}

func (r *recorder) Complete(c *exchange.Completion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := *c
	r.completions = append(r.completions, &done)
}

const secret = "a-secret-of-the-test-cases-0123456789abcdef"

func TestCases(t *testing.T) {
	t.Setenv("CASES_SECRET", secret)
	files, err := filepath.Glob("testdata/*.cases.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	total := 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f file
		if err := yaml.UnmarshalWithOptions(raw, &f, yaml.Strict()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		total += len(f.Cases)
		t.Run(strings.TrimSuffix(filepath.Base(name), ".cases.yaml"), func(t *testing.T) {
			for i := range f.Cases {
				c := &f.Cases[i]
				t.Run(c.Note, func(t *testing.T) { runCase(t, &f, c) })
			}
		})
	}
	t.Logf("%d cases in %d files", total, len(files))
	if total < 150 {
		t.Errorf("%d cases; there were at least 150 once", total)
	}
}

func runCase(t *testing.T, f *file, c *testCase) {
	cfg, err := config.Parse([]byte(f.Config), "testdata/crenel.yaml", config.Options{})
	if err != nil {
		t.Fatalf("config: %v", err)
	}
	now := time.Now()
	rec := &recorder{}
	gw, err := gateway.New(t.Context(), cfg, gateway.Deps{
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Trail: rec, Buckets: limit.NewMemory(0, now),
	})
	if err != nil {
		t.Fatalf("gateway: %v", err)
	}
	defer func() {
		if err := gw.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}()
	var called *http.Request
	h := gw.Handler(func(string) gateway.Upstream {
		return func(w http.ResponseWriter, r *http.Request) error {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return err
			}
			called = r
			return c.Upstream.write(w)
		}
	})
	for i := range c.Before {
		for range max(1, c.Before[i].Times) {
			h.ServeHTTP(httptest.NewRecorder(), c.Before[i].build(t, f, now))
		}
	}
	called = nil
	rec.decisions, rec.completions = nil, nil
	w := httptest.NewRecorder()
	h.ServeHTTP(w, c.Request.build(t, f, now))
	c.Want.check(t, w, rec, called)
}

func (a *answer) write(w http.ResponseWriter) error {
	if a.Error != "" {
		return &gateway.UpstreamError{Code: a.Error, Err: fmt.Errorf("made by the case")}
	}
	body, mediaType := content(a.JSON, a.Body, a.Type)
	if mediaType != "" {
		w.Header().Set("Content-Type", mediaType)
	}
	for name, text := range a.Header {
		w.Header().Set(name, text)
	}
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	_, err := w.Write(body)
	return err
}

func content(doc any, body *string, mediaType string) ([]byte, string) {
	switch {
	case doc != nil:
		b, err := json.Marshal(doc)
		if err != nil {
			panic(err)
		}
		if mediaType == "" {
			mediaType = "application/json"
		}
		return b, mediaType
	case body != nil:
		return []byte(*body), mediaType
	}
	return nil, mediaType
}

func (r *request) build(t *testing.T, f *file, now time.Time) *http.Request {
	t.Helper()
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	body, mediaType := content(r.JSON, r.Body, r.Type)
	// Read as a server reads it, so that the target is what a client can really send.
	target := r.Path
	req := httptest.NewRequest(method, "/", bytes.NewReader(body))
	u, err := req.URL.Parse("/")
	if err != nil {
		t.Fatal(err)
	}
	path, query, _ := strings.Cut(target, "?")
	u.RawQuery = query
	u.Path, u.RawPath = path, ""
	if un, err := unescape(path); err == nil {
		u.Path, u.RawPath = un, path
	}
	req.URL, req.RequestURI = u, target
	if len(body) == 0 {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Host = r.Host
	if req.Host == "" {
		req.Host = "api.test"
	}
	req.RemoteAddr = "192.0.2.1:4711"
	if r.From != "" {
		req.RemoteAddr = r.From + ":4711"
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	if r.As != "" {
		req.Header.Set("Authorization", "Bearer "+token(t, f, r.As, now))
	}
	for name, text := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = strings.Split(text, "\n")
	}
	return req
}

func token(t *testing.T, f *file, user string, now time.Time) string {
	t.Helper()
	claims, ok := f.Users[user]
	if !ok {
		t.Fatalf("no user %q in the file", user)
	}
	tok := jwt.New()
	set := func(name string, v any) {
		if err := tok.Set(name, v); err != nil {
			t.Fatal(err)
		}
	}
	set("iss", "https://issuer.test")
	set("aud", "cases")
	set("sub", user)
	set("iat", now.Unix())
	set("exp", now.Add(time.Hour).Unix())
	for name, v := range claims {
		set(name, v)
	}
	signed, err := jwt.Sign(tok, jwt.WithKey(jwa.HS256(), []byte(secret)))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func (w *want) check(t *testing.T, got *httptest.ResponseRecorder, rec *recorder, called *http.Request) {
	t.Helper()
	if len(rec.decisions) != 1 || len(rec.completions) != 1 {
		t.Fatalf("%d decisions and %d completions were recorded, want one of each", len(rec.decisions), len(rec.completions))
	}
	d, done := rec.decisions[0], rec.completions[0]
	code := d.Code
	if done.Refused != "" {
		code = done.Refused
	}
	if code != w.Code {
		t.Errorf("code %q, want %q (at %q: %s)", code, w.Code, d.At, d.Reason)
	}
	if w.Code != "" {
		c, known := exchange.LookupCode(w.Code)
		if !known {
			t.Errorf("code %q is not in the table", w.Code)
		}
		if w.Status == 0 {
			w.Status = c.Status
		}
		var p struct {
			Code   string `json:"code"`
			Status int    `json:"status"`
			At     string `json:"at"`
		}
		if err := json.Unmarshal(got.Body.Bytes(), &p); err != nil || p.Code != code || p.Status != got.Code {
			t.Errorf("problem document %s (%v)", got.Body, err)
		}
		if w.At != "" && p.At != w.At {
			t.Errorf("at %q, want %q", p.At, w.At)
		}
	}
	if w.Status != 0 && got.Code != w.Status {
		t.Errorf("status %d, want %d: %s", got.Code, w.Status, got.Body)
	}
	if w.Guard != "" && d.Guard != w.Guard {
		t.Errorf("guard %q, want %q", d.Guard, w.Guard)
	}
	if w.Upstream == "" {
		w.Upstream = "called"
		if w.Code != "" {
			w.Upstream = "not called"
		}
	}
	if (called != nil) != (w.Upstream == "called") {
		t.Errorf("upstream called: %v, want %q", called != nil, w.Upstream)
	}
	for name, text := range w.Header {
		if g := got.Header().Get(name); g != text {
			t.Errorf("answer's %s: %q, want %q", name, g, text)
		}
	}
	if called != nil {
		for name, text := range w.Sent {
			if g := called.Header.Get(name); g != text {
				t.Errorf("sent %s: %q, want %q", name, g, text)
			}
		}
		if p := called.URL.RequestURI(); w.SentPath != "" && p != w.SentPath {
			t.Errorf("sent path %q, want %q", p, w.SentPath)
		}
	}
	if w.Body != nil && got.Body.String() != *w.Body {
		t.Errorf("answer %q, want %q", got.Body, *w.Body)
	}
	if w.JSON != nil {
		want, err := json.Marshal(w.JSON)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(want, &a) != nil || json.Unmarshal(got.Body.Bytes(), &b) != nil {
			t.Fatalf("answer is no JSON: %s", got.Body)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
	}
	if w.Monitor != "" {
		found := false
		for _, r := range append(d.Rulings, done.Rulings...) {
			found = found || r.Code == w.Monitor && r.Mode == "monitor"
		}
		if !found {
			t.Errorf("no monitored ruling %q in %+v", w.Monitor, append(d.Rulings, done.Rulings...))
		}
	}
}

// unescape decodes a path as a server does.
func unescape(path string) (string, error) { return url.PathUnescape(path) }
