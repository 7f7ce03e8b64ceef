package watch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The times of a Watch: how often the paths are looked at, and for how long they
// must have stayed as they are before a change is told.
const (
	Interval = time.Second
	Settle   = 500 * time.Millisecond
)

// maxFiles bounds how many files of folders are looked at.
const maxFiles = 10_000

// Files calls changed after the files at paths (folders with all that is in
// them) have changed, until ctx ends. paths is asked again each time, since a
// new config may name other files. changed is never called twice at once.
func Files(ctx context.Context, paths func() []string, changed func()) {
	watch(ctx, Interval, Settle, paths, changed)
}

func watch(ctx context.Context, interval, settle time.Duration, paths func() []string, changed func()) {
	known := state(paths())
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := state(paths())
		if now == known {
			continue
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
			again := state(paths())
			if again == now {
				break
			}
			now = again
		}
		changed()
		// What is running now was made of these files, or was kept in spite of them.
		known = now
	}
}

// state is a digest of the names, sizes and times of all files.
func state(paths []string) [sha256.Size]byte {
	h := sha256.New()
	files := 0
	for _, p := range paths {
		if p == "" {
			continue
		}
		err := filepath.WalkDir(p, func(path string, _ fs.DirEntry, err error) error {
			if files++; files > maxFiles {
				return fs.SkipAll
			}
			h.Write([]byte(path))
			if err != nil {
				h.Write([]byte("?"))
				return nil //nolint:nilerr // that it cannot be read is part of its state
			}
			// Symbolic links are followed: what counts is the file behind them.
			info, err := os.Stat(path)
			if err != nil {
				h.Write([]byte("?"))
				return nil //nolint:nilerr // see above
			}
			if info.IsDir() {
				return nil
			}
			var b [16]byte
			binary.LittleEndian.PutUint64(b[:8], uint64(info.ModTime().UnixNano()))
			binary.LittleEndian.PutUint64(b[8:], uint64(info.Size()))
			h.Write(b[:])
			return nil
		})
		if err != nil {
			h.Write([]byte("!"))
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}
