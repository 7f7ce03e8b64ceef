package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testDocument = `
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /items:
    get:
      operationId: list
      parameters: [{name: n, in: query, schema: {type: integer}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {a: {type: integer}, b: {type: string}}}}}}}
    post:
      operationId: create
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {a: {type: integer}, b: {type: string}, c: {type: array}}}}}}
      responses: {"204": {description: done}}
  /blob:
    put:
      operationId: put
      requestBody: {content: {application/octet-stream: {}}}
      responses: {"204": {description: done}}
    get:
      operationId: blob
      responses: {"200": {description: ok, content: {application/octet-stream: {}}}}
  /events:
    get:
      operationId: events
      responses: {"200": {description: ok, content: {text/event-stream: {schema: {type: string}}}}}
  /socket:
    get:
      operationId: socket
      responses: {"101": {description: switched}}
`

// records is a Trail that keeps what it is told, and refuses on demand.
type records struct {
	mu          sync.Mutex
	decisions   []exchange.Decision
	completions []exchange.Completion
	full        bool  // Admit says no
	broken      error // Decide says so
}

func (r *records) Admit() bool { return !r.full }

func (r *records) Decide(_ context.Context, d *exchange.Decision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decisions = append(r.decisions, *d)
	return r.broken
}

func (r *records) Complete(c *exchange.Completion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.completions = append(r.completions, *c)
}

// only returns the records of the one exchange there was.
func (r *records) only(t *testing.T) (exchange.Decision, exchange.Completion) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.decisions) != 1 || len(r.completions) != 1 {
		t.Fatalf("%d decisions and %d completions, want one of each", len(r.decisions), len(r.completions))
	}
	if r.decisions[0].ID != r.completions[0].ID {
		t.Error("decision and completion have different ids")
	}
	return r.decisions[0], r.completions[0]
}

type testGateway struct {
	*Gateway
	trail *records
	log   *strings.Builder
}

// newTestGateway makes a gateway of one API. settings are the lines below the
// API's name, server those below "server:".
func newTestGateway(t testing.TB, settings, server string) *testGateway {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte(testDocument), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "version: 1\n"
	if server != "" {
		text += "server: " + server + "\n"
	}
	text += "apis:\n- name: t\n  spec: api.yaml\n  upstream: {urls: [\"http://up.test:1\"]}\n"
	if !strings.Contains(settings, "guards:") {
		text += "  guards: {waf: {mode: \"off\"}, limit: {rates: [{rate: 100000/s}]}}\n"
	}
	text += settings
	cfg, err := config.Parse([]byte(text), filepath.Join(dir, "crenel.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := &testGateway{trail: &records{}, log: &strings.Builder{}}
	var mu sync.Mutex
	out.Gateway, err = New(context.Background(), cfg, Deps{Trail: out.trail, Log: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.log.Write(p)
	}), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	return out
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// do runs one exchange as a server does.
func (g *testGateway) do(up Upstream, r *http.Request) (w *httptest.ResponseRecorder, aborted bool) {
	w = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(p)
			}
			aborted = true
		}
	}()
	g.Handler(func(string) Upstream { return up }).ServeHTTP(w, r)
	return w, false
}

// balanced checks that the memory budget is whole again and nothing is under way.
func (g *testGateway) balanced(t *testing.T) {
	t.Helper()
	budget := int64(g.cfg.Server.Limits.Memory)
	if left := g.memory.left.Load(); left != budget {
		t.Errorf("%d bytes of the memory budget were not given back", budget-left)
	}
	if n := g.Inflight(); n != 0 {
		t.Errorf("%d exchanges are said to be under way", n)
	}
}

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/items", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func answering(status int, mediaType, body string) Upstream {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
		if mediaType != "" {
			w.Header().Set("Content-Type", mediaType)
		}
		w.WriteHeader(status)
		_, err := io.WriteString(w, body)
		return err
	}
}

