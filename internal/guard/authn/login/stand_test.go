package login_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/oauth/oauthtest"
	"github.com/crenel-project/crenel/internal/state"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

const document = `
openapi: 3.1.0
info: {title: Shop, version: "1"}
security: [{login: []}]
paths:
  /things:
    get: {operationId: list, responses: {"200": {description: ok}}}
    post: {operationId: create, responses: {"204": {description: done}}}
  /open:
    get: {operationId: open, security: [], responses: {"200": {description: ok}}}
  /strict:
    get: {operationId: strict, responses: {"200": {description: ok}}}
components: {securitySchemes: {login: {type: openIdConnect, openIdConnectUrl: "https://id.example.com/.well-known/openid-configuration"}}}
`

const stepUpPolicy = `package crenel.authz
decision := {"allow": false, "obligations": {"step_up": {"acr_values": ["gold"], "max_age": 60}}} if {
	input.operation.id == "strict"
	input.identity.claims.acr != "gold"
} else := {"allow": true}
`

type oauthServer = oauthtest.Server

// clock is the time that gateways, state and issuer agree on.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// memory keeps records.
type memory struct {
	mu        sync.Mutex
	decisions []*exchange.Decision
	done      []*exchange.Completion
}

func (m *memory) Admit() bool { return true }
func (m *memory) Decide(_ context.Context, d *exchange.Decision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.decisions = append(m.decisions, d)
	return nil
}

func (m *memory) Complete(c *exchange.Completion) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = append(m.done, c)
}

// text is every record as it would be written.
func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, _ := json.Marshal([]any{m.decisions, m.done})
	return string(b)
}

// stand is an issuer, a gateway in front of an upstream, and what they saw.
type stand struct {
	t      *testing.T
	op     *oauthtest.Server
	origin string
	clock  *clock
	store  state.Store
	trail  *memory
	log    *lockedBuffer
	srv    *httptest.Server
	conf   setup

	handler atomic.Pointer[http.Handler]
	mu      sync.Mutex
	seen    []http.Header // of requests that reached the upstream
	answer  func(w http.ResponseWriter, r *http.Request)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setup is what differs between stands.
type setup struct {
	login    string // lines in login, flow style
	session  string // in session
	method   string // in the session method
	api      string // lines of the API
	upstream string // in upstream, flow style
	policy   string
	store    state.Store
	op       *oauthtest.Server
	clock    *clock
}

func newStand(t *testing.T, c setup) *stand {
	t.Helper()
	s := &stand{t: t, op: c.op, clock: c.clock, store: c.store, trail: &memory{}, log: &lockedBuffer{}, conf: c}
	if s.clock == nil {
		s.clock = &clock{}
	}
	if s.op == nil {
		s.op = oauthtest.New(t)
		s.op.Now = s.clock.Now
	}
	if s.store == nil {
		m := state.NewMemory(s.clock.Now)
		t.Cleanup(func() { _ = m.Close() })
		s.store = m
	}
	s.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.handler.Load()).ServeHTTP(w, r) }))
	s.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.srv.StartTLS()
	s.origin = s.srv.URL
	t.Cleanup(s.srv.Close)
	gw := s.gateway()
	s.serve(gw)
	return s
}

