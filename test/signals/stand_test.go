package signals

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway/server"
)

const bearer = "the-bearer-token-of-the-transmitter"

// TestMain is a gateway where its environment says so: Caddy is one per process.
func TestMain(m *testing.M) {
	if path := os.Getenv("CRENEL_TEST_GATEWAY"); path != "" {
		if err := serve(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	load := func() (*config.Config, error) { return config.Load(path) }
	cfg, err := load()
	if err != nil {
		return err
	}
	return server.Run(ctx, server.Options{
		Config: cfg, Load: load, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Version: "test",
		Started: func(*server.Server) { fmt.Println("started") },
	})
}

// gateway is a process.
type gateway struct {
	t      testing.TB
	dir    string
	url    string
	admin  string
	cmd    *exec.Cmd
	log    *bytes.Buffer
	client *http.Client
}

const document = `openapi: 3.1.0
info: {title: shop, version: "1"}
servers: [{url: /}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer, bearerFormat: JWT}}
security: [{bearer: []}]
paths:
  /me:
    get: {operationId: me, responses: {"200": {description: ok}}}
  /live:
    get: {operationId: live, responses: {"101": {description: ok}}}
  /events:
    get: {operationId: events, responses: {"200": {description: ok, content: {text/event-stream: {schema: {type: string}}}}}}
  /download:
    get: {operationId: download, responses: {"200": {description: ok, content: {application/octet-stream: {}}}}}
  /late:
    get: {operationId: late, responses: {"200": {description: ok, content: {application/octet-stream: {}}}}}
  /upload:
    put:
      operationId: upload
      requestBody: {content: {application/octet-stream: {}}}
      responses: {"204": {description: ok}}
`

const policy = `package crenel.authz

default decision := false

decision if not blocked[input.identity.subject]

blocked[s] if some s in data.blocked
`

// start runs a gateway. more goes into its config.
func start(t testing.TB, p *idp, upstream, more string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), log: &bytes.Buffer{}}
	listen, admin := freeport.Address(t), freeport.Address(t)
	g.url, g.admin = "https://"+listen, "http://"+admin
	g.write("openapi.yaml", document)
	g.write("policy/p.rego", policy)
	g.write("data/data.json", `{"blocked": []}`)
	g.write("crenel.yaml", fmt.Sprintf(`version: 1
data_dir: data-dir
server:
  listen: [%q]
  tls: {mode: local}
  timeouts: {shutdown: 2s}
  recheck: 1h
admin: {listen: %q}
signals:
  transmitters:
    - name: idp
      issuer: %q
      audience: [crenel]
      push: {path: /signals, token: "%s"}
%s
apis:
  - name: shop
    spec: openapi.yaml
    upstream: {urls: [%q]}
    guards:
      limit: {rates: [{by: address, rate: 100000/s, burst: 100000}]}
      waf: {mode: "off"}
      authz: {policies: [policy], data: [data]}
      authn:
        clock_skew: 1s
        methods:
          - jwt: {issuer: %q, jwks: %q, audience: [shop]}
`, listen, admin, p.URL, "${CRENEL_TEST_BEARER}", more, upstream, p.URL, p.URL+"/jwks"))
	g.run()
	t.Cleanup(g.end)
	return g
}

func (g *gateway) write(name, text string) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) run() {
	g.t.Helper()
	g.cmd = exec.Command(os.Args[0])
	g.cmd.Env = append(os.Environ(), "CRENEL_TEST_GATEWAY="+filepath.Join(g.dir, "crenel.yaml"), "CRENEL_TEST_BEARER="+bearer)
	g.cmd.Stderr = g.log
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	line := make([]byte, 8)
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "started\n" {
		_ = g.cmd.Wait()
		g.t.Fatalf("the gateway does not start: %v\n%s", err, g.log)
	}
	g.client = client(g.t, true)
}

func (g *gateway) end() {
	if g.cmd == nil {
		return
	}
	g.client.CloseIdleConnections()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if err := g.cmd.Wait(); err != nil {
		g.t.Errorf("the gateway ended with %v\n%s", err, g.log)
	}
	g.cmd = nil
	if g.t.Failed() {
		g.t.Logf("gateway:\n%s", g.log)
	}
}

