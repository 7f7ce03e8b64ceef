package decisionlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/crenel-project/crenel/internal/filelock"
)

// file is what the writer needs of an open segment.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// opener opens a segment for appending.
type opener func(path string) (file, error)

func openAppend(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// disk writes the folder. Only the log's goroutine uses it once it is open.
type disk struct {
	dir    string
	keys   *Keys
	rotate int64         // bytes of a segment
	turn   time.Duration // age of a segment
	keep   time.Duration
	most   int64 // bytes of all segments
	now    func() time.Time
	open   opener
	log    *slog.Logger

	lock  io.Closer
	f     file // nil: the next append starts a segment
	seal  *sealer
	size  int64
	torn  bool   // something may lie beyond size
	first uint64 // oldest segment kept
	seq   uint64 // of the newest segment
	prev  string // digest of the last chunk of the newest segment
	dirty bool   // written since the last sync
}

// prepare takes the folder, and closes what a crash left open.
func (d *disk) prepare() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	var err error
	if d.lock, err = filelock.Lock(filepath.Join(d.dir, lockName)); err != nil {
		if errors.Is(err, filelock.ErrHeld) {
			err = errors.Join(ErrLocked, err)
		}
		return err
	}
	list, err := segments(d.dir)
	if err != nil {
		return errors.Join(err, d.lock.Close())
	}
	t, err := readTip(d.dir, d.keys)
	if err != nil {
		// It stays as it is until something is written: a reader will say so.
		d.log.Error("the decision log's head cannot be read", "dir", d.dir, "error", err)
	}
	if t != nil {
		d.first, d.seq = t.First, t.Last
	}
	if len(list) == 0 {
		if d.seq > 0 {
			d.log.Error("the decision log's segments are gone", "dir", d.dir, "last", d.seq)
		}
		return nil
	}
	if t == nil {
		d.first = list[0].seq
	}
	last := list[len(list)-1]
	d.seq = max(d.seq, last.seq)
	if err := d.recover(last); err != nil {
		d.log.Error("the decision log's last segment is damaged; a new one is started", "file", last.path, "error", err)
	}
	return nil
}

// recover ends the last segment if nothing has: the gateway was killed. What is
// torn is cut off.
func (d *disk) recover(last segmentFile) (err error) {
	f, err := os.OpenFile(last.path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s, err := newScanner(f, d.keys)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = s.next()
	}
	d.prev = s.digest()
	if !errors.Is(err, io.EOF) && !errors.Is(err, errTorn) {
		return err
	}
	if s.ended != nil {
		if info.Size() > s.read {
			return errors.New("there is more after its end")
		}
		return nil
	}
	cut := info.Size() - s.read
	if cut > 0 {
		d.log.Warn("the decision log ended in a torn chunk, which was cut off", "file", last.path, "bytes", cut)
		if err := f.Truncate(s.read); err != nil {
			return err
		}
	}
	if s.index == 0 {
		// Not even its beginning was written: there is nothing in it.
		d.seq, d.prev = last.seq-1, s.head.Prev
		return os.Remove(last.path)
	}
	end, err := json.Marshal(ending{Events: s.events, Why: "recovered", Cut: cut})
	if err != nil {
		return err
	}
	w := &sealer{head: s.head, aead: s.aead, index: s.index, events: s.events}
	b, err := w.chunk(chunkEnd, end)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Truncate(s.read))
	}
	w.written(b, 0)
	d.prev = w.digest()
	return f.Sync()
}

// append writes a chunk, all or (as far as a reader or a retry is concerned)
// none of it.
func (d *disk) append(kind byte, plain []byte, events int) error {
	if d.f == nil {
		if err := d.begin(); err != nil {
			return err
		}
	}
	if err := d.write(kind, plain, events); err != nil {
		return err
	}
	if kind != chunkEnd && (d.size >= d.rotate || d.turn > 0 && d.now().Sub(d.seal.head.Created) >= d.turn) {
		if err := d.end("rotated"); err != nil {
			return err
		}
		d.prune()
	}
	return nil
}

