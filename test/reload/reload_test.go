// Package reload runs the real server and reloads it over and over while clients
// call it: no request may fail, and nothing may be left behind by a config that
// was replaced.
package reload

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway/server"
)

const secret = "a-secret-of-the-reload-test-0123456789"

const document = `openapi: 3.1.0
info: {title: shop, version: "1"}
servers: [{url: /}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer, bearerFormat: JWT}}
security: [{bearer: []}]
paths:
  /pets/{id}:
    get:
      operationId: getPet
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: ok}}
  /pets:
    post:
      operationId: addPet
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [name], properties: {name: {type: string, maxLength: 2000}}}
      responses: {"200": {description: ok}}
  /live:
    get:
      operationId: live
      responses: {"101": {description: ok}}
`

// settings writes a config that differs from one reload to the next.
func settings(listen, admin, upstream string, n int) string {
	return fmt.Sprintf(`version: 1
data_dir: data
server:
  listen: [%q]
  tls: {mode: local}
  timeouts: {shutdown: 5s}
admin: {listen: %q}
trail: {file: events.jsonl}
apis:
  - name: shop
    spec: openapi.yaml
    upstream: {urls: [%q], credentials: pass}
    allowed_origins: ["https://127.0.0.1"]
    guards:
      limit: {rates: [{by: address, rate: 100000/s, burst: %d}]}
      waf: {mode: "off"}
      authn:
        methods:
          - jwt: {issuer: "https://issuer.test", secret: "${RELOAD_SECRET}", audience: [shop], algorithms: [HS256]}
`, listen, admin, upstream, 100000+n%7)
}

func token() string {
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	body := enc(`{"alg":"HS256","typ":"JWT"}`) + "." +
		enc(fmt.Sprintf(`{"iss":"https://issuer.test","aud":"shop","sub":"alice","exp":%d}`, time.Now().Add(time.Hour).Unix()))
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(body))
	return "Bearer " + body + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// load is clients that call without pause.
type load struct {
	calls, failed atomic.Int64
	first         sync.Once
	why           string
}

func (l *load) fail(err string) {
	l.failed.Add(1)
	l.first.Do(func() { l.why = err })
}

func (l *load) run(ctx context.Context, client *http.Client, url, bearer string) {
	name := strings.Repeat("x", 1000)
	for i := 0; ctx.Err() == nil; i++ {
		method, target, body := http.MethodGet, url+"/pets/"+strconv.Itoa(i), ""
		if i%2 == 1 {
			method, target, body = http.MethodPost, url+"/pets", `{"name":"`+name+`"}`
		}
		req, err := http.NewRequest(method, target, struct{ io.Reader }{strings.NewReader(body)}) // a body that cannot be sent twice
		if err != nil {
			l.fail(err.Error())
			return
		}
		req.ContentLength = int64(len(body))
		if body == "" {
			req.Body = nil
		}
		req.Header.Set("Authorization", bearer)
		req.Header.Set("Content-Type", "application/json")
		l.calls.Add(1)
		res, err := client.Do(req)
		if err != nil {
			l.fail(err.Error())
			continue
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			l.fail(fmt.Sprint(res.StatusCode, " ", string(got), " ", err))
		}
		time.Sleep(time.Millisecond)
	}
}

func TestReloadsUnderLoad(t *testing.T) {
	reloads := 20
	if s := os.Getenv("RELOADS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		reloads = n
	}
	t.Setenv("RELOAD_SECRET", secret)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
			if err != nil {
				return
			}
			defer c.CloseNow()
			for {
				kind, msg, err := c.Read(r.Context())
				if err != nil || c.Write(r.Context(), kind, msg) != nil {
					return
				}
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	defer up.Close()
	dir := t.TempDir()
	listen, admin := freeport.Address(t), freeport.Address(t)
	file := filepath.Join(dir, "crenel.yaml")
	write := func(path, text string) {
		t.Helper()
		// As editors do: a reload never sees half a file.
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "openapi.yaml"), document)
	write(file, settings(listen, admin, up.URL, 0))
	read := func() (*config.Config, error) { return config.Load(file) }
	cfg, err := read()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	started, ended := make(chan *server.Server, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Options{Config: cfg, Load: read, Version: "test", Started: func(s *server.Server) { started <- s },
			Log: slog.New(slog.DiscardHandler)})
	}()
	var s *server.Server
	select {
	case s = <-started:
	case err := <-ended:
		t.Fatal(err)
	}
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stopping: %v", err)
		}
	}()

	pem, err := os.ReadFile(s.RootCA())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	url, bearer := "https://"+listen, token()
	var l load
	var wg sync.WaitGroup
	loadCtx, endLoad := context.WithCancel(context.Background())
	var transports []*http.Transport
	for i := range 6 {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: i%3 == 1, DisableKeepAlives: i%3 == 2, MaxIdleConnsPerHost: 1}
		transports = append(transports, tr)
		wg.Go(func() { l.run(loadCtx, &http.Client{Transport: tr, Timeout: 30 * time.Second}, url, bearer) })
	}
	// A WebSocket that was there before must live through all of it.
	ws, _, err := websocket.Dial(ctx, "wss://"+listen+"/live", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
		HTTPHeader: http.Header{"Authorization": {bearer}},
	})
	if err != nil {
		t.Fatalf("websocket: %v", err)
	}
	defer ws.CloseNow()

	var before usage
	warm := max(reloads/4, 5)
	for i := 1; i <= warm+reloads; i++ {
		if i%5 == 0 {
			write(file, "version: 1\nserver: {listen: [nonsense}\n")
			if err := s.Reload(ctx, "test"); err == nil {
				t.Fatal("a broken config was taken")
			}
		}
		write(file, settings(listen, admin, up.URL, i))
		if err := s.Reload(ctx, "test"); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
		if err := ws.Write(ctx, websocket.MessageText, []byte("still there")); err != nil {
			t.Fatalf("reload %d cut the WebSocket: %v", i, err)
		}
		if _, _, err := ws.Read(ctx); err != nil {
			t.Fatalf("reload %d cut the WebSocket: %v", i, err)
		}
		if i == warm {
			before = measure(t)
		}
	}
	after := measure(t)
	endLoad()
	wg.Wait()
	for _, tr := range transports {
		tr.CloseIdleConnections()
	}
	t.Logf("%d reloads, %d calls, %d failed; goroutines %d → %d, heap %d → %d KiB",
		reloads, l.calls.Load(), l.failed.Load(), before.goroutines, after.goroutines, before.heap>>10, after.heap>>10)
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d calls failed, the first with: %s", n, l.calls.Load(), l.why)
	}
	if l.calls.Load() < int64(reloads) {
		t.Errorf("only %d calls were made", l.calls.Load())
	}
	// Clients under load make both sway; what leaks grows with every reload.
	if d := after.goroutines - before.goroutines; d > 20+reloads/4 {
		t.Errorf("%d more goroutines", d)
	}
	if limit := before.heap + before.heap/3 + 8<<20; after.heap > limit {
		t.Errorf("the heap grew from %d to %d KiB", before.heap>>10, after.heap>>10)
	}
}

type usage struct {
	goroutines int
	heap       uint64
}

// measure waits for what is about to end and tells the least that is in use.
func measure(t *testing.T) usage {
	t.Helper()
	least := usage{goroutines: 1 << 30, heap: 1 << 62}
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least.goroutines = min(least.goroutines, runtime.NumGoroutine())
		least.heap = min(least.heap, m.HeapAlloc)
	}
	return least
}