// withStep puts a guard of the test's own before the others.
func (g *testGateway) withStep(s guard.Step) {
	g.apis[0].chain = guard.NewChain(g.apis[0].spec, []guard.Step{s}, func(string, *spec.Operation) guard.Setting {
		return guard.Setting{Mode: guard.Enforce}
	}, g.Gateway.log)
}

func TestPanics(t *testing.T) {
	for _, phase := range []exchange.Phase{exchange.RequestHead, exchange.RequestBody, exchange.ResponseHead, exchange.ResponseBody} {
		t.Run("in a guard, "+phase.String(), func(t *testing.T) {
			g := newTestGateway(t, "", "")
			g.withStep(guard.Step{Guard: "test", Phase: phase, Needs: exchange.Buffered, Rule: func(context.Context, *exchange.Exchange) exchange.Verdict {
				panic("the secret is 12345")
			}})
			w, aborted := g.do(answering(200, "application/json", `{"a":1}`), post(`{"a":1}`))
			d, c := g.trail.only(t)
			if aborted || w.Code != 500 || !strings.Contains(w.Body.String(), "gateway.internal") || strings.Contains(w.Body.String(), "12345") {
				t.Errorf("status %d, aborted %v: %s", w.Code, aborted, w.Body)
			}
			if c.Status != 500 || strings.Count(g.log.String(), "guard panicked") != 1 {
				t.Errorf("completion %+v, log %s", c, g.log)
			}
			if called := phase >= exchange.ResponseHead; c.Called != called || d.Action != "deny" {
				t.Errorf("called %v, decision %+v", c.Called, d)
			}
			g.balanced(t)
		})
	}
	t.Run("in the upstream's handler before the head", func(t *testing.T) {
		g := newTestGateway(t, "", "")
		w, aborted := g.do(func(http.ResponseWriter, *http.Request) error { panic("boom") }, post(`{"a":1}`))
		if _, c := g.trail.only(t); aborted || w.Code != 500 || c.Status != 500 || strings.Count(g.log.String(), "gateway panicked") != 1 {
			t.Errorf("status %d, aborted %v, log %s", w.Code, aborted, g.log)
		}
		g.balanced(t)
	})
	t.Run("in the upstream's handler behind the head", func(t *testing.T) {
		g := newTestGateway(t, "", "")
		_, aborted := g.do(func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(204); panic("boom") }, post(`{"a":1}`))
		if d, c := g.trail.only(t); !aborted || c.Aborted != "gateway.internal" || d.Action != "allow" {
			t.Errorf("aborted %v, completion %+v", aborted, c)
		}
		g.balanced(t)
	})
	t.Run("of a handler that aborts", func(t *testing.T) {
		g := newTestGateway(t, "", "")
		w, aborted := g.do(func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }, post(`{"a":1}`))
		if aborted || w.Code != 502 {
			t.Errorf("status %d, aborted %v", w.Code, aborted)
		}
		g.balanced(t)
	})
	t.Run("of the server's own abort", func(t *testing.T) {
		g := newTestGateway(t, "", "")
		w := &brokenWriter{header: http.Header{}}
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
					t.Errorf("recovered %v", p)
				}
			}()
			g.Handler(func(string) Upstream { return answering(200, "application/json", "{}") }).ServeHTTP(w, post(`{"a":1}`))
		}()
		if _, c := g.trail.only(t); c.Aborted == "" {
			t.Error("not recorded as aborted")
		}
		g.balanced(t)
	})
}

// brokenWriter aborts as soon as it is written to.
type brokenWriter struct{ header http.Header }

func (b *brokenWriter) Header() http.Header       { return b.header }
func (b *brokenWriter) WriteHeader(int)           {}
func (b *brokenWriter) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

