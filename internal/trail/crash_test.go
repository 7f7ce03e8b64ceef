package trail

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crashingChild writes strictly audited exchanges as fast as it can and prints
// the id of each decision that was acknowledged, until it is killed.
func crashingChild(path string) {
	l, err := Open(Options{File: path, Audit: "strict", Rotate: 64 << 10})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	run := os.Getenv("TRAIL_TEST_RUN")
	var out sync.Mutex
	for g := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := run + "-" + strconv.Itoa(g) + "-" + strconv.Itoa(i)
				l.Admit()
				if err := l.Decide(context.Background(), decision(id)); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				out.Lock()
				_, _ = os.Stdout.WriteString(id + "\n") // whole or not at all: it is shorter than PIPE_BUF
				out.Unlock()
				l.Complete(completion(id))
			}
		}()
	}
	select {}
}

// Nothing that strict audit acknowledged is lost when the process is killed, and
// the file opens again.
func TestKillNine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	var acked []string
	for run := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "TRAIL_TEST_CRASH="+path, "TRAIL_TEST_RUN="+strconv.Itoa(run))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killer := time.AfterFunc(400*time.Millisecond, func() { _ = cmd.Process.Kill() }) // an error means that it is gone already
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.HasPrefix(s.Text(), "error") {
				t.Fatal(s.Text())
			}
			acked = append(acked, s.Text())
		}
		_ = cmd.Wait() // it was killed
		killer.Stop()
	}
	if len(acked) < 100 {
		t.Fatalf("only %d decisions were acknowledged: the test shows nothing", len(acked))
	}
	l := open(t, Options{File: path})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	all := lines(t, path)
	for _, s := range all {
		if strings.Contains(s, `"type":"decision"`) {
			_, rest, _ := strings.Cut(s, `"id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			have[id] = true
		}
	}
	for _, id := range acked {
		if !have[id] {
			t.Errorf("acknowledged decision %s is not in the trail", id)
		}
	}
	orderOf(t, all)
	t.Logf("%d acknowledged decisions over 3 kills, all kept; %d records", len(acked), len(all))
}
