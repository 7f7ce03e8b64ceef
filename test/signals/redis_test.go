package signals

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/freeport"
)

// redis is a real server.
type redis struct {
	t    testing.TB
	port string
	cmd  *exec.Cmd
}

func newRedis(t testing.TB) *redis {
	t.Helper()
	_, port, _ := net.SplitHostPort(freeport.Address(t))
	r := &redis{t: t, port: port}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *redis) start() {
	r.t.Helper()
	path := ""
	for _, name := range []string{"redis-server", "valkey-server"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			r.t.Fatal("neither redis-server nor valkey-server is on PATH: apt-get install redis-server")
		}
		r.t.Skip("SKIPPED: neither redis-server nor valkey-server is on PATH (apt-get install redis-server)")
	}
	r.cmd = exec.Command(path, "--port", r.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	for range 300 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+r.port); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatal("redis does not come up")
}

func (r *redis) stop() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

// Three gateways and a real Redis: an event that one of them hears is in force
// on all three within a second, for new calls and open connections, and stays so
// when Redis is killed and started empty.
func TestThreeGateways(t *testing.T) {
	r := newRedis(t)
	p := newIDP(t)
	up := newUpstream(t)
	more := fmt.Sprintf("state: {redis: \"redis://127.0.0.1:%s\", max_age: 3s, timeout: 300ms}\n", r.port)
	var gs []*gateway
	for range 3 {
		gs = append(gs, start(t, p, up.URL, more))
	}
	const rounds = 10
	var worst [3]time.Duration
	for i := range rounds {
		who := fmt.Sprint("ann", i)
		token := p.token(t, who, time.Hour)
		for _, g := range gs {
			if status, code := g.do("/me", token); status != http.StatusOK {
				t.Fatalf("before the event: %d %s", status, code)
			}
		}
		event := p.sessionRevoked(t, who)
		begin := time.Now()
		var wg sync.WaitGroup
		for n, g := range gs {
			wg.Go(func() {
				for {
					if status, code := g.do("/me", token); status == http.StatusUnauthorized && code == "authn.revoked" {
						worst[n] = max(worst[n], time.Since(begin))
						return
					}
					if time.Since(begin) > 15*time.Second {
						t.Errorf("gateway %d lets %s in 15 s after the event", n+1, who)
						return
					}
				}
			})
		}
		gs[i%3].signal(event)
		wg.Wait()
	}
	for n, w := range worst {
		t.Logf("gateway %d: from event to first refusal at most %s (%d events)", n+1, w.Round(10*time.Microsecond), rounds)
		if w > soon() {
			t.Errorf("gateway %d: %s is more than %s", n+1, w, soon())
		}
	}

	// An open connection on another gateway than the one that hears of it.
	list := opening(t, gs[2], p.token(t, "bob", time.Hour))
	time.Sleep(1200 * time.Millisecond)
	within(t, gs[2], list, soon(), "authn.revoked", func() { gs[0].signal(p.sessionRevoked(t, "bob")) })

	// Without Redis the gateways go on by what they know, for max_age; then they refuse.
	carl := p.token(t, "carl", time.Hour)
	bobs := p.sign(t, "at+jwt", map[string]any{
		"iss": p.URL, "aud": "shop", "sub": "bob", "iat": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	r.stop()
	if status, code := gs[1].do("/me", carl); status != http.StatusOK {
		t.Errorf("at once: %d %s", status, code)
	}
	if status, code := gs[1].do("/me", bobs); code != "authn.revoked" {
		t.Errorf("who was revoked: %d %s", status, code)
	}
	eventually(t, "refused beyond max_age", 15*time.Second, func() bool {
		status, code := gs[1].do("/me", carl)
		return status == http.StatusServiceUnavailable && code == "authn.unavailable"
	})
	if ok, why := gs[1].ready(); ok || !strings.Contains(why, "Redis at 127.0.0.1:"+r.port) {
		t.Errorf("ready %v: %s", ok, why)
	}
	// It comes back empty; what was revoked stays so, on every gateway and a new one.
	r.start()
	fourth := start(t, p, up.URL, more)
	gs = append(gs, fourth)
	for n, g := range gs {
		eventually(t, fmt.Sprintf("gateway %d is in touch again", n+1), 15*time.Second, func() bool {
			status, _ := g.do("/me", carl)
			ok, _ := g.ready()
			return ok && status == http.StatusOK
		})
	}
	for n, g := range gs {
		eventually(t, fmt.Sprintf("gateway %d knows what Redis has lost", n+1), 3*time.Second, func() bool {
			_, code := g.do("/me", bobs)
			return code == "authn.revoked"
		})
	}
}

// One gateway alone remembers through a kill.
func TestKilledGatewayRemembers(t *testing.T) {
	p := newIDP(t)
	g := start(t, p, newUpstream(t).URL, "")
	token := p.token(t, "ann", time.Hour)
	event := p.sessionRevoked(t, "ann")
	g.signal(event)
	g.kill()
	g.run()
	if status, code := g.do("/me", token); code != "authn.revoked" {
		t.Errorf("after a kill: %d %s", status, code)
	}
	g.signal(event) // it comes again, and changes nothing
}

func eventually(t testing.TB, what string, most time.Duration, ok func() bool) {
	t.Helper()
	end := time.Now().Add(most)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, most)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
