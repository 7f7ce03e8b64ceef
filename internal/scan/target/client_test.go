package target

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// listen is a server that sees each connection's bytes.
func listen(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer func() { _ = nc.Close() }()
				serve(nc)
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// record answers one request and hands out the bytes that it was.
func record(t testing.TB) (string, chan string) {
	t.Helper()
	got := make(chan string, 16)
	addr := listen(t, func(nc net.Conn) {
		buf := make([]byte, 64<<10)
		n, _ := nc.Read(buf)
		got <- string(buf[:n])
		_, _ = io.WriteString(nc, ok)
	})
	return addr, got
}

func TestExactBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		r    *Request
		base string
		want string
	}{
		{"dots and double slashes", &Request{Method: "GET", Path: "/a/..;/%2e%2e//b%2Fc;x=1"}, "",
			"GET /a/..;/%2e%2e//b%2Fc;x=1 HTTP/1.1\r\nHost: H\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n"},
		{"base path, raw query", &Request{Method: "GET", Path: "/a", Query: "x=1&x[]=2&y=%00"}, "/v1",
			"GET /v1/a?x=1&x[]=2&y=%00 HTTP/1.1\r\nHost: H\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n"},
		{"from the root", &Request{Method: "GET", Path: "/a", Root: true}, "/v1",
			"GET /a HTTP/1.1\r\nHost: H\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n"},
		{"order and duplicates", &Request{Method: "GET", Path: "/", Header: []Field{{"x-B", "1"}, {"X-a", "2"}, {"x-b", "3"}, {"user-agent", "me"}}}, "",
			"GET / HTTP/1.1\r\nHost: H\r\nx-B: 1\r\nX-a: 2\r\nx-b: 3\r\nuser-agent: me\r\nAccept: */*\r\n\r\n"},
		{"odd method with a body", &Request{Method: "PrOpFiNd", Path: "/", Body: []byte("abc")}, "",
			"PrOpFiNd / HTTP/1.1\r\nHost: H\r\nUser-Agent: u\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc"},
		{"body on GET", &Request{Method: "GET", Path: "/", Body: []byte("{}")}, "",
			"GET / HTTP/1.1\r\nHost: H\r\nUser-Agent: u\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n{}"},
		{"POST without a body says so", &Request{Method: "POST", Path: "/"}, "",
			"POST / HTTP/1.1\r\nHost: H\r\nUser-Agent: u\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n"},
		{"framing of its own", &Request{Method: "POST", Path: "/", Header: []Field{{"Transfer-Encoding", "chunked"}}, Body: []byte("0\r\n\r\n")}, "",
			"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n0\r\n\r\n"},
		{"another host", &Request{Method: "GET", Path: "/", Host: "evil.example"}, "",
			"GET / HTTP/1.1\r\nHost: evil.example\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n"},
		{"no slash", &Request{Method: "OPTIONS", Path: "*"}, "/v1",
			"OPTIONS * HTTP/1.1\r\nHost: H\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, got := record(t)
			cl := open(t, Options{Target: addr + c.base, UserAgent: "u"})
			ex, err := cl.Do(t.Context(), "", c.r)
			if err != nil || ex.Err != nil {
				t.Fatal(err, ex)
			}
			want := strings.ReplaceAll(c.want, "Host: H\r\n", "Host: "+strings.TrimPrefix(addr, "http://")+"\r\n")
			if diff := cmp.Diff(want, <-got); diff != "" {
				t.Error(diff)
			}
			if ex.Status != 200 || string(ex.Body) != "ok" {
				t.Errorf("status %d, body %q", ex.Status, ex.Body)
			}
		})
	}
}

