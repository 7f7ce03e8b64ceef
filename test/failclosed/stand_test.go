package failclosed

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/gateway/caddy"
	"github.com/crenel-project/crenel/internal/oauth/oauthtest"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/trail"
)

const document = `
openapi: 3.1.0
info: {title: t, version: "1"}
security: [{login: []}]
paths:
  /things:
    get:
      operationId: list
      parameters: [{name: n, in: query, schema: {type: integer}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {a: {type: string}}}}}}}
    post:
      operationId: create
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {a: {type: string}, word: {type: string, pattern: "^(?=(a+)+$)a+$"}, free: {}}}}}}
      responses: {"204": {description: done}}
  /blob:
    put:
      operationId: put
      requestBody: {content: {application/octet-stream: {}, image/gif: {}, multipart/form-data: {schema: {type: object}}}}
      responses: {"204": {description: done}}
components: {securitySchemes: {login: {type: http, scheme: bearer}}}
`

const secret = "a-secret-of-the-fail-closed-table-0123456789"

// stand is what one row is run on.
type stand struct {
	t       *testing.T
	dir     string
	deps    gateway.Deps
	trail   *trail.Log
	handler http.Handler // of a row whose upstream is a stub
	called  atomic.Int32
	jammed  bool // the disk is full
	issuer  *oauthtest.Server
}

// row is one line of the table.
type row struct {
	what    string // fails or is reached
	setting string // by which it is set, "" for none
	note    string // for the reader

	server string            // lines below "server:", in braces
	api    string            // lines of the API; {ISSUER} is a running issuer's URL
	up     string            // further keys of the upstream, in braces
	guards string            // lines below "guards:"
	files  map[string]string // beside the config
	trail  *trail.Options    // nil: kept in memory of the temp dir
	// decisions says that decisions are kept, in the folder decisions.
	decisions bool
	client    *http.Client // by which documents and keys are fetched
	clock     func() time.Time
	issuer    bool // there is an issuer to log in with
	// state is what gateways share; nil: memory.
	state func(*stand) state.Store
	point bool   // the request is a question to the decision point
	top   string // lines at the top of the config
	// before is run once the gateway stands.
	before func(*stand)
	// request is sent; nil: GET /things with a good token.
	request func(*stand) *http.Request
	// upstream answers; nil: 200 with {"a":"b"}.
	upstream func(w http.ResponseWriter, r *http.Request) error
	// real is the URL of a real upstream, which is called by the real data plane.
	real func(*stand) string

	status int
	code   string
	called bool // the upstream was, and its answer kept from the client
	cut    bool // the answer was on its way and was cut short
	// hold keeps connections to the real data plane open meanwhile.
	hold   func(s *stand, listen string)
	closed bool   // the connection is closed without an answer
	start  string // the gateway refuses to start, with an error that holds this
}

var update = flag.Bool("update", false, "write docs/fail-closed.md anew")

func (r *row) config(s *stand, listen, upstream string) (*config.Config, error) {
	server := "server: {listen: [\"" + listen + "\"], tls: {mode: \"off\"}"
	if r.server != "" {
		server += ", " + r.server
	}
	guards := r.guards
	if !strings.Contains(guards, "authn:") {
		guards += "    authn: {methods: [{jwt: {issuer: \"https://issuer.test\", secret: \"${FAIL_SECRET}\", audience: [t]}}]}\n"
	}
	if !strings.Contains(guards, "waf:") {
		guards += "    waf: {mode: \"off\"}\n"
	}
	text := "version: 1\n" + r.top + server + "}\nadmin: {listen: \"off\"}\napis:\n- name: t\n  spec: api.yaml\n  upstream: {urls: [\"" + upstream + "\"], response_timeout: 300ms, dial_timeout: 300ms" + r.up + "}\n" + r.api + "  guards:\n" + guards
	if r.issuer {
		s.issuer = oauthtest.New(s.t)
		s.t.Setenv("ISSUER_SECRET", s.issuer.Secret)
		text = strings.ReplaceAll(text, "{ISSUER}", s.issuer.Issuer)
	}
	files := map[string]string{"api.yaml": document}
	for name, text := range r.files {
		files[name] = text
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(s.dir, name)), 0o700); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return config.Parse([]byte(text), filepath.Join(s.dir, "crenel.yaml"), config.Options{})
}

