package decisionlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// Damage says that the log is not as it was written: changed, cut short, or
// parts of it are missing. What could be read is whole.
type Damage struct {
	File string
	What string
	Err  error // such as ErrUnknownKey; may be nil
}

func (d *Damage) Error() string {
	s := d.File + ": " + d.What
	if d.Err != nil {
		s += ": " + d.Err.Error()
	}
	return s
}

func (d *Damage) Unwrap() error { return d.Err }

// Span bounds what is read by when it was decided; zero times bound nothing.
type Span struct{ From, To time.Time }

func (s Span) holds(t time.Time) bool {
	return (s.From.IsZero() || !t.Before(s.From)) && (s.To.IsZero() || t.Before(s.To))
}

// Reader reads a log's folder, also while a gateway writes to it.
type Reader struct {
	dir  string
	keys *Keys
	lost uint64
}

// ErrNone says that a folder holds no decision log.
var ErrNone = errors.New("there is no decision log")

// OpenFolder opens a log for reading.
func OpenFolder(dir string, keys *Keys) (*Reader, error) {
	list, err := segments(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(list) == 0 && !exists(filepath.Join(dir, headName)) {
		return nil, fmt.Errorf("%w in %s", ErrNone, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the decision log: %w", err)
	}
	return &Reader{dir: dir, keys: keys}, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Lost is how many decisions the log says it could not keep, within what was read.
func (r *Reader) Lost() uint64 { return r.lost }

// Events yields the decisions of a span, in the order in which they were
// recorded. An error is a *Damage or the context's; after a Damage the next
// segment follows.
func (r *Reader) Events(ctx context.Context, span Span) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		r.lost = 0
		// First how far it must have come, then what is there: a gateway may go on.
		at, tipErr := readTip(r.dir, r.keys)
		list, err := segments(r.dir)
		if err != nil {
			yield(nil, fmt.Errorf("reading the decision log: %w", err))
			return
		}
		w := &walk{Reader: r, over: ctx.Err, span: span, tip: at, yield: yield}
		switch {
		case tipErr != nil:
			w.damaged(filepath.Join(r.dir, headName), "it cannot be read", tipErr)
		case at == nil:
			w.damaged(filepath.Join(r.dir, headName), "it is missing: nothing says how far the log had come", nil)
		}
		w.all(list)
	}
}

// walk is one pass over the segments.
type walk struct {
	*Reader
	over    func() error // why reading ends, nil while it goes on
	span    Span
	tip     *tip
	yield   func(*Event, error) bool
	stopped bool

	seq    uint64 // of the segment read last, 0 before the first
	digest string // of its last chunk; "" when it was not read whole
}

func (w *walk) damaged(file, what string, err error) {
	if !w.stopped {
		w.stopped = !w.yield(nil, &Damage{File: file, What: what, Err: err})
	}
}

func (w *walk) all(list []segmentFile) {
	for i, s := range list {
		if w.stopped {
			return
		}
		if w.tip != nil && s.seq < w.tip.First {
			continue // no longer kept, and about to be removed
		}
		if w.seq == 0 && w.tip != nil && s.seq > w.tip.First && !w.pruned(s.seq) {
			w.damaged(segmentPath(w.dir, w.tip.First), "it is missing", nil)
		}
		if w.seq != 0 && s.seq != w.seq+1 {
			w.damaged(segmentPath(w.dir, w.seq+1), "it is missing", nil)
			w.digest = ""
		}
		if w.tip == nil || s.seq < w.tip.Last {
			if i+1 < len(list) && w.before(list[i+1]) {
				w.seq, w.digest = s.seq, ""
				continue
			}
		}
		w.segment(s, i == len(list)-1)
	}
	if w.tip != nil && w.seq < w.tip.Last && !w.stopped {
		w.damaged(segmentPath(w.dir, w.tip.Last), "it is missing: the log had come this far", nil)
	}
}

// pruned reports whether the segments before seq were given up meanwhile.
func (w *walk) pruned(seq uint64) bool {
	now, err := readTip(w.dir, w.keys)
	return err == nil && now != nil && now.First >= seq
}

// before reports whether everything up to a segment was decided before the span:
// no event in a segment is later than the next one's beginning, but for those
// that waited in the queue.
func (w *walk) before(next segmentFile) bool {
	if w.span.From.IsZero() {
		return false
	}
	f, err := os.Open(next.path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	s, err := newScanner(f, w.keys)
	if err != nil {
		return false
	}
	if _, err := s.next(); err != nil { // the header is believed when a chunk opens
		return false
	}
	return s.head.Created.Before(w.span.From)
}

func (w *walk) segment(file segmentFile, newest bool) {
	f, err := os.Open(file.path)
	if errors.Is(err, fs.ErrNotExist) && w.pruned(file.seq+1) {
		return
	}
	if err != nil {
		w.damaged(file.path, "it cannot be read", err)
		return
	}
	defer func() { _ = f.Close() }()
	prev := w.digest
	w.digest = ""
	known := w.seq != 0
	w.seq = file.seq
	s, err := newScanner(f, w.keys)
	if err != nil {
		w.damaged(file.path, "it cannot be read", err)
		return
	}
	if s.head.Seq != file.seq {
		w.damaged(file.path, fmt.Sprintf("it was written as segment %d", s.head.Seq), nil)
		return
	}
	for !w.stopped {
		var c *chunk
		if c, err = s.next(); err != nil {
			break
		}
		if c.index == 0 && known && prev != "" && prev != s.head.Prev {
			w.damaged(file.path, "it does not follow on the segment before it: that one was cut short or replaced", nil)
		}
		w.chunk(file, c)
	}
	if w.stopped {
		return
	}
	open := newest || w.tip != nil && file.seq >= w.tip.Last // a gateway may be writing it
	switch {
	case errors.Is(err, errTorn) && open:
	case !errors.Is(err, io.EOF):
		w.damaged(file.path, "it was damaged", err)
		return
	case s.ended == nil && !open:
		w.damaged(file.path, "it was cut short: it has no end", nil)
		return
	}
	if t := w.tip; t != nil && t.Last == file.seq && (t.Segment != s.head.Segment || s.index < t.Chunks) {
		w.damaged(file.path, fmt.Sprintf("it was cut short: it holds %d chunks, and held %d on %s", s.index, t.Chunks, t.Saved.Format(time.RFC3339)), nil)
		return
	}
	w.digest = s.digest()
}

func (w *walk) chunk(file segmentFile, c *chunk) {
	switch c.kind {
	case chunkLost:
		var l Lost
		if err := json.Unmarshal(c.plain, &l); err != nil {
			w.damaged(file.path, fmt.Sprintf("chunk %d cannot be read", c.index), err)
			return
		}
		w.lost += l.Count
	case chunkEvents:
		for line := range bytes.Lines(c.plain) {
			if err := w.over(); err != nil {
				w.stopped = true
				w.yield(nil, err)
				return
			}
			e := &Event{}
			if err := json.Unmarshal(line, e); err != nil {
				w.damaged(file.path, fmt.Sprintf("chunk %d cannot be read", c.index), err)
				return
			}
			if w.span.holds(e.Timestamp) && !w.yield(e, nil) {
				w.stopped = true
				return
			}
		}
	}
}

// Find returns the decision of a request. Damage that has nothing to do with it
// is not reported. Request ids are sortable by time (UUID version 7): what was
// closed before the request came is not read.
func (r *Reader) Find(ctx context.Context, id string) (*Event, error) {
	var span Span
	if t, ok := timeOf(id); ok {
		span.From = t.Add(-time.Minute)
	}
	var first error
	for e, err := range r.Events(ctx, span) {
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if e.DecisionID == id {
			return e, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("the decision log holds no decision of request %s", id), first)
}

// timeOf reads the time of a UUID version 7 (RFC 9562 section 5.7).
func timeOf(id string) (time.Time, bool) {
	if len(id) != 36 || id[14] != '7' {
		return time.Time{}, false
	}
	var ms int64
	for _, c := range []byte(id[:8] + id[9:13]) {
		switch {
		case c >= '0' && c <= '9':
			ms = ms<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f':
			ms = ms<<4 | int64(c-'a'+10)
		default:
			return time.Time{}, false
		}
	}
	return time.UnixMilli(ms), true
}

// Recent returns the most recent decisions that keep takes, oldest first, but no
// more than n. Only as many segments as it needs are read. The error is a
// *Damage when some of them are not whole; what could be read is returned too.
func (r *Reader) Recent(ctx context.Context, n int, keep func(*Event) bool) ([]*Event, error) {
	at, err := readTip(r.dir, r.keys)
	if err != nil {
		return nil, &Damage{File: filepath.Join(r.dir, headName), What: "it cannot be read", Err: err}
	}
	list, err := segments(r.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the decision log: %w", err)
	}
	var parts [][]*Event
	var errs []error
	have := 0
	for i := len(list) - 1; i >= 0 && have < n; i-- {
		if at != nil && list[i].seq < at.First {
			break
		}
		var part []*Event
		w := &walk{Reader: r, over: ctx.Err, tip: at, yield: func(e *Event, err error) bool {
			switch {
			case err != nil:
				errs = append(errs, err)
			case keep(e):
				part = append(part, e)
			}
			return ctx.Err() == nil
		}}
		w.segment(list[i], i == len(list)-1)
		parts = append(parts, part)
		have += len(part)
	}
	out := make([]*Event, 0, have)
	for i := len(parts) - 1; i >= 0; i-- {
		out = append(out, parts[i]...)
	}
	return out[max(0, len(out)-n):], errors.Join(append(errs, ctx.Err())...)
}
