package providers_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/gateway/caddy"
	"github.com/crenel-project/crenel/internal/trail"
)

const shop = `
openapi: 3.1.0
info: {title: Shop, version: "1"}
security: [{login: []}]
paths:
  /orders:
    get: {operationId: list, responses: {"200": {description: ok}}}
    post: {operationId: create, responses: {"200": {description: ok}}}
components: {securitySchemes: {login: {type: openIdConnect, openIdConnectUrl: "https://id.example.com"}}}
`

// stand is a gateway on its own data plane, with TLS, in front of an upstream.
type stand struct {
	t       *testing.T
	servers *authority // of its own certificate
	origin  string
	ca      string // PEM file
	pool    *x509.CertPool
	cert    [2]string // PEM files
	port    int

	mu   sync.Mutex
	last http.Header // of the last request that reached the upstream
	log  strings.Builder
}

func newStand(t *testing.T) *stand {
	t.Helper()
	a := newAuthority(t, "servers")
	own := a.server()
	s := &stand{t: t, servers: a, ca: a.file, pool: a.pool, cert: [2]string{own.cert, own.key}}
	s.port = freeport.Port(t)
	s.origin = fmt.Sprintf("https://localhost:%d", s.port)
	return s
}

// client is the gateway as the providers know it.
func (s *stand) client(more map[string]any) map[string]any {
	c := map[string]any{
		"client_id": "front", "client_secret": "a secret of the test +/&", "redirect_uris": []string{s.origin + "/auth/callback"},
		"post_logout_redirect_uris": []string{s.origin + "/"}, "grant_types": []string{"authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
		"backchannel_logout_uri": s.origin + "/auth/backchannel-logout", "backchannel_logout_session_required": true,
	}
	for name, v := range more {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

type lockedWriter struct{ s *stand }

func (l lockedWriter) Write(p []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.log.Write(p)
}

// start runs the gateway with a login until the test ends. login and upstream are
// lines in flow style.
func (s *stand) start(issuer, login, upstream string) {
	s.t.Helper()
	s.t.Setenv("FRONT_SECRET", "a secret of the test +/&")
	s.serve(setup{apis: fmt.Sprintf(`
- name: shop
  hosts: [localhost]
  spec: api.yaml
  upstream: {urls: [%q]%s}
  login: {issuer: %q, client_id: front, origin: %q%s}
  guards:
    authn: {methods: [{session: {}}]}
    limit: {rates: []}
    waf: {mode: off}
`, s.upstream(), upstream, issuer, s.origin, login), files: map[string]string{"api.yaml": shop}})
}

// upstream says whose orders it has, and keeps the fields of what it got last.
func (s *stand) upstream() string {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.last = r.Header.Clone()
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "the orders of "+r.Header.Get("X-Crenel-Subject"))
	}))
	s.t.Cleanup(up.Close)
	return up.URL
}

// setup is what a gateway is made of, besides its address and certificate.
type setup struct {
	tls    string            // further members of server.tls, in flow style
	server string            // further lines of server
	apis   string            // the list
	files  map[string]string // that the others name
}

// serve runs a gateway until the test ends.
func (s *stand) serve(c setup) {
	s.t.Helper()
	s.run(fmt.Sprintf(`version: 1
data_dir: data
server:
  listen: ["127.0.0.1:%d"]
  protocols: [h1, h2]
  tls: {mode: files, certificates: [{cert: %q, key: %q}]%s}
%s
admin: {listen: "off"}
apis:%s`, s.port, s.cert[0], s.cert[1], c.tls, c.server, c.apis), c.files)
}

// run runs a gateway of that config, whose files stand beside it.
func (s *stand) run(text string, files map[string]string) {
	t := s.t
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Parse([]byte(text), filepath.Join(dir, "crenel.yaml"), config.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	records, err := trail.Open(trail.Options{File: filepath.Join(dir, "events.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(lockedWriter{s}, nil))
	gw, err := gateway.New(t.Context(), cfg, gateway.Deps{Log: log, Trail: records})
	if err != nil {
		t.Fatal(err)
	}
	plane := caddy.New(caddy.Options{Log: log})
	if err := plane.Load(cfg, gw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := plane.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (s *stand) seen() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// forget what the upstream saw.
func (s *stand) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = nil
}

func (s *stand) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}
