package state_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/state/statetest"
)

type alone struct {
	folder string
}

func (a alone) Open(t testing.TB) state.Store {
	t.Helper()
	if a.folder == "" {
		m := state.NewMemory(nil)
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	m, err := state.OpenMemory(a.folder, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func (alone) Other(testing.TB) state.Store { return nil }

func TestMemoryConformance(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		statetest.Run(t, func(testing.TB) statetest.Shared { return alone{} })
	})
	t.Run("on disk", func(t *testing.T) {
		statetest.Run(t, func(t testing.TB) statetest.Shared { return alone{t.TempDir()} })
	})
}

// TestKilledChild is the process that TestMemoryKilled kills.
func TestKilledChild(t *testing.T) {
	folder := os.Getenv("STATE_TEST_CHILD")
	if folder == "" {
		t.Skip("it is TestMemoryKilled's")
	}
	m, err := state.OpenMemory(folder, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for i := 0; ; i++ {
		key := fmt.Sprint("k", i)
		if err := m.Put(ctx, "revoked", key, []byte("v"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if first, err := m.First(ctx, key, time.Hour); err != nil || !first {
			t.Fatal(first, err)
		}
		fmt.Println("done", i)
	}
}

// A process that is killed at any moment has lost nothing that it answered for.
func TestMemoryKilled(t *testing.T) {
	folder := t.TempDir()
	done := -1
	for round := range 4 {
		child := exec.Command(os.Args[0], "-test.run", "^TestKilledChild$")
		folder := filepath.Join(folder, fmt.Sprint(round))
		child.Env = append(os.Environ(), "STATE_TEST_CHILD="+folder)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		done = -1
		for lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), "done %d", &done); err == nil && done >= 20+7*round {
				break
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it did until it died
			_, _ = fmt.Sscanf(lines.Text(), "done %d", &done)
		}
		_ = child.Wait()
		if done < 20 {
			t.Fatalf("the child did %d", done)
		}
		m, err := state.OpenMemory(folder, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		v := view(t, m, "revoked")
		for i := range done + 1 {
			key := fmt.Sprint("k", i)
			if !has(v, key, "v")() {
				t.Errorf("round %d: %s of %d is lost", round, key, done)
			}
			if first, err := m.First(t.Context(), key, time.Hour); err != nil || first {
				t.Errorf("round %d: the mark %s can be used again: %v", round, key, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMemoryOnDisk(t *testing.T) {
	folder := t.TempDir()
	now := time.Now()
	clock := func() time.Time { return now }
	open := func() *state.Memory {
		t.Helper()
		m, err := state.OpenMemory(folder, nil, clock)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	ctx := t.Context()
	m := open()
	for _, key := range []string{"for ever", "dropped", "short", "long"} {
		var ends time.Time
		switch key {
		case "short":
			ends = now.Add(time.Minute)
		case "long":
			ends = now.Add(time.Hour)
		}
		if err := m.Put(ctx, "set", key, []byte(key), ends); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Drop(ctx, "set", "dropped"); err != nil {
		t.Fatal(err)
	}
	for key, ttl := range map[string]time.Duration{"mark": time.Hour, "short mark": time.Minute, "odd\n\"mark\xff": time.Hour} {
		if _, err := m.First(ctx, key, ttl); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	// A line that was torn by a loss of power.
	file := filepath.Join(folder, "sets.jsonl")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"set":"set","key":"to`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	now = now.Add(10 * time.Minute)
	m = open()
	v := view(t, m, "set")
	if v.Len() != 2 || !has(v, "for ever", "for ever")() || !has(v, "long", "long")() {
		t.Errorf("%d entries", v.Len())
	}
	for key, want := range map[string]bool{"mark": false, "odd\n\"mark\xff": false, "short mark": true} {
		if first, err := m.First(ctx, key, time.Minute); err != nil || first != want {
			t.Errorf("%q: first %v, %v", key, first, err)
		}
	}
	if err := m.Put(ctx, "set", "after", []byte("after"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	now = now.Add(24 * time.Hour)
	m = open()
	if got := view(t, m, "set").Len(); got != 2 {
		t.Errorf("%d entries after a day", got)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "marks-*")); len(files) != 0 {
		t.Errorf("files of marks that have ended: %v", files)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	// Any other line may be a revocation.
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), `"key"`, `"key`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := state.OpenMemory(folder, nil, nil); err == nil {
		_ = m.Close()
		t.Error("a broken journal was taken")
	} else if !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
}

// The journal does not grow with the changes, only with the entries.
func TestJournalIsRewritten(t *testing.T) {
	if testing.Short() {
		t.Skip("it syncs often")
	}
	folder := t.TempDir()
	m, err := state.OpenMemory(folder, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range 10_100 {
		if err := m.Put(t.Context(), "set", "k", fmt.Append(nil, i), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(folder, "sets.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "\n"); n > 1000 {
		t.Errorf("%d lines for one entry", n)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"set":"s","key":"k","value":"dg=="}` + "\n"))
	f.Add([]byte(`{"set":"s","key":"k","expires":1}` + "\n{\"set\""))
	f.Add([]byte("\n"))
	f.Add([]byte(`{"set":"s","key":"k","drop":true}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "sets.jsonl"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "marks-1"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := state.OpenMemory(folder, nil, nil)
		if err != nil {
			return
		}
		defer m.Close()
		if err := m.Put(t.Context(), "s", "k", []byte("v"), time.Time{}); err != nil {
			t.Fatal(err)
		}
	})
}
