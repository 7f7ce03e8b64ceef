// Package failclosed holds the table of everything that can run out or break
// while a request is judged: each limit, each dependency. Every row shows that
// the request is refused, with which code, and that the upstream never saw it.
package failclosed

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
)

// The clock of the pattern engine ends by itself, a while after the last match.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

const document = `openapi: 3.1.0
info: {title: things, version: "1"}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
paths:
  /things:
    get:
      operationId: listThings
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object}}}}}
    post:
      operationId: addThing
      requestBody: {required: true, content: {application/json: {schema: {type: object, additionalProperties: true, properties: {slow: {type: string, pattern: "^(?=a)(a+)+$"}}}}}}
      responses: {"200": {description: ok}}
  /files:
    put:
      operationId: putFile
      requestBody: {content: {application/octet-stream: {}}}
      responses: {"200": {description: ok}}
  /mine:
    get:
      operationId: listMine
      security: [{bearer: []}]
      responses: {"200": {description: ok}}
`

// row is one thing that can run out or break.
type row struct {
	name     string // the setting, or what breaks
	server   string // settings of the server, as YAML in one line
	guards   string // settings of guards beside the quiet ones
	policy   string // a Rego policy
	trail    trailStub
	upstream gateway.Upstream
	request  func(url string) *http.Request
	first    func(t *testing.T, b *bench) // what happens before
	code     string
	status   int
	called   bool // the answer is what cannot be let through
}

// trailStub is a trail that can be out of order.
type trailStub struct{ full, broken bool }

func (s trailStub) Admit() bool { return !s.full }

func (s trailStub) Decide(context.Context, *exchange.Decision) error {
	if s.broken {
		return errors.New("no space left on device")
	}
	return nil
}

func (trailStub) Complete(*exchange.Completion) {}

func get(path string) func(string) *http.Request { return call(http.MethodGet, path, "", "") }

func post(body string) func(string) *http.Request {
	return call(http.MethodPost, "/things", "application/json", body)
}

func call(method, path, mediaType, body string) func(string) *http.Request {
	return func(url string) *http.Request {
		r, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			panic(err) // a row that is none
		}
		if mediaType != "" {
			r.Header.Set("Content-Type", mediaType)
		}
		return r
	}
}

// with changes a request before it is sent.
func with(make func(string) *http.Request, change func(r *http.Request)) func(string) *http.Request {
	return func(url string) *http.Request {
		r := make(url)
		change(r)
		return r
	}
}