func (d *disk) write(kind byte, plain []byte, events int) error {
	if d.torn {
		if err := d.f.Truncate(d.size); err != nil {
			return fmt.Errorf("cutting off a torn chunk: %w", err)
		}
		d.torn = false
	}
	b, err := d.seal.chunk(kind, plain)
	if err != nil {
		return err
	}
	if _, err := d.f.Write(b); err != nil {
		d.torn = d.f.Truncate(d.size) != nil
		return err
	}
	d.seal.written(b, events)
	d.size += int64(len(b))
	d.prev, d.dirty = d.seal.digest(), true
	return nil
}

// begin starts a segment: its header and its first chunk, in a file that gets its
// name when it is whole.
func (d *disk) begin() error {
	seq := d.seq + 1
	s, err := newSealer(d.keys, seq, d.prev, d.now())
	if err != nil {
		return err
	}
	path := segmentPath(d.dir, seq)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already", path)
	}
	b, err := s.chunk(chunkBegin, nil)
	if err != nil {
		return err
	}
	f, err := d.open(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(s.line, b...)); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	s.written(b, 0)
	d.f, d.seal, d.torn, d.dirty = f, s, false, true
	d.seq, d.size, d.prev = seq, int64(len(s.line)+len(b)), s.digest()
	if d.first == 0 {
		d.first = seq
	}
	return errors.Join(d.sync(), syncDir(d.dir))
}

// end closes the segment with its last chunk.
func (d *disk) end(why string) error {
	if d.f == nil {
		return nil
	}
	plain, err := json.Marshal(ending{Events: d.seal.events, Why: why})
	if err != nil {
		return err
	}
	if err := d.write(chunkEnd, plain, 0); err != nil {
		return err
	}
	err = d.sync()
	if err = errors.Join(err, d.f.Close()); err != nil {
		d.log.Error("closing a segment of the decision log", "error", err)
	}
	d.f = nil
	return nil
}

// sync brings what was written to disk, and then says so in the head file.
func (d *disk) sync() error {
	if d.f == nil || !d.dirty {
		return nil
	}
	if err := d.f.Sync(); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	d.dirty = false
	return writeTip(d.dir, d.keys, &tip{First: d.first, Last: d.seq, Segment: d.seal.head.Segment, Chunks: d.seal.index, Saved: d.now().UTC()})
}

// prune removes segments that are older than keep, or make all of them larger
// than most; the head file first says that they are no longer kept.
func (d *disk) prune() {
	if d.seal == nil {
		return // nothing was written yet: there is nothing to say it with
	}
	list, err := segments(d.dir)
	if err != nil {
		d.log.Error("listing the decision log", "dir", d.dir, "error", err)
		return
	}
	var total int64
	infos := make([]fs.FileInfo, len(list))
	for i, s := range list {
		if infos[i], err = os.Stat(s.path); err == nil {
			total += infos[i].Size()
		}
	}
	var gone []segmentFile
	for i, s := range list {
		if s.seq == d.seq || infos[i] == nil {
			continue
		}
		old := d.keep > 0 && d.now().Sub(infos[i].ModTime()) > d.keep
		if !old && (d.most <= 0 || total <= d.most) {
			break
		}
		total -= infos[i].Size()
		gone = append(gone, s)
	}
	if len(gone) == 0 {
		return
	}
	d.first = gone[len(gone)-1].seq + 1
	err = writeTip(d.dir, d.keys, &tip{First: d.first, Last: d.seq, Segment: d.seal.head.Segment, Chunks: d.seal.index, Saved: d.now().UTC()})
	for _, s := range gone {
		if err == nil {
			err = os.Remove(s.path)
		}
	}
	if err != nil {
		d.log.Error("removing old segments of the decision log", "dir", d.dir, "error", err)
	}
}

func (d *disk) close(why string) error {
	err := d.end(why)
	if d.f != nil {
		err = errors.Join(err, d.f.Close())
		d.f = nil
	}
	return errors.Join(err, d.lock.Close())
}
