package state_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/state/statetest"
)

// server is a redis-server of this test's own.
type server struct {
	t    testing.TB
	path string
	dir  string
	port string
	args []string
	// whole are the arguments where those of an ordinary server do not fit.
	whole []string
	cmd   *exec.Cmd
}

// binary finds redis-server or valkey-server.
func binary(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("neither redis-server nor valkey-server is on PATH: apt-get install redis-server")
	}
	t.Skip("SKIPPED: neither redis-server nor valkey-server is on PATH (apt-get install redis-server)")
	return ""
}

// long skips a test that waits for servers to notice that one of them is gone.
func long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: a failover takes seconds")
	}
}

// serve starts a server that keeps nothing on disk, unless args say so.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, path: binary(t), dir: t.TempDir(), port: strconv.Itoa(freeport.Port(t)), args: args}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *server) start() {
	s.t.Helper()
	args := append([]string{"--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no"}, s.args...)
	if s.whole != nil {
		args = s.whole
	}
	s.cmd = exec.Command(s.path, args...)
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 500 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.t.Fatalf("the server does not come up: %s", out.String())
}

func (s *server) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) options(prefix string) state.RedisOptions {
	return state.RedisOptions{URL: "redis://127.0.0.1:" + s.port, Prefix: prefix, Timeout: 200 * time.Millisecond}
}

func (s *server) open(t testing.TB, prefix string) *state.Redis {
	t.Helper()
	return openRedis(t, s.options(prefix))
}

