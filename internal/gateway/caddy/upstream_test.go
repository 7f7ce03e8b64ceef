package caddy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway"
)

// raw is an upstream that answers each connection as told.
func raw(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
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

func readHead(c net.Conn) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return nil
	}
	return r
}

func TestUpstreamFailures(t *testing.T) {
	hang := func(c net.Conn) { readHead(c); _, _ = io.Copy(io.Discard, c) }
	refused := "http://" + freeport.Address(t)
	tests := []struct {
		name   string
		url    string
		method string
		status int
		code   string
		broken bool // the answer breaks off after its head
	}{
		{"nobody listens", refused, "GET", 502, "gateway.upstream_unreachable", false},
		{"name that does not resolve", "http://no-such-host.invalid:80", "GET", 502, "gateway.upstream_unreachable", false},
		{"closes at once", raw(t, func(net.Conn) {}), "GET", 502, "gateway.upstream_unreachable", false},
		{"closes after the request", raw(t, func(c net.Conn) { readHead(c) }), "POST", 502, "gateway.upstream_unreachable", false},
		{"rubbish", raw(t, func(c net.Conn) { readHead(c); fmt.Fprint(c, "\x00\x01\x02 what\r\n\r\n") }), "GET", 502, "gateway.upstream_unreachable", false},
		{"another protocol", raw(t, func(c net.Conn) { readHead(c); fmt.Fprint(c, "220 smtp ready\r\n") }), "GET", 502, "gateway.upstream_unreachable", false},
		{"both lengths in the answer", raw(t, func(c net.Conn) {
			readHead(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
		}), "GET", 502, "gateway.upstream_unreachable", false},
		{"a head without end", raw(t, func(c net.Conn) {
			readHead(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
			line := "X-A: " + strings.Repeat("a", 4096) + "\r\n"
			for range 1000 {
				if _, err := fmt.Fprint(c, line); err != nil {
					return
				}
			}
		}), "GET", 502, "gateway.upstream_unreachable", false},
		{"no answer", raw(t, hang), "GET", 504, "gateway.upstream_timeout", false},
		{"no answer to a POST", raw(t, hang), "POST", 504, "gateway.upstream_timeout", false},
		{"dies in the middle of a body of known length", raw(t, func(c net.Conn) {
			readHead(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello")
		}), "GET", 200, "gateway.upstream_unreachable", true},
		{"dies in the middle of a chunk", raw(t, func(c net.Conn) {
			readHead(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nff\r\nx")
		}), "GET", 200, "gateway.upstream_unreachable", true},
		{"stands still in the middle of a body", raw(t, func(c net.Conn) {
			readHead(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello")
			_, _ = io.Copy(io.Discard, c)
		}), "GET", 200, "gateway.upstream_timeout", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := plain(t, tt.url)
			cfg.APIs[0].Upstream.Dial = time.Second
			cfg.APIs[0].Upstream.Response = 300 * time.Millisecond
			gw := &passing{}
			start(t, cfg, gw)
			begin := time.Now()
			req, _ := http.NewRequest(tt.method, "http://"+cfg.Server.Listen[0]+"/", strings.NewReader("body"))
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			_, err = io.ReadAll(res.Body)
			if (err != nil) != tt.broken {
				t.Errorf("reading the answer: %v; should break off: %v", err, tt.broken)
			}
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
			eventually(t, func() bool { return gw.code() == tt.code }, func() string { return "code " + gw.code() + ", want " + tt.code })
			if d := time.Since(begin); d > 4*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func eventually(t testing.TB, ok func() bool, why func() string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(why())
		}
	}
}

func TestAllDown(t *testing.T) {
	cfg := plain(t, "http://"+freeport.Address(t))
	cfg.APIs[0].Upstream.Health = config.Health{Fails: 2, FailFor: 500 * time.Millisecond}
	gw := &passing{}
	p := start(t, cfg, gw)
	want := []string{"gateway.upstream_unreachable", "gateway.upstream_unreachable", "gateway.upstream_unavailable"}
	for i, code := range want {
		res, err := http.Get("http://" + cfg.Server.Listen[0])
		body(t, res, err)
		if gw.code() != code {
			t.Errorf("call %d: %s, want %s", i, gw.code(), code)
		}
	}
	if s := p.Upstreams(); len(s) != 1 || s[0].Healthy || s[0].Fails != 2 {
		t.Errorf("state %+v", s)
	}
	eventually(t, func() bool { return p.Upstreams()[0].Healthy }, func() string { return "the failures are not forgotten" })
}

func TestFailover(t *testing.T) {
	up := echo(t)
	cfg := plain(t, "http://"+freeport.Address(t), up.URL)
	start(t, cfg, &passing{})
	for range 6 { // whichever server is first in turn
		res, err := http.Post("http://"+cfg.Server.Listen[0], "text/plain", strings.NewReader("x"))
		if got := body(t, res, err); res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, got)
		}
	}
}

func TestActiveHealth(t *testing.T) {
	var sick atomic.Bool
	var signed atomic.Value
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" {
			signed.Store(r.Header.Get("X-Crenel-Signature"))
			if sick.Load() {
				w.WriteHeader(500)
			}
		}
	}))
	defer up.Close()
	cfg := plain(t, up.URL)
	cfg.APIs[0].Upstream.Health = config.Health{Path: "/live", Interval: 20 * time.Millisecond}
	cfg.APIs[0].Upstream.Sign = &config.Sign{Key: config.NewSecret(strings.Repeat("k", 32))}
	gw := &passing{}
	p := start(t, cfg, gw)
	sick.Store(true)
	eventually(t, func() bool { return !p.Upstreams()[0].Healthy }, func() string { return "sickness goes unnoticed" })
	res, err := http.Get("http://" + cfg.Server.Listen[0])
	body(t, res, err)
	if gw.code() != "gateway.upstream_unavailable" || res.StatusCode != 503 {
		t.Errorf("%d %s", res.StatusCode, gw.code())
	}
	sick.Store(false)
	eventually(t, func() bool { return p.Upstreams()[0].Healthy }, func() string { return "recovery goes unnoticed" })
	if s, _ := signed.Load().(string); !strings.HasPrefix(s, "t=") {
		t.Errorf("health checks are not signed: %q", s)
	}
}