// gateway makes one more gateway of the same config, as another replica is.
func (s *stand) gateway() *gateway.Gateway {
	s.t.Helper()
	dir := s.t.TempDir()
	s.t.Setenv("LOGIN_SECRET", s.op.Secret)
	s.t.Setenv("LOGIN_KEY", "a key of the test that is long enough 0123456789")
	text := fmt.Sprintf(`version: 1
data_dir: data
server: {listen: ["127.0.0.1:1"], tls: {mode: "off"}}
admin: {listen: "off"}
apis:
- name: shop
  spec: api.yaml
  upstream: {urls: ["http://127.0.0.1:9"]%s}
%s
  login: {issuer: "%s", client_id: front, client_secret: "${LOGIN_SECRET}", origin: "%s", timeout: 2s%s, session: {keys: ["${LOGIN_KEY}"]%s}}
  guards:
    authn: {methods: [{session: {%s}}, {jwt: {issuer: "%s", audience: [api]}}]}
    waf: {mode: "off"}
    limit: {rates: []}
%s`, strings.ReplaceAll(s.conf.upstream, "ISSUER", s.op.Issuer), s.conf.api, s.op.Issuer, s.origin, s.conf.login, s.conf.session, s.conf.method, s.op.Issuer, policyLine(s.conf.policy))
	for name, text := range map[string]string{"api.yaml": document, "p.rego": s.conf.policy} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	cfg, err := config.Parse([]byte(text), filepath.Join(dir, "crenel.yaml"), config.Options{})
	if err != nil {
		s.t.Fatalf("%v\n%s", err, text)
	}
	gw, err := gateway.New(s.t.Context(), cfg, gateway.Deps{
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Trail: s.trail, State: s.store, Now: s.clock.Now,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := gw.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return gw
}

func policyLine(policy string) string {
	if policy == "" {
		return ""
	}
	return "    authz: {policies: [p.rego]}\n"
}

func (s *stand) serve(gw *gateway.Gateway) {
	h := s.handlerOf(gw)
	s.handler.Store(&h)
}

func (s *stand) handlerOf(gw *gateway.Gateway) http.Handler {
	return gw.Handler(func(string) gateway.Upstream {
		return func(w http.ResponseWriter, r *http.Request) error {
			s.mu.Lock()
			s.seen = append(s.seen, r.Header.Clone())
			answer := s.answer
			s.mu.Unlock()
			if answer != nil {
				answer(w, r)
				return nil
			}
			w.Header().Set("Content-Type", "text/plain")
			_, err := io.WriteString(w, "the upstream's answer")
			return err
		}
	})
}

// last is the header of the last request that reached the upstream.
func (s *stand) last() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		s.t.Fatal("no request has reached the upstream")
	}
	return s.seen[len(s.seen)-1]
}

func (s *stand) reached() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// browser keeps cookies and follows redirects as one does.
type browser struct {
	*stand
	jar    http.CookieJar
	client *http.Client
	// stay keeps redirects from being followed.
	stay bool
}

func (s *stand) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &browser{stand: s, jar: jar}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	s.t.Cleanup(transport.CloseIdleConnections)
	b.client = &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if b.stay || len(via) > 10 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

type reply struct {
	status int
	header http.Header
	body   string
	url    *url.URL
}

func (r *reply) code(t *testing.T) string {
	t.Helper()
	var p struct{ Code string }
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		return ""
	}
	return p.Code
}

func (b *browser) do(method, path string, body string, header ...string) *reply {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.origin + path
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &reply{res.StatusCode, res.Header, string(text), res.Request.URL}
}

var page = []string{"Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none"}

func (b *browser) open(path string) *reply { b.t.Helper(); return b.do("GET", path, "", page...) }

func (b *browser) call(path string, header ...string) *reply {
	b.t.Helper()
	return b.do("GET", path, "", append([]string{"Accept", "application/json", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin"}, header...)...)
}

func (b *browser) write(path string, header ...string) *reply {
	b.t.Helper()
	return b.do("POST", path, "", append([]string{"Origin", b.origin, "Sec-Fetch-Site", "same-origin"}, header...)...)
}

// logIn goes through a whole login, or ends the test.
func (b *browser) logIn() *reply {
	b.t.Helper()
	r := b.open("/auth/login?return_to=/things")
	if r.status != 200 || r.body != "the upstream's answer" {
		b.t.Fatalf("the login ended at %s with %d: %s\n%s", r.url, r.status, r.body, b.log)
	}
	return r
}

func (b *browser) cookies() map[string]string {
	out := map[string]string{}
	u, _ := url.Parse(b.origin)
	for _, c := range b.jar.Cookies(u) {
		out[c.Name] = c.Value
	}
	return out
}

func (b *browser) set(name, value string) {
	u, _ := url.Parse(b.origin)
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true}
	if value == "" {
		c.MaxAge = -1
	}
	b.jar.SetCookies(u, []*http.Cookie{c})
}

const (
	sessionCookie = "__Host-crenel-shop-session"
	csrfCookie    = "__Host-crenel-shop-csrf"
)
