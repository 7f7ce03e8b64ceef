package state_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/state/statetest"
)

// watched are a primary, a replica and three sentinels, with passwords of their own.
type watched struct {
	t         testing.TB
	servers   []*server
	sentinels []*server
}

const (
	serversPassword  = "password-of-the-servers"
	sentinelPassword = "password-of-the-sentinels"
)

func serveWatched(t testing.TB) *watched {
	t.Helper()
	w := &watched{t: t}
	auth := []string{"--requirepass", serversPassword, "--masterauth", serversPassword, "--repl-diskless-sync-delay", "0", "--min-replicas-max-lag", "2"}
	primary := serve(t, auth...)
	replica := serve(t, append([]string{"--replicaof", "127.0.0.1 " + primary.port}, auth...)...)
	w.servers = []*server{primary, replica}
	wait(t, "the replica follows", 10*time.Second, func() bool {
		return strings.Contains(replica.ask("AUTH "+serversPassword, "INFO replication"), "master_link_status:up")
	})
	for range 3 {
		s := &server{t: t, path: binary(t), dir: t.TempDir(), port: strconv.Itoa(freeport.Port(t))}
		conf := filepath.Join(s.dir, "sentinel.conf")
		text := fmt.Sprintf(`port %s
bind 127.0.0.1
dir %s
requirepass %s
sentinel sentinel-pass %[3]s
sentinel monitor crenel 127.0.0.1 %[4]s 2
sentinel auth-pass crenel %[5]s
sentinel down-after-milliseconds crenel 1000
sentinel failover-timeout crenel 3000
`, s.port, s.dir, sentinelPassword, primary.port, serversPassword)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.whole = []string{conf, "--sentinel"}
		s.start()
		t.Cleanup(s.stop)
		w.sentinels = append(w.sentinels, s)
	}
	for _, s := range w.sentinels {
		wait(t, "the sentinels know each other and the replica", 20*time.Second, func() bool {
			said := s.ask("AUTH "+sentinelPassword, "SENTINEL MASTER crenel")
			return strings.Contains(said, "num-other-sentinels\r\n$1\r\n2\r\n") && strings.Contains(said, "num-slaves\r\n$1\r\n1\r\n")
		})
	}
	return w
}

func (w *watched) options(prefix string) state.RedisOptions {
	o := state.RedisOptions{
		Sentinel: &state.Sentinel{Master: "crenel", Password: sentinelPassword, Database: 3},
		Password: serversPassword, Prefix: prefix, Timeout: 200 * time.Millisecond,
	}
	for _, s := range w.sentinels {
		o.Sentinel.Addresses = append(o.Sentinel.Addresses, "redis://127.0.0.1:"+s.port)
	}
	return o
}

// named is a state by the options with which it is opened.
type named struct{ o state.RedisOptions }

func (n named) Open(t testing.TB) state.Store  { return openRedis(t, n.o) }
func (n named) Other(t testing.TB) state.Store { return openRedis(t, n.o) }

func TestSentinelConformance(t *testing.T) {
	w := serveWatched(t)
	var n atomic.Int64
	statetest.Run(t, func(testing.TB) statetest.Shared { return named{w.options(fmt.Sprint("conformance-", n.Add(1)))} })
}

// The primary dies: the gateways follow the sentinels to the replica, what was
// revoked stays so, and what is revoked afterwards is seen by all.
func TestSentinelFailover(t *testing.T) {
	long(t)
	w := serveWatched(t)
	a, b := openRedis(t, w.options("p")), openRedis(t, w.options("p"))
	va, vb := view(t, a, "set"), view(t, b, "set")
	for i := range 500 {
		put(t, a, fmt.Sprint("k", i), "v")
	}
	first, err := a.First(t.Context(), "used", time.Minute)
	if err != nil || !first {
		t.Fatal(first, err)
	}
	wait(t, "b has all", 3*time.Second, func() bool { return vb.Len() == 500 })
	begin := time.Now()
	w.servers[0].stop()
	wait(t, "not ready", 5*time.Second, func() bool { return a.Ready() != nil })
	if said := a.Ready().Error(); !strings.Contains(said, "crenel by 127.0.0.1:") || strings.Contains(said, "password-of") {
		t.Errorf("Ready says %q", said)
	}
	if !has(va, "k7", "v")() {
		t.Error("the copy is gone with the primary")
	}
	wait(t, "the replica has taken over", 20*time.Second, func() bool {
		return a.Ready() == nil && b.Ready() == nil && va.Stale() == 0 && vb.Stale() == 0
	})
	t.Logf("in touch again %s after the primary died", time.Since(begin).Round(100*time.Millisecond))
	if va.Len() != 500 || vb.Len() != 500 {
		t.Errorf("%d and %d entries are left of 500", va.Len(), vb.Len())
	}
	wait(t, "the new primary takes changes", 5*time.Second, func() bool {
		return b.Put(t.Context(), "set", "after", []byte("v"), time.Time{}) == nil
	})
	wait(t, "the change is seen", 2*time.Second, has(va, "after", "v"))
	if first, err := b.First(t.Context(), "used", time.Minute); err != nil || first {
		t.Errorf("a mark that was replicated is new: %v %v", first, err)
	}
	// The old primary comes back as a replica: nobody goes back to it.
	w.servers[0].start()
	wait(t, "the old primary is a replica now", 20*time.Second, func() bool {
		return strings.Contains(w.servers[0].ask("AUTH "+serversPassword, "INFO replication"), "role:slave")
	})
	put(t, a, "later", "v")
	wait(t, "the change is seen", 2*time.Second, has(vb, "later", "v"))
}

// Whatever is wrong with the sentinels is an error and no empty state.
func TestSentinelWrong(t *testing.T) {
	long(t)
	w := serveWatched(t)
	for name, change := range map[string]func(*state.RedisOptions){
		"a name that they do not know": func(o *state.RedisOptions) { o.Sentinel.Master = "other" },
		"their password is wrong":      func(o *state.RedisOptions) { o.Sentinel.Password = "guess" },
		"the server's is":              func(o *state.RedisOptions) { o.Password = "guess" },
		"nobody is there": func(o *state.RedisOptions) {
			o.Sentinel.Addresses = []string{"redis://127.0.0.1:" + strconv.Itoa(freeport.Port(t))}
		},
		"servers, and no sentinels": func(o *state.RedisOptions) { o.Sentinel.Addresses = []string{"redis://127.0.0.1:" + w.servers[0].port} },
	} {
		t.Run(name, func(t *testing.T) {
			o := w.options("wrong")
			change(&o)
			r := openRedis(t, o)
			err := r.Ready()
			if err == nil {
				t.Fatal("ready")
			}
			if strings.Contains(err.Error(), "guess") {
				t.Errorf("the password is in %q", err)
			}
			if _, err := r.First(t.Context(), "k", time.Minute); err == nil {
				t.Error("a mark is answered")
			}
			if _, err := r.View(t.Context(), "set"); err == nil {
				t.Error("a view is given")
			}
		})
	}
}
