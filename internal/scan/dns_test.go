package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// In a network of its own, a target from which nothing gets out but lookups, by
// the resolver that it is given: the scanner's.

const pingSpec = `openapi: 3.0.3
info: {title: Reach, version: '1'}
paths:
  /checks:
    post:
      summary: See later whether a host is there
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [label], properties: {label: {type: string}}}}}}
      responses: {'202': {description: it is looked at, content: {application/json: {schema: {type: object, properties: {taken: {type: boolean}}}}}}}
`

// TestMain is also the target, in a process that a test starts.
func TestMain(m *testing.M) {
	if at := os.Getenv("CRENEL_NAMESPACE_TARGET"); at != "" {
		fmt.Fprintln(os.Stderr, serveChecks(at)) // until it is killed
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serveChecks(at string) error {
	open := os.Getenv("CRENEL_NAMESPACE_OPEN") == "true"
	srv := &http.Server{Addr: at, ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Label string }
		if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&in) != nil || in.Label == "" {
			say(w, 400, map[string]string{"error": "label is required"})
			return
		}
		args := []string{"/bin/echo", in.Label}
		if open {
			args = []string{"/bin/sh", "-c", "echo " + in.Label}
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = exec.CommandContext(ctx, args[0], args[1:]...).Run() // nobody is told what came of it
		}()
		say(w, 202, map[string]bool{"taken": true})
	})}
	return srv.ListenAndServe()
}

func TestLookupsFromANamespace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root makes network namespaces")
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("SKIPPED: no ip (iproute2) on this machine")
	}
	if _, err := exec.LookPath("getent"); err != nil {
		t.Skip("SKIPPED: no getent on this machine")
	}
	// Two networks of this machine must not be one.
	id := os.Getpid() % 250
	ns, here, there := fmt.Sprintf("crnl%d", id), fmt.Sprintf("10.231.%d.1", id), fmt.Sprintf("10.231.%d.2", id)
	run := func(must bool, args ...string) bool {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil && must {
			t.Skipf("SKIPPED: this machine makes no network namespaces: %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return err == nil
	}
	etc := filepath.Join("/etc/netns", ns)
	t.Cleanup(func() {
		run(false, ip, "netns", "del", ns)
		run(false, ip, "link", "del", ns+"a")
		_ = os.RemoveAll(etc)
	})
	run(true, ip, "netns", "add", ns)
	run(true, ip, "link", "add", ns+"a", "type", "veth", "peer", "name", ns+"b", "netns", ns)
	run(true, ip, "addr", "add", here+"/30", "dev", ns+"a")
	run(true, ip, "link", "set", ns+"a", "up")
	run(true, ip, "-n", ns, "addr", "add", there+"/30", "dev", ns+"b")
	run(true, ip, "-n", ns, "link", "set", ns+"b", "up")
	run(true, ip, "-n", ns, "link", "set", "lo", "up")
	if err := os.MkdirAll(etc, 0o755); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	if err := os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver "+here+"\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(pingSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, open := range []bool{true, false} {
		t.Run(fmt.Sprintf("open=%v", open), func(t *testing.T) {
			at := net.JoinHostPort(there, strconv.Itoa(18080+i))
			cmd := exec.CommandContext(t.Context(), ip, "netns", "exec", ns, os.Args[0])
			cmd.Env = append(os.Environ(), "CRENEL_NAMESPACE_TARGET="+at, fmt.Sprintf("CRENEL_NAMESPACE_OPEN=%v", open))
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				c, err := net.DialTimeout("tcp", at, time.Second)
				if err == nil {
					_ = c.Close()
					break
				}
				if time.Now().After(until) {
					t.Fatalf("the target does not come up: %v", err)
				}
			}
			// The listener for calls is on loopback, which the namespace does not reach.
			o := &Options{Spec: spec, Target: "http://" + at, Seed: 1, Checks: []string{"command-injection"}, Listener: Listener{DNS: DNS{Address: here + ":53"}}}
			f := find(scanned(t, o).Report, "command-injection")
			switch {
			case open && (f == nil || f.Path != "/checks" || f.Where != "body./label"):
				t.Errorf("finding: %+v", f)
			case !open && f != nil:
				t.Errorf("a false alarm: %s", f.Title)
			}
			if open {
				// Without ears for lookups nobody could tell.
				o.Listener.DNS = DNS{}
				if f := find(scanned(t, o).Report, "command-injection"); f != nil {
					t.Errorf("found without lookups: the test shows nothing")
				}
			}
		})
	}
}
