package target

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// spread is a server that notes when it had read each request to its end.
func spread(t *testing.T, start func(*httptest.Server)) (*httptest.Server, func() time.Duration) {
	var mu sync.Mutex
	var at []time.Time
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		mu.Lock()
		at = append(at, time.Now())
		mu.Unlock()
		if err == nil {
			_, _ = fmt.Fprintf(w, "%s %s %d", r.Proto, b, r.ContentLength)
		}
	}))
	start(s)
	t.Cleanup(s.Close)
	return s, func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		slices.SortFunc(at, time.Time.Compare)
		if len(at) == 0 {
			return 0
		}
		return at[len(at)-1].Sub(at[0])
	}
}

func TestTogether(t *testing.T) {
	for _, c := range []struct {
		name, proto string
		start       func(*httptest.Server)
	}{
		{"HTTP/1.1", "HTTP/1.1", (*httptest.Server).Start},
		{"HTTP/1.1 with TLS", "HTTP/1.1", (*httptest.Server).StartTLS},
		{"HTTP/2", "HTTP/2.0", func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, took := spread(t, c.start)
			cl := open(t, Options{Target: s.URL, Insecure: true})
			var rs []*Request
			for i := range 20 {
				rs = append(rs, &Request{Method: "POST", Path: "/x", Header: []Field{{"Content-Type", "text/plain"}}, Body: []byte(fmt.Sprintf("body%02d", i))})
			}
			rs = append(rs, &Request{Method: "GET", Path: "/y"}, &Request{Method: "POST", Path: "/z", Body: bytes.Repeat([]byte("z"), 40<<10)})
			exs, err := cl.DoTogether(t.Context(), "user", rs)
			if err != nil || len(exs) != len(rs) {
				t.Fatal(err, len(exs))
			}
			for i, ex := range exs {
				length := len(rs[i].Body)
				if c.proto == "HTTP/2.0" && rs[i].Method == "GET" {
					length = -1 // its end is a frame of its own
				}
				want := fmt.Sprintf("%s %s %d", c.proto, rs[i].Body, length)
				if ex.Err != nil || ex.Status != 200 || string(ex.Body) != want || ex.Request != rs[i] || ex.Seq != int64(i+1) || ex.As != "user" {
					t.Errorf("%d: %v, status %d, %.40q, want %.40q", i, ex.Err, ex.Status, ex.Body, want)
				}
			}
			// On a quiet machine it is 1 to 5 ms; a busy one reads late what came together.
			if d := took(); d > 2*time.Second {
				t.Errorf("the requests ended over %s", d)
			} else {
				t.Logf("spread %s", d)
			}
		})
	}
}

// onlyH2 turns clients away that do not offer HTTP/2, as RFC 7301, 3.2 says;
// Go's own server lets them in.
type onlyH2 struct{ net.Listener }

func (l onlyH2) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	br := bufio.NewReaderSize(nc, 8192)
	if _, err := br.Peek(1); err == nil {
		if hello, _ := br.Peek(br.Buffered()); !bytes.Contains(hello, []byte("\x02h2")) {
			_, _ = nc.Write([]byte{21, 3, 1, 0, 2, 2, 120}) // alert: no_application_protocol
		}
	}
	return peeked{nc, br}, nil
}

type peeked struct {
	net.Conn
	br *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.br.Read(b) }

