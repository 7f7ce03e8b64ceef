package scan

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
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

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/crenel-project/crenel/internal/freeport"
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

// downgradeAsItCame speaks HTTP/2, and passes requests on as HTTP/1.1. What it does
// with a transfer-encoding, which HTTP/2 forbids: "passed on", "left out" or "refused".
func downgradeAsItCame(t *testing.T, coding string) string {
	t.Helper()
	behind := canalServer(t, reads("te", false))
	s := httptest.NewUnstartedServer(canalHandler())
	s.Config.ErrorLog = quiet
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c, preface); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		if f.WriteSettings() != nil {
			return
		}
		heads, data := map[uint32]*http2.MetaHeadersFrame{}, map[uint32]string{}
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			id, ended := frame.Header().StreamID, false
			switch fr := frame.(type) {
			case *http2.SettingsFrame:
				if !fr.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.PingFrame:
				_ = f.WritePing(true, fr.Data)
			case *http2.MetaHeadersFrame:
				heads[id], ended = fr, fr.StreamEnded()
			case *http2.DataFrame:
				data[id] += string(fr.Data())
				ended = fr.StreamEnded()
			}
			if !ended || heads[id] == nil {
				continue
			}
			status, text := passedOn(behind, heads[id], data[id], coding)
			var block bytes.Buffer
			e := hpack.NewEncoder(&block)
			_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: fmt.Sprint(status)}) // to memory: cannot fail
			_ = e.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/json"})
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}) != nil || f.WriteData(id, true, []byte(text)) != nil {
				return
			}
		}
	}}
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// passedOn is what a back answers to a request of HTTP/2 that is written as HTTP/1.1.
func passedOn(behind string, head *http2.MetaHeadersFrame, data, coding string) (int, string) {
	chunked := ""
	for _, h := range head.RegularFields() {
		if h.Name == "transfer-encoding" {
			chunked = h.Value
		}
	}
	framing := fmt.Sprintf("Content-Length: %d", len(data))
	switch {
	case chunked != "" && coding == "refused":
		return 400, "{}"
	case chunked != "" && coding == "passed on":
		framing = "Transfer-Encoding: " + chunked
	}
	c, err := net.Dial("tcp", behind)
	if err != nil {
		return 502, "{}"
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(4 * time.Second))
	_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", head.PseudoValue("method"), head.PseudoValue("path"), framing, data)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 504, "{}"
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// program starts a server of another's making, and waits until it answers.
func program(t *testing.T, address, name string, args ...string) {
	t.Helper()
	programWith(t, nil, address, name, args...)
}

// programWith is program with variables of its own: "OPEN=1".
func programWith(t *testing.T, env []string, address, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not there: .ci/run installs it", name)
		}
		t.Skipf("%s is not there", name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	// Asked to, it ends its workers as well; killed, it would leave them.
	c.Cancel, c.WaitDelay = func() error { return c.Process.Signal(syscall.SIGTERM) }, 3*time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = c.Wait() })
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if nc, err := net.Dial("tcp", address); err == nil {
			_ = nc.Close()
			return
		}
	}
	cancel()
	_ = c.Wait() // then nobody writes what is read now
	t.Fatalf("%s does not answer: %s", name, said.String())
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
	address := freeport.Address(t)
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

func nginxBefore(t *testing.T, back string) string { return nginxAt(t, "", back) }

// nginxOverTLS speaks HTTP/2 in front.
func nginxOverTLS(t *testing.T, pem, back string) string { return nginxAt(t, pem, back) }

// pemFile is a certificate for 127.0.0.1 with its key.
func pemFile(t *testing.T) string {
	t.Helper()
	c := newAuthority(t).certificate(t, 2048, nil)
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, "server.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
}

func nginxAt(t *testing.T, pem, back string) string {
	t.Helper()
	tls := ";"
	if pem != "" {
		tls = fmt.Sprintf(" ssl http2; ssl_certificate %[1]s; ssl_certificate_key %[1]s;", pem)
	}
	address := freeport.Address(t)
	dir := t.TempDir()
	conf := written(t, "nginx.conf", fmt.Sprintf(`daemon off; error_log /dev/null; pid %[1]s/pid; worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  upstream back { server %[2]s; keepalive 4; }
  server { listen %[3]s%[4]s location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}`, dir, back, address, tls))
	name := "nginx"
	if _, err := exec.LookPath(name); err != nil {
		name = "/usr/sbin/nginx"
	}
	program(t, address, name, "-e", "stderr", "-c", conf, "-p", dir)
	return address
}

func haproxyBefore(t *testing.T, back string) string { return haproxyAt(t, "", back) }

// haproxyOverTLS speaks HTTP/2 in front.
func haproxyOverTLS(t *testing.T, pem, back string) string { return haproxyAt(t, pem, back) }

func haproxyAt(t *testing.T, pem, back string) string {
	t.Helper()
	tls := ""
	if pem != "" {
		tls = " ssl crt " + pem + " alpn h2,http/1.1"
	}
	address := freeport.Address(t)
	conf := written(t, "haproxy.cfg", fmt.Sprintf(`defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend f
  bind %s%s
  default_backend b
backend b
  http-reuse always
  server s %s
`, address, tls, back))
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
	t.Parallel()
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
	pem := pemFile(t)
	for name, address := range map[string]string{
		"nginx over HTTP/2, Go":   nginxOverTLS(t, pem, goCanal(t)),
		"HAProxy over HTTP/2, Go": haproxyOverTLS(t, pem, goCanal(t)),
	} {
		list = append(list, &trial{name: name, target: "https://" + address})
	}
	goOver := httptest.NewUnstartedServer(canalHandler())
	goOver.EnableHTTP2, goOver.Config.ErrorLog = true, quiet
	goOver.StartTLS()
	t.Cleanup(goOver.Close)
	list = append(list, &trial{name: "Go over HTTP/2", target: goOver.URL})
	tryAll(t, list)
}