// A client that breaks off its uploads must not take the upstream from others.
func TestBrokenUploadsDoNotMarkTheUpstreamDown(t *testing.T) {
	up := echo(t)
	cfg := plain(t, up.URL)
	gw := &passing{}
	p := start(t, cfg, gw)
	for range 5 {
		c, err := net.Dial("tcp", cfg.Server.Listen[0])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
		time.Sleep(20 * time.Millisecond)
		c.Close()
	}
	eventually(t, func() bool { return gw.code() != "" }, func() string { return "no error was reported" })
	if code := gw.code(); code != "body.incomplete" && code != "gateway.client_gone" {
		t.Errorf("code %s", code)
	}
	if s := p.Upstreams(); s[0].Fails != 0 {
		t.Errorf("the upstream was blamed %d times", s[0].Fails)
	}
}

func TestUpstreamTLS(t *testing.T) {
	dir := t.TempDir()
	authority := newAuthority(t)
	caFile := authority.write(t, dir)
	certFile, keyFile := authority.issue(t, dir, "upstream.test")
	clientCert, clientKey := authority.issue(t, dir, "gateway")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority.cert)
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Proto, r.TLS.PeerCertificates[0].Subject.CommonName, r.Host)
	}))
	up.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	up.EnableHTTP2 = true
	up.StartTLS()
	defer up.Close()
	full := config.UpstreamTLS{CA: caFile, Cert: clientCert, Key: clientKey, Name: "upstream.test"}
	tests := []struct {
		name   string
		change func(c *config.UpstreamTLS)
		want   string
	}{
		{"all set", func(*config.UpstreamTLS) {}, "HTTP/2.0 gateway shop.test"},
		{"not verified", func(c *config.UpstreamTLS) { c.CA, c.Name, c.InsecureSkipVerify = "", "", true }, "HTTP/2.0 gateway shop.test"},
		{"unknown authority", func(c *config.UpstreamTLS) { c.CA = "" }, "gateway.upstream_unreachable"},
		{"another name", func(c *config.UpstreamTLS) { c.Name = "other.test" }, "gateway.upstream_unreachable"},
		{"no client certificate", func(c *config.UpstreamTLS) { c.Cert, c.Key = "", "" }, "gateway.upstream_unreachable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := plain(t, up.URL)
			cfg.APIs[0].Upstream.TLS = full
			tt.change(&cfg.APIs[0].Upstream.TLS)
			gw := &passing{}
			start(t, cfg, gw)
			req, _ := http.NewRequest("GET", "http://"+cfg.Server.Listen[0], nil)
			req.Host = "shop.test"
			res, err := http.DefaultClient.Do(req)
			if got := body(t, res, err) + gw.code(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestH2C(t *testing.T) {
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	up.Config.Protocols = new(http.Protocols)
	up.Config.Protocols.SetUnencryptedHTTP2(true)
	up.Start()
	defer up.Close()
	cfg := plain(t, "h2c"+strings.TrimPrefix(up.URL, "http"))
	start(t, cfg, &passing{})
	res, err := http.Get("http://" + cfg.Server.Listen[0])
	if got := body(t, res, err); got != "HTTP/2.0" {
		t.Errorf("the upstream was spoken to in %s", got)
	}
}

func TestServerSentEvents(t *testing.T) {
	next := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			fmt.Fprint(w, "data: x\n\n")
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	defer up.Close()
	cfg := plain(t, up.URL)
	cfg.APIs[0].Upstream.Response = 50 * time.Millisecond // silence longer than this is no fault of a stream
	start(t, cfg, &passing{})
	res, err := http.Get("http://" + cfg.Server.Listen[0])
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 64)
	for range 3 { // each event comes before the upstream goes on
		if n, err := res.Body.Read(buf); err != nil || string(buf[:n]) != "data: x\n\n" {
			t.Fatalf("%q %v", buf[:n], err)
		}
		time.Sleep(100 * time.Millisecond)
		next <- struct{}{}
	}
}

func webSocketEcho(t testing.TB) *httptest.Server {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, msg) != nil {
				return
			}
		}
	}))
	t.Cleanup(up.Close)
	return up
}