func (g *gateway) kill() {
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
	g.cmd = nil
}

// do calls the gateway.
func (g *gateway) do(path, token string) (int, string) {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodGet, g.url+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	var problem struct{ Code string }
	_ = json.Unmarshal(body, &problem)
	return res.StatusCode, problem.Code
}

// signal delivers a token to the gateway.
func (g *gateway) signal(text string) {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodPost, g.url+"/signals", strings.NewReader(text))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusAccepted {
		g.t.Fatalf("the event was answered with %d %s", res.StatusCode, body)
	}
}

// ready asks /readyz.
func (g *gateway) ready() (bool, string) {
	res, err := http.Get(g.admin + "/readyz")
	if err != nil {
		return false, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode == http.StatusOK, string(body)
}

// aborted waits until the trail says why a request was cut.
func (g *gateway) aborted(id string) string {
	g.t.Helper()
	for range 200 {
		data, _ := os.ReadFile(filepath.Join(g.dir, "data-dir", "events.jsonl"))
		for line := range strings.Lines(string(data)) {
			var c struct{ Type, ID, Aborted string }
			if json.Unmarshal([]byte(line), &c) == nil && c.Type == "completion" && c.ID == id {
				return c.Aborted
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Errorf("no completion of %s", id)
	return ""
}

// idp gives tokens and sends events.
type idp struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	serial atomic.Int64
}

func newIDP(t testing.TB) *idp {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/ssf-configuration" {
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/jwks"})
			return
		}
		pub, err := jwk.Import(p.key.Public())
		if err != nil {
			panic(err)
		}
		_ = pub.Set("kid", "k1")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{pub}})
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *idp) sign(t testing.TB, typ string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	h := jws.NewHeaders()
	_ = h.Set("kid", "k1")
	_ = h.Set("typ", typ)
	out, err := jws.Sign(payload, jws.WithKey(jwa.ES256(), p.key, jws.WithProtectedHeaders(h)))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// token is an access token of somebody's.
func (p *idp) token(t testing.TB, who string, life time.Duration) string {
	now := time.Now()
	return p.sign(t, "at+jwt", map[string]any{
		"iss": p.URL, "aud": "shop", "sub": who, "sid": "session-of-" + who, "jti": fmt.Sprint("at-", p.serial.Add(1)),
		"iat": now.Add(-time.Second).Unix(), "exp": now.Add(life).Unix(), "device_id": "device-of-" + who,
	})
}

// sessionRevoked is the event that somebody's session ended.
func (p *idp) sessionRevoked(t testing.TB, who string) string {
	return p.event(t, "caep/event-type/session-revoked", map[string]any{"format": "iss_sub", "iss": p.URL, "sub": who}, nil)
}

func (p *idp) event(t testing.TB, kind string, subject, payload map[string]any) string {
	if payload == nil {
		payload = map[string]any{}
	}
	return p.sign(t, "secevent+jwt", map[string]any{
		"iss": p.URL, "aud": "crenel", "iat": time.Now().Unix(), "jti": fmt.Sprint("set-", p.serial.Add(1)),
		"sub_id": subject, "events": map[string]any{"https://schemas.openid.net/secevent/" + kind: payload},
	})
}

// newUpstream is the API.
func newUpstream(t testing.TB) *httptest.Server {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	tick := func(w http.ResponseWriter, r *http.Request, every time.Duration, text string) {
		rc := http.NewResponseController(w)
		_, _ = io.WriteString(w, text)
		_ = rc.Flush()
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.Context().Done():
				return
			case <-time.After(every):
			}
			if _, err := io.WriteString(w, text); err != nil || rc.Flush() != nil {
				return
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/me", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick(w, r, time.Hour, "data: hello\n\n") // a stream that is silent
	})
	mux.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		tick(w, r, 100*time.Millisecond, strings.Repeat("x", 100))
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(1500 * time.Millisecond):
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, "late")
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	mux.HandleFunc("/live", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, data, err := c.Read(ctx)
			if err != nil {
				return
			}
			if c.Write(ctx, kind, data) != nil {
				return
			}
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() { stop(); s.CloseClientConnections(); s.Close() })
	return s
}
