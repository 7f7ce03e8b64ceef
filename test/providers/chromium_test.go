package providers_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// chromium is a real browser, told what to do by the Chrome DevTools Protocol.
type chromium struct {
	t    *testing.T
	conn *websocket.Conn
	ctx  context.Context //nolint:containedctx // the life of the browser, which the test ends
	next int

	mu  sync.Mutex
	log []string // what the console said
	net []string // addresses that were asked for, once Network is enabled
}

// newChromium starts one, with a profile of its own, until the test ends.
func newChromium(t *testing.T) *chromium {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program(t, "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors", "--window-size=1000,700",
		"--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), "about:blank")
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // says that it was killed
		// Its children leave a moment later; they still write to the profile.
		time.Sleep(200 * time.Millisecond)
	})
	address := make(chan string, 1)
	go func() {
		in := bufio.NewScanner(said)
		for in.Scan() {
			if at, ok := strings.CutPrefix(in.Text(), "DevTools listening on ws://"); ok {
				address <- strings.SplitN(at, "/", 2)[0]
			}
		}
	}()
	var at string
	select {
	case at = <-address:
	case <-time.After(time.Minute):
		t.Fatal("chromium did not start within a minute")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+at+"/json/new?about:blank", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var tab struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(res.Body).Decode(&tab); err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.Dial(ctx, tab.WebSocketDebuggerURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(64 << 20)
	c := &chromium{t: t, conn: conn, ctx: ctx}
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		c.do(domain+".enable", nil)
	}
	return c
}

// do sends a command and waits for what it returns.
func (c *chromium) do(method string, params map[string]any) map[string]any {
	c.t.Helper()
	c.next++
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	b, err := json.Marshal(map[string]any{"id": c.next, "method": method, "params": params})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.conn.Write(ctx, websocket.MessageText, b); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	for {
		_, b, err := c.conn.Read(ctx)
		if err != nil {
			c.t.Fatalf("%s: %v", method, err)
		}
		var message struct {
			ID     int
			Method string
			Params json.RawMessage
			Result map[string]any
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(b, &message); err != nil {
			c.t.Fatal(err)
		}
		switch {
		case message.Method == "Log.entryAdded" || message.Method == "Runtime.exceptionThrown":
			c.mu.Lock()
			c.log = append(c.log, string(message.Params))
			c.mu.Unlock()
		case message.Method == "Network.requestWillBeSent":
			var sent struct{ Request struct{ URL string } }
			if err := json.Unmarshal(message.Params, &sent); err != nil {
				c.t.Fatal(err)
			}
			c.mu.Lock()
			c.net = append(c.net, sent.Request.URL)
			c.mu.Unlock()
		case message.ID == c.next && message.Error != nil && method == "Runtime.evaluate" && strings.Contains(message.Error.Message, "navigated or closed"):
			return nil // the page that was asked gave way to another
		case message.ID == c.next && message.Error != nil:
			c.t.Fatalf("%s: %s", method, message.Error.Message)
		case message.ID == c.next:
			return message.Result
		}
	}
}

// said is what the console has said so far, and forgets it.
func (c *chromium) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := strings.Join(c.log, "\n")
	c.log = nil
	return out
}

// asked are the addresses that pages have asked for so far.
func (c *chromium) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.net)
}

// open goes to an address.
func (c *chromium) open(at string) {
	c.t.Helper()
	c.do("Page.navigate", map[string]any{"url": at})
}

// eval runs a script in the page and returns its value; promises are awaited.
func (c *chromium) eval(script string) any {
	c.t.Helper()
	out := c.do("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true})
	if e, ok := out["exceptionDetails"]; ok {
		c.t.Fatalf("%s: %v", script, e)
	}
	result, _ := out["result"].(map[string]any)
	return result["value"]
}

// until waits until a script is true: of a page that is still on its way it is not.
func (c *chromium) until(script string) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out := c.do("Runtime.evaluate", map[string]any{"expression": `document.readyState === "complete" && Boolean(` + script + `)`, "returnByValue": true})
		result, _ := out["result"].(map[string]any)
		if result["value"] == true {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("never was %s; the page is %v: %v\n%s", script, c.eval("location.href"), c.eval("document.body && document.body.innerText"), c.said())
		}
	}
}

// picture keeps a screenshot where CRENEL_PICTURES says.
func (c *chromium) picture(name string) {
	c.t.Helper()
	dir := os.Getenv("CRENEL_PICTURES")
	if dir == "" {
		return
	}
	data, _ := c.do("Page.captureScreenshot", map[string]any{"format": "png"})["data"].(string)
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), b, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// fetch calls the API as a script of the page does; it returns "STATUS CODE".
func (c *chromium) fetch(at, options string) string {
	c.t.Helper()
	text, _ := c.eval(fmt.Sprintf(`fetch(%q, %s).then(async r => r.status + " " + ((await r.json().catch(() => ({}))).code ?? ""), e => "none " + e.name)`, at, options)).(string)
	return strings.TrimSpace(text)
}

// page serves a page of somebody else's.
func (s *stand) page(host, body string) string {
	s.t.Helper()
	srv, at := tlsServer(s, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, body)
	}))
	s.t.Cleanup(srv.Close)
	return "https://" + host + ":" + at
}