func (r *row) run(t *testing.T) {
	s := &stand{t: t, dir: t.TempDir()}
	s.deps = gateway.Deps{Log: slog.New(slog.DiscardHandler), Client: r.client, Now: r.clock}
	if r.state != nil {
		s.deps.State = r.state(s)
		defer func() { _ = s.deps.State.Close() }()
	}
	o := trail.Options{}
	if r.trail != nil {
		o = *r.trail
	}
	o.File = filepath.Join(s.dir, "events.jsonl")
	err := os.WriteFile(o.File, append(bytes.Repeat([]byte{' '}, fullAt-1), '\n'), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if s.trail, err = trail.Open(o); err != nil {
		t.Fatal(err)
	}
	s.deps.Trail = s.trail
	if r.decisions {
		s.keepDecisions()
	}
	listen, upstream := freeport.Address(t), "http://127.0.0.1:1"
	if r.real != nil {
		upstream = r.real(s)
	}
	cfg, err := r.config(s, listen, upstream)
	var gw *gateway.Gateway
	if err == nil {
		gw, err = gateway.New(t.Context(), cfg, s.deps)
	}
	if r.start != "" {
		if err == nil || !strings.Contains(err.Error(), r.start) {
			t.Errorf("the gateway's start: %v, want %q", err, r.start)
		}
		if err == nil {
			_ = gw.Close()
		}
		s.closeTrail()
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.real != nil {
		r.throughPlane(s, cfg, gw, listen)
		return
	}
	up := r.upstream
	if up == nil {
		up = func(w http.ResponseWriter, r *http.Request) error {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return err
			}
			w.Header().Set("Content-Type", "application/json")
			_, err := io.WriteString(w, `{"a":"b"}`)
			return err
		}
	}
	s.handler = gw.Handler(func(string) gateway.Upstream {
		return func(w http.ResponseWriter, r *http.Request) error { s.called.Add(1); return up(w, r) }
	})
	if r.point {
		s.handler = s.point(cfg, gw)
	}
	if r.before != nil {
		r.before(s)
	}
	s.called.Store(0)
	w := httptest.NewRecorder()
	cut := s.serve(w, r.make(s))
	if err := gw.Close(); err != nil {
		t.Error(err)
	}
	s.closeTrail()
	r.check(t, w.Code, w.Body.Bytes(), cut, s.called.Load() > 0)
}

// closeTrail ends the trail. One whose disk is full has to say so.
func (s *stand) closeTrail() {
	if err := s.trail.Close(); (err != nil) != s.jammed {
		s.t.Errorf("closing the trail: %v", err)
	}
}

func (s *stand) serve(w http.ResponseWriter, r *http.Request) (cut bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(p)
			}
			cut = true
		}
	}()
	s.handler.ServeHTTP(w, r)
	return false
}

func (r *row) make(s *stand) *http.Request {
	if r.request != nil {
		return r.request(s)
	}
	return s.get("/things")
}

