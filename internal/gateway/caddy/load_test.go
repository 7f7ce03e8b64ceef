package caddy_test

import (
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
	"strings"
	"testing"
	"time"

	caddycore "github.com/caddyserver/caddy/v2"
	"github.com/coder/websocket"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway/caddy"
)

func get(t testing.TB, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	res, err := client.Get(url)
	return res, body(t, res, err)
}

func TestABadConfigLeavesTheGoodOneRunning(t *testing.T) {
	up := echo(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	empty := writeFile(t, t.TempDir(), "empty.pem", nil)
	tests := []struct {
		name   string
		change func(c *config.Config)
		says   string
	}{
		{"port in use", func(c *config.Config) { c.Server.Listen = []string{taken.Addr().String()} }, "in use"},
		{"second port in use", func(c *config.Config) { c.Server.Listen = append(c.Server.Listen, taken.Addr().String()) }, "in use"},
		{"address that is none", func(c *config.Config) { c.Server.Listen = []string{"nonsense"} }, "nonsense"},
		{"certificate that is not there", func(c *config.Config) {
			c.Server.TLS = config.TLS{Mode: "files", Certificates: []config.Certificate{{Cert: "/none.pem", Key: "/none.key"}}}
		}, "/none.pem"},
		{"certificate that is none", func(c *config.Config) {
			c.Server.TLS = config.TLS{Mode: "files", Certificates: []config.Certificate{{Cert: empty, Key: empty}}}
		}, "tls.certificates 1"},
		{"no certificate", func(c *config.Config) { c.Server.TLS = config.TLS{Mode: "files"} }, "tls.certificates"},
		{"client authority that is none", func(c *config.Config) { c.Server.TLS = config.TLS{Mode: "local", ClientCA: empty} }, "empty.pem"},
		{"unknown TLS mode", func(c *config.Config) { c.Server.TLS.Mode = "on" }, `"on"`},
		{"unknown TLS version", func(c *config.Config) { c.Server.TLS = config.TLS{Mode: "local", MinVersion: "1.1"} }, "1.1"},
		{"wildcard by ACME", func(c *config.Config) {
			c.Server.TLS.Mode = "auto"
			c.APIs[0].Hosts = []string{"*.example.com"}
		}, "wildcard"},
		{"no upstream", func(c *config.Config) { c.APIs[0].Upstream.URLs = nil }, "api shop"},
		{"upstream of unknown scheme", func(c *config.Config) { c.APIs[0].Upstream.URLs = []string{"ftp://x"} }, "ftp://x"},
		{"upstreams of two schemes", func(c *config.Config) { c.APIs[0].Upstream.URLs = []string{"http://x", "https://y"} }, "https://y"},
		{"upstream with a placeholder", func(c *config.Config) { c.APIs[0].Upstream.URLs = []string{"http://{env.HOME}"} }, "env.HOME"},
		{"upstream authority that is not there", func(c *config.Config) {
			c.APIs[0].Upstream = config.Upstream{URLs: []string{"https://x"}, TLS: config.UpstreamTLS{CA: "/none.pem"}}
		}, "/none.pem"},
		{"client certificate without its key", func(c *config.Config) {
			c.APIs[0].Upstream = config.Upstream{URLs: []string{"https://x"}, TLS: config.UpstreamTLS{Cert: empty}}
		}, "client_certificate"},
		{"unknown balancing", func(c *config.Config) { c.APIs[0].Upstream.Balance = "best" }, "best"},
		{"short signing key", func(c *config.Config) { c.APIs[0].Upstream.Sign = &config.Sign{Key: config.NewSecret("short")} }, "32 bytes"},
	}
	cfg := plain(t, up.URL)
	p := start(t, cfg, &passing{mark: "good"})
	url := "http://" + cfg.Server.Listen[0]
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := *cfg
			bad.APIs = []config.API{cfg.APIs[0]}
			bad.Server.Listen = append([]string(nil), cfg.Server.Listen...)
			tt.change(&bad)
			gw := &passing{mark: "bad"}
			err := p.Load(&bad, gw)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v does not say %q", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "short") && tt.name == "short signing key" {
				t.Errorf("the error tells the key: %v", err)
			}
			for range 3 {
				if res, _ := get(t, http.DefaultClient, url); res.Header.Get("X-Mark") != "good" {
					t.Errorf("served by %q", res.Header.Get("X-Mark"))
				}
			}
			if gw.closed.Load() != 0 {
				t.Error("the gateway that was never taken was closed")
			}
		})
	}
	next := &passing{mark: "next"} // nothing is stuck
	if err := p.Load(cfg, next); err != nil {
		t.Fatal(err)
	}
	if res, _ := get(t, http.DefaultClient, url); res.Header.Get("X-Mark") != "next" {
		t.Errorf("served by %q", res.Header.Get("X-Mark"))
	}
}

