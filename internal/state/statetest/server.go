package statetest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/state"
)

// Server is a redis-server of a test's own, which keeps nothing on disk.
type Server struct {
	t    testing.TB
	path string
	dir  string
	port string
	cmd  *exec.Cmd
}

// StartServer starts redis-server or valkey-server; without one on PATH the test
// is skipped, and in CI fails.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir()}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			s.path = path
			break
		}
	}
	if s.path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("neither redis-server nor valkey-server is on PATH: apt-get install redis-server")
		}
		t.Skip("SKIPPED: neither redis-server nor valkey-server is on PATH (apt-get install redis-server)")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(ln.Addr().String())
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start starts it, on the same port as before.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = exec.Command(s.path, "--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no") //nolint:gosec,noctx // the server on PATH, until Stop
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 500 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil { //nolint:noctx // it answers at once or not at all
			_ = c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("the server does not come up: %s", out.String())
}

// Stop ends it.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Pause has it answer nothing, and Resume go on.
func (s *Server) Pause()  { s.signal(syscall.SIGSTOP) }
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// URL is where it is.
func (s *Server) URL() string { return "redis://127.0.0.1:" + s.port }

// Open opens it as one more gateway does.
func (s *Server) Open(t testing.TB, prefix string, clock func() time.Time) *state.Redis {
	t.Helper()
	r, err := state.OpenRedis(state.RedisOptions{URL: s.URL(), Prefix: prefix, Timeout: 500 * time.Millisecond, BucketClock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}
