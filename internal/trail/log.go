package trail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

// Options are what a Log is opened with.
type Options struct {
	File   string // the event file; rotated ones lie beside it
	Audit  string // "default" or "" : queued; "strict": Decide waits for the disk
	Queue  int    // records that may wait before Admit refuses; default 8192
	Rotate int64  // bytes at which a new file is started; default 256 MiB
	Keep   int    // rotated files kept; 0 keeps all
	Log    *slog.Logger
	Now    func() time.Time
	// Alarm is told when a person is needed: "trail.write", "trail.recovered",
	// "trail.full", "trail.rotate". It must not block.
	Alarm func(kind, msg string)

	open  opener        // tests put a failing disk here
	retry time.Duration // first pause after a failed write
}

// The defaults of Options.
const (
	DefaultQueue  = 8192
	DefaultRotate = 256 << 20
)

// Errors that callers tell apart.
var (
	ErrClosed      = errors.New("trail is closed")
	ErrUnavailable = errors.New("trail cannot be written")
	ErrLocked      = errors.New("another process writes this trail")
	ErrNotFound    = errors.New("no such event")
)

// gather is how long the writer lets a small batch grow when nobody waits for
// it: it turns thousands of small writes a second into a few hundred.
const (
	gather     = 5 * time.Millisecond
	gatherSize = 64 << 10
	keepBuffer = 4 << 20 // a batch buffer larger than this is not kept for reuse
)

// Log is an open trail. It is safe for concurrent use.
type Log struct {
	opt    Options
	strict bool
	disk   *disk

	mu      sync.Mutex
	pending *batch
	spare   []byte
	closed  bool

	wake chan struct{} // there is a batch, or there is reason to write it now
	done chan struct{} // the writer has ended

	waiting atomic.Int64 // records not yet written
	flight  atomic.Int64 // admitted, not completed
	written atomic.Uint64
	failing atomic.Bool
	full    atomic.Bool // alarmed and not yet over

}

// batch is what is written at once.
type batch struct {
	buf     []byte
	records int64
	hurry   bool          // somebody waits for it
	done    chan struct{} // closed when it was written (and synced, in strict), or failed
	err     error         // valid after done
}

// Stats are the trail's figures.
type Stats struct {
	Waiting  int64  // records queued, not written
	InFlight int64  // exchanges admitted and not completed
	Written  uint64 // records written since Open
	Failing  bool   // the file cannot be written
}

// Open opens or creates the event file, takes its lock, heals a line torn by a
// crash, and starts the writer.
func Open(o Options) (*Log, error) {
	if o.File == "" {
		return nil, errors.New("opening trail: no file")
	}
	switch o.Audit {
	case "", "default", "strict":
	default:
		return nil, fmt.Errorf("opening trail: audit is %q, want default or strict", o.Audit)
	}
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	if o.Rotate <= 0 {
		o.Rotate = DefaultRotate
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Alarm == nil {
		o.Alarm = func(string, string) {}
	}
	if o.open == nil {
		o.open = openAppend
	}
	if o.retry <= 0 {
		o.retry = 100 * time.Millisecond
	}
	d, err := openDisk(&o)
	if err != nil {
		return nil, fmt.Errorf("opening trail %s: %w", o.File, err)
	}
	l := &Log{
		opt: o, strict: o.Audit == "strict", disk: d,
		pending: &batch{done: make(chan struct{})},
		wake:    make(chan struct{}, 1), done: make(chan struct{}),
	}
	go l.write()
	return l, nil
}

// Admit reports whether a new exchange may come in: whether there is room for
// its records and a disk to take them. After true, the trail takes both records
// whatever happens, so beyond Queue it holds at most two records for each
// exchange in flight. Each true must be followed by one Complete.
func (l *Log) Admit() bool {
	if l.failing.Load() {
		return false
	}
	if l.waiting.Load() >= int64(l.opt.Queue) {
		if l.full.CompareAndSwap(false, true) {
			l.opt.Alarm("trail.full", fmt.Sprintf("%d records wait to be written; new requests are refused", l.opt.Queue))
		}
		return false
	}
	l.flight.Add(1)
	return true
}

// Decide records a decision. In default audit it returns when the record is
// queued. In strict audit it returns after the record is on disk, or with an
// error when it is not: then the record stays queued and is written when that
// becomes possible, and the exchange must not go on. d must not change afterwards.
func (l *Log) Decide(ctx context.Context, d *exchange.Decision) error {
	scratch := scratches.Get().(*[]byte)
	b := appendDecision((*scratch)[:0], d)
	w, err := l.enqueue(b, l.strict)
	recycle(scratch, b)
	if err != nil || !l.strict {
		return err
	}
	if l.failing.Load() {
		return ErrUnavailable
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the decision to be on disk: %w", ctx.Err())
	}
}

// Complete records how an admitted exchange ended. It never waits for the disk.
// c must not change afterwards.
func (l *Log) Complete(c *exchange.Completion) {
	scratch := scratches.Get().(*[]byte)
	b := appendCompletion((*scratch)[:0], c)
	_, err := l.enqueue(b, false)
	recycle(scratch, b)
	l.flight.Add(-1)
	if err != nil {
		l.opt.Log.Error("completion after the trail was closed", "request_id", c.ID)
	}
}

// Flush returns when all that was queued before it is written, or could not be.
func (l *Log) Flush(ctx context.Context) error {
	w, err := l.enqueue(nil, true)
	if err != nil {
		return err
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns the trail's figures now.
func (l *Log) Stats() Stats {
	return Stats{
		Waiting: l.waiting.Load(), InFlight: l.flight.Load(), Written: l.written.Load(),
		Failing: l.failing.Load(),
	}
}

// Close writes what is queued, syncs and closes the file. The error says how
// many records could not be written.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.done
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.signal()
	<-l.done
	lost := l.waiting.Load()
	err := l.disk.close()
	if lost > 0 {
		return fmt.Errorf("closing trail: %d records could not be written: %w", lost, ErrUnavailable)
	}
	if err != nil {
		return fmt.Errorf("closing trail: %w", err)
	}
	return nil
}

// enqueue appends one encoded line (none when empty) to the pending batch.
func (l *Log) enqueue(line []byte, hurry bool) (*batch, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, ErrClosed
	}
	w := l.pending
	before := len(w.buf)
	w.buf = append(w.buf, line...)
	// The writer sleeps only while the batch is small and nobody is in a hurry,
	// so only these changes are worth waking it for.
	signal := w.records == 0 || hurry && !w.hurry || before < gatherSize && len(w.buf) >= gatherSize
	if len(line) > 0 {
		w.records++
		l.waiting.Add(1)
	}
	w.hurry = w.hurry || hurry
	l.mu.Unlock()
	if signal {
		l.signal()
	}
	return w, nil
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

func recycle(scratch *[]byte, b []byte) {
	if cap(b) <= 64<<10 {
		*scratch = b
		scratches.Put(scratch)
	}
}
