package gateway

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/exchange"
)

const strip = "  guards: {waf: {mode: \"off\"}, contract: {responses: strip}}\n"
const refuse = "  guards: {waf: {mode: \"off\"}, contract: {responses: refuse}}\n"

// serve runs the gateway behind a real server.
func (g *testGateway) serveHTTP(t *testing.T, up Upstream) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(g.Handler(func(string) Upstream { return up }))
	t.Cleanup(func() {
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return srv
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestEventsPassAtOnce(t *testing.T) {
	for _, settings := range []string{"", strip, refuse} {
		t.Run(settings, func(t *testing.T) {
			g := newTestGateway(t, settings, "")
			seen := make(chan bool)
			srv := g.serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Type", "text/event-stream")
				for i := range 3 {
					if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
						return err
					}
					if err := http.NewResponseController(w).Flush(); err != nil {
						return err
					}
					select {
					case <-seen: // the next event is not made before this one has arrived
					case <-time.After(5 * time.Second):
						return errors.New("the client has not seen the event")
					}
				}
				return nil
			})
			resp := get(t, srv.URL+"/events")
			lines := bufio.NewReader(resp.Body)
			for i := range 3 {
				line, err := lines.ReadString('\n')
				if err != nil || line != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("event %d: %q, %v", i, line, err)
				}
				if _, err := lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				seen <- true
			}
			if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
				t.Errorf("behind the events: %q, %v", rest, err)
			}
			srv.Close()
			g.trail.only(t)
			g.balanced(t)
		})
	}
}

func TestStrippedAnswersStream(t *testing.T) {
	g := newTestGateway(t, strip, "")
	seen := make(chan bool)
	srv := g.serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.WriteString(w, `{"a":1,"secret":"x","b":"first`); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		<-seen
		_, err := io.WriteString(w, ` and last"}`)
		return err
	})
	resp := get(t, srv.URL+"/items")
	first := make([]byte, 6)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != `{"a":1` {
		t.Fatalf("%q, %v", first, err)
	}
	close(seen)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || string(rest) != `,"b":"first and last"}` {
		t.Errorf("%q, %v", rest, err)
	}
	srv.Close()
	if _, c := g.trail.only(t); len(c.Stripped) != 1 || c.Stripped[0] != "/secret" || c.BytesOut != 28 {
		t.Errorf("completion %+v", c)
	}
}

func TestCutAnswersAreSeenToBeCut(t *testing.T) {
	for name, c := range map[string]struct {
		settings string
		up       Upstream
	}{
		"passed": {"", func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "application/octet-stream")
			if _, err := io.WriteString(w, "half"); err != nil {
				return err
			}
			_ = http.NewResponseController(w).Flush()
			return io.ErrUnexpectedEOF
		}},
		"aborted": {"", func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		"stripped": {strip, func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "application/json")
			if _, err := io.WriteString(w, `{"a":1,"b":"`+strings.Repeat("x", 10_000)); err != nil {
				return err
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			_, err := io.WriteString(w, `" rubbish`)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTestGateway(t, c.settings, "")
			srv := g.serveHTTP(t, c.up)
			path := "/blob"
			if name == "stripped" {
				path = "/items"
			}
			resp, err := http.Get(srv.URL + path)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil {
				t.Error("the client took a cut answer for a whole one")
			}
			srv.Close()
			if _, done := g.trail.only(t); done.Aborted == "" {
				t.Errorf("completion %+v", done)
			}
			g.balanced(t)
		})
	}
}

func TestHeldAnswers(t *testing.T) {
	g := newTestGateway(t, refuse, "{limits: {response: 16KiB}}")
	for name, c := range map[string]struct {
		body   string
		breaks bool
		want   int
	}{
		"as declared":       {`{"a":1}`, false, 200},
		"not as declared":   {`{"z":1}`, false, 502},
		"no JSON":           {`{"a":1`, false, 502},
		"empty":             {"", false, 200},
		"at the limit":      {`{"b":"` + strings.Repeat("x", 16<<10-8) + `"}`, false, 200},
		"over the limit":    {`{"b":"` + strings.Repeat("x", 16<<10-7) + `"}`, false, 502},
		"far over":          {`{"b":"` + strings.Repeat("x", 1<<20) + `"}`, false, 502},
		"breaks off":        {`{"a":1}`, true, 502},
		"over and breaks":   {`{"b":"` + strings.Repeat("x", 1<<20) + `"}`, true, 502},
		"refused as breaks": {`{"z":1}`, true, 502},
	} {
		t.Run(name, func(t *testing.T) {
			*g.trail = records{}
			w, aborted := g.do(func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Type", "application/json")
				for body := c.body; body != ""; {
					n := min(1000, len(body))
					if _, err := io.WriteString(w, body[:n]); err != nil {
						return err // as every proxy does
					}
					body = body[n:]
				}
				if c.breaks {
					return io.ErrUnexpectedEOF
				}
				return nil
			}, httptest.NewRequest(http.MethodGet, "/items", nil))
			if w.Code != c.want || aborted {
				t.Errorf("status %d, aborted %v, %.200s", w.Code, aborted, w.Body)
			}
			if c.want == 200 && w.Body.String() != c.body {
				t.Errorf("answer %.100q", w.Body)
			}
			if c.want != 200 && !json.Valid(w.Body.Bytes()) {
				t.Errorf("problem %.200s", w.Body)
			}
			g.trail.only(t)
			g.balanced(t)
		})
	}
}