func TestStartFailsCleanly(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := plain(t, "http://127.0.0.1:1")
	cfg.Server.Listen = []string{taken.Addr().String()}
	p := caddy.New(caddy.Options{})
	if err := p.Load(cfg, &passing{}); err == nil {
		t.Fatal("started on a port in use")
	}
	cfg.Server.Listen = []string{freeport.Address(t)}
	start(t, cfg, &passing{}) // another plane may run: the first does not
	if err := p.Load(cfg, &passing{}); err == nil {
		t.Fatal("two planes run")
	}
}

func TestSwapKeepsConnectionsAndClosesTheOldWhenItsLastExchangeEnds(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 1)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-release
		}
		fmt.Fprint(w, r.RemoteAddr)
	}))
	defer up.Close()
	cfg := plain(t, up.URL)
	one, two := &passing{mark: "one"}, &passing{mark: "two"}
	p := start(t, cfg, one)
	url := "http://" + cfg.Server.Listen[0]

	c, err := net.Dial("tcp", cfg.Server.Listen[0]) // one connection over the whole reload
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() string {
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if got := ask(); !strings.Contains(got, "X-Mark: one") {
		t.Fatal(got)
	}
	slow := make(chan string)
	go func() {
		res, err := http.Get(url + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		slow <- res.Header.Get("X-Mark")
	}()
	<-entered
	if err := p.Load(cfg, two); err != nil {
		t.Fatal(err)
	}
	if p.Generation() != 2 {
		t.Errorf("generation %d", p.Generation())
	}
	if got := ask(); !strings.Contains(got, "X-Mark: two") {
		t.Errorf("after the swap: %s", got)
	}
	if one.closed.Load() != 0 {
		t.Error("the old generation was closed under a running exchange")
	}
	close(release)
	if got := <-slow; got != "one" {
		t.Errorf("the running exchange ended with %q", got)
	}
	eventually(t, func() bool { return one.closed.Load() == 1 }, func() string { return "the old generation is never closed" })
	if two.closed.Load() != 0 {
		t.Error("the new generation was closed")
	}
}

func TestWebSocketOutlivesAReloadForTheLingerTime(t *testing.T) {
	up := webSocketEcho(t)
	cfg := plain(t, up.URL)
	p := caddy.New(caddy.Options{Linger: 300 * time.Millisecond})
	gw := &passing{}
	if err := p.Load(cfg, gw); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+cfg.Server.Listen[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := p.Load(cfg, &passing{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(ctx, websocket.MessageText, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(ctx); err != nil {
		t.Fatalf("the reload cut the connection: %v", err)
	}
	if gw.closed.Load() != 0 {
		t.Error("closed under a tunnel")
	}
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("after the linger time: %v", err)
	}
	eventually(t, func() bool { return gw.closed.Load() == 1 }, func() string { return "the old generation is never closed" })
}

func TestANewFrame(t *testing.T) {
	up := echo(t)
	cfg := plain(t, up.URL)
	one, two := &passing{mark: "one"}, &passing{mark: "two"}
	p := start(t, cfg, one)
	get(t, http.DefaultClient, "http://"+cfg.Server.Listen[0])
	next := *cfg
	next.Server.Listen = []string{cfg.Server.Listen[0], freeport.Address(t)}
	if err := p.Load(&next, two); err != nil {
		t.Fatal(err)
	}
	for _, a := range next.Server.Listen {
		if res, _ := get(t, http.DefaultClient, "http://"+a); res.Header.Get("X-Mark") != "two" {
			t.Errorf("%s is served by %q", a, res.Header.Get("X-Mark"))
		}
	}
	eventually(t, func() bool { return one.closed.Load() == 1 }, func() string { return "the old generation is never closed" })
}

func TestStopWaitsAndThenCloses(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 2)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
	}))
	defer up.Close()
	defer close(release)
	for _, tt := range []struct {
		name  string
		grace time.Duration
		ends  bool
	}{{"the exchange ends in time", 5 * time.Second, true}, {"it does not", 200 * time.Millisecond, false}} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := plain(t, up.URL)
			cfg.Server.Timeouts.Shutdown = tt.grace
			p := caddy.New(caddy.Options{})
			gw := &passing{}
			if err := p.Load(cfg, gw); err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			go func() {
				res, err := http.Get("http://" + cfg.Server.Listen[0])
				if err == nil {
					res.Body.Close()
				}
				got <- err
			}()
			<-entered
			if tt.ends {
				time.AfterFunc(100*time.Millisecond, func() { release <- struct{}{} })
			}
			err := p.Stop(context.Background())
			if (err == nil) != tt.ends {
				t.Errorf("stopping: %v", err)
			}
			if err := <-got; (err == nil) != tt.ends {
				t.Errorf("the exchange: %v", err)
			}
			eventually(t, func() bool { return gw.closed.Load() == 1 }, func() string { return "the gateway is never closed" })
			if c, err := net.Dial("tcp", cfg.Server.Listen[0]); err == nil {
				c.Close()
				t.Error("still listening")
			}
		})
	}
}

