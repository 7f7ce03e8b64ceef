package state_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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

// acl is the user that the operator's page tells to make.
func acl(prefix string) string {
	return "user gateway on >password-of-the-gateway ~" + prefix + "* ~{" + prefix + "* +@read +@write +@scripting +time +info +cluster|info +cluster|slots +cluster|shards +command"
}

const nobody = "user default off"

// clustered is a cluster of a test's own.
type clustered struct {
	nodes []*server
}

// serveCluster starts nodes and has redis-cli make a cluster of them.
func serveCluster(t testing.TB, nodes, replicas int) *clustered {
	t.Helper()
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		binary(t) // skips or fails, when there is no server either
		t.Skip("SKIPPED: redis-cli is not on PATH (apt-get install redis-tools)")
	}
	c := &clustered{}
	var addresses []string
	for range nodes {
		s := &server{t: t, path: binary(t), dir: t.TempDir(), port: strconv.Itoa(freeport.Port(t))}
		bus, users := strconv.Itoa(freeport.Port(t)), filepath.Join(s.dir, "users.acl")
		if err := os.WriteFile(users, []byte("user default on nopass ~* &* +@all\n"+acl("p")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = []string{
			"--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(s.dir, "nodes.conf"), "--cluster-node-timeout", "1000", "--cluster-port", bus,
			"--aclfile", users, "--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0",
		}
		s.start()
		t.Cleanup(s.stop)
		c.nodes = append(c.nodes, s)
		addresses = append(addresses, "127.0.0.1:"+s.port)
	}
	args := append([]string{"--cluster", "create"}, addresses...)
	args = append(args, "--cluster-replicas", fmt.Sprint(replicas), "--cluster-yes")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, cli, args...).CombinedOutput(); err != nil {
		t.Fatalf("making the cluster: %v\n%s", err, out)
	}
	for _, s := range c.nodes {
		wait(t, "the cluster stands", 20*time.Second, func() bool {
			said := s.ask("CLUSTER INFO")
			return strings.Contains(said, "cluster_state:ok") && strings.Contains(said, fmt.Sprint("cluster_known_nodes:", nodes))
		})
	}
	return c
}

// options name one node: the others are learned.
func (c *clustered) options(prefix string) state.RedisOptions {
	return state.RedisOptions{
		Cluster: []string{"redis://127.0.0.1:" + c.nodes[0].port}, Prefix: prefix, Timeout: 200 * time.Millisecond,
		Username: "gateway", Password: "password-of-the-gateway",
	}
}

func TestClusterConformance(t *testing.T) {
	c := serveCluster(t, 3, 0)
	var n atomic.Int64
	statetest.Run(t, func(testing.TB) statetest.Shared { return named{c.options(fmt.Sprint("p-conformance-", n.Add(1)))} })
	for _, s := range c.nodes {
		if said := s.ask("DBSIZE"); said == ":0\r\n" {
			t.Errorf("node %s holds nothing: the cluster is not used", s.port)
		}
	}
}

// Sets are spread over the nodes, and each is whole at one. A node that is lost is
// told of, though what a gateway asks for may lie elsewhere.
func TestClusterLosesNode(t *testing.T) {
	long(t)
	c := serveCluster(t, 3, 0)
	a, b := openRedis(t, c.options("p")), openRedis(t, c.options("p"))
	sets := []string{"revoked", "posture", "login", "x", "y", "z"}
	for _, set := range sets {
		view(t, a, set)
		view(t, b, set)
		for i := range 50 {
			if err := a.Put(t.Context(), set, fmt.Sprint("k", i), []byte("v"), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		wait(t, "seen", 2*time.Second, func() bool { return view(t, b, set).Len() == 50 })
	}
	lost := c.nodes[2]
	lost.stop()
	wait(t, "not ready", 10*time.Second, func() bool { return a.Ready() != nil && b.Ready() != nil })
	refused := 0
	for i := range 50 {
		if _, err := a.First(t.Context(), fmt.Sprint("mark", i), time.Minute); err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("every mark is answered though a node is lost")
	}
	lost.start() // empty: it kept nothing but who it is
	wait(t, "well again", 20*time.Second, func() bool { return a.Ready() == nil && b.Ready() == nil })
	third := openRedis(t, c.options("p"))
	for _, set := range sets {
		wait(t, "what was lost is written back", 10*time.Second, func() bool {
			return view(t, third, set).Len() == 50 && view(t, a, set).Stale() == 0 && view(t, b, set).Stale() == 0
		})
	}
}

// A replica takes over for its primary.
func TestClusterFailover(t *testing.T) {
	long(t)
	c := serveCluster(t, 6, 1)
	a, b := openRedis(t, c.options("p")), openRedis(t, c.options("p"))
	sets := []string{"one", "two", "three", "four"}
	for _, set := range sets {
		view(t, a, set)
		view(t, b, set)
		for i := range 100 {
			if err := a.Put(t.Context(), set, fmt.Sprint("k", i), []byte("v"), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin := time.Now()
	for _, s := range c.nodes {
		if strings.Contains(s.ask("ROLE"), "master") {
			s.stop()
			break
		}
	}
	wait(t, "not ready", 5*time.Second, func() bool { return a.Ready() != nil })
	wait(t, "the replica has taken over", 30*time.Second, func() bool {
		for _, set := range sets {
			if view(t, a, set).Stale() > 0 || view(t, b, set).Stale() > 0 {
				return false
			}
		}
		return a.Ready() == nil && b.Ready() == nil
	})
	t.Logf("in touch again %s after the primary died", time.Since(begin).Round(100*time.Millisecond))
	for _, set := range sets {
		if n := view(t, a, set).Len(); n != 100 {
			t.Errorf("%s: %d entries are left of 100", set, n)
		}
		if err := b.Put(t.Context(), set, "after", []byte("v"), time.Time{}); err != nil {
			t.Error(err)
		}
		wait(t, "the change is seen", 2*time.Second, has(view(t, a, set), "after", "v"))
	}
}

// A server that is in no cluster is an error.
func TestClusterIsNone(t *testing.T) {
	s := serve(t)
	r := openRedis(t, state.RedisOptions{Cluster: []string{"redis://127.0.0.1:" + s.port}, Prefix: "p", Timeout: 200 * time.Millisecond})
	if err := r.Ready(); err == nil {
		t.Error("ready")
	}
	if _, err := r.View(t.Context(), "set"); err == nil {
		t.Error("a view is given")
	}
}
