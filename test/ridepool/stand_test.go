package ridepool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Hole is one of holes.json.
type Hole struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	OWASP      []string `json:"owasp"`      // items of the list of 2023 that it is under
	CWE        []string `json:"cwe"`        // weaknesses that it may be called
	Operations []string `json:"operations"` // "GET /path/{id}"; "*": the API as a whole
	How        string   `json:"how"`
	Fix        string   `json:"fix"`
}

func documented(t *testing.T) []Hole {
	t.Helper()
	data, err := os.ReadFile("holes.json")
	if err != nil {
		t.Fatal(err)
	}
	var holes []Hole
	if err := json.Unmarshal(data, &holes); err != nil {
		t.Fatalf("holes.json: %v", err)
	}
	return holes
}

// start runs the API on loopback with some of its holes open ("all", "none", "id,id").
func start(t *testing.T, holes string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("node_modules/express")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the sample API cannot run: %v; run make ridepool", err)
		}
		t.Skipf("SKIPPED, the sample API cannot run: %v; run make ridepool", err)
	}
	cmd := exec.Command(node, "server.js")
	cmd.Env = append(os.Environ(), "HOLES="+holes, "PORT=0", "STOP_WITH_STDIN=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said syncBuffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		done := time.AfterFunc(3*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		done.Stop()
		if t.Failed() && testing.Verbose() {
			t.Logf("the sample API said:\n%s", said.String())
		}
	})
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- s
		_, _ = io.Copy(io.Discard, stdout)
	}()
	var at struct{ Listening string }
	select {
	case s := <-line:
		if err := json.Unmarshal([]byte(s), &at); err != nil {
			t.Fatalf("the sample API did not start: %s", said.String())
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the sample API did not start within 30 s")
	}
	return at.Listening
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// client is a browser: it keeps cookies and follows no redirect.
type client struct {
	t    *testing.T
	base string
	http *http.Client

	id    float64 // of the member
	email string
}

const password = "four-otters-under-1-pier"

func browser(t *testing.T, base string) *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t: t, base: base, http: &http.Client{Transport: tr, Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signup makes a member who is logged in.
func signup(t *testing.T, base, name string) *client {
	t.Helper()
	c := browser(t, base)
	c.email = name + "@mail.example"
	a := c.call("POST /api/v2/member/signup", map[string]any{"email": c.email, "password": password, "displayName": name, "phone_number": "+46701234567"})
	c.id, _ = a.get("memberId").(float64)
	if c.id == 0 {
		t.Fatalf("signing up %s: %d %s", name, a.status, a.text)
	}
	if a := c.login(password); a.status != 200 {
		t.Fatalf("logging in %s: %d %s", name, a.status, a.text)
	}
	return c
}

func (c *client) login(password string) answer {
	return c.call("POST /api/v2/doLogin", map[string]any{"email": c.email, "password": password})
}

type answer struct {
	status int
	header http.Header
	text   string
	t      *testing.T
}

// call sends "METHOD /path" with a JSON body, or none; headers are "Name: value".
func (c *client) call(what string, body any, headers ...string) answer {
	c.t.Helper()
	method, path, _ := strings.Cut(what, " ")
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+path, r)
	if err != nil {
		c.t.Fatal(err)
	}
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, text: string(text), t: c.t}
}

// get is a member of a JSON answer, or nil.
func (a answer) get(name string) any {
	var m map[string]any
	_ = json.Unmarshal([]byte(a.text), &m)
	return m[name]
}

func (a answer) has(s string) bool { return a.status == 200 && strings.Contains(a.text, s) }

func decode(t *testing.T, a answer, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), into); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.text, err)
	}
}
