package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is an output that can be read while it is written.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func run(t *testing.T, args ...string) (*screen, func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := &screen{}
	c := command()
	c.SetArgs(args)
	c.SetOut(out)
	c.SetErr(io.Discard)
	done := make(chan error, 1)
	go func() { done <- c.ExecuteContext(ctx) }()
	return out, func() error { cancel(); return <-done }
}

var reHarbour = regexp.MustCompile(`Harbour listens on (http://\S+)\.`)

func TestServe(t *testing.T) {
	out, stop := run(t, "--listen", "127.0.0.1:0", "--issuer-listen", "127.0.0.1:0", "--holes", "sqli-search", "--password-rounds", "10")
	var base string
	for deadline := time.Now().Add(10 * time.Second); base == "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if m := reHarbour.FindStringSubmatch(out.String()); m != nil {
			base = m[1]
		}
	}
	resp, err := http.Get(base + "/v2/health")
	if err != nil {
		t.Fatalf("%v; printed: %s", err, out)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("health: %s", resp.Status)
	}
	err = stop()
	if err != nil {
		t.Errorf("stopping: %v", err)
	}
	for _, want := range []string{"WARNING: 1 holes are open", "sample issuer"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not printed: %s", want, out)
		}
	}
}

func TestServeRefuses(t *testing.T) {
	short := filepath.Join(t.TempDir(), "secret")
	err := os.WriteFile(short, []byte("too short"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an address of the network": {[]string{"--listen", "0.0.0.0:0"}, "loopback only"},
		"an unknown hole":           {[]string{"--listen", "127.0.0.1:0", "--holes", "nope"}, "nope"},
		"a short secret":            {[]string{"--listen", "127.0.0.1:0", "--jwt-secret-file", short}, "32 bytes"},
		"an issuer without keys":    {[]string{"--listen", "127.0.0.1:0", "--issuer", "https://login.example"}, "--jwks"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stop := run(t, c.args...)
			time.Sleep(50 * time.Millisecond)
			err := stop()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want something about %q", err, c.want)
			}
		})
	}
}

func TestKeysFromURLAndFile(t *testing.T) {
	const set = `{"keys":[{"kty":"oct","k":"AAAA","kid":"one"}]}`
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, set) }))
	defer web.Close()
	file := filepath.Join(t.TempDir(), "jwks.json")
	err := os.WriteFile(file, []byte(set), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{web.URL, file} {
		keys, err := keysFrom(where)(t.Context())
		if err != nil || keys.Len() != 1 {
			t.Errorf("%s: %v, %v", where, keys, err)
		}
	}
	_, err = keysFrom(file + ".none")(t.Context())
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