func token() string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"RS256","kid":"k"}`) + "." + part(`{"iss":"http://127.0.0.1:1","sub":"a","exp":9999999999}`) + "." + part("signature")
}

func bomb() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, `{"a":"`+strings.Repeat("x", 512<<10)+`"}`)
	_ = w.Close()
	return b.String()
}

var rows = []row{
	{name: "limits.uri", server: "{limits: {uri: 64}}", request: get("/things?" + strings.Repeat("x", 64)), code: "gateway.uri_too_long", status: 414},
	{name: "limits.header_bytes", server: "{limits: {header_bytes: 1KiB}}", code: "gateway.headers_too_large", status: 431,
		request: with(get("/things"), func(r *http.Request) { r.Header.Set("X-Long", strings.Repeat("x", 1<<10)) })},
	{name: "limits.header_count", server: "{limits: {header_count: 5}}", code: "gateway.headers_too_large", status: 431,
		request: with(get("/things"), func(r *http.Request) {
			for i := range 6 {
				r.Header.Set(fmt.Sprint("X-", i), "x")
			}
		})},
	{name: "limits.body", server: "{limits: {body: 16, string: 16}}", request: post(`{"a": "0123456789"}`), code: "body.too_large", status: 413},
	{name: "limits.body, of a length not told", server: "{limits: {body: 16, string: 16}}", code: "body.too_large", status: 413,
		request: with(post(`{"a": "0123456789"}`), func(r *http.Request) { r.ContentLength = -1 })},
	{name: "limits.upload", server: "{limits: {upload: 16}}", request: call(http.MethodPut, "/files", "application/octet-stream", strings.Repeat("\x00", 17)), code: "body.too_large", status: 413},
	{name: "limits.response", server: "{limits: {response: 16}}", guards: "contract: {responses: refuse}", request: get("/things"), code: "contract.response_unchecked", status: 502, called: true},
	{name: "limits.depth", server: "{limits: {depth: 2}}", request: post(`{"a":{"b":{}}}`), code: "body.depth", status: 413},
	{name: "limits.values", server: "{limits: {values: 3}}", request: post(`{"a":1,"b":2,"c":3}`), code: "body.keys", status: 413},
	{name: "limits.keys", server: "{limits: {keys: 2}}", request: post(`{"a":1,"b":2,"c":3}`), code: "body.keys", status: 413},
	{name: "limits.items", server: "{limits: {items: 2}}", request: post(`{"a":[1,2,3]}`), code: "body.items", status: 413},
	{name: "limits.string", server: "{limits: {string: 4}}", request: post(`{"a":"12345"}`), code: "body.string_length", status: 413},
	{name: "limits.ratio", server: "{limits: {ratio: 2}}", code: "body.decompression", status: 413,
		request: with(post(bomb()), func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") })},
	{name: "limits.concurrent", server: "{limits: {concurrent: 1}}", first: occupy, request: get("/things"), code: "gateway.overloaded", status: 503},
	{name: "limits.memory", server: "{limits: {memory: 1MiB, body: 4MiB, string: 4MiB}}", request: post(`{"a":"` + strings.Repeat("x", 2<<20) + `"}`), code: "gateway.overloaded", status: 503},
	{name: "timeouts.read_body", server: "{timeouts: {read_body: 100ms}}", code: "gateway.timeout", status: 408,
		request: with(post(""), func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(&slow{}), -1 })},

	{name: "guards.limit.rates", guards: "limit: {rates: [{rate: 1/d}]}", request: get("/things"), code: "limit.rate", status: 429,
		first: func(t *testing.T, b *bench) { b.send(t, get("/things")) }},
	{name: "guards.waf.value", guards: "waf: {mode: enforce, value: 64}", request: post(`{"a":"` + strings.Repeat("x", 65) + `"}`), code: "waf.too_long", status: 413},
	{name: "guards.waf.values", guards: "waf: {mode: enforce, values: 1}", request: post(`{"a":"x","b":"y"}`), code: "waf.too_many", status: 413},
	{name: "guards.waf.budget", guards: "waf: {mode: enforce, budget: 1ms}", request: post(`{"a":"` + strings.Repeat("x", 1<<10) + `"}`), code: "waf.too_many", status: 413},
	{name: "a pattern without end", request: post(`{"slow":"` + strings.Repeat("a", 64) + `!"}`), code: "contract.pattern_timeout", status: 422},

	{name: "guards.authz.timeout", guards: "authz: {timeout: 1ms, policies: [policy.rego]}", request: get("/things"), code: "authz.timeout", status: 503,
		policy: "package crenel.authz\nallow if count([x | some x in numbers.range(1, 1000000 * count(input.context.method)); x % 7 == 0]) > 0\n"},
	{name: "the policy fails", guards: "authz: {policies: [policy.rego]}", request: get("/things"), code: "authz.error", status: 503,
		policy: "package crenel.authz\nallow if 1 / (count(input.context.method) - 3) > 0\n"},
	{name: "the policy says nonsense", guards: "authz: {policies: [policy.rego]}", request: get("/things"), code: "authz.error", status: 503,
		policy: "package crenel.authz\ndecision := input.context.method\n"},
	{name: "the policy says nothing", guards: "authz: {policies: [policy.rego]}", request: get("/things"), code: "authz.undefined", status: 403,
		policy: "package crenel.authz\nallow if input.context.method == \"NONE\"\n"},
	{name: "the issuer is down", guards: `authn: {methods: [{jwt: {issuer: "http://127.0.0.1:1", audience: [a]}}]}`, code: "authn.unavailable", status: 503,
		request: with(get("/mine"), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token()) })},
	{name: "no method takes credentials", code: "authn.missing", status: 401,
		request: with(get("/mine"), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token()) })},
	{name: "the trail's queue is full", trail: trailStub{full: true}, request: get("/things"), code: "gateway.overloaded", status: 503},
	// In strict audit the answer waits for its record: the upstream has been asked.
	{name: "the trail cannot be written", trail: trailStub{broken: true}, request: get("/things"), code: "gateway.overloaded", status: 503, called: true},
	{name: "the upstream is down", request: get("/things"), code: "gateway.upstream_unreachable", status: 502, called: true,
		upstream: func(http.ResponseWriter, *http.Request) error {
			return &gateway.UpstreamError{Code: "gateway.upstream_unreachable", Err: errors.New("connection refused")}
		}},
	{name: "the upstream breaks", request: get("/things"), code: "gateway.internal", status: 500, called: true,
		upstream: func(http.ResponseWriter, *http.Request) error { panic("a mistake") }},
}

// slow is a body of which nothing comes after its first byte.
type slow struct{ n int }

func (s *slow) Read(p []byte) (int, error) {
	if s.n++; s.n == 1 {
		return copy(p, "{"), nil
	}
	time.Sleep(time.Second)
	return 0, io.ErrUnexpectedEOF
}

// occupy leaves an exchange at the upstream.
func occupy(t *testing.T, b *bench) {
	b.hold = make(chan struct{})
	entered := make(chan struct{})
	b.entered = entered
	var wg sync.WaitGroup
	wg.Go(func() { b.send(t, get("/things")) })
	<-entered
	hold := b.hold
	t.Cleanup(func() {
		close(hold)
		wg.Wait()
	})
}

// bench is a gateway at work.
type bench struct {
	url     string
	client  *http.Client
	calls   atomic.Int64
	hold    chan struct{}
	entered chan struct{}
}

func newBench(t *testing.T, r *row) *bench {
	t.Helper()
	dir := t.TempDir()
	quiet := `waf: {mode: "off"}`
	if strings.HasPrefix(r.guards, "waf:") {
		quiet = ""
	} else if r.guards != "" {
		quiet += ", "
	}
	text := "version: 1\nserver: " + orElse(r.server, "{}") + "\napis:\n- name: things\n  spec: api.yaml\n" +
		"  upstream: {urls: [\"http://upstream.test\"]}\n  guards: {" + quiet + r.guards + "}\n"
	for name, content := range map[string]string{"crenel.yaml": text, "api.yaml": document, "policy.rego": r.policy} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "crenel.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	gw, err := gateway.New(t.Context(), cfg, gateway.Deps{Trail: r.trail})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	srv := httptest.NewServer(gw.Handler(func(string) gateway.Upstream {
		return func(w http.ResponseWriter, q *http.Request) error {
			b.calls.Add(1)
			if b.hold != nil {
				close(b.entered)
				<-b.hold
			}
			if r.upstream != nil {
				return r.upstream(w, q)
			}
			w.Header().Set("Content-Type", "application/json")
			_, err := io.WriteString(w, `{"of":"more than sixteen bytes"}`)
			return err
		}
	}))
	b.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		if err := gw.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// send makes a call and returns the status and the problem's code.
func (b *bench) send(t *testing.T, request func(string) *http.Request) (status int, code string) {
	res, err := b.client.Do(request(b.url))
	if err != nil {
		var network net.Error
		if errors.As(err, &network) && network.Timeout() {
			t.Error("no answer at all")
		}
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	var problem struct{ Code string }
	body, _ := io.ReadAll(res.Body) // what can be read of it shows below
	if res.StatusCode != http.StatusOK {
		if err := json.Unmarshal(body, &problem); err != nil {
			t.Errorf("%d without a problem document: %q", res.StatusCode, body)
		}
	}
	return res.StatusCode, problem.Code
}

func TestEachRowRefuses(t *testing.T) {
	for i := range rows {
		r := &rows[i]
		t.Run(r.name, func(t *testing.T) {
			b := newBench(t, r)
			if r.first != nil {
				r.first(t, b)
			}
			before := b.calls.Load()
			status, code := b.send(t, r.request)
			if status != r.status || code != r.code {
				t.Errorf("%d %q, want %d %q", status, code, r.status, r.code)
			}
			if called := b.calls.Load() > before; called != r.called {
				t.Errorf("upstream called: %v", called)
			}
		})
	}
}

// TestNothingIsBroken shows that the rows refuse for what they say: without it
// the same calls pass.
func TestNothingIsBroken(t *testing.T) {
	b := newBench(t, &row{})
	for _, request := range []func(string) *http.Request{
		get("/things"), post(`{"a":{"b":{}},"c":[1,2,3],"d":"0123456789"}`), post(`{"slow":"aaa"}`),
		call(http.MethodPut, "/files", "application/octet-stream", strings.Repeat("\x00", 17)),
	} {
		if status, code := b.send(t, request); status != http.StatusOK {
			t.Errorf("%d %s", status, code)
		}
	}
}

// TestEveryLimitHasARow keeps the table whole: a limit that the config gains
// needs a row that shows what comes of passing it.
func TestEveryLimitHasARow(t *testing.T) {
	has := map[string]bool{}
	for i := range rows {
		has[rows[i].name] = true
	}
	limits := reflect.TypeFor[config.Limits]()
	for i := range limits.NumField() {
		if name := "limits." + limits.Field(i).Tag.Get("yaml"); !has[name] {
			t.Errorf("%s has no row", name)
		}
	}
}