func TestNotSent(t *testing.T) {
	addr, got := record(t)
	allowed := errors.New("not in safe mode")
	cl := open(t, Options{Target: addr, MaxRequests: 1, Also: []string{"https://id.example.com"}, Allow: func(r *Request) error {
		if r.Method == "DELETE" {
			return allowed
		}
		return nil
	}})
	for _, c := range []struct {
		name string
		r    *Request
		want error
	}{
		{"another host", &Request{Method: "GET", Path: "/", Origin: "http://127.0.0.1:1"}, ErrScope},
		{"another scheme", &Request{Method: "GET", Path: "/", Origin: strings.Replace(addr, "http:", "https:", 1)}, ErrScope},
		{"another port of one in scope", &Request{Method: "GET", Path: "/", Origin: "https://id.example.com:8443"}, ErrScope},
		{"a user in the origin", &Request{Method: "GET", Path: "/", Origin: "https://id.example.com@evil.example"}, ErrScope},
		{"a path in the origin", &Request{Method: "GET", Path: "/", Origin: "https://id.example.com/x"}, ErrRequest},
		{"line break in the path", &Request{Method: "GET", Path: "/a\r\nX: y"}, ErrRequest},
		{"blank in the path", &Request{Method: "GET", Path: "/a b"}, ErrRequest},
		{"line break in the query", &Request{Method: "GET", Path: "/", Query: "a\nb"}, ErrRequest},
		{"line break in a header", &Request{Method: "GET", Path: "/", Header: []Field{{"A", "b\r\nC: d"}}}, ErrRequest},
		{"colon in a header's name", &Request{Method: "GET", Path: "/", Header: []Field{{"A: b\r\nC", "d"}}}, ErrRequest},
		{"blank in the method", &Request{Method: "GET /", Path: "/"}, ErrRequest},
		{"line break in the host", &Request{Method: "GET", Path: "/", Host: "a\r\nb"}, ErrRequest},
		{"no path", &Request{Method: "GET"}, ErrRequest},
		{"refused by the mode", &Request{Method: "DELETE", Path: "/"}, ErrRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := cl.Do(t.Context(), "", c.r); !errors.Is(err, c.want) {
				t.Errorf("Do: %v, want %v", err, c.want)
			}
			if _, err := cl.DoTogether(t.Context(), "", []*Request{c.r}); !errors.Is(err, c.want) {
				t.Errorf("DoTogether: %v, want %v", err, c.want)
			}
		})
	}
	if len(got) != 0 || cl.Sent() != 0 {
		t.Fatalf("something was sent: %q", <-got)
	}
	if _, err := cl.Do(t.Context(), "", &Request{Method: "DELETE", Path: "/"}); !errors.Is(err, allowed) {
		t.Errorf("the mode's own reason is lost: %v", err)
	}
	if _, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); !errors.Is(err, ErrBudget) {
		t.Errorf("after the last: %v, want ErrBudget", err)
	}
	if n := cl.Sent(); n != 1 {
		t.Errorf("sent %d, want 1", n)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		http.Redirect(w, r, "/next", http.StatusFound)
	}))
	t.Cleanup(s.Close)
	ex, err := open(t, Options{Target: s.URL}).Do(t.Context(), "", &Request{Method: "GET", Path: "/"})
	if err != nil || ex.Status != 302 || ex.Header.Get("Location") != "/next" || n.Load() != 1 {
		t.Fatalf("%v %+v, %d requests", err, ex, n.Load())
	}
}

func TestMaxTime(t *testing.T) {
	addr, _ := record(t)
	cl := open(t, Options{Target: addr, MaxTime: time.Nanosecond})
	time.Sleep(time.Millisecond)
	if _, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); !errors.Is(err, ErrTime) {
		t.Fatal(err)
	}
	cl.Extend(time.Minute)
	if _, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); err != nil {
		t.Error("what was made could not be taken away:", err)
	}
}

func TestRate(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	cl := open(t, Options{Target: s.URL, Rate: 100})
	began := time.Now()
	var wg sync.WaitGroup
	for range 40 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	// Ten may leave at once, thirty at 100 a second.
	if took := time.Since(began); took < 280*time.Millisecond || took > 2*time.Second {
		t.Errorf("40 requests at 100 a second took %s", took)
	}
}

