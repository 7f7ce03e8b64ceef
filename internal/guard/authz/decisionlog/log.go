package decisionlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Options are what a log is made from.
type Options struct {
	Dir  string // "": nothing is kept here, and all goes to the Sink
	Keys *Keys  // needed with Dir
	// Sink takes the masked events too. Nil: none.
	Sink *Sink
	// Queue is how many decisions may wait, QueueBytes how much they may hold on to.
	Queue      int
	QueueBytes int64
	// Refuse has Record return ErrFull when a decision cannot be kept; else it is
	// counted and the count is written.
	Refuse bool
	// Sample is the share of allowed calls that are kept, Denied of denied ones.
	Sample, Denied float64
	Rotate         int64         // bytes after which a segment ends; default 64 MiB
	Turn           time.Duration // age after which it ends; default a day
	Keep           time.Duration // age after which it is removed; 0 keeps all
	Most           int64         // bytes of all segments; 0 is without bound
	Policies       int64         // bytes of kept policies; default 256 MiB
	Labels         map[string]string
	Log            *slog.Logger
	Alarm          func(kind, message string)
	Now            func() time.Time

	open   opener        // for tests
	gather time.Duration // for tests; default gatherFor
}

// Times of the writer.
const (
	gatherFor   = 50 * time.Millisecond // a batch grows for so long
	gatherBytes = 256 << 10             // or to this size
	syncEvery   = time.Second
	retryEvery  = time.Second
	pruneEvery  = 10 * time.Minute
	ruleTimeout = 50 * time.Millisecond // of a policy's own rule on the log
)

// Errors of Record.
var (
	ErrFull   = errors.New("the decision log's queue is full")
	ErrClosed = errors.New("the decision log is closed")
)

// Log takes decisions and keeps them. It is safe for concurrent use.
type Log struct {
	o       Options
	queue   chan *Entry
	waiting atomic.Int64 // bytes
	lost    atomic.Uint64
	kept    atomic.Uint64
	failing atomic.Bool
	dropped atomic.Uint64 // by a policy's rule
	closing chan struct{}
	once    sync.Once
	done    chan struct{}

	// The writer's own.
	disk     *disk
	archive  *archive
	enc      encoder
	number   uint64
	batch    int    // events in enc.b
	lastLost uint64 // of lost, already written
	ruleErr  time.Time
}

// Open opens the folder and starts the writer.
func Open(o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Alarm == nil {
		o.Alarm = func(string, string) {}
	}
	if o.gather == 0 {
		o.gather = gatherFor
	}
	if o.open == nil {
		o.open = openAppend
	}
	for p, v := range map[*int64]int64{&o.QueueBytes: 64 << 20, &o.Rotate: 64 << 20, &o.Policies: 256 << 20} {
		if *p <= 0 {
			*p = v
		}
	}
	if o.Queue <= 0 {
		o.Queue = 8192
	}
	if o.Turn <= 0 {
		o.Turn = 24 * time.Hour
	}
	l := &Log{o: o, queue: make(chan *Entry, o.Queue), closing: make(chan struct{}), done: make(chan struct{})}
	if o.Dir != "" {
		if o.Keys == nil {
			return nil, errors.New("there is no key to seal decisions with")
		}
		l.disk = &disk{dir: o.Dir, keys: o.Keys, rotate: o.Rotate, turn: o.Turn, keep: o.Keep, most: o.Most, now: o.Now, open: o.open, log: o.Log}
		if err := l.disk.prepare(); err != nil {
			return nil, fmt.Errorf("opening the decision log: %w", err)
		}
		l.archive = newArchive(o.Dir, o.Keys, o.Policies, o.Now)
	}
	go l.write()
	return l, nil
}

// Record hands a decision over. It never waits. An error says that the decision
// will not be kept and that the call is to be refused for it.
func (l *Log) Record(e *Entry) error {
	size := int64(e.Size)
	if l.waiting.Add(size) <= l.o.QueueBytes {
		select {
		case <-l.closing:
		default:
			select {
			case l.queue <- e:
				return nil
			default:
			}
		}
	}
	l.waiting.Add(-size)
	l.lost.Add(1)
	if !l.o.Refuse {
		return nil
	}
	select {
	case <-l.closing:
		return ErrClosed
	default:
		return ErrFull
	}
}

// Stats are counts since the start.
type Stats struct {
	Kept    uint64 // written
	Lost    uint64 // not written: the queue was full
	Dropped uint64 // by a policy's rule
	Waiting int
	Failing bool // the folder cannot be written
	Sink    SinkStats
}

// Stats returns the counts.
func (l *Log) Stats() Stats {
	s := Stats{Kept: l.kept.Load(), Lost: l.lost.Load(), Dropped: l.dropped.Load(), Waiting: len(l.queue), Failing: l.failing.Load()}
	if l.o.Sink != nil {
		s.Sink = l.o.Sink.Stats()
	}
	return s
}

// Close writes what waits, ends the segment and lets the sink send what it holds,
// but not longer than ctx.
func (l *Log) Close(ctx context.Context) error {
	l.once.Do(func() { close(l.closing) })
	<-l.done
	var err error
	if l.disk != nil {
		err = l.disk.close("stopped")
	}
	if l.o.Sink != nil {
		err = errors.Join(err, l.o.Sink.Close(ctx))
	}
	return err
}