func TestCertificatesOfOnesOwn(t *testing.T) {
	up := echo(t)
	dir := t.TempDir()
	authority := newAuthority(t)
	cert, key := authority.issue(t, dir, "shop.test")
	cfg := plain(t, up.URL)
	cfg.Server.TLS = config.TLS{Mode: "files", MinVersion: "1.3", Certificates: []config.Certificate{{Cert: cert, Key: key}}}
	p := start(t, cfg, &passing{})
	if p.RootCA() != "" {
		t.Errorf("RootCA() = %q where there is none", p.RootCA())
	}
	shown := func() *x509.Certificate {
		pool := x509.NewCertPool()
		pool.AddCert(authority.cert)
		c, err := tls.Dial("tcp", cfg.Server.Listen[0], &tls.Config{RootCAs: pool, ServerName: "shop.test"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	first := shown().SerialNumber
	if _, err := tls.Dial("tcp", cfg.Server.Listen[0], &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 was spoken where 1.3 is the least")
	}
	// The same files with a renewed certificate: a reload shows it.
	authority.issue(t, dir, "shop.test")
	if err := p.Load(cfg, &passing{}); err != nil {
		t.Fatal(err)
	}
	if shown().SerialNumber.Cmp(first) == 0 {
		t.Error("the renewed certificate is not shown")
	}
}

// In mode auto a certificate of the user's own comes before the local authority's,
// which is left the hosts that it is not for.
func TestCertificatesOfOnesOwnComeFirst(t *testing.T) {
	up := echo(t)
	authority := newAuthority(t)
	cert, key := authority.issue(t, t.TempDir(), "shop.test")
	cfg := secure(t, up.URL)
	cfg.Server.TLS = config.TLS{Mode: "auto", Certificates: []config.Certificate{{Cert: cert, Key: key}}}
	cfg.APIs[0].Hosts = []string{"shop.test", "shop.internal"}
	p := start(t, cfg, &passing{})
	own := x509.NewCertPool()
	own.AddCert(authority.cert)
	local := x509.NewCertPool()
	pem, err := os.ReadFile(p.RootCA())
	if err != nil {
		t.Fatal(err)
	}
	local.AppendCertsFromPEM(pem)
	for host, pool := range map[string]*x509.CertPool{"shop.test": own, "shop.internal": local} {
		c, err := tls.Dial("tcp", cfg.Server.Listen[0], &tls.Config{RootCAs: pool, ServerName: host})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		c.Close()
	}
}

func TestWeakTLSIsRefused(t *testing.T) {
	up := echo(t)
	cfg := secure(t, up.URL)
	p := start(t, cfg, &passing{})
	trust := trusting(t, p)
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.0": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 },
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"CBC": func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
		},
		"no forward secrecy": func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		},
	} {
		c := trust.Clone()
		change(c)
		if conn, err := tls.Dial("tcp", cfg.Server.Listen[0], c); err == nil {
			conn.Close()
			t.Errorf("%s was accepted", name)
		}
	}
	good := trust.Clone()
	good.MaxVersion = tls.VersionTLS12
	conn, err := tls.Dial("tcp", cfg.Server.Listen[0], good)
	if err != nil {
		t.Fatalf("TLS 1.2 with good ciphers: %v", err)
	}
	conn.Close()
}