func TestTrailRefuses(t *testing.T) {
	called := false
	up := func(w http.ResponseWriter, _ *http.Request) error { called = true; w.WriteHeader(204); return nil }
	t.Run("no room", func(t *testing.T) {
		g := newTestGateway(t, "", "")
		g.trail.full = true
		var seen *exchange.Decision
		g.deps.Observer = observerFunc(func(_ *exchange.Exchange, d *exchange.Decision, _ *exchange.Completion) { seen = d })
		w, _ := g.do(up, post(`{"a":1}`))
		if w.Code != 503 || called || len(g.trail.decisions)+len(g.trail.completions) != 0 {
			t.Errorf("status %d, called %v", w.Code, called)
		}
		if seen == nil || seen.Code != "gateway.overloaded" {
			t.Errorf("observed %+v", seen)
		}
		g.balanced(t)
	})
	t.Run("the decision cannot be recorded", func(t *testing.T) {
		g := newTestGateway(t, "", "")
		g.trail.broken = errors.New("disk full")
		w, aborted := g.do(up, post(`{"a":1}`))
		if _, c := g.trail.only(t); w.Code != 503 || aborted || c.Refused != "gateway.overloaded" || c.Status != 503 {
			t.Errorf("status %d, completion %+v", w.Code, c)
		}
		g.balanced(t)
	})
	t.Run("a denial cannot be recorded", func(t *testing.T) {
		g := newTestGateway(t, "", "")
		g.trail.broken = errors.New("disk full")
		called = false
		w, _ := g.do(up, post(`{"z":1}`))
		if g.trail.only(t); w.Code != 503 || called {
			t.Errorf("status %d, called %v", w.Code, called)
		}
	})
	t.Run("a preflight cannot be recorded", func(t *testing.T) {
		g := newTestGateway(t, "  cors: {origins: [\"https://a.test\"]}\n", "")
		g.trail.broken = errors.New("disk full")
		r := httptest.NewRequest(http.MethodOptions, "/items", nil)
		r.Header.Set("Origin", "https://a.test")
		r.Header.Set("Access-Control-Request-Method", "GET")
		w, _ := g.do(up, r)
		if g.trail.only(t); w.Code != 503 || w.Header().Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("status %d %v", w.Code, w.Header())
		}
	})
}

type observerFunc func(*exchange.Exchange, *exchange.Decision, *exchange.Completion)

func (f observerFunc) Done(x *exchange.Exchange, d *exchange.Decision, c *exchange.Completion) {
	f(x, d, c)
}

func TestConcurrencyIsCapped(t *testing.T) {
	g := newTestGateway(t, "", "{limits: {concurrent: 2}}")
	inside, leave := make(chan bool), make(chan bool)
	up := func(w http.ResponseWriter, _ *http.Request) error {
		inside <- true
		<-leave
		w.WriteHeader(204)
		return nil
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		go func() { defer wg.Done(); g.do(up, post(`{"a":1}`)) }()
		<-inside
	}
	w, _ := g.do(up, post(`{"a":1}`))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "gateway.overloaded") {
		t.Errorf("the third got %d", w.Code)
	}
	close(leave)
	wg.Wait()
	go func() { <-inside }()
	if w, _ := g.do(up, post(`{"a":1}`)); w.Code != 204 {
		t.Errorf("behind them: %d", w.Code)
	}
	g.balanced(t)
}

func TestClientGone(t *testing.T) {
	g := newTestGateway(t, "", "")
	ctx, cancel := context.WithCancel(t.Context())
	w, aborted := g.do(func(_ http.ResponseWriter, r *http.Request) error {
		cancel()
		<-r.Context().Done()
		return &UpstreamError{Code: "gateway.upstream_unreachable", Err: r.Context().Err()}
	}, post(`{"a":1}`).WithContext(ctx))
	d, c := g.trail.only(t)
	if aborted || w.Code != 499 || d.Code != "gateway.client_gone" || c.Status != 499 {
		t.Errorf("status %d, decision %+v", w.Code, d)
	}
	g.balanced(t)
}

