package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type gateway struct {
	mu     sync.Mutex
	actors []string
	err    error
}

func (g *gateway) Status() any { return map[string]any{"apis": 2} }

func (g *gateway) Reload(_ context.Context, actor string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.actors = append(g.actors, actor)
	return g.err
}

func start(t *testing.T, path string, h Handler) *Server {
	t.Helper()
	s, err := Listen(path, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func socket(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "c.sock")
}

func TestStatusAndReload(t *testing.T) {
	path, g := socket(t), &gateway{}
	start(t, path, g)
	c, ctx := NewClient(path), context.Background()

	data, err := c.Status(ctx)
	if err != nil || strings.TrimSpace(string(data)) != `{"apis":2}` {
		t.Errorf("status %s, %v", data, err)
	}
	if err := c.Reload(ctx); err != nil {
		t.Error(err)
	}
	g.err = errors.New("crenel.yaml:3: wrong\ncrenel.yaml:4: wrong as well")
	if err := c.Reload(ctx); err == nil || err.Error() != g.err.Error() {
		t.Errorf("a refused reload: %v", err)
	}
	if want := fmt.Sprintf("uid %d", os.Getuid()); len(g.actors) != 2 || !strings.Contains(g.actors[0], want) {
		t.Errorf("actors %q, want them to hold %q", g.actors, want)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	path := socket(t)
	start(t, path, &gateway{})
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestOtherUsersAreRefused(t *testing.T) {
	for _, p := range []peer{{uid: -1}, {uid: os.Getuid() + 1}} {
		if p.uid == 0 {
			continue
		}
		if status := ask(p); status != 403 {
			t.Errorf("uid %d: %d", p.uid, status)
		}
	}
	for _, p := range []peer{{uid: 0}, {uid: os.Getuid()}} {
		if status := ask(p); status != 200 {
			t.Errorf("uid %d: %d", p.uid, status)
		}
	}
}

func TestOneGatewayADataDirectory(t *testing.T) {
	path := socket(t)
	first := start(t, path, &gateway{})
	log := slog.New(slog.DiscardHandler)
	if _, err := Listen(path, &gateway{}, log); !errors.Is(err, ErrRunning) {
		t.Errorf("a second gateway: %v", err)
	}
	if _, err := NewClient(path).Status(context.Background()); err != nil {
		t.Errorf("the first one no longer answers: %v", err)
	}
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(path).Status(context.Background()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after it stopped: %v", err)
	}
	// What a killed gateway leaves behind is in nobody's way.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, path, &gateway{})
}

func TestListenRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	file := socket(t)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	for _, path := range []string{file, long, filepath.Join(t.TempDir(), "no", "folder")} {
		if s, err := Listen(path, &gateway{}, log); err == nil {
			t.Errorf("%s was opened", path)
			_ = s.Close(context.Background())
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "precious" {
		t.Errorf("the file was touched: %q, %v", data, err)
	}
}

func TestEvents(t *testing.T) {
	path := socket(t)
	s := start(t, path, &gateway{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan string, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- NewClient(path).Events(ctx, func(e json.RawMessage) error {
			got <- strings.TrimSpace(string(e))
			return nil
		})
	}()
	waitFor(t, s.Followed)
	s.Publish(map[string]int{"n": 1})
	s.Publish(map[string]int{"n": 2})
	for _, want := range []string{`{"n":1}`, `{"n":2}`} {
		select {
		case e := <-got:
			if e != want {
				t.Errorf("got %s, want %s", e, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no event")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	waitFor(t, func() bool { return !s.Followed() })
}

// TestSlowReader: a follower who does not read holds nobody up and learns what it lost.
func TestSlowReader(t *testing.T) {
	f := newFeed()
	slow := f.follow()
	for range backlog + 5 {
		f.publish("event")
	}
	if lost := slow.lost.Load(); lost != 5 {
		t.Errorf("lost %d, want 5", lost)
	}
	f.close()
	n := 0
	for range slow.lines {
		n++
	}
	if n != backlog {
		t.Errorf("delivered %d, want %d", n, backlog)
	}
	if _, open := <-f.follow().lines; open {
		t.Error("a closed feed can be followed")
	}
}

func TestCloseEndsFeeds(t *testing.T) {
	path := socket(t)
	s, err := Listen(path, &gateway{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- NewClient(path).Events(context.Background(), func(json.RawMessage) error { return nil })
	}()
	waitFor(t, s.Followed)
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the feed ended with %v", err)
	}
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func (g *gateway) Verbs() map[string]Verb {
	return map[string]Verb{"revoke": func(_ context.Context, actor string, args json.RawMessage) (any, error) {
		if string(args) == `"bad"` {
			return nil, errors.New("that cannot be")
		}
		return map[string]any{"actor": actor, "args": args}, nil
	}}
}

func TestVerbs(t *testing.T) {
	path := socket(t)
	start(t, path, &gateway{})
	c, ctx := NewClient(path), context.Background()
	var out struct {
		Actor string `json:"actor"`
		Args  []int  `json:"args"`
	}
	if err := c.Do(ctx, "revoke", []int{1, 2}, &out); err != nil || len(out.Args) != 2 || !strings.Contains(out.Actor, fmt.Sprintf("uid %d", os.Getuid())) {
		t.Errorf("%+v, %v", out, err)
	}
	if err := c.Do(ctx, "revoke", "bad", nil); err == nil || err.Error() != "that cannot be" {
		t.Errorf("refused: %v", err)
	}
	if err := c.Do(ctx, "revoke", strings.Repeat("x", maxArgs), nil); err == nil {
		t.Error("more was read than is allowed")
	}
	if err := c.Do(ctx, "unknown", 1, nil); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an unknown verb: %v", err)
	}
}
