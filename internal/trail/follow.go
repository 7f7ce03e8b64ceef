package trail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Follow calls fn for each line of the event file as it is written, across
// rotations, until ctx ends or fn returns an error. With past, what the file
// already holds comes first. The line is without its newline and valid only
// during the call. A file that does not exist yet is waited for.
func Follow(ctx context.Context, path string, past bool, fn func(line []byte) error) error {
	t := &tail{path: resolve(path), fn: fn}
	defer t.close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for first := true; ; first = false {
		if err := t.step(first && !past); err != nil {
			return fmt.Errorf("following %s: %w", t.path, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type tail struct {
	path string
	fn   func([]byte) error
	f    *os.File
	at   int64 // offset behind the last whole line given out
	buf  []byte
}

func (t *tail) close() {
	if t.f != nil {
		_ = t.f.Close() // read only: nothing can be lost
		t.f = nil
	}
}

// step gives out what is new.
func (t *tail) step(skip bool) error {
	if t.f == nil {
		if err := t.use(t.path); err != nil || t.f == nil {
			return err
		}
		if skip {
			info, err := t.f.Stat()
			if err != nil {
				return err
			}
			if t.at, err = wholeLines(t.f, info.Size()); err != nil {
				return err
			}
		}
	}
	for {
		next, moved, err := t.successor() // before draining: what was written until the rename is in the file then
		if err != nil {
			return err
		}
		if err := t.drain(); err != nil || !moved {
			return err
		}
		t.close()
		if err := t.use(next); err != nil || t.f == nil {
			return err
		}
	}
}

// use opens a file, or nothing when it is not there.
func (t *tail) use(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t.f, t.at = f, 0
	return nil
}

// successor says whether the file that is read has been rotated away, and which
// file comes after it.
func (t *tail) successor() (next string, moved bool, err error) {
	ours, err := t.f.Stat()
	if err != nil {
		return "", false, err
	}
	now, err := os.Stat(t.path)
	if err == nil && os.SameFile(ours, now) {
		return "", false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	old, err := rotated(t.path)
	if err != nil {
		return "", false, err
	}
	for i := range old {
		info, err := os.Stat(old[i].path)
		if err != nil || !os.SameFile(ours, info) {
			continue
		}
		if i+1 < len(old) {
			return old[i+1].path, true, nil
		}
		return t.path, true, nil
	}
	return t.path, true, nil // pruned or removed: go on with the newest
}

// drain gives out the whole lines behind at.
func (t *tail) drain() error {
	if t.buf == nil {
		t.buf = make([]byte, 64<<10)
	}
	for {
		n, err := t.f.ReadAt(t.buf, t.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		got := t.buf[:n]
		whole := bytes.LastIndexByte(got, '\n') + 1
		if whole == 0 {
			if n < len(t.buf) {
				return nil
			}
			t.buf = make([]byte, 2*len(t.buf)) // one line is longer than the buffer
			continue
		}
		for line := range bytes.Lines(got[:whole]) {
			if err := t.fn(line[:len(line)-1]); err != nil {
				return err
			}
		}
		t.at += int64(whole)
	}
}
