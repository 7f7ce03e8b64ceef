package trail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/filelock"
)

// file is what the writer needs of an open event file.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Close() error
}

// opener opens a path for appending.
type opener func(path string) (file, error)

func openAppend(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// disk is the event file and its rotation. Only the writer goroutine uses it
// once it is open.
type disk struct {
	path   string
	rotate int64
	keep   int
	open   opener
	now    func() time.Time
	log    *slog.Logger
	alarm  func(kind, msg string)

	lock  io.Closer
	f     file
	size  int64     // bytes of whole batches: what lies beyond is torn
	torn  bool      // something may lie beyond size
	last  time.Time // stamp of the newest rotated file
	again time.Time // when a failed rotation may be tried again
	look  time.Time // when the path is next checked for having been moved
}

func openDisk(o *Options) (*disk, error) {
	path := resolve(o.File)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err != nil {
		return nil, err
	}
	lock, err := filelock.Lock(path + ".lock")
	if errors.Is(err, filelock.ErrHeld) {
		err = errors.Join(ErrLocked, err)
	}
	if err != nil {
		return nil, err
	}
	d := &disk{path: path, rotate: o.Rotate, keep: o.Keep, open: o.open, now: o.Now, log: o.Log, alarm: o.Alarm, lock: lock}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// prepare heals what a crash left and opens the file.
func (d *disk) prepare() error {
	cut, err := heal(d.path)
	if err != nil {
		return fmt.Errorf("healing the last line: %w", err)
	}
	if cut > 0 {
		d.log.Warn("trail ended in a torn line, which was cut off", "file", d.path, "bytes", cut)
	}
	old, err := rotated(d.path)
	if err != nil {
		return err
	}
	if len(old) > 0 {
		d.last = old[len(old)-1].stamp
	}
	return d.reopen()
}

func (d *disk) reopen() error {
	f, err := d.open(d.path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("%s is not a regular file", d.path), f.Close())
	}
	d.f, d.size, d.torn = f, info.Size(), false
	return nil
}

// append writes whole lines at the end of the file, all or (as far as a reader
// or a retry is concerned) none of them.
func (d *disk) append(b []byte, sync bool) error {
	if d.f == nil {
		if err := d.reopen(); err != nil {
			return err
		}
	}
	d.followMove()
	if d.torn {
		if err := d.f.Truncate(d.size); err != nil {
			return fmt.Errorf("cutting off a torn batch: %w", err)
		}
		d.torn = false
	}
	if len(b) > 0 {
		if _, err := d.f.Write(b); err != nil {
			d.undo()
			return err
		}
	}
	if sync {
		// After a failed fsync the kernel may have dropped the pages and call the
		// next fsync a success, so the batch is cut off and written anew.
		if err := d.f.Sync(); err != nil {
			d.undo()
			return fmt.Errorf("syncing: %w", err)
		}
	}
	d.size += int64(len(b))
	if d.size >= d.rotate && !d.now().Before(d.again) {
		if err := d.turn(); err != nil {
			d.again = d.now().Add(time.Second)
			d.log.Error("trail not rotated", "file", d.path, "error", err)
			d.alarm("trail.rotate", "the event file could not be rotated and grows on: "+err.Error())
		}
	}
	return nil
}

func (d *disk) undo() {
	if d.f.Truncate(d.size) != nil {
		d.torn = true
	}
}

// followMove notices, at most once a second, that the file was moved or removed
// under us, and starts a new one: else records would go where nobody looks.
func (d *disk) followMove() {
	now := d.now()
	if now.Before(d.look) {
		return
	}
	d.look = now.Add(time.Second)
	ours, err := d.f.Stat()
	if err != nil {
		return
	}
	there, err := os.Stat(d.path)
	if err == nil && os.SameFile(ours, there) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	d.log.Warn("trail file was moved or removed; a new one is started", "file", d.path)
	d.alarm("trail.moved", "the event file was moved or removed by somebody else; a new one is started")
	if d.torn && d.f.Truncate(d.size) != nil {
		d.log.Error("a torn line was left in the moved trail file", "file", d.path)
	}
	old := d.f
	if err := d.reopen(); err != nil {
		return // the old one is still written
	}
	if err := errors.Join(old.Sync(), old.Close()); err != nil {
		d.log.Error("closing the moved trail file", "file", d.path, "error", err)
	}
}

// turn renames the full file and opens a new one.
func (d *disk) turn() error {
	if err := d.f.Sync(); err != nil {
		return err
	}
	stamp := d.now().UTC()
	if !stamp.After(d.last) {
		stamp = d.last.Add(1) // names must sort in the order of writing, whatever the clock does
	}
	for {
		_, err := os.Lstat(rotatedName(d.path, stamp))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		stamp = stamp.Add(1)
	}
	if err := os.Rename(d.path, rotatedName(d.path, stamp)); err != nil {
		return err
	}
	d.last = stamp
	old := d.f
	d.f = nil
	if err := old.Close(); err != nil {
		d.log.Error("closing the rotated trail file", "file", d.path, "error", err)
	}
	// When this fails the next append tries again, and Admit refuses until it works.
	if err := d.reopen(); err != nil {
		d.f = nil
		return err
	}
	return errors.Join(syncDir(filepath.Dir(d.path)), d.prune())
}

func (d *disk) prune() error {
	if d.keep <= 0 {
		return nil
	}
	old, err := rotated(d.path)
	if err != nil {
		return err
	}
	for len(old) > d.keep {
		if err := os.Remove(old[0].path); err != nil {
			return err
		}
		old = old[1:]
	}
	return nil
}

func (d *disk) close() error {
	var err error
	if d.f != nil {
		err = errors.Join(d.f.Sync(), d.f.Close())
		d.f = nil
	}
	return errors.Join(err, d.lock.Close())
}

// heal cuts off a last line that has no end, and says how many bytes that was.
func heal(path string) (cut int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	whole, err := wholeLines(f, info.Size())
	if err != nil || whole == info.Size() {
		return 0, err
	}
	if err := f.Truncate(whole); err != nil {
		return 0, err
	}
	return info.Size() - whole, f.Sync()
}

// wholeLines returns the offset behind the last newline before size.
func wholeLines(r io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		n := min(end, int64(len(buf)))
		if _, err := r.ReadAt(buf[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}

// resolve follows a symbolic link, so that rotation renames the file and not the link.
func resolve(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// stampForm sorts as text in the order of time.
const stampForm = "20060102T150405.000000000Z"

func rotatedName(path string, stamp time.Time) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-" + stamp.UTC().Format(stampForm) + ext
}

type rotatedFile struct {
	path  string
	stamp time.Time
}

// rotated lists the rotated files of an event file, oldest first.
func rotated(path string) ([]rotatedFile, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(filepath.Base(path), ext) + "-"
	var out []rotatedFile
	for _, e := range entries {
		middle, ok := strings.CutPrefix(e.Name(), stem)
		if !ok {
			continue
		}
		if middle, ok = strings.CutSuffix(middle, ext); !ok {
			continue
		}
		stamp, err := time.Parse(stampForm, middle)
		if err != nil {
			continue // somebody else's file
		}
		out = append(out, rotatedFile{filepath.Join(filepath.Dir(path), e.Name()), stamp})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].stamp.Before(out[j].stamp) })
	return out, nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
