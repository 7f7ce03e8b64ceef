package cases

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
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
	Fill   *fill             `yaml:"fill"` // a body that would be long to write down
	// Encoding compresses the body and says so: "gzip" or "deflate".
	Encoding string `yaml:"encoding"`
	Chunked  bool   `yaml:"chunked"` // sent without a length
	Cut      int    `yaml:"cut"`     // so many bytes of the declared length never arrive
	TLS      bool   `yaml:"tls"`
	Secret   string `yaml:"secret"` // signs the token in place of the right one
	Times    int    `yaml:"times"`
}

// fill is text repeated between two others.
type fill struct {
	Before string `yaml:"before"`
	Text   string `yaml:"text"`
	Times  int    `yaml:"times"`
	After  string `yaml:"after"`
}

func (f *fill) String() string { return f.Before + strings.Repeat(f.Text, f.Times) + f.After }

type answer struct {
	Status int               `yaml:"status"`
	Header map[string]string `yaml:"header"`
	JSON   any               `yaml:"json"`
	Body   *string           `yaml:"body"`
	Type   string            `yaml:"type"`
	Fill   *fill             `yaml:"fill"`
	// Encoding compresses the body and says so: "gzip".
	Encoding string   `yaml:"encoding"`
	Chunks   []string `yaml:"chunks"` // a body without a length, flushed piece by piece
	Error    string   `yaml:"error"`  // code of a gateway.UpstreamError, in place of an answer
	Breaks   bool     `yaml:"breaks"` // the connection breaks behind the body
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
	SentBody *string           `yaml:"sent_body"`
	Monitor  string            `yaml:"monitor"`  // a code that was ruled and only recorded
	Stripped []string          `yaml:"stripped"` // pointers that were removed from the answer
	Masked   []string          `yaml:"masked"`
	Aborted  string            `yaml:"aborted"` // the code for which the answer was cut short
	Flushed  bool              `yaml:"flushed"` // pieces were sent on as they came
	Subject  string            `yaml:"subject"` // who was identified
	API      string            `yaml:"api"`
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
			s := newStand(t, &f)
			for i := range f.Cases {
				c := &f.Cases[i]
				t.Run(c.Note, func(t *testing.T) { s.run(t, &f, c) })
			}
		})
	}
	t.Logf("%d cases in %d files", total, len(files))
	if total < 150 {
		t.Errorf("%d cases; there were at least 150 once", total)
	}
}

// stand is a gateway that the cases of one file share. Its clock goes on by days
// from case to case, so that no case is limited for what another did.
type stand struct {
	gw  *gateway.Gateway
	rec *recorder
	// now is also read by the gateway's own goroutines, which look after streams.
	now atomic.Pointer[time.Time]
}

func newStand(t *testing.T, f *file) *stand {
	cfg, err := config.Parse([]byte(f.Config), "testdata/crenel.yaml", config.Options{})
	if err != nil {
		t.Fatalf("config: %v", err)
	}
	s := &stand{rec: &recorder{}}
	begin := time.Now()
	s.now.Store(&begin)
	s.gw, err = gateway.New(t.Context(), cfg, gateway.Deps{
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return *s.now.Load() },
		Trail: s.rec, Buckets: limit.NewMemory(0, begin),
	})
	if err != nil {
		t.Fatalf("gateway: %v", err)
	}
	t.Cleanup(func() {
		if err := s.gw.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func (s *stand) run(t *testing.T, f *file, c *testCase) {
	now := s.now.Load().Add(72 * time.Hour)
	s.now.Store(&now)
	rec, gw := s.rec, s.gw
	var up calls
	h := gw.Handler(func(string) gateway.Upstream {
		return func(w http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			up = calls{r.Clone(r.Context()), string(body), up.n + 1}
			return c.Upstream.write(w)
		}
	})
	for i := range c.Before {
		for range max(1, c.Before[i].Times) {
			serve(h, httptest.NewRecorder(), c.Before[i].build(t, f, now))
		}
	}
	up = calls{}
	rec.decisions, rec.completions = nil, nil
	w := httptest.NewRecorder()
	aborted := serve(h, w, c.Request.build(t, f, now))
	c.Want.check(t, w, rec, &up, aborted)
}

// calls is the last call that the upstream got, and how many there were.
type calls struct {
	request *http.Request
	body    string
	n       int
}

// serve runs the handler as a server does.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(p)
			}
			aborted = true
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

func (a *answer) write(w http.ResponseWriter) error {
	if a.Error != "" {
		return &gateway.UpstreamError{Code: a.Error, Err: fmt.Errorf("made by the case")}
	}
	if a.Fill != nil {
		text := a.Fill.String()
		a.Body, a.Fill = &text, nil
	}
	body, mediaType := content(a.JSON, a.Body, a.Type)
	if mediaType != "" {
		w.Header().Set("Content-Type", mediaType)
	}
	if a.Encoding != "" {
		body = compress(body, a.Encoding)
		w.Header().Set("Content-Encoding", a.Encoding)
	}
	if a.Chunks == nil && a.Status != 204 && a.Status != 304 && a.Status != 101 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	for name, text := range a.Header {
		w.Header().Set(name, text)
	}
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	for _, piece := range a.Chunks {
		if _, err := io.WriteString(w, piece); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
	}
	if len(body) > 0 {
		if _, err := w.Write(body); err != nil {
			return err
		}
	}
	if a.Breaks {
		return &gateway.UpstreamError{Code: "gateway.upstream_unreachable", Err: fmt.Errorf("broken by the case")}
	}
	return nil
}

func compress(body []byte, how string) []byte {
	var b bytes.Buffer
	var z io.WriteCloser
	switch how {
	case "gzip":
		z = gzip.NewWriter(&b)
	case "deflate":
		z = zlib.NewWriter(&b)
	default:
		panic("no such encoding: " + how)
	}
	if _, err := z.Write(body); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
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
	if r.Fill != nil {
		text := r.Fill.String()
		r.Body, r.Fill = &text, nil
	}
	body, mediaType := content(r.JSON, r.Body, r.Type)
	if r.Encoding != "" {
		body = compress(body, r.Encoding)
	}
	// Read as a server reads it, so that the target is what a client can really send.
	target := r.Path
	req := httptest.NewRequest(http.MethodGet, "/", bytes.NewReader(body))
	req.Method = method
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
	if r.Encoding != "" {
		req.Header.Set("Content-Encoding", r.Encoding)
	}
	if r.Chunked {
		req.ContentLength, req.TransferEncoding = -1, []string{"chunked"}
		if len(body) == 0 {
			req.Body = io.NopCloser(strings.NewReader("")) // nobody knows yet that it is empty
		}
	}
	if r.Cut > 0 {
		if !r.Chunked {
			req.ContentLength += int64(r.Cut)
		}
		req.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF)))
	}
	if r.TLS {
		req.TLS = &tls.ConnectionState{}
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
		req.Header.Set("Authorization", "Bearer "+token(t, f, r.As, r.Secret, now))
	}
	for name, text := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = strings.Split(text, "\n")
	}
	return req
}

