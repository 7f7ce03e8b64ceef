package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/internal/exchange"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("TRAIL_TEST_CRASH"); path != "" {
		crashingChild(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, o Options) *Log {
	t.Helper()
	if o.File == "" {
		o.File = filepath.Join(t.TempDir(), "events.jsonl")
	}
	o.Log = slog.New(slog.DiscardHandler)
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // a second Close is harmless; errors are the test's own to check
	return l
}

func decision(id string) *exchange.Decision {
	return &exchange.Decision{Type: "decision", ID: id, Time: time.Unix(1, 5).UTC(), Method: "GET", Path: "/pets/{id}", Client: "192.0.2.1", Action: "allow", Micros: 12}
}

func completion(id string) *exchange.Completion {
	return &exchange.Completion{Type: "completion", ID: id, Time: time.Unix(2, 0).UTC(), Status: 200, Called: true}
}

func both(t *testing.T, l *Log, id string) {
	t.Helper()
	if !l.Admit() {
		t.Fatalf("exchange %s was not admitted", id)
	}
	if err := l.Decide(t.Context(), decision(id)); err != nil {
		t.Fatal(err)
	}
	l.Complete(completion(id))
}

// lines returns every line of the file and its rotated ones, oldest first, and
// fails on a line that is not JSON.
func lines(t *testing.T, path string) []string {
	t.Helper()
	old, err := rotated(path)
	if err != nil {
		t.Fatal(err)
	}
	files := make([]string, 0, len(old)+1)
	for _, o := range old {
		files = append(files, o.path)
	}
	var out []string
	for _, f := range append(files, path) {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for s := range strings.Lines(string(b)) {
			if !strings.HasSuffix(s, "\n") || !json.Valid([]byte(s)) {
				t.Fatalf("%s holds a broken line %q", f, s)
			}
			out = append(out, s)
		}
	}
	return out
}

// orderOf checks that each exchange has its decision before its completion, and
// both once, and returns how many exchanges there are.
func orderOf(t *testing.T, all []string) int {
	t.Helper()
	state := map[string]int{}
	for _, s := range all {
		var r struct{ Type, ID string }
		if err := json.Unmarshal([]byte(s), &r); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"decision": 0, "completion": 1}[r.Type]
		if state[r.ID] != want {
			t.Fatalf("%s of %s out of order or twice", r.Type, r.ID)
		}
		state[r.ID]++
	}
	return len(state)
}

func TestCloseDrains(t *testing.T) {
	for _, audit := range []string{"default", "strict"} {
		t.Run(audit, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sub", "events.jsonl")
			l := open(t, Options{File: path, Audit: audit})
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					for i := range 100 {
						both(t, l, fmt.Sprintf("%d-%d", g, i))
					}
				})
			}
			wg.Wait()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if n := orderOf(t, lines(t, path)); n != 800 {
				t.Fatalf("%d exchanges in the file, want 800", n)
			}
			if s := l.Stats(); s.Written != 1600 || s.Waiting != 0 || s.InFlight != 0 {
				t.Fatalf("stats %+v", s)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Fatalf("mode %v, want 0600", info.Mode())
			}
			if err := l.Decide(t.Context(), decision("late")); !errors.Is(err, ErrClosed) {
				t.Fatalf("decision after close: %v", err)
			}
		})
	}
}

func TestRotationLosesAndSplitsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := open(t, Options{File: path, Rotate: 4 << 10})
	const n = 400
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range n / 4 {
				both(t, l, fmt.Sprintf("e%d-%d", g, i))
				if i%10 == 0 {
					if err := l.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, err := rotated(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(old) < 5 {
		t.Fatalf("rotated %d times, want more", len(old))
	}
	if got := orderOf(t, lines(t, path)); got != n {
		t.Fatalf("%d exchanges, want %d", got, n)
	}
	for _, id := range []string{"e0-0", "e3-99", "e1-50"} {
		r, err := Find(path, id)
		if err != nil {
			t.Fatal(err)
		}
		if r.Decision == nil || r.Completion == nil || r.Decision.ID != id || r.Completion.ID != id {
			t.Fatalf("found %+v", r)
		}
	}
	if _, err := Find(path, "e0"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a prefix of an id was found: %v", err)
	}
}

func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	foreign := strings.Replace(path, "events", "events-notes", 1)
	if err := os.WriteFile(foreign, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The clock stands still: names must be unique and in order nevertheless.
	l := open(t, Options{File: path, Rotate: 1, Keep: 3, Now: func() time.Time { return time.Unix(1000, 0) }})
	for i := range 10 {
		both(t, l, fmt.Sprint(i))
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := lines(t, path)
	if last := all[len(all)-1]; !strings.Contains(last, `"id":"9"`) {
		t.Fatalf("the newest record is %s", last)
	}
	old, err := rotated(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(old) != 3 {
		t.Fatalf("%d rotated files, want 3", len(old))
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Fatalf("a file that is not the trail's was touched: %v", err)
	}
}

func TestSecondWriterIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := open(t, Options{File: path})
	if _, err := Open(Options{File: path}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second writer: %v, want ErrLocked", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Options{File: path})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, o := range map[string]Options{
		"no file":        {},
		"unknown audit":  {File: filepath.Join(dir, "a"), Audit: "lax"},
		"a directory":    {File: dir},
		"not a file":     {File: "/dev/full"},
		"no place there": {File: "/proc/none/events.jsonl"},
	} {
		if l, err := Open(o); err == nil {
			t.Errorf("%s: opened", name)
			_ = l.Close()
		}
	}
}

func TestTornLineIsHealed(t *testing.T) {
	whole := string(appendDecision(nil, decision("a")))
	for name, c := range map[string]struct{ have, want string }{
		"empty":              {"", ""},
		"whole":              {whole, whole},
		"torn":               {whole + whole[:20], whole},
		"only torn":          {whole[:20], ""},
		"torn and long":      {whole + strings.Repeat("x", 200<<10), whole},
		"torn at line's end": {whole + strings.TrimSuffix(whole, "\n"), whole},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events.jsonl")
			if err := os.WriteFile(path, []byte(c.have), 0o600); err != nil {
				t.Fatal(err)
			}
			l := open(t, Options{File: path})
			both(t, l, "b")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(b), c.want) || len(lines(t, path)) != strings.Count(c.want, "\n")+2 {
				t.Fatalf("after healing: %q", b)
			}
		})
	}
}

func TestMovedFileIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	var clock atomic.Int64
	var alarms alarmed
	l := open(t, Options{File: path, Now: func() time.Time { return time.Unix(clock.Load(), 0) }, Alarm: alarms.add})
	both(t, l, "a")
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	clock.Add(2)
	both(t, l, "b")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := orderOf(t, lines(t, path)); n != 1 {
		t.Fatalf("%d exchanges in the new file, want 1", n)
	}
	if !alarms.has("trail.moved") {
		t.Fatal("no alarm")
	}
}

type alarmed struct {
	mu    sync.Mutex
	kinds []string
}

func (a *alarmed) add(kind, _ string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kinds = append(a.kinds, kind)
}