func openRedis(t testing.TB, o state.RedisOptions) *state.Redis {
	t.Helper()
	r, err := state.OpenRedis(o)
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

type shared struct {
	s      *server
	prefix string
}

func (s shared) Open(t testing.TB) state.Store  { return s.s.open(t, s.prefix) }
func (s shared) Other(t testing.TB) state.Store { return s.s.open(t, s.prefix) }

func TestRedisConformance(t *testing.T) {
	s := serve(t)
	var n atomic.Int64
	statetest.Run(t, func(testing.TB) statetest.Shared {
		return shared{s, fmt.Sprint("conformance-", n.Add(1))}
	})
}

func view(t testing.TB, s state.Store, set string) state.View {
	t.Helper()
	v, err := s.View(context.Background(), set)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func put(t testing.TB, s state.Store, key, value string) {
	t.Helper()
	if err := s.Put(context.Background(), "set", key, []byte(value), time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func wait(t testing.TB, what string, most time.Duration, ok func() bool) {
	t.Helper()
	end := time.Now().Add(most)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, most)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func has(v state.View, key, value string) func() bool {
	return func() bool { got, ok := v.Get(key); return ok && string(got) == value }
}

// A server that is killed and started empty has forgotten what was revoked; the
// gateways have not, and give it back.
func TestRedisStartedAgainEmpty(t *testing.T) {
	s := serve(t)
	a, b := s.open(t, "p"), s.open(t, "p")
	va, vb := view(t, a, "set"), view(t, b, "set")
	for i := range 1200 {
		put(t, a, fmt.Sprint("k", i), "v")
	}
	wait(t, "b has all", 3*time.Second, func() bool { return vb.Len() == 1200 })
	s.stop()
	wait(t, "not ready", 5*time.Second, func() bool { return a.Ready() != nil && b.Ready() != nil })
	wait(t, "stale", 5*time.Second, func() bool { return va.Stale() > time.Second && vb.Stale() > time.Second })
	if _, err := a.First(t.Context(), "m", time.Minute); err == nil {
		t.Error("a mark is answered without the server")
	}
	if err := a.Put(t.Context(), "set", "new", nil, time.Time{}); err == nil {
		t.Error("an entry is put without the server")
	}
	if va.Len() != 1200 || !has(vb, "k7", "v")() {
		t.Error("the copy is gone with the server")
	}
	s.start()
	wait(t, "in touch again", 8*time.Second, func() bool { return va.Stale() == 0 && vb.Stale() == 0 && a.Ready() == nil && b.Ready() == nil })
	if va.Len() != 1200 || vb.Len() != 1200 {
		t.Errorf("%d and %d entries are left of 1200", va.Len(), vb.Len())
	}
	third := s.open(t, "p")
	if n := view(t, third, "set").Len(); n != 1200 {
		t.Errorf("a new gateway sees %d entries of 1200", n)
	}
	put(t, third, "after", "v")
	wait(t, "changes are followed", time.Second, func() bool { return has(va, "after", "v")() && has(vb, "after", "v")() })
}

// A server that keeps its data is followed where it was left, and what another
// gateway changed meanwhile is seen.
func TestRedisStartedAgainWhole(t *testing.T) {
	s := serve(t, "--appendonly", "yes", "--appendfsync", "always")
	a := s.open(t, "p")
	va := view(t, a, "set")
	put(t, a, "k", "1")
	var told atomic.Int64
	defer va.Watch(func(string, []byte) { told.Add(1) })()
	s.stop()
	s.start()
	b := s.open(t, "p")
	wait(t, "another gateway can write", 5*time.Second, func() bool {
		return b.Put(context.Background(), "set", "k", []byte("2"), time.Time{}) == nil
	})
	wait(t, "it is seen", 5*time.Second, has(va, "k", "2"))
	wait(t, "it is told", time.Second, func() bool { return told.Load() == 1 })
	if first, err := a.First(t.Context(), "after", time.Minute); err != nil || !first {
		t.Errorf("first %v, %v", first, err)
	}
}

// Nothing is lost when the connection breaks again and again, nor when more was
// changed meanwhile than the server remembers.
func TestRedisConnectionBreaks(t *testing.T) {
	s := serve(t)
	p := newProxy(t, "127.0.0.1:"+s.port)
	o := s.options("p")
	o.URL = "redis://" + p.addr
	reader, writer := openRedis(t, o), s.open(t, "p")
	v := view(t, reader, "set")
	var mu sync.Mutex
	last := map[string]string{}
	defer v.Watch(func(key string, value []byte) {
		mu.Lock()
		defer mu.Unlock()
		last[key] = string(value)
	})()
	want := map[string]string{}
	for i := range 2000 {
		key, value := fmt.Sprint("k", i%37), fmt.Sprint(i)
		put(t, writer, key, value)
		want[key] = value
		if i%200 == 100 {
			p.cut()
		}
	}
	p.refuse(true)
	p.cut()
	for i := range 12_000 {
		key, value := fmt.Sprint("k", i%37), fmt.Sprint("late", i)
		put(t, writer, key, value)
		want[key] = value
	}
	p.refuse(false)
	wait(t, "all is seen", 5*time.Second, func() bool {
		for key, value := range want {
			if !has(v, key, value)() {
				return false
			}
		}
		return v.Stale() == 0
	})
	wait(t, "all is told", time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		for key, value := range want {
			if last[key] != value {
				return false
			}
		}
		return true
	})
}

// A server that hangs costs no more than the time-out, and is noticed.
func TestRedisHangs(t *testing.T) {
	s := serve(t)
	a := s.open(t, "p")
	v := view(t, a, "set")
	put(t, a, "k", "1")
	s.signal(syscall.SIGSTOP)
	begin := time.Now()
	if _, err := a.First(t.Context(), "m", time.Minute); err == nil {
		t.Error("a mark is answered by a server that hangs")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the answer took %s", took)
	}
	wait(t, "stale", 6*time.Second, func() bool { return v.Stale() > time.Second })
	wait(t, "not ready", 6*time.Second, func() bool { return a.Ready() != nil })
	if _, err := a.View(t.Context(), "unseen"); err == nil {
		t.Error("a view is given that was never filled")
	}
	s.signal(syscall.SIGCONT)
	wait(t, "in touch again", 8*time.Second, func() bool { return v.Stale() == 0 && a.Ready() == nil })
	if view(t, a, "unseen").Len() != 0 {
		t.Error("there is something in a set that nobody wrote to")
	}
}

// What is no Redis, and entries that are none of ours, are errors and no empty sets.
func TestRedisRubbish(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	u, _ := url.Parse(web.URL)
	r := openRedis(t, state.RedisOptions{URL: "redis://" + u.Host, Prefix: "p", Timeout: 200 * time.Millisecond})
	if r.Ready() == nil {
		t.Error("a web server passes for Redis")
	}
	if _, err := r.View(t.Context(), "set"); err == nil {
		t.Error("a web server gives a view")
	}
	if _, err := r.First(t.Context(), "k", time.Minute); err == nil {
		t.Error("a web server marks")
	}

	s := serve(t)
	a := s.open(t, "p")
	v := view(t, a, "set")
	put(t, a, "k", "1")
	s.command("HSET {p:set}:entries =bad rubbish", "HINCRBY {p:set}:entries version 1", "XADD {p:set}:changes * n 2 how what k bad e 0 v x")
	wait(t, "it is noticed", 3*time.Second, func() bool { return a.Ready() != nil })
	wait(t, "the copy gets stale", 6*time.Second, func() bool { return v.Stale() > time.Second })
	if !has(v, "k", "1")() {
		t.Error("the copy is lost")
	}
	s.command("HDEL {p:set}:entries =bad", "DEL {p:set}:changes")
	wait(t, "well again", 6*time.Second, func() bool { return a.Ready() == nil && v.Stale() == 0 && has(v, "k", "1")() })

	s.command("DEL {p:set}:entries", "SET {p:set}:entries text")
	wait(t, "a key of another type", 6*time.Second, func() bool { return a.Ready() != nil })
	if !has(v, "k", "1")() {
		t.Error("the copy is lost")
	}
}

// Losses that leave the connection whole are noticed too.
func TestRedisLosesKeys(t *testing.T) {
	for name, commands := range map[string][]string{
		"all":         {"FLUSHALL"},
		"the entries": {"DEL {p:set}:entries"},
		"the stream":  {"DEL {p:set}:changes", "HSET {p:set}:entries =new \"0 v\"", "HINCRBY {p:set}:entries version 1"},
		"some changes, as when a replica takes over": {"HSET {p:set}:entries version 1", "HDEL {p:set}:entries =k3"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			a := s.open(t, "p")
			v := view(t, a, "set")
			for i := range 5 {
				put(t, a, fmt.Sprint("k", i), "v")
			}
			s.command(commands...)
			var fresh state.View
			wait(t, "a new gateway sees all", 6*time.Second, func() bool {
				b, err := state.OpenRedis(s.options("p"))
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				fresh = view(t, b, "set")
				return has(fresh, "k3", "v")() && fresh.Len() >= 5
			})
			put(t, a, "after", "v")
			for i := range 5 {
				if !has(v, fmt.Sprint("k", i), "v")() {
					t.Errorf("k%d is lost", i)
				}
			}
			if name == "the stream" {
				wait(t, "the change that is in no stream", 6*time.Second, has(v, "new", "v"))
			}
			wait(t, "well", 3*time.Second, func() bool { return v.Stale() == 0 && a.Ready() == nil })
		})
	}
}

func TestRedisFull(t *testing.T) {
	s := serve(t, "--maxmemory", "2mb", "--maxmemory-policy", "noeviction")
	a := s.open(t, "p")
	var err error
	for i := 0; i < 20_000 && err == nil; i++ {
		_, err = a.First(t.Context(), fmt.Sprint("k", i), time.Minute)
	}
	if err == nil || !strings.Contains(err.Error(), state.ErrFull.Error()) {
		t.Fatalf("a full server: %v", err)
	}
}

func TestRedisCredentials(t *testing.T) {
	s := serve(t, "--requirepass", "the-password")
	r := openRedis(t, s.options("p"))
	if err := r.Ready(); err == nil {
		t.Error("ready without a password")
	}
	wrong := s.options("p")
	wrong.Password = "another-password"
	w := openRedis(t, wrong)
	if err := w.Ready(); err == nil || strings.Contains(err.Error(), "another-password") {
		t.Errorf("ready with a wrong one: %v", err)
	}
	right := s.options("p")
	right.Password = "the-password"
	if err := openRedis(t, right).Ready(); err != nil {
		t.Error(err)
	}
}

// command sends commands in Redis's own way, past the library.
func (s *server) command(lines ...string) {
	s.t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	answer := make([]byte, 1024)
	for _, line := range lines {
		if _, err := io.WriteString(c, line+"\r\n"); err != nil {
			s.t.Fatal(err)
		}
		n, err := c.Read(answer)
		if err != nil || answer[0] == '-' {
			s.t.Fatalf("%s: %s %v", line, answer[:n], err)
		}
	}
}

// ask sends commands in Redis's own way, and returns what is said to the last; ""
// when the server is away.
func (s *server) ask(lines ...string) string {
	c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	answer, n := make([]byte, 64<<10), 0
	for _, line := range lines {
		if _, err := io.WriteString(c, line+"\r\n"); err != nil {
			return ""
		}
		time.Sleep(5 * time.Millisecond) // so that it comes in one piece
		if n, err = c.Read(answer); err != nil {
			return ""
		}
	}
	return string(answer[:n])
}

// proxy is a way to the server that can be cut.
type proxy struct {
	addr    string
	refused atomic.Bool
	mu      sync.Mutex
	conns   []net.Conn
}

func newProxy(t testing.TB, to string) *proxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			if p.refused.Load() {
				_ = in.Close()
				continue
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); p.cut(); wg.Wait() })
	return p
}

func (p *proxy) refuse(yes bool) { p.refused.Store(yes) }

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func TestOpenRedisRefuses(t *testing.T) {
	for _, u := range []string{"", "http://x", "redis://%zz", "redis://h/notanumber"} {
		if r, err := state.OpenRedis(state.RedisOptions{URL: u}); err == nil {
			_ = r.Close()
			t.Errorf("%q was taken", u)
		}
	}
}
