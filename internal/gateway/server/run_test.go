package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway/watch"
)

// A changed file and SIGHUP load the config anew; one with a mistake does not
// replace the one that runs, and says why.
func TestReload(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer up.Close()
	listen := freeport.Address(t)
	file := filepath.Join(t.TempDir(), "crenel.yaml")
	write := func(server string) {
		t.Helper()
		text := fmt.Sprintf("version: 1\nserver: {listen: [%q], tls: {mode: \"off\"}, %s}\nadmin: {listen: \"off\"}\napis:\n"+
			"- {name: shop, upstream: {urls: [%q]}, guards: {contract: {mode: \"off\"}, waf: {mode: \"off\"}}}\n", listen, server, up.URL)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("limits: {uri: 1000}")
	load := func() (*config.Config, error) { return config.Load(file) }
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	started, ended := make(chan *Server, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Config: cfg, Load: load, Log: slog.New(slog.DiscardHandler), Version: "test", Started: func(s *Server) { started <- s }})
	}()
	var s *Server
	select {
	case s = <-started:
	case err := <-ended:
		t.Fatal(err)
	}
	eventually := func(what string, is func(reloads int, lastError string) bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			s.mu.Lock()
			reloads, last := s.reloads, s.lastError
			s.mu.Unlock()
			if is(reloads, last) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d reloads, last error %q", what, reloads, last)
			}
		}
	}
	status := func() int {
		t.Helper()
		res, err := http.Get("http://" + listen + "/" + strings.Repeat("x", 300))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if got := status(); got != 200 {
		t.Fatalf("status %d", got)
	}
	write("limits: {uri: 100}")
	eventually("a changed file", func(n int, last string) bool { return n == 1 && last == "" })
	if got := status(); got != 414 {
		t.Errorf("status %d after the reload, want the new limit's 414", got)
	}
	write("limits: {uri: none}")
	eventually("a mistake", func(n int, last string) bool { return n == 1 && strings.Contains(last, "limits.uri") })
	if got := status(); got != 414 {
		t.Errorf("status %d after a refused config, want the running one's 414", got)
	}
	write("limits: {uri: 2000}")
	eventually("a mended file", func(n int, last string) bool { return n >= 2 && last == "" })
	// Whatever the watch had still to say has been said by now.
	time.Sleep(watch.Interval + watch.Settle + 500*time.Millisecond)
	s.mu.Lock()
	before := s.reloads
	s.mu.Unlock()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually("SIGHUP", func(n int, _ string) bool { return n > before })
	if got := status(); got != 200 {
		t.Errorf("status %d, want 200", got)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopping: %v", err)
	}
}