func TestClientCertificates(t *testing.T) {
	up := echo(t)
	dir := t.TempDir()
	authority, other := newAuthority(t), newAuthority(t)
	ca := authority.write(t, dir)
	good, err := tls.LoadX509KeyPair(authority.issue(t, dir, "partner"))
	if err != nil {
		t.Fatal(err)
	}
	bad, err := tls.LoadX509KeyPair(other.issue(t, dir, "stranger"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		mode string
		cert *tls.Certificate
		ok   bool
		peer string
	}{
		{"request", nil, true, ""},
		{"request", &good, true, "partner"},
		{"request", &bad, false, ""},
		{"require", nil, false, ""},
		{"require", &good, true, "partner"},
		{"require", &bad, false, ""},
	}
	for _, tt := range tests {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
			t.Run(fmt.Sprint(tt.mode, " ", tt.peer, " ", tt.ok, " ", proto), func(t *testing.T) {
				cfg := secure(t, up.URL)
				cfg.Server.TLS.ClientCA, cfg.Server.TLS.ClientAuth = ca, tt.mode
				gw := &passing{}
				p := start(t, cfg, gw)
				trust := trusting(t, p)
				if tt.cert != nil {
					trust.Certificates = []tls.Certificate{*tt.cert}
				}
				client, stop := clientFor(trust, proto)
				defer stop()
				res, err := client.Get("https://" + cfg.Server.Listen[0])
				if err == nil {
					res.Body.Close()
				}
				if (err == nil) != tt.ok {
					t.Fatalf("error %v", err)
				}
				got := ""
				if c := gw.peer.Load(); c != nil {
					got = c.Subject.CommonName
				}
				if got != tt.peer {
					t.Errorf("the gateway saw %q", got)
				}
			})
		}
	}
}

func TestWhatCaddyMayNotDo(t *testing.T) {
	begin := time.Now()
	up := echo(t)
	cfg := secure(t, up.URL)
	p := start(t, cfg, &passing{})
	client, stop := clientFor(trusting(t, p), "HTTP/1.1")
	defer stop()
	get(t, client, "https://"+cfg.Server.Listen[0])
	if c, err := net.Dial("tcp", caddycore.DefaultAdminListen); err == nil {
		c.Close()
		t.Error("Caddy's admin API listens")
	}
	for _, path := range []string{caddycore.ConfigAutosavePath, filepath.Join(caddycore.AppDataDir(), "pki"), filepath.Join(caddycore.AppDataDir(), "certificates")} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(begin) {
			t.Errorf("%s was written, outside the data directory", path)
		}
	}
}

func TestRefusalsBeforeTheGateway(t *testing.T) {
	up := echo(t)
	cfg := plain(t, up.URL)
	cfg.Server.Limits = config.Limits{HeaderBytes: 8 << 10, URI: 1 << 10}
	cfg.Server.Timeouts.ReadHeader = 300 * time.Millisecond
	start(t, cfg, &passing{})
	tests := []struct{ name, send, want string }{
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed"},
		{"CONNECT", "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", "405 Method Not Allowed"},
		{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400 Bad Request"},
		{"long method", strings.Repeat("M", 40) + " / HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed"},
		{"large head", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 20<<10) + "\r\n\r\n", "431 Request Header Fields Too Large"},
		{"a head that never ends", "GET / HTTP/1.1\r\nHost: x\r\n", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", cfg.Server.Listen[0])
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			go func() { _, _ = io.WriteString(c, tt.send) }()
			buf := make([]byte, 2048)
			n, _ := c.Read(buf)
			got := string(buf[:n])
			if tt.want == "" {
				if n != 0 {
					t.Errorf("answered %q", got)
				}
				return
			}
			if !strings.HasPrefix(got, "HTTP/1.1 "+tt.want) || !strings.Contains(got, "application/problem+json") || strings.Contains(got, "Server:") {
				t.Errorf("answered %q", got)
			}
		})
	}
}
