package scan

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/scantest"
)

// TestKilledChild is the scanner that TestKilled kills: it is a process of its own.
func TestKilledChild(t *testing.T) {
	target := os.Getenv("CRENEL_TEST_KILLED_TARGET")
	if target == "" {
		t.Skip("it is a part of TestKilled")
	}
	_, err := Run(t.Context(), &Options{Spec: os.Getenv("CRENEL_TEST_KILLED_SPEC"), Target: target, Seed: 3, Mode: "aggressive", Resume: os.Getenv("CRENEL_TEST_KILLED_STATE")}, Events{})
	t.Fatalf("it was not killed: %v", err)
}

// killed is a target at which a scanner that was killed (SIGKILL) left notes, and
// the options and the file to go on with.
func killed(t *testing.T) (*scantest.Notes, *Options) {
	t.Helper()
	notes := &scantest.Notes{Open: true}
	const most = 9
	var made atomic.Int64
	var dead atomic.Bool
	var once sync.Once
	enough := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if post := r.Method+r.URL.Path == "POST/notes"; !dead.Load() && (post && made.Add(1) > most || !post && made.Load() >= most) {
			_, _ = io.Copy(io.Discard, r.Body) // so that it is seen when the caller is gone
			<-r.Context().Done()               // nothing is under way when it is killed
			return
		}
		notes.ServeHTTP(w, r)
		if made.Load() >= most {
			once.Do(func() { close(enough) })
		}
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	o := &Options{Spec: filepath.Join(dir, "api.yaml"), Target: srv.URL, Mode: "aggressive", Resume: filepath.Join(dir, "run.journal"), Checks: []string{"bola-read"}}
	if err := os.WriteFile(o.Spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
	cmd.Env = append(os.Environ(), "CRENEL_TEST_KILLED_TARGET="+srv.URL, "CRENEL_TEST_KILLED_SPEC="+o.Spec, "CRENEL_TEST_KILLED_STATE="+o.Resume)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-enough:
	case <-time.After(30 * time.Second):
		t.Error("the child made nothing")
	}
	time.Sleep(300 * time.Millisecond) // what was answered is written
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child was not killed: %v", err)
	}
	dead.Store(true)
	if n := notes.Left(); n < 5 {
		t.Fatalf("%d notes are left: nothing to take away", n)
	}
	return notes, o
}

// What a run that was killed had made is taken away by the next one, as those who
// made it; what an identifier names by then, and is not the run's, is left alone.
func TestKilled(t *testing.T) {
	t.Parallel()
	t.Run("clean", func(t *testing.T) {
		notes, o := killed(t)
		before := notes.Left()
		c, err := Clean(t.Context(), o, o.Resume)
		if err != nil {
			t.Fatal(err)
		}
		if left := notes.Left(); len(c.Left) > 0 || c.Deleted < before || left > 0 || len(c.Runs) != 1 {
			t.Errorf("%d notes of %d left, %+v", left, before, c)
		}
		if again, err := Clean(t.Context(), o, o.Resume); err != nil || again.Deleted != 0 || len(again.Left) != 0 {
			t.Errorf("the second time: %+v %v", again, err)
		}
	})
	t.Run("clean, where a number is another's by now", func(t *testing.T) {
		notes, o := killed(t)
		notes.Rewrite("the minutes of the board")
		c, err := Clean(t.Context(), o, o.Resume)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Left) != 1 || !strings.Contains(c.Left[0].Why, "does not hold what the run wrote") || notes.Left() != 1 {
			t.Errorf("%d notes left, %+v", notes.Left(), c)
		}
	})
	t.Run("resume", func(t *testing.T) {
		notes, o := killed(t)
		r := scanned(t, o).Report
		if r.Ended != "" || r.Earlier == nil || notes.Left() > 0 || len(r.Left) > 0 || !strings.Contains(strings.Join(r.Notes, " "), "were taken away") {
			t.Errorf("ended %q, %d notes left, notes %q, left %+v", r.Ended, notes.Left(), r.Notes, r.Left)
		}
	})
	t.Run("the file holds no password", func(t *testing.T) {
		_, o := killed(t)
		text, err := os.ReadFile(o.Resume)
		if err != nil {
			t.Fatal(err)
		}
		j := newJournal()
		if _, err := j.read(text, beginning{Format: 1}); err != nil || len(j.people) == 0 || len(j.left) == 0 {
			t.Fatalf("%d accounts, %d objects: %v", len(j.people), len(j.left), err)
		}
		for _, a := range j.people {
			if pw := a.Key.Password(a.Run, j.seed); strings.Contains(string(text), pw) || len(pw) < 8 {
				t.Errorf("the journal holds the password of %s", a.Name)
			}
		}
	})
	t.Run("another description", func(t *testing.T) {
		_, o := killed(t)
		if err := os.WriteFile(o.Spec, []byte(strings.Replace(scantest.Spec, "/broken", "/other", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Clean(t.Context(), o, o.Resume); err == nil || !strings.Contains(err.Error(), "another run") {
			t.Errorf("%v", err)
		}
	})
}