// throughPlane sends the request over a socket, through the embedded data plane.
func (r *row) throughPlane(s *stand, cfg *config.Config, gw *gateway.Gateway, listen string) {
	t := s.t
	plane := caddy.New(caddy.Options{})
	if err := plane.Load(cfg, gw); err != nil {
		t.Fatal(err)
	}
	defer s.closeTrail()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := plane.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	req := r.make(s)
	req.URL.Scheme, req.URL.Host, req.RequestURI = "http", listen, ""
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if r.hold != nil {
		r.hold(s, listen)
	}
	resp, err := client.Do(req)
	if r.closed {
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("answered with %d, want a closed connection", resp.StatusCode)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	r.check(t, resp.StatusCode, body, err != nil, true)
}

func (r *row) check(t *testing.T, status int, body []byte, cut, called bool) {
	t.Helper()
	if cut != r.cut {
		t.Fatalf("cut short: %v, want %v", cut, r.cut)
	}
	if called != (r.called || r.cut || r.real != nil) {
		t.Errorf("the upstream was called: %v", called)
	}
	if status != r.status {
		t.Errorf("status %d, want %d: %.300s", status, r.status, body)
	}
	if r.cut {
		return
	}
	if r.point {
		// AuthZEN's errors are texts; the code is in the record.
		var said string
		if err := json.Unmarshal(body, &said); err != nil || said == "" {
			t.Errorf("answer %.300s, want a text", body)
		}
		if c, known := exchange.LookupCode(r.code); !known || c.Status != r.status {
			t.Errorf("the table of codes says %d of %s", c.Status, r.code)
		}
		return
	}
	var p struct{ Code string }
	if err := json.Unmarshal(body, &p); err != nil || p.Code != r.code {
		t.Errorf("answer %.300s, want the code %s", body, r.code)
	}
	if c, known := exchange.LookupCode(r.code); !known || c.Status != r.status {
		t.Errorf("the table of codes says %d of %s", c.Status, r.code)
	}
}

func (s *stand) get(path string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+s.token(jwa.HS256(), []byte(secret)))
	return r
}

func (s *stand) post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/things", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+s.token(jwa.HS256(), []byte(secret)))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func (s *stand) put(mediaType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPut, "/blob", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+s.token(jwa.HS256(), []byte(secret)))
	r.Header.Set("Content-Type", mediaType)
	return r
}

func (s *stand) token(alg jwa.SignatureAlgorithm, key any) string {
	tok, err := jwt.NewBuilder().Issuer("https://issuer.test").Audience([]string{"t"}).Subject("alice").Expiration(time.Now().Add(time.Hour)).Build()
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := jwt.Sign(tok, jwt.WithKey(alg, key))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(signed)
}

// raw is a real upstream that answers each connection as told.
func raw(serve func(net.Conn)) func(*stand) string {
	return func(s *stand) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					serve(c)
				}()
			}
		}()
		return "http://" + ln.Addr().String()
	}
}

// fetching is a client whose every request is answered so.
func fetching(answer string, err error) *http.Client {
	return &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
		if err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(answer))}, nil
	})}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func markdown() string {
	var b strings.Builder
	b.WriteString("# Fail closed\n\nEvery limit and everything that the gateway leans on, and what becomes of a request when it is reached or fails.\n" +
		"Each row is run as a test (`go test ./test/failclosed`), and this page is made from the same table (`-update`).\n")
	for _, g := range table {
		fmt.Fprintf(&b, "\n## %s\n\n| what | set by | status | code | upstream |\n|---|---|---|---|---|\n", g.title)
		for _, r := range g.rows {
			setting := "—"
			if r.setting != "" {
				setting = "`" + r.setting + "`"
			}
			what := r.what
			if r.note != "" {
				what += " (" + r.note + ")"
			}
			switch {
			case r.start != "":
				fmt.Fprintf(&b, "| %s | %s | — | the gateway does not start; a running one keeps its config | not called |\n", what, setting)
			case r.cut:
				fmt.Fprintf(&b, "| %s | %s | %d | the connection is cut, so that half an answer is never taken for a whole one | called |\n", what, setting, r.status)
			case r.closed:
				fmt.Fprintf(&b, "| %s | %s | — | none | not called |\n", what, setting)
			case r.real != nil:
				fmt.Fprintf(&b, "| %s | %s | %d | `%s` | it has failed |\n", what, setting, r.status, r.code)
			case r.called:
				fmt.Fprintf(&b, "| %s | %s | %d | `%s` | called; its answer is kept from the client |\n", what, setting, r.status, r.code)
			default:
				fmt.Fprintf(&b, "| %s | %s | %d | `%s` | not called |\n", what, setting, r.status, r.code)
			}
		}
	}
	return b.String()
}
