package target

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func serveOn(t testing.TB, addr string, h http.Handler) *http.Server {
	t.Helper()
	var l net.Listener
	var err error
	for range 50 {
		if l, err = net.Listen("tcp", addr); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Addr: l.Addr().String(), ReadHeaderTimeout: time.Second}
	go func() { _ = s.Serve(l) }()
	return s
}

// A target that dies of one request, and comes back: all wait, the request is
// suspected, and what could not be delivered is delivered later.
func TestTargetDiesAndComesBack(t *testing.T) {
	var s *http.Server
	var mu sync.Mutex
	var handler http.Handler
	died := make(chan struct{})
	handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/kill" {
			mu.Lock()
			defer mu.Unlock()
			select {
			case <-died:
			default:
				close(died)
				go func() { _ = s.Close() }()
				time.Sleep(50 * time.Millisecond)
			}
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "ok")
	})
	s = serveOn(t, "127.0.0.1:0", handler)
	addr := s.Addr
	cl := open(t, Options{Target: "http://" + addr, DownFor: 10 * time.Second})
	var back atomic.Int64
	cl.OnBack(func(o Outage) {
		if o.Refused && !o.Back.IsZero() {
			back.Add(1)
		}
	})
	if ex, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/ok"}); err != nil || ex.Status != 200 {
		t.Fatal(err, ex)
	}
	restarted := make(chan *http.Server, 1)
	go func() {
		<-died
		time.Sleep(400 * time.Millisecond)
		restarted <- serveOn(t, addr, handler)
	}()
	ex, err := cl.Do(t.Context(), "mallory", &Request{Method: "POST", Path: "/kill"})
	if err != nil || ex.Err == nil {
		t.Fatal(err, ex)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if ex, err := cl.Do(t.Context(), "", &Request{Method: "POST", Path: "/ok"}); err != nil || ex.Status != 200 {
				t.Error("not delivered after the restart:", err, ex)
			}
		}()
	}
	wg.Wait()
	s2 := <-restarted
	defer func() { _ = s2.Close() }()
	if cl.Epoch() != 1 || back.Load() != 1 || len(cl.Outages()) != 1 {
		t.Errorf("epoch %d, hooks %d, outages %+v", cl.Epoch(), back.Load(), cl.Outages())
	}
	sus := cl.Suspects()
	if len(sus) == 0 || sus[0].Exchange.Request.Path != "/kill" {
		t.Errorf("suspects: %+v", sus)
	}
}

func TestTargetStaysAway(t *testing.T) {
	s := serveOn(t, "127.0.0.1:0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	cl := open(t, Options{Target: "http://" + s.Addr, DownFor: 300 * time.Millisecond})
	if _, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	for range 2 {
		_, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"})
		var down *DownError
		if !errors.As(err, &down) || !IsDown(err) || cl.Down() == nil || !strings.Contains(err.Error(), "has not answered since") {
			t.Fatalf("%v", err)
		}
	}
	if _, err := cl.Raw(t.Context(), "", &RawRequest{Chunks: [][]byte{[]byte("x")}}); !IsDown(err) {
		t.Error(err)
	}
	if _, err := cl.DoTogether(t.Context(), "", []*Request{{Method: "GET", Path: "/"}}); !IsDown(err) {
		t.Error(err)
	}
}

// One operation that never answers, or breaks the connection off, is not the target's death.
func TestOneBadOperationIsNoOutage(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-hold
		case "/break":
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(hold) })
	cl := open(t, Options{Target: s.URL})
	for range 4 {
		for _, p := range []string{"/hang", "/break"} {
			ex, err := cl.Do(t.Context(), "", &Request{Method: "POST", Path: p, Timeout: 20 * time.Millisecond})
			if err != nil || ex.Err == nil {
				t.Fatal(err, ex)
			}
		}
	}
	if ex, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); err != nil || ex.Status != 200 {
		t.Fatal(err)
	}
	if n := cl.Outages(); len(n) != 0 || cl.Epoch() != 0 || len(cl.Suspects()) != 0 {
		t.Errorf("%+v", n)
	}
}

// A target that hangs as a whole is waited for, without its process having been gone.
func TestTargetHangs(t *testing.T) {
	var hung atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			hung.Store(true)
			time.AfterFunc(1500*time.Millisecond, func() { hung.Store(false) })
		}
		for hung.Load() {
			time.Sleep(10 * time.Millisecond)
		}
	}))
	t.Cleanup(s.Close)
	cl := open(t, Options{Target: s.URL, Timeout: 100 * time.Millisecond, DownFor: 20 * time.Second})
	_, _ = cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"})
	_, _ = cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/hang"})
	for range 3 {
		_, _ = cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"})
	}
	if ex, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/", Timeout: 5 * time.Second}); err != nil || ex.Status != 200 {
		t.Fatal(err, ex)
	}
	if cl.Epoch() != 0 {
		t.Error("a hang was taken for a restart")
	}
}

func TestNeverThere(t *testing.T) {
	cl := open(t, Options{Target: "http://crenel-no-such-host.invalid", DownFor: time.Minute})
	began := time.Now()
	if _, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); !IsDown(err) {
		t.Fatal(err)
	}
	if time.Since(began) > 15*time.Second {
		t.Error("waited for a name that does not exist")
	}
}
