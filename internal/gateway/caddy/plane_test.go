package caddy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/gateway/caddy"
)

// passing is a gateway that lets everything through and reports what became of it.
type passing struct {
	closed atomic.Int32
	peer   atomic.Pointer[x509.Certificate]
	last   atomic.Pointer[error]
	mark   string
}

func (g *passing) Close() error { g.closed.Add(1); return nil }

func (g *passing) Handler(up gateway.Upstreams) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
			if len(r.TLS.VerifiedChains) > 0 {
				g.peer.Store(r.TLS.VerifiedChains[0][0])
			}
		}
		if g.mark != "" {
			w.Header().Set("X-Mark", g.mark)
		}
		peer, _ := netip.ParseAddrPort(r.RemoteAddr)
		call := &gateway.Call{ID: "req-1", Client: peer.Addr(), Scheme: scheme, Host: r.Host}
		head := &headSeen{ResponseWriter: w}
		err := up("shop")(head, r.WithContext(gateway.WithCall(r.Context(), call)))
		g.last.Store(&err)
		var failed *gateway.UpstreamError
		if errors.As(err, &failed) {
			if head.seen {
				panic(http.ErrAbortHandler)
			}
			code, _ := exchange.LookupCode(failed.Code)
			w.Header().Set("X-Code", failed.Code)
			w.WriteHeader(code.Status)
		}
	})
}

// headSeen notes that the answer's head has left.
type headSeen struct {
	http.ResponseWriter
	seen bool
}

func (h *headSeen) WriteHeader(status int) {
	h.seen = h.seen || status >= 200
	h.ResponseWriter.WriteHeader(status)
}
func (h *headSeen) Write(p []byte) (int, error) { h.seen = true; return h.ResponseWriter.Write(p) }
func (h *headSeen) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (g *passing) code() string {
	e := g.last.Load()
	var failed *gateway.UpstreamError
	if e != nil && errors.As(*e, &failed) {
		return failed.Code
	}
	return ""
}

func plain(t testing.TB, upstreams ...string) *config.Config {
	return &config.Config{
		DataDir: t.TempDir(),
		Server:  config.Server{Listen: []string{freeport.Address(t)}, TLS: config.TLS{Mode: "off"}, Timeouts: config.Timeouts{Shutdown: 2 * time.Second}},
		APIs:    []config.API{{Name: "shop", Upstream: config.Upstream{URLs: upstreams}}},
	}
}

func secure(t testing.TB, upstreams ...string) *config.Config {
	cfg := plain(t, upstreams...)
	cfg.Server.TLS.Mode = "local"
	return cfg
}

// start runs a plane until the test ends, and then nothing of it may be left.
func start(t testing.TB, cfg *config.Config, gw caddy.Gateway) *caddy.Plane {
	t.Helper()
	before := goleak.IgnoreCurrent()
	p := caddy.New(caddy.Options{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Errorf("stopping: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before,
			// One per process, kept by Caddy for good; and one that ends within 5s of its lock.
			goleak.IgnoreTopFunction("github.com/caddyserver/certmagic.(*Cache).maintainAssets"),
			goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
	})
	if err := p.Load(cfg, gw); err != nil {
		t.Fatalf("loading: %v", err)
	}
	return p
}

func trusting(t testing.TB, p *caddy.Plane) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(p.RootCA())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("the root certificate is not PEM")
	}
	return &tls.Config{RootCAs: pool}
}

func body(t testing.TB, res *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// echo is an upstream that tells what it was sent.
func echo(t testing.TB) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Via", "1.1 inside")
		_, _ = io.WriteString(w, r.Method+" "+r.Host+r.RequestURI+" "+string(b)+"\n")
		_ = r.Header.Write(w)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestPlainHTTP(t *testing.T) {
	up := echo(t)
	cfg := plain(t, up.URL)
	start(t, cfg, &passing{})
	req, _ := http.NewRequest(http.MethodPost, "http://"+cfg.Server.Listen[0]+"/a%20b?x=1", strings.NewReader("hello"))
	req.Header.Set("X-Forwarded-For", "6.6.6.6")
	req.Header.Set("Forwarded", "for=6.6.6.6")
	req.Header.Set("Connection", "close, X-Drop")
	req.Header.Set("X-Drop", "hop")
	req.Header.Set("Te", "gzip")
	res, err := http.DefaultClient.Do(req)
	got := body(t, res, err)
	for _, want := range []string{"POST " + cfg.Server.Listen[0] + "/a%20b?x=1 hello", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n", "Via: 1.1 crenel\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the upstream did not see %q in\n%s", want, got)
		}
	}
	for _, not := range []string{"6.6.6.6", "X-Drop", "Te: ", "Caddy"} {
		if strings.Contains(got, not) {
			t.Errorf("the upstream saw %q in\n%s", not, got)
		}
	}
	if res.Header.Get("Server") != "" || strings.Contains(strings.Join(res.Header["Via"], ","), "Caddy") {
		t.Errorf("the answer tells of what is inside: %v", res.Header)
	}
}

func TestHTTPSWithLocalAuthority(t *testing.T) {
	up := echo(t)
	cfg := secure(t, up.URL)
	gw := &passing{}
	p := start(t, cfg, gw)
	if want := filepath.Join(cfg.DataDir, "caddy", "pki", "authorities", "local", "root.crt"); p.RootCA() != want {
		t.Errorf("RootCA() = %s, want %s", p.RootCA(), want)
	}
	_, port, _ := net.SplitHostPort(cfg.Server.Listen[0])
	for _, host := range []string{"127.0.0.1", "localhost"} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
			t.Run(host+" "+proto, func(t *testing.T) {
				client, stop := clientFor(trusting(t, p), proto)
				defer stop()
				res, err := client.Post("https://"+net.JoinHostPort(host, port)+"/x", "text/plain", strings.NewReader("hi"))
				got := body(t, res, err)
				if res.Proto != proto {
					t.Errorf("spoke %s", res.Proto)
				}
				if !strings.HasPrefix(got, "POST "+net.JoinHostPort(host, port)+"/x hi") || !strings.Contains(got, "X-Forwarded-Proto: https") {
					t.Errorf("the upstream saw\n%s", got)
				}
			})
		}
	}
}

func clientFor(trust *tls.Config, proto string) (*http.Client, func()) {
	if proto == "HTTP/3.0" {
		t := &http3.Transport{TLSClientConfig: trust}
		return &http.Client{Transport: t, Timeout: 10 * time.Second}, func() { _ = t.Close() }
	}
	t := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: proto == "HTTP/2.0"}
	return &http.Client{Transport: t, Timeout: 10 * time.Second}, t.CloseIdleConnections
}