func TestHeldAnswersShareTheBudget(t *testing.T) {
	for _, settings := range []string{refuse, ""} {
		g := newTestGateway(t, settings, "")
		g.memory.left.Store(100_000)
		up := answering(200, "application/json", `{"b":"`+strings.Repeat("x", 200_000)+`"}`)
		w, _ := g.do(up, httptest.NewRequest(http.MethodGet, "/items", nil))
		want := 503
		if settings == "" {
			want = 200 // only recorded: nothing is refused, and it is said that nothing was seen
			_, c := g.trail.only(t)
			noted := false
			for _, r := range c.Rulings {
				noted = noted || r.Code == "contract.response_unchecked"
			}
			if !noted {
				t.Errorf("rulings %+v", c.Rulings)
			}
		}
		if w.Code != want {
			t.Errorf("status %d, want %d", w.Code, want)
		}
		if left := g.memory.left.Load(); left != 100_000 {
			t.Errorf("%d bytes left", left)
		}
	}
}

func TestUpgrades(t *testing.T) {
	// An upstream that echoes, behind the standard library's own proxy, which
	// takes the connection over before it has written a head.
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		line, err := rw.ReadString('\n')
		if err == nil {
			_, _ = conn.Write([]byte("echo " + line))
		}
	}))
	defer echo.Close()
	target, err := url.Parse(echo.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	for _, full := range []bool{false, true} {
		g := newTestGateway(t, "", "")
		if full {
			g.trail.broken = errors.New("disk full")
		}
		srv := g.serveHTTP(t, func(w http.ResponseWriter, r *http.Request) error { proxy.ServeHTTP(w, r); return nil })
		conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if full {
			if resp.StatusCode != 503 {
				t.Errorf("without a record: %s", resp.Status)
			}
		} else {
			if resp.StatusCode != 101 {
				t.Fatalf("%s", resp.Status)
			}
			if _, err := io.WriteString(conn, "hello\n"); err != nil {
				t.Fatal(err)
			}
			if line, err := r.ReadString('\n'); err != nil || line != "echo hello\n" {
				t.Errorf("%q, %v", line, err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		srv.Close()
		waitIdle(t, g)
		if d, c := g.trail.only(t); !full && (d.Action != "allow" || c.Status != 101) {
			t.Errorf("decision %+v, completion %+v", d, c)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// waitIdle waits for exchanges on connections that the server no longer owns.
func waitIdle(t *testing.T, g *testGateway) {
	t.Helper()
	for range 500 {
		if g.Inflight() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("an exchange does not end")
}

func TestProblemsAreWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anything := rapid.String()
		x := &exchange.Exchange{ID: anything.Draw(t, "id")}
		x.Request.Method = "GET"
		v := exchange.Refuse("contract.body", anything.Draw(t, "at")+string([]byte{0xff, 0x00, '"', '\n'}), "never told")
		v.Public = anything.Draw(t, "public")
		v.More = []exchange.Fault{{Code: "contract.body", At: anything.Draw(t, "more"), Reason: "never told"}}
		w := httptest.NewRecorder()
		status, n := writeProblem(w, x, v)
		var p struct {
			Type, Title, Code, Detail string
			RequestID                 string `json:"request_id"`
			Status                    int
			At                        string
			More                      []struct{ Code, At, Reason string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if status != 422 || w.Code != 422 || p.Status != 422 || p.Code != "contract.body" || p.Type != "urn:crenel:code:contract.body" || n != int64(w.Body.Len()) {
			t.Fatalf("%s", w.Body)
		}
		if p.RequestID != x.ID || p.Detail != v.Public || len(p.More) != 1 || p.More[0].At != v.More[0].At {
			t.Fatalf("%s", w.Body)
		}
		if strings.Contains(w.Body.String(), "never told") {
			t.Fatal("the reason is told")
		}
	})
}

func TestUnknownCodesAreServedAsInternalErrors(t *testing.T) {
	w := httptest.NewRecorder()
	writeProblem(w, &exchange.Exchange{}, exchange.Refuse("no.such_code", "", ""))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "gateway.internal") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
