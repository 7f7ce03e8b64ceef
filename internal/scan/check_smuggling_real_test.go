package scan

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// downgrade speaks HTTP/2, and passes requests on as HTTP/1.1 to a back. open: with
// the length that the caller said, whatever came.
func downgrade(t *testing.T, open bool) string {
	t.Helper()
	behind := canalServer(t, reads("te", false))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		length := int64(len(body))
		switch {
		case open && r.ContentLength > 0:
			length = r.ContentLength
		case err != nil:
			http.Error(w, "a length that is not true", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 4*time.Second)
		defer cancel()
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", behind)
		if err != nil {
			http.Error(w, "back", http.StatusBadGateway)
			return
		}
		defer func() { _ = c.Close() }()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", r.Method, r.URL.Path, length, body)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			http.Error(w, "back", http.StatusGatewayTimeout)
			return
		}
		defer func() { _ = res.Body.Close() }()
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	})
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// program starts a server of another's making, and waits until it answers.
func program(t *testing.T, address, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not there: .ci/run installs it", name)
		}
		t.Skipf("%s is not there", name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, name, args...)
	c.Stderr = os.Stderr // what it says when it does not start
	// Asked to, it ends its workers as well; killed, it would leave them.
	c.Cancel, c.WaitDelay = func() error { return c.Process.Signal(syscall.SIGTERM) }, 3*time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = c.Wait() })
	answers(t, address, name)
}

// answers waits until somebody listens at an address.
func answers(t *testing.T, address, name string) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if nc, err := net.Dial("tcp", address); err == nil {
			_ = nc.Close()
			return
		}
	}
	t.Fatalf("%s does not answer", name)
}

// freePort is an address at which nobody listens now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func nodeCanal(t *testing.T) string {
	t.Helper()
	address := freePort(t)
	_, port, _ := net.SplitHostPort(address)
	program(t, address, "node", "-e", `require('http').createServer((q, a) => {
  let b = ''
  q.on('data', d => b += d)
  q.on('end', () => {
    const say = (s, t) => { a.writeHead(s, {'Content-Type': 'application/json'}); a.end(t) }
    if (q.url === '/boats' && q.method === 'GET') return say(200, '["Ann"]')
    if (q.url === '/boats' && q.method === 'POST') return b.trim()[0] === '{' ? say(201, '{"name":"Bea"}') : say(400, '{"error":"no boat"}')
    say(404, '{"error":"none"}')
  })
}).listen(`+port+`, '127.0.0.1')`)
	return address
}

func goCanal(t *testing.T) string {
	s := httptest.NewServer(canalHandler())
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func nginxBefore(t *testing.T, back string) string {
	t.Helper()
	address := freePort(t)
	dir := t.TempDir()
	conf := written(t, "nginx.conf", fmt.Sprintf(`daemon off; error_log /dev/null; pid %[1]s/pid; worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  upstream back { server %[2]s; keepalive 4; }
  server { listen %[3]s; location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}`, dir, back, address))
	name := "nginx"
	if _, err := exec.LookPath(name); err != nil {
		name = "/usr/sbin/nginx"
	}
	program(t, address, name, "-e", "stderr", "-c", conf, "-p", dir)
	return address
}

func haproxyBefore(t *testing.T, back string) string {
	t.Helper()
	address := freePort(t)
	conf := written(t, "haproxy.cfg", fmt.Sprintf(`defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend f
  bind %s
  default_backend b
backend b
  http-reuse always
  server s %s
`, address, back))
	name := "haproxy"
	if _, err := exec.LookPath(name); err != nil {
		name = "/usr/sbin/haproxy"
	}
	program(t, address, name, "-db", "-q", "-f", conf)
	return address
}

func goBefore(t *testing.T, back string) string {
	t.Helper()
	u, err := url.Parse("http://" + back)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ErrorLog = quiet
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// Servers that many use are no pair that disagrees, alone and one before the other.
func TestSmugglingHonestServers(t *testing.T) {
	var list []*trial
	for name, address := range map[string]string{
		"Go":                 goCanal(t),
		"Node":               nodeCanal(t),
		"nginx, Go":          nginxBefore(t, goCanal(t)),
		"nginx, Node":        nginxBefore(t, nodeCanal(t)),
		"HAProxy, Go":        haproxyBefore(t, goCanal(t)),
		"HAProxy, Node":      haproxyBefore(t, nodeCanal(t)),
		"Go, Node":           goBefore(t, nodeCanal(t)),
		"nginx, HAProxy, Go": nginxBefore(t, haproxyBefore(t, goCanal(t))),
	} {
		list = append(list, &trial{name: name, target: "http://" + address})
	}
	tryAll(t, list)
}