func TestAnswers(t *testing.T) {
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	_, _ = zw.Write(bytes.Repeat([]byte("a"), 5000))
	_ = zw.Close()
	for _, c := range []struct {
		name, answer string
		method       string
		status       int
		body         string
		cut, failed  bool
	}{
		{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", status: 200, body: "abc"},
		{name: "until close", answer: "HTTP/1.0 200 OK\r\n\r\nabc", status: 200, body: "abc"},
		{name: "interim answers", answer: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", status: 204},
		{name: "HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", status: 200},
		{name: "over the bound", answer: "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + strings.Repeat("x", 3000), status: 200, body: strings.Repeat("x", 1000), cut: true},
		{name: "broken off in the body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", status: 200, body: "abc", cut: true},
		{name: "compressed, over the bound", answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", zipped.Len(), zipped.String()), status: 200, body: strings.Repeat("a", 1000), cut: true},
		{name: "compressed, it says", answer: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", status: 200, body: "abc"},
		{name: "upgrade", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", status: 101},
		{name: "no HTTP", answer: "SSH-2.0-x\r\n\r\n", failed: true},
		{name: "nothing", answer: "", failed: true},
		{name: "endless head", answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 1100), failed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := listen(t, func(nc net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(nc)); err == nil {
					_, _ = io.WriteString(nc, c.answer)
				}
			})
			m := c.method
			if m == "" {
				m = "POST" // not sent twice
			}
			ex, err := open(t, Options{Target: addr, MaxBody: 1000}).Do(t.Context(), "", &Request{Method: m, Path: "/"})
			if err != nil {
				t.Fatal(err)
			}
			if (ex.Err != nil) != c.failed || ex.Status != c.status || string(ex.Body) != c.body || ex.Truncated != c.cut {
				t.Errorf("err %v, status %d, body %.20q (%d), cut %v", ex.Err, ex.Status, ex.Body, len(ex.Body), ex.Truncated)
			}
		})
	}
}

// What comes after an answer that nobody asked for must not become the next one's answer.
func TestSmuggledAnswerIsNotTaken(t *testing.T) {
	var n atomic.Int64
	addr := listen(t, func(nc net.Conn) {
		br := bufio.NewReader(nc)
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			if n.Add(1) == 1 {
				_, _ = io.WriteString(nc, ok+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
				continue
			}
			_, _ = io.WriteString(nc, ok)
		}
	})
	cl := open(t, Options{Target: addr})
	for range 3 {
		ex, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"})
		if err != nil || string(ex.Body) != "ok" {
			t.Fatalf("%v %q", err, ex.Body)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	cl := open(t, Options{Target: s.URL})
	for i := range 20 {
		if i == 10 {
			s.CloseClientConnections()
		}
		ex, err := cl.Do(t.Context(), "", &Request{Method: "POST", Path: "/", Body: bytes.Repeat([]byte("x"), 100<<10)})
		if err != nil || ex.Err != nil {
			t.Fatal(i, err, ex.Err)
		}
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections for 20 requests and one cut, want 2", n)
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	cl := open(t, Options{Target: s.URL})
	began := time.Now()
	ex, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/slow", Timeout: 50 * time.Millisecond})
	if err != nil || ex.Err == nil || ex.Status != 0 || kindOf(nil, ex.Err) != silent {
		t.Errorf("%v, %+v", err, ex)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := cl.Do(ctx, "", &Request{Method: "GET", Path: "/slow"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Error(took)
	}
	done := make(chan error, 1)
	go func() {
		ex, err := cl.Do(context.Background(), "", &Request{Method: "GET", Path: "/slow"})
		if err == nil {
			err = ex.Err
		}
		done <- err
	}()
	time.Sleep(30 * time.Millisecond)
	_ = cl.Close()
	if err := <-done; err == nil {
		t.Error("a request in flight outlived Close")
	}
	if _, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestEventStreamEnds(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	ex, err := open(t, Options{Target: s.URL}).Do(t.Context(), "", &Request{Method: "GET", Path: "/"})
	if err != nil || ex.Err != nil || string(ex.Body) != "data: 1\n\n" || !ex.Truncated || ex.Duration > 3*time.Second {
		t.Fatalf("%v %+v", err, ex)
	}
}

func TestOptionsMistakes(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "must begin with http:// or https://"},
		{Options{Target: "ftp://a"}, "must begin with http:// or https://"},
		{Options{Target: "http://a/?x=1"}, "scheme, host, port and path alone"},
		{Options{Target: "http://u:verysecret@a/"}, "scheme, host, port and path alone"},
		{Options{Target: "http://a", Also: []string{"https://b/x"}}, "without a path"},
		{Options{Target: "http://a", Proxy: "ftp://p:1"}, "http and socks5 are known"},
		{Options{Target: "http://a", CAFile: "/nonexistent"}, "reading the authorities"},
		{Options{Target: "http://a", CertFile: "x"}, "both its file and its key's file"},
	} {
		_, err := New(c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

func BenchmarkDo(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"7","name":"x"}`)
	}))
	defer s.Close()
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			cl := open(b, Options{Target: s.URL, Workers: workers})
			r := &Request{Method: "GET", Path: "/a/b", Header: []Field{{"Authorization", "Bearer abc"}}}
			jobs := make(chan struct{}, workers)
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range workers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for range jobs {
						if ex, err := cl.Do(b.Context(), "", r); err != nil || ex.Status != 200 {
							b.Error(err, ex)
							return
						}
					}
				}()
			}
			for range b.N {
				jobs <- struct{}{}
			}
			close(jobs)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}
