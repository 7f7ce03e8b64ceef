package watch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestFiles(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "crenel.yaml")
	sub := filepath.Join(dir, "policies")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	write(file, "a")
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{}, 10)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watch(ctx, time.Millisecond, 5*time.Millisecond, func() []string { return []string{file, sub, ""} }, func() { changed <- struct{}{} })
	}()
	wait := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: no signal", what)
		}
	}
	for what, change := range map[string]func(){
		"written":    func() { write(file, "bb") },
		"new in dir": func() { write(filepath.Join(sub, "a.rego"), "package a") },
		"replaced":   func() { write(file+".new", "ccc"); must(t, os.Rename(file+".new", file)) },
		"gone":       func() { must(t, os.Remove(file)) },
	} {
		// The watcher has looked at least once since the last change was told.
		time.Sleep(5 * time.Millisecond)
		change()
		wait(what)
	}
	select {
	case <-changed:
		t.Error("a signal without a change")
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	<-ended
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