func (a *alarmed) has(kind string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// sick is a disk that can be made to fail: whole, after half a write, or at sync.
type sick struct {
	*os.File
	how *atomic.Int32
}

const (
	well = iota
	writeFails
	halfWritten
	halfWrittenAndStuck // and cannot be cut off again
	syncFails
	blocked
)

func (s sick) Write(b []byte) (int, error) {
	switch s.how.Load() {
	case writeFails:
		return 0, syscall.ENOSPC
	case halfWritten, halfWrittenAndStuck:
		n, err := s.File.Write(b[:len(b)/2])
		return n, errors.Join(err, syscall.ENOSPC)
	case blocked:
		for s.how.Load() == blocked {
			time.Sleep(time.Millisecond)
		}
	}
	return s.File.Write(b)
}

func (s sick) Truncate(n int64) error {
	if s.how.Load() == halfWrittenAndStuck {
		return syscall.EIO
	}
	return s.File.Truncate(n)
}

func (s sick) Sync() error {
	if s.how.Load() == syncFails {
		return syscall.EIO
	}
	return s.File.Sync()
}

func sickOpener(how *atomic.Int32) opener {
	return func(path string) (file, error) {
		f, err := openAppend(path)
		if err != nil {
			return nil, err
		}
		return sick{f.(*os.File), how}, nil
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// The fail-closed rows: each way in which the disk fails refuses new requests,
// errors strict decisions, alarms, and loses nothing that was queued.
func TestDiskFailure(t *testing.T) {
	for name, how := range map[string]int32{
		"full": writeFails, "full half way": halfWritten, "half way and not cut": halfWrittenAndStuck, "sync": syncFails,
	} {
		for _, audit := range []string{"default", "strict"} {
			if audit == "default" && how == syncFails {
				continue // nothing is synced on the way
			}
			t.Run(name+"/"+audit, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "events.jsonl")
				var state atomic.Int32
				var alarms alarmed
				l := open(t, Options{File: path, Audit: audit, Alarm: alarms.add, open: sickOpener(&state), retry: time.Millisecond})
				both(t, l, "before")
				for range 2 { // "during" and "second"
					if !l.Admit() {
						t.Fatal("not admitted while well")
					}
				}
				if err := l.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				state.Store(how)
				err := l.Decide(t.Context(), decision("during"))
				if audit == "strict" && !errors.Is(err, ErrUnavailable) {
					t.Fatalf("strict decision on a failing disk: %v", err)
				}
				if audit == "default" && err != nil {
					t.Fatal(err)
				}
				until(t, "new requests refused", func() bool { return l.Stats().Failing })
				if l.Admit() {
					t.Fatal("admitted while the disk fails")
				}
				if err := l.Decide(t.Context(), decision("second")); audit == "strict" && !errors.Is(err, ErrUnavailable) {
					t.Fatalf("second strict decision: %v", err)
				}
				if err := l.Flush(t.Context()); !errors.Is(err, ErrUnavailable) {
					t.Fatalf("flush on a failing disk: %v", err)
				}
				l.Complete(completion("during"))
				l.Complete(completion("second"))
				if !alarms.has("trail.write") {
					t.Fatal("no alarm")
				}
				state.Store(well)
				until(t, "recovered", func() bool { return !l.Stats().Failing && l.Stats().Waiting == 0 })
				both(t, l, "after")
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if n := orderOf(t, lines(t, path)); n != 4 {
					t.Fatalf("%d exchanges, want 4", n)
				}
				if !alarms.has("trail.recovered") {
					t.Fatal("recovery was not told")
				}
			})
		}
	}
}

func TestCloseOnFailingDisk(t *testing.T) {
	var state atomic.Int32
	l := open(t, Options{open: sickOpener(&state), retry: time.Hour})
	state.Store(writeFails)
	both(t, l, "a")
	until(t, "failing", func() bool { return l.Stats().Failing })
	if err := l.Close(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "2 records") {
		t.Fatalf("close: %v", err)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	var state atomic.Int32
	var alarms alarmed
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := open(t, Options{File: path, Queue: 10, Alarm: alarms.add, open: sickOpener(&state)})
	state.Store(blocked)
	admitted := 0
	for l.Admit() {
		if err := l.Decide(t.Context(), decision(fmt.Sprint(admitted))); err != nil {
			t.Fatal(err)
		}
		l.Complete(completion(fmt.Sprint(admitted)))
		if admitted++; admitted > 10 {
			t.Fatal("the queue has no end")
		}
	}
	if admitted != 5 || !alarms.has("trail.full") {
		t.Fatalf("admitted %d, want 5; alarms %v", admitted, alarms.kinds)
	}
	state.Store(well)
	until(t, "room again", l.Admit)
	both := fmt.Sprint(admitted)
	if err := l.Decide(t.Context(), decision(both)); err != nil {
		t.Fatal(err)
	}
	l.Complete(completion(both))
	admitted++
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := orderOf(t, lines(t, path)); n != admitted {
		t.Fatalf("%d exchanges written, %d admitted", n, admitted)
	}
}

func TestStrictDecideEndsWithItsContext(t *testing.T) {
	var state atomic.Int32
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := open(t, Options{File: path, Audit: "strict", open: sickOpener(&state)})
	state.Store(blocked)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.Decide(ctx, decision("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	state.Store(well)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(lines(t, path)); n != 1 {
		t.Fatalf("%d records, want the one that was queued", n)
	}
}
