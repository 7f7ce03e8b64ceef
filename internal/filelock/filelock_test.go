package filelock_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/filelock"
)

// holdIn names the lock that this binary is to hold, run as another process.
const holdIn = "CRENEL_TEST_HOLD"

func TestMain(m *testing.M) {
	path := os.Getenv(holdIn)
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := filelock.Lock(path); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test lets go
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := filelock.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Lock(path); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("taken twice: %v", err)
	}
	other, err := filelock.Lock(path + "2")
	if err != nil {
		t.Errorf("another lock: %v", err)
	} else if err := other.Close(); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := filelock.Lock(path)
	if err != nil {
		t.Fatalf("not free after it was closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := filelock.Lock(filepath.Join(path+"-none", "lock")); err == nil || errors.Is(err, filelock.ErrHeld) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// The lock of a process that is killed is free at once: nobody has to remove a file.
func TestLockEndsWithItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdIn+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "held\n" {
		t.Fatalf("%q %v", line, err)
	}
	if _, err := filelock.Lock(path); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("taken from another process: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		l, err := filelock.Lock(path)
		if err == nil {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not free after its process was killed: %v", err)
		}
	}
}
