package smuggling

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/gateway/caddy"
	"github.com/crenel-project/crenel/internal/gateway/wire"
	"github.com/crenel-project/crenel/internal/trail"
)

// open is a gateway without guards: what it stops is stopped by the data plane.
type open struct{}

func (open) Close() error { return nil }

func (open) Handler(up gateway.Upstreams) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _ := netip.ParseAddrPort(r.RemoteAddr)
		call := &gateway.Call{ID: "id", Client: peer.Addr(), Scheme: "http", Host: r.Host}
		err := up("any")(w, r.WithContext(gateway.WithCall(r.Context(), call)))
		var failed *gateway.UpstreamError
		if errors.As(err, &failed) {
			code, _ := exchange.LookupCode(failed.Code)
			w.WriteHeader(code.Status)
		}
	})
}

// recorder is an upstream that keeps every byte it is sent.
type recorder struct {
	ln   net.Listener
	mu   sync.Mutex
	seen []*strings.Builder
	// extra are fields that the whole gateway adds beside ours.
	extra *regexp.Regexp
	wg    sync.WaitGroup
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{ln: ln}
	t.Cleanup(func() { ln.Close(); r.wg.Wait() })
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.wg.Add(1)
			go func() { defer r.wg.Done(); r.serve(c) }()
		}
	}()
	return r
}

// serve answers one request a connection and then reads on to the end, so that
// whatever was sent behind the request is seen as well.
func (r *recorder) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	rec := &strings.Builder{}
	r.mu.Lock()
	r.seen = append(r.seen, rec)
	r.mu.Unlock()
	tee := writerFunc(func(p []byte) (int, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return rec.Write(p)
	})
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, tee)))
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	_, _ = io.Copy(tee, c)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (r *recorder) reset() {
	r.mu.Lock()
	r.seen = nil
	r.mu.Unlock()
}

// ours are the fields that the gateway adds to every request.
var ours = regexp.MustCompile(`(Via: 1\.1 crenel|X-Forwarded-For: 127\.0\.0\.1|X-Forwarded-Host: [^\r]*|X-Forwarded-Proto: http)\r\n`)

// saw returns what the upstream was sent, in order, without ours.
func (r *recorder) saw(t testing.TB) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, rec := range r.seen {
		s := rec.String()
		if s == "" { // a connection that was made and not used
			continue
		}
		if n := len(ours.FindAllString(s, -1)); n != 4 {
			t.Errorf("%d of the gateway's 4 fields are in %q", n, s)
		}
		s = ours.ReplaceAllString(s, "")
		if r.extra != nil {
			s = r.extra.ReplaceAllString(s, "")
		}
		out = append(out, s)
	}
	return out
}

// target is a running data plane.
type target struct {
	rec      *recorder
	plain    string
	trust    *tls.Config
	refusals chan wire.Refusal
}

func free(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func run(t testing.TB, mode string) *target { return runWith(t, mode, open{}) }

// whole is the real gateway, with every guard off: its own reading of requests
// comes on top of the data plane's.
func whole(t testing.TB) *target {
	t.Helper()
	cfg, err := config.Parse([]byte(`version: 1
apis:
  - {name: any, mode: "off", upstream: {urls: ["http://127.0.0.1:1"], credentials: pass}}
`), "", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Server.Limits.HeaderBytes = 64 << 10
	records, err := trail.Open(trail.Options{File: filepath.Join(t.TempDir(), "events.jsonl"), Queue: 1024, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
	gw, err := gateway.New(context.Background(), cfg, gateway.Deps{Trail: records})
	if err != nil {
		t.Fatal(err)
	}
	tg := runWith(t, "off", gw)
	tg.rec.extra = regexp.MustCompile(`X-Request-Id: [0-9a-f-]{36}\r\n`)
	return tg
}

func runWith(t testing.TB, mode string, gw caddy.Gateway) *target {
	t.Helper()
	rec := newRecorder(t)
	cfg := &config.Config{
		DataDir: t.TempDir(),
		Server: config.Server{Listen: []string{free(t)}, TLS: config.TLS{Mode: mode}, Protocols: []string{"h1", "h2"},
			Timeouts: config.Timeouts{ReadBody: 400 * time.Millisecond, Shutdown: time.Second}},
		APIs: []config.API{{Name: "any", Upstream: config.Upstream{URLs: []string{"http://" + rec.ln.Addr().String()},
			Health: config.Health{Fails: 1 << 20}}}},
	}
	refusals := make(chan wire.Refusal, 1024)
	p := caddy.New(caddy.Options{OnRefused: func(r wire.Refusal) { refusals <- r }})
	if err := p.Load(cfg, gw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	tg := &target{rec: rec, plain: cfg.Server.Listen[0], refusals: refusals}
	if mode != "off" {
		pem, err := os.ReadFile(p.RootCA())
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		tg.trust = &tls.Config{RootCAs: pool, ServerName: "localhost"}
	}
	return tg
}

func (tg *target) dial(t testing.TB, alpn string) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	if tg.trust == nil {
		c, err = net.Dial("tcp", tg.plain)
	} else {
		cfg := tg.trust.Clone()
		if alpn != "" {
			cfg.NextProtos = []string{alpn}
		}
		c, err = tls.Dial("tcp", tg.plain, cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

// exchange sends raw bytes and returns the statuses of the answers; where closed
// is asked for, "closed" stands at the end when the gateway then closed the connection.
func (tg *target) exchange(t testing.TB, pieces []string, answers int, closed bool) []string {
	t.Helper()
	c := tg.dial(t, "")
	defer c.Close()
	go func() {
		for i, p := range pieces {
			if i > 0 {
				time.Sleep(15 * time.Millisecond)
			}
			if _, err := io.WriteString(c, p); err != nil {
				return
			}
		}
	}()
	br := bufio.NewReader(c)
	var got []string
	for len(got) < answers {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			break
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode == 100 {
			continue
		}
		status := strconv.Itoa(res.StatusCode)
		if res.StatusCode == 400 && res.Header.Get("Content-Type") != "application/problem+json" && res.ContentLength != 0 {
			status += " as " + res.Header.Get("Content-Type")
		}
		got = append(got, status)
	}
	if !closed {
		return got
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := br.ReadByte(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		got = append(got, "closed")
	}
	return got
}
