package scan

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// endless is a description whose reading does not end by itself.
func endless(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "api.yaml")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { // lets the reader go
		if f, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
			_ = f.Close()
		}
	})
	return name
}

func TestReadingADescriptionEndsWithTheRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, stop)
	o := &Options{Spec: endless(t), Target: "http://127.0.0.1:1"}
	if _, err := Run(ctx, o, Events{}); !errors.Is(err, context.Canceled) {
		t.Errorf("want the context's end, got %v", err)
	}
}

func TestReadingADescriptionIsWithinTheTime(t *testing.T) {
	o := &Options{Spec: endless(t), Target: "http://127.0.0.1:1", Limits: Limits{MaxTime: 20 * time.Millisecond}}
	if _, err := Run(t.Context(), o, Events{}); !errors.Is(err, ErrTarget) || !errors.Is(err, errReading) {
		t.Errorf("want that the time was over, got %v", err)
	}
}
