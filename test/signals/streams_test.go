package signals

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go/http3"
)

func client(t testing.TB, h2 bool) *http.Client {
	t.Helper()
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: h2, DisableCompression: true,
	}
	if !h2 {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// client3 speaks HTTP/3 alone.
func client3(t testing.TB) *http.Client {
	t.Helper()
	tr := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}
	t.Cleanup(func() { _ = tr.Close() })
	return &http.Client{Transport: tr}
}

// open is one long exchange of somebody's.
type open struct {
	name string
	id   string // of the request
	// cut waits for the end and says how it looked.
	cut func() error
	// alive shows that it still works.
	alive func() error
	close func()
}

// opening opens an exchange of each kind.
func opening(t testing.TB, g *gateway, token string) []*open {
	t.Helper()
	var out []*open
	for _, c := range []struct {
		name, path string
		major      int // version of HTTP
	}{
		{"event stream, HTTP/1.1", "/events", 1},
		{"event stream, HTTP/2", "/events", 2},
		{"event stream, HTTP/3", "/events", 3},
		{"download, HTTP/1.1", "/download", 1},
		{"download, HTTP/2", "/download", 2},
		{"download, HTTP/3", "/download", 3},
	} {
		req, err := http.NewRequest(http.MethodGet, g.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		by := client(t, c.major == 2)
		if c.major == 3 {
			by = client3(t)
		}
		res, err := by.Do(req)
		if err != nil || res.StatusCode != http.StatusOK || res.ProtoMajor != c.major {
			t.Fatalf("%s: %v %+v", c.name, err, res)
		}
		first := make([]byte, 5)
		if _, err := io.ReadFull(res.Body, first); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, res.Body)
			ended <- err
		}()
		out = append(out, &open{
			name: c.name, id: res.Header.Get("X-Crenel-Request-Id"),
			cut: func() error {
				if <-ended == nil {
					return errors.New("the end looks like that of a whole answer")
				}
				return nil
			},
			alive: func() error {
				select {
				case err := <-ended:
					ended <- err
					return errors.New("it ended")
				case <-time.After(50 * time.Millisecond):
					return nil
				}
			},
			close: func() { _ = res.Body.Close() },
		})
	}
	c, res, err := websocket.Dial(t.Context(), strings.Replace(g.url, "https", "wss", 1)+"/live", &websocket.DialOptions{
		HTTPClient: client(t, false), HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	say := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			return err
		}
		_, got, err := c.Read(ctx)
		if err == nil && string(got) != "hello" {
			return errors.New("another answer")
		}
		return err
	}
	if err := say(); err != nil {
		t.Fatal(err)
	}
	return append(out, &open{
		name: "WebSocket", id: res.Header.Get("X-Crenel-Request-Id"),
		cut: func() error {
			_, _, err := c.Read(context.Background())
			var e websocket.CloseError
			if !errors.As(err, &e) || e.Code != websocket.StatusPolicyViolation || e.Reason == "" {
				return errors.Join(errors.New("closed without 1008"), err)
			}
			return nil
		},
		alive: say, close: func() { _ = c.CloseNow() },
	})
}

// soon is what may pass between an event and what it ends: some milliseconds do,
// and a second is promised. A short run may be one of many on a busy machine.
func soon() time.Duration {
	if testing.Short() {
		return 10 * time.Second
	}
	return time.Second
}

// within gives rise to the cut of all, and prints how long each took.
func within(t testing.TB, g *gateway, list []*open, most time.Duration, code string, cause func()) {
	t.Helper()
	begin := time.Now()
	cause()
	var wg sync.WaitGroup
	for _, o := range list {
		wg.Go(func() {
			done := make(chan error, 1)
			go func() { done <- o.cut() }()
			select {
			case err := <-done:
				took := time.Since(begin)
				t.Logf("%s: cut after %s", o.name, took.Round(100*time.Microsecond))
				if err != nil {
					t.Errorf("%s: %v", o.name, err)
				}
			case <-time.After(most):
				t.Errorf("%s: not cut within %s", o.name, most)
				o.close()
			}
		})
	}
	wg.Wait()
	for _, o := range list {
		o.close()
		if got := g.aborted(o.id); got != code {
			t.Errorf("%s: recorded as aborted by %q, want %s", o.name, got, code)
		}
	}
}

// Whoever's session is revoked is cut off, and nobody else.
func TestOpenConnections(t *testing.T) {
	p := newIDP(t)
	g := start(t, p, newUpstream(t).URL, "")
	bob := opening(t, g, p.token(t, "bob", time.Hour))
	defer func() {
		for _, o := range bob {
			o.close()
		}
	}()
	undisturbed := func() {
		t.Helper()
		for _, o := range bob {
			if err := o.alive(); err != nil {
				t.Errorf("bob's %s: %v", o.name, err)
			}
		}
	}

	t.Run("revocation", func(t *testing.T) {
		ann := opening(t, g, p.token(t, "ann", time.Hour))
		time.Sleep(1200 * time.Millisecond) // so that a download is one that takes long
		within(t, g, ann, soon(), "authn.revoked", func() { g.signal(p.sessionRevoked(t, "ann")) })
		undisturbed()
	})
	t.Run("expiry", func(t *testing.T) {
		list := opening(t, g, p.token(t, "carl", 3*time.Second))
		within(t, g, list, 7*time.Second, "authn.expired", func() {})
		undisturbed()
	})
	t.Run("policy", func(t *testing.T) {
		list := opening(t, g, p.token(t, "dora", time.Hour))
		time.Sleep(1200 * time.Millisecond)
		within(t, g, list, 10*time.Second, "authz.denied", func() { g.write("data/data.json", `{"blocked": ["dora"]}`) })
		undisturbed()
	})
	t.Run("an upload", func(t *testing.T) {
		body, in := io.Pipe()
		req, err := http.NewRequest(http.MethodPut, g.url+"/upload", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+p.token(t, "emil", time.Hour))
		req.Header.Set("Content-Type", "application/octet-stream")
		go func() {
			for {
				if _, err := in.Write(make([]byte, 100<<10)); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		done := make(chan int, 1)
		go func() {
			res, err := client(t, false).Do(req)
			if err != nil {
				done <- 0
				return
			}
			_ = res.Body.Close()
			done <- res.StatusCode
		}()
		time.Sleep(300 * time.Millisecond)
		begin := time.Now()
		g.signal(p.sessionRevoked(t, "emil"))
		select {
		case status := <-done:
			if status != 0 && status != http.StatusUnauthorized {
				t.Errorf("status %d", status)
			}
			t.Logf("an upload: cut after %s", time.Since(begin).Round(100*time.Microsecond))
		case <-time.After(soon()):
			t.Errorf("not cut within %s", soon())
		}
		_ = in.CloseWithError(io.ErrClosedPipe)
		undisturbed()
	})
	t.Run("an answer that was waited for", func(t *testing.T) {
		token := p.token(t, "fay", time.Hour)
		if status, _ := g.do("/late", token); status != http.StatusOK {
			t.Fatal(status)
		}
		done := make(chan string, 1)
		go func() {
			_, code := g.do("/late", token)
			done <- code
		}()
		time.Sleep(300 * time.Millisecond)
		g.signal(p.sessionRevoked(t, "fay"))
		if code := <-done; code != "authn.revoked" {
			t.Errorf("code %q", code)
		}
	})
	// A reload that changes nothing for them leaves them alone.
	g.write("data/data.json", `{"blocked": ["dora", "nobody"]}`)
	time.Sleep(3 * time.Second)
	undisturbed()
}
