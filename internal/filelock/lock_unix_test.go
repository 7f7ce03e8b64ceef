package filelock_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/filelock"
)

// contender is set for the process that a test starts to take the same lock.
const contender = "FILELOCK_CONTENDER"

func TestMain(m *testing.M) {
	if path := os.Getenv(contender); path != "" {
		_, err := filelock.Lock(path)
		switch {
		case errors.Is(err, filelock.ErrHeld):
			os.Stdout.WriteString("held")
		case err != nil:
			os.Stdout.WriteString(err.Error())
		default:
			os.Stdout.WriteString("taken")
		}
		os.Exit(0) // without closing: the lock ends with the process
	}
	os.Exit(m.Run())
}

func contend(t *testing.T, path string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), contender+"="+path)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.lock")
	lock, err := filelock.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := contend(t, path); got != "held" {
		t.Errorf("another process, while it is held: %s", got)
	}
	if _, err := filelock.Lock(path); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("this process again: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if got := contend(t, path); got != "taken" {
		t.Errorf("another process, after it was let go: %s", got)
	}
	again, err := filelock.Lock(path)
	if err != nil {
		t.Fatalf("a process that took it and is gone still holds it: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoPlaceForALock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere", "events.lock")
	if _, err := filelock.Lock(path); err == nil || errors.Is(err, filelock.ErrHeld) || !strings.Contains(err.Error(), path) {
		t.Errorf("a lock in a folder that is not there: %v", err)
	}
}