func TestWebSocket(t *testing.T) {
	up := webSocketEcho(t)
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			cfg := plain(t, up.URL)
			client := http.DefaultClient
			if scheme == "wss" {
				cfg = secure(t, up.URL)
			}
			p := start(t, cfg, &passing{})
			if scheme == "wss" {
				c, stop := clientFor(trusting(t, p), "HTTP/1.1")
				defer stop()
				client = &http.Client{Transport: c.Transport}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			c, _, err := websocket.Dial(ctx, scheme+"://"+cfg.Server.Listen[0]+"/", &websocket.DialOptions{HTTPClient: client})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			c.SetReadLimit(-1)
			// LF, NUL and what looks like a request are nobody's business in a tunnel.
			for _, msg := range []string{"hello", "GET / HTTP/1.1\nX\n\n\x00", strings.Repeat("\n", 200_000)} {
				if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
					t.Fatal(err)
				}
				_, got, err := c.Read(ctx)
				if err != nil || string(got) != msg {
					t.Fatalf("%d bytes came back of %d: %v", len(got), len(msg), err)
				}
			}
		})
	}
}

func TestLargeStreamsAreNotHeld(t *testing.T) {
	const size = 200 << 20
	var received atomic.Int64
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			n, _ := io.Copy(io.Discard, r.Body)
			received.Store(n)
			return
		}
		block := bytes.Repeat([]byte("x"), 64<<10)
		for range size / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer up.Close()
	cfg := plain(t, up.URL)
	start(t, cfg, &passing{})
	peak := heapPeak(t)
	res, err := http.Get("http://" + cfg.Server.Listen[0])
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		t.Errorf("down: %d bytes, %v", n, err)
	}
	res.Body.Close()
	req, _ := http.NewRequest(http.MethodPut, "http://"+cfg.Server.Listen[0], io.LimitReader(zeros{}, size))
	res, err = http.DefaultClient.Do(req)
	body(t, res, err)
	if received.Load() != size {
		t.Errorf("up: %d bytes", received.Load())
	}
	if got := peak(); got > 20<<20 {
		t.Errorf("the heap grew by %d MiB for streams of 200 MiB", got>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// heapPeak samples the heap until the returned function is called, which tells
// by how much it grew at most.
func heapPeak(t testing.TB) func() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	base, top := m.HeapInuse, m.HeapInuse
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				runtime.ReadMemStats(&m)
				top = max(top, m.HeapInuse)
			}
		}
	}()
	return func() uint64 { close(stop); <-done; return top - base }
}

func TestUpgradeToAnythingElseIsNotPassedOn(t *testing.T) {
	up := echo(t)
	cfg := plain(t, up.URL)
	start(t, cfg, &passing{})
	for _, upgrade := range []string{"h2c", "TLS/1.3", "websocket, h2c", "foo"} {
		req, _ := http.NewRequest("GET", "http://"+cfg.Server.Listen[0], nil)
		req.Header.Set("Connection", "Upgrade, HTTP2-Settings")
		req.Header.Set("Upgrade", upgrade)
		req.Header.Set("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
		res, err := http.DefaultClient.Do(req)
		got := body(t, res, err)
		if strings.Contains(got, "Upgrade") || strings.Contains(got, "Settings") {
			t.Errorf("%s: the upstream saw\n%s", upgrade, got)
		}
	}
}

func TestTrailersAreNotPassedOn(t *testing.T) {
	var seen atomic.Value
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen.Store(fmt.Sprint(r.Trailer, r.Header["Trailer"]))
	}))
	defer up.Close()
	cfg := plain(t, up.URL)
	start(t, cfg, &passing{})
	req, _ := http.NewRequest("POST", "http://"+cfg.Server.Listen[0], io.LimitReader(zeros{}, 10))
	req.Trailer = http.Header{"X-Crenel-Identity": {"admin"}}
	res, err := http.DefaultClient.Do(req)
	body(t, res, err)
	if got := seen.Load(); got != "map[] []" {
		t.Errorf("the upstream saw trailers %v", got)
	}
}

func writeFile(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A question of the gateway's own takes the same way to the upstream as calls do.
func TestQuestionsOfTheGatewaysOwn(t *testing.T) {
	up := echo(t)
	g := &asking{passing: passing{mark: "1"}}
	start(t, plain(t, up.URL), g)
	r := httptest.NewRequest(http.MethodGet, "http://shop.example/me", nil)
	r.RemoteAddr, r.RequestURI = "", "/me"
	w := httptest.NewRecorder()
	if err := g.up("shop")(w, r.WithContext(gateway.WithCall(t.Context(), &gateway.Call{ID: "q-1", Scheme: "https", Host: r.Host}))); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusOK || w.Body.Len() == 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type asking struct {
	passing
	up gateway.Upstreams
}

func (g *asking) Handler(up gateway.Upstreams) http.Handler {
	g.up = up
	return g.passing.Handler(up)
}