// write is the writer goroutine.
func (l *Log) write() {
	defer close(l.done)
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	pruned := l.o.Now()
	for {
		select {
		case e := <-l.queue:
			l.take(e)
			l.gather()
			if !l.flush() {
				return
			}
		case <-tick.C:
			l.settle()
			if now := l.o.Now(); l.disk != nil && now.Sub(pruned) >= pruneEvery {
				l.disk.prune()
				pruned = now
			}
		case <-l.closing:
			for {
				select {
				case e := <-l.queue:
					l.take(e)
					if len(l.enc.b) >= gatherBytes && !l.flush() {
						return
					}
					continue
				default:
				}
				break
			}
			l.flush()
			l.settle()
			return
		}
	}
}

// gather lets a batch grow for a moment.
func (l *Log) gather() {
	timer := time.NewTimer(l.o.gather)
	defer timer.Stop()
	for len(l.enc.b) < gatherBytes {
		select {
		case e := <-l.queue:
			l.take(e)
		case <-timer.C:
			return
		case <-l.closing:
			return
		}
	}
}

// take encodes one entry, unless the policy's own rule drops it.
func (l *Log) take(e *Entry) {
	l.waiting.Add(-int64(e.Size))
	l.number++
	if e.Policy != nil && e.Policy.Rules != nil && l.drops(e) {
		l.dropped.Add(1)
		return
	}
	from := len(l.enc.b)
	l.enc.event(e, l.o.Labels, l.number)
	if l.o.Sink != nil {
		l.o.Sink.offer(string(l.enc.b[from:]), e.Policy)
	}
	if l.disk == nil {
		l.enc.b = l.enc.b[:from]
		l.kept.Add(1)
		return
	}
	l.batch++
	if err := l.archive.keep(e.Policy); err != nil {
		l.complain("a policy could not be kept with the decision log", err)
	}
}

func (l *Log) drops(e *Entry) bool {
	v := l.value(e)
	ctx, cancel := context.WithTimeout(context.Background(), ruleTimeout)
	defer cancel()
	drop, err := e.Policy.Rules.Drop(ctx, v)
	if err != nil {
		// What cannot be judged is kept.
		l.complain("the policy's rule data.system.log.drop failed; the decision is kept", err)
	}
	return drop && err == nil
}

// value is the event as OPA's value.
func (l *Log) value(e *Entry) ast.Value {
	var c encoder
	c.event(e, l.o.Labels, l.number)
	v, err := readValue(c.b)
	if err != nil {
		return ast.NewObject()
	}
	return v
}

// complain logs an error, but not a thousand times a second.
func (l *Log) complain(what string, err error) {
	if now := l.o.Now(); now.Sub(l.ruleErr) >= time.Minute {
		l.ruleErr = now
		l.o.Log.Error(what, "error", err)
	}
}

// flush writes the batch, and tries again until it is written or the log is
// closed; false says that it was given up.
func (l *Log) flush() bool {
	for l.batch > 0 {
		err := l.disk.append(chunkEvents, l.enc.b, l.batch)
		if err == nil {
			l.kept.Add(uint64(l.batch))
			l.enc.b, l.batch = l.enc.b[:0], 0
			if cap(l.enc.b) > 4*gatherBytes {
				l.enc.b = nil
			}
			l.healed()
			return true
		}
		l.fails(err)
		select {
		case <-time.After(retryEvery):
		case <-l.closing:
			if err = l.disk.append(chunkEvents, l.enc.b, l.batch); err == nil {
				continue
			}
			n := l.batch + len(l.queue)
			l.lost.Add(uint64(n))
			l.o.Log.Error("decisions could not be written before the gateway stopped", "count", n, "error", err)
			return false
		}
	}
	return true
}

func (l *Log) fails(err error) {
	if l.failing.Swap(true) {
		return
	}
	then := "decisions that do not fit into the queue are lost"
	if l.o.Refuse {
		then = "calls are refused when the queue is full"
	}
	l.o.Log.Error("the decision log cannot be written", "dir", l.o.Dir, "error", err, "then", then)
	l.o.Alarm("decision_log.failing", "the decision log cannot be written, "+then+": "+err.Error())
}

func (l *Log) healed() {
	if l.failing.Swap(false) {
		l.o.Log.Info("the decision log is written again", "dir", l.o.Dir)
	}
}

// settle syncs, and writes how many decisions were lost since the last time.
func (l *Log) settle() {
	if l.disk == nil {
		return
	}
	if lost := l.lost.Load(); lost > l.lastLost {
		plain, err := json.Marshal(Lost{Count: lost - l.lastLost, Until: l.o.Now().UTC()})
		if err == nil {
			err = l.disk.append(chunkLost, plain, 0)
		}
		if err != nil {
			l.fails(err)
			return
		}
		l.o.Alarm("decision_log.lost", fmt.Sprintf("%d decisions were not kept: the queue was full", lost-l.lastLost))
		l.lastLost = lost
	}
	if err := l.disk.sync(); err != nil {
		l.fails(err)
		return
	}
	l.healed()
}