func TestEarlyAnswersOfTheUpstreamStayInside(t *testing.T) {
	g := newTestGateway(t, "", "")
	w, _ := g.do(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(103)
		w.WriteHeader(100)
		w.WriteHeader(204)
		w.WriteHeader(200)
		return nil
	}, post(`{"a":1}`))
	if w.Code != 204 {
		t.Errorf("status %d", w.Code)
	}
	g.trail.only(t)
}

func TestAnUpstreamCannotSwitchProtocolsUnasked(t *testing.T) {
	g := newTestGateway(t, "", "")
	w, _ := g.do(func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(101); return nil }, post(`{"a":1}`))
	if w.Code != 502 {
		t.Errorf("status %d", w.Code)
	}
}

func TestTargetIsOneTarget(t *testing.T) {
	g := newTestGateway(t, "", "")
	var got *http.Request
	r := httptest.NewRequest(http.MethodGet, "/x/../it%65ms?n=1", nil)
	g.do(func(w http.ResponseWriter, r *http.Request) error { got = r; w.WriteHeader(200); return nil }, r)
	if got == nil || got.URL.Path != "/items" || got.URL.RawPath != "" || got.RequestURI != "/items?n=1" || got.URL.RequestURI() != "/items?n=1" {
		t.Errorf("sent %+v %q", got.URL, got.RequestURI)
	}
}

func TestManyAtOnce(t *testing.T) {
	g := newTestGateway(t, "", "")
	up := answering(200, "application/json", `{"a":1}`)
	const workers, each = 16, 40
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range each {
				var r *http.Request
				switch (i + j) % 4 {
				case 0:
					r = httptest.NewRequest(http.MethodGet, "/items?n=1", nil)
				case 1:
					r = post(fmt.Sprintf(`{"a":%d}`, j))
				case 2:
					r = post(`{"unknown":1}`)
				case 3:
					r = httptest.NewRequest(http.MethodPut, "/blob", strings.NewReader(strings.Repeat("x", 20_000)))
					r.Header.Set("Content-Type", "application/octet-stream")
				}
				w, _ := g.do(up, r)
				mu.Lock()
				statuses[w.Code]++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	if statuses[200] != workers*each*3/4 || statuses[422] != workers*each/4 {
		t.Errorf("statuses %v", statuses)
	}
	ids := map[string]int{}
	for _, d := range g.trail.decisions {
		ids[d.ID]++
	}
	for _, c := range g.trail.completions {
		ids[c.ID] += 10
	}
	for id, n := range ids {
		if n != 11 {
			t.Fatalf("exchange %s has %d decisions and %d completions", id, n%10, n/10)
		}
	}
	if len(ids) != workers*each {
		t.Errorf("%d exchanges recorded", len(ids))
	}
	g.balanced(t)
}

func TestTimesAreRecorded(t *testing.T) {
	g := newTestGateway(t, "", "")
	g.do(func(w http.ResponseWriter, _ *http.Request) error {
		time.Sleep(5 * time.Millisecond)
		w.WriteHeader(204)
		return nil
	}, post(`{"a":1}`))
	d, c := g.trail.only(t)
	if c.Upstream < 5000 || c.Micros < c.Upstream || d.Micros > c.Micros || c.BytesIn != 7 {
		t.Errorf("decision %+v, completion %+v", d, c)
	}
}

func TestRequestIDs(t *testing.T) {
	now := time.Date(2024, 5, 6, 7, 8, 9, 123_456_789, time.UTC)
	seen := map[string]bool{}
	last := ""
	for i := range 5000 {
		id := newID(now.Add(time.Duration(i) * time.Microsecond))
		if len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
			t.Fatalf("%q is no UUID version 7", id)
		}
		if seen[id] || id <= last {
			t.Fatalf("%q behind %q", id, last)
		}
		seen[id], last = true, id
	}
	var ms int64
	if _, err := fmt.Sscanf(strings.ReplaceAll(newID(now), "-", "")[:12], "%x", &ms); err != nil || ms != now.UnixMilli() {
		t.Errorf("%d, %v", ms, err)
	}
}