// token makes a user's token. Times among the claims are seconds from now.
func token(t *testing.T, f *file, user, key string, now time.Time) string {
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
		if v == nil {
			if err := tok.Remove(name); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if name == "exp" || name == "nbf" || name == "iat" || name == "auth_time" {
			seconds, err := strconv.Atoi(fmt.Sprint(v))
			if err != nil {
				t.Fatalf("claim %s of %s: %v", name, user, err)
			}
			v = now.Add(time.Duration(seconds) * time.Second).Unix()
		}
		set(name, v)
	}
	if key == "" {
		key = secret
	}
	signed, err := jwt.Sign(tok, jwt.WithKey(jwa.HS256(), []byte(key)))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func (w *want) check(t *testing.T, got *httptest.ResponseRecorder, rec *recorder, up *calls, aborted bool) {
	t.Helper()
	if len(rec.decisions) != 1 || len(rec.completions) != 1 {
		t.Fatalf("%d decisions and %d completions were recorded, want one of each", len(rec.decisions), len(rec.completions))
	}
	d, done := rec.decisions[0], rec.completions[0]
	called := up.request
	if up.n > 1 {
		t.Errorf("the upstream was called %d times", up.n)
	}
	if aborted != (done.Aborted != "") || done.Aborted != w.Aborted {
		t.Errorf("cut short: %v, because of %q, want %q", aborted, done.Aborted, w.Aborted)
	}
	if w.Subject != "" && (d.Identity == nil || d.Identity.Subject != w.Subject) {
		t.Errorf("identity %+v, want %q", d.Identity, w.Subject)
	}
	if w.API != "" && d.API != w.API {
		t.Errorf("API %q, want %q", d.API, w.API)
	}
	if w.Stripped != nil && !slices.Equal(w.Stripped, done.Stripped) {
		t.Errorf("stripped %q, want %q", done.Stripped, w.Stripped)
	}
	if w.Masked != nil && !slices.Equal(w.Masked, done.Masked) {
		t.Errorf("masked %q, want %q", done.Masked, w.Masked)
	}
	if w.Flushed && !got.Flushed {
		t.Error("nothing was flushed to the client")
	}
	code := d.Code
	if done.Refused != "" {
		code = done.Refused
	}
	if code != w.Code {
		t.Errorf("code %q, want %q (at %q: %s); rulings %+v", code, w.Code, d.At, d.Reason, d.Rulings)
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
		if got.Body.Len() == 0 && w.Body != nil && *w.Body == "" {
			p.Code, p.Status = code, got.Code // the answer to HEAD
		} else if err := json.Unmarshal(got.Body.Bytes(), &p); err != nil || p.Code != code || p.Status != got.Code {
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
	if w.SentBody != nil && (called == nil || up.body != *w.SentBody) {
		t.Errorf("sent %q, want %q", up.body, *w.SentBody)
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
