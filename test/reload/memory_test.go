package reload

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway/server"
)

// inspecting is a config with every guard on, the rule set loaded.
func inspecting(listen, admin string, n int) string {
	return strings.Replace(settings(listen, admin, "http://127.0.0.1:9", n), `{mode: "off"}`, fmt.Sprintf("{paranoia: 1, values: %d}", 1000+n%3), 1)
}

// What a gateway with the rule set loaded holds of the machine's memory, and whether
// reloads add to it: the rule set's engine keeps compiled patterns until it is closed.
func TestMemory(t *testing.T) {
	if os.Getenv("CRENEL_MEMORY_CHILD") != "" {
		child(t)
		return
	}
	if testing.Short() {
		t.Skip("the race detector needs memory of its own")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("SKIPPED: this system does not tell what a process holds in /proc")
	}
	reloads := 10
	if s := os.Getenv("RELOADS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		reloads = n
	}
	c := exec.Command(os.Args[0], "-test.run", "^TestMemory$", "-test.timeout", "30m")
	c.Env = append(os.Environ(), "CRENEL_MEMORY_CHILD="+strconv.Itoa(reloads), "RELOAD_SECRET="+secret,
		"MEMORY_LISTEN="+freeport.Address(t), "MEMORY_ADMIN="+freeport.Address(t), "MEMORY_DIR="+t.TempDir())
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	held := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var name string
		var kb int
		if n, _ := fmt.Sscanf(lines.Text(), "held %s %d", &name, &kb); n == 2 {
			held[name] = kb
		}
	}
	if len(held) != 3 {
		t.Fatalf("%s", out)
	}
	t.Logf("resident: %d MB idle, %d MB after some reloads, %d MB after %d more", held["idle"]>>10, held["before"]>>10, held["after"]>>10, reloads)
	if held["idle"] > 150<<10 {
		t.Errorf("a gateway with the rule set idles at %d MB, at most 150 are wanted", held["idle"]>>10)
	}
	// What leaks grows with every reload: one engine's patterns are some megabytes.
	if grown := held["after"] - held["before"]; grown > 12<<10 {
		t.Errorf("%d reloads added %d MB", reloads, grown>>10)
	}
}

// child is a gateway in a process of its own, which tells what it holds.
func child(t *testing.T) {
	dir, listen, admin := os.Getenv("MEMORY_DIR"), os.Getenv("MEMORY_LISTEN"), os.Getenv("MEMORY_ADMIN")
	reloads, err := strconv.Atoi(os.Getenv("CRENEL_MEMORY_CHILD"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "crenel.yaml")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("openapi.yaml", document)
	write("crenel.yaml", inspecting(listen, admin, 0))
	read := func() (*config.Config, error) { return config.Load(file) }
	cfg, err := read()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	started, ended := make(chan *server.Server, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Options{Config: cfg, Load: read, Version: "test", Started: func(s *server.Server) { started <- s },
			Log: slog.New(slog.DiscardHandler)})
	}()
	var s *server.Server
	select {
	case s = <-started:
	case err := <-ended:
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	fmt.Println("held idle", resident(t))
	for i := 1; i <= 6+reloads; i++ {
		write("crenel.yaml", inspecting(listen, admin, i))
		if err := s.Reload(ctx, "test"); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
		if i == 6 {
			fmt.Println("held before", settled(t))
		}
	}
	fmt.Println("held after", settled(t))
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// settled is what is held once all that can be given back has been.
func settled(t *testing.T) int {
	t.Helper()
	least := 1 << 40
	for range 10 {
		time.Sleep(200 * time.Millisecond)
		debug.FreeOSMemory()
		least = min(least, resident(t))
	}
	return least
}

// resident is the process's resident memory in KiB.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("/proc/self/status names no VmRSS")
	return 0
}