// A target that speaks nothing but HTTP/2.
func TestOnlyH2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "2")
		w.WriteHeader(201)
		_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Proto, r.RequestURI, r.Header["X-A"], b)
		_, _ = w.Write(bytes.Repeat([]byte("."), 300<<10))
	}))
	s.EnableHTTP2 = true
	s.Listener = onlyH2{s.Listener}
	s.StartTLS()
	t.Cleanup(s.Close)
	cl := open(t, Options{Target: s.URL, Insecure: true, MaxBody: 200 << 10})
	for range 2 {
		ex, err := cl.Do(t.Context(), "", &Request{Method: "PUT", Path: "/a/%2e%2e//b", Query: "q", Header: []Field{{"X-A", "1"}, {"X-A", "2"}}, Body: []byte("hello")})
		if err != nil || ex.Err != nil {
			t.Fatal(err, ex.Err)
		}
		if ex.Status != 201 || !strings.HasPrefix(string(ex.Body), "HTTP/2.0 /a/%2e%2e//b?q [1 2] hello.") || !ex.Truncated || len(ex.Body) != 200<<10 || len(ex.Header["X-Two"]) != 2 {
			t.Errorf("%d %.60q %v %v", ex.Status, ex.Body, ex.Truncated, ex.Header)
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &Request{Method: "GET", Path: "/"}
	if _, err := open(t, Options{Target: s.URL}).Do(t.Context(), "", r); !IsDown(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	if ex, err := open(t, Options{Target: s.URL, CAFile: ca}).Do(t.Context(), "", r); err != nil || ex.Status != 200 {
		t.Errorf("with its authority: %v", err)
	}
	if _, err := open(t, Options{Target: s.URL, CAFile: ca, ServerName: "other.example"}).Do(t.Context(), "", r); !IsDown(err) {
		t.Errorf("with another name: %v", err)
	}
}

func TestProxy(t *testing.T) {
	var seen atomic.Value
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(plain.Config.Handler)
	t.Cleanup(secure.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Method + " " + r.RequestURI + " " + r.Header.Get("Proxy-Authorization"))
		if r.Method != http.MethodConnect {
			_, _ = io.WriteString(w, "proxied "+r.URL.Path)
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		nc, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, nc); _ = up.Close() }()
		_, _ = io.Copy(nc, up)
		_ = nc.Close()
	}))
	t.Cleanup(proxy.Close)
	pu, _ := url.Parse(proxy.URL)
	pu.User = url.UserPassword("u", "p")
	ex, err := open(t, Options{Target: plain.URL + "/v1", Proxy: pu.String()}).Do(t.Context(), "", &Request{Method: "GET", Path: "/%2e"})
	if err != nil || string(ex.Body) != "proxied /v1/." || seen.Load() != "GET "+plain.URL+"/v1/%2e Basic dTpw" {
		t.Errorf("%v %q %q", err, ex.Body, seen.Load())
	}
	cl := open(t, Options{Target: secure.URL, Proxy: pu.String(), Insecure: true})
	ex, err = cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/x"})
	if err != nil || string(ex.Body) != "/x" || seen.Load() != "CONNECT "+strings.TrimPrefix(secure.URL, "https://")+" Basic dTpw" {
		t.Errorf("%v %+v %q", err, ex, seen.Load())
	}
	_ = cl.Close()
}

func TestRaw(t *testing.T) {
	addr := listen(t, func(nc net.Conn) {
		buf := make([]byte, 4096)
		var all []byte
		for !bytes.Contains(all, []byte("END")) {
			n, err := nc.Read(buf)
			if err != nil {
				return
			}
			all = append(all, buf[:n]...)
		}
		_, _ = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", len(all), all)
	})
	cl := open(t, Options{Target: addr})
	x, err := cl.Raw(t.Context(), "", &RawRequest{Chunks: [][]byte{[]byte("GET / HTTP/1.1\nX"), []byte(" : y\r\nEND")}, Pause: 10 * time.Millisecond})
	if err != nil || !x.Raw.Closed {
		t.Fatal(err, x)
	}
	res := x.Raw.Responses("GET")
	if len(res) != 2 || res[0].StatusCode != 200 || res[1].StatusCode != 404 || x.Status != 200 || x.Answer(2).Status != 404 || x.Answer(3) != nil {
		t.Fatalf("%q", x.Body)
	}
	if b, _ := io.ReadAll(res[0].Body); string(b) != "GET / HTTP/1.1\nX : y\r\nEND" {
		t.Errorf("%q", b)
	}
	began := time.Now()
	x, err = cl.Raw(t.Context(), "", &RawRequest{Chunks: [][]byte{[]byte("x")}, Wait: 50 * time.Millisecond})
	if err != nil || x.Raw.Closed || len(x.Body) != 0 || x.Err == nil || time.Since(began) > time.Second {
		t.Errorf("%v %+v", err, x)
	}
	began = time.Now()
	x, err = cl.Raw(t.Context(), "", &RawRequest{Chunks: [][]byte{[]byte("GET / HTTP/1.1\r\n\r\nEND")}, Answers: 1, Wait: 20 * time.Second})
	if err != nil || x.Status != 200 || time.Since(began) > 10*time.Second {
		t.Errorf("one answer was enough: %v %+v", err, x)
	}
}
