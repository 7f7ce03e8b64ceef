package trail

import (
	"fmt"
	"time"
)

// write is the writer goroutine. It ends when the trail is closed and all is
// written, or cannot be.
func (l *Log) write() {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		<-l.wake
		l.gather(timer)
		for {
			w, closed := l.take()
			if w == nil {
				if closed {
					return
				}
				break
			}
			if !l.store(w) {
				return
			}
		}
	}
}

// gather lets a small batch grow for a moment.
func (l *Log) gather(timer *time.Timer) {
	timer.Reset(gather)
	defer timer.Stop()
	for {
		l.mu.Lock()
		now := l.closed || l.pending.hurry || len(l.pending.buf) >= gatherSize
		l.mu.Unlock()
		if now {
			return
		}
		select {
		case <-timer.C:
			return
		case <-l.wake:
		}
	}
}

// take swaps the pending batch out; nil when there is none to write.
func (l *Log) take() (w *batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w = l.pending
	if w.records == 0 && !w.hurry {
		return nil, l.closed
	}
	l.pending = &batch{buf: l.spare[:0], done: make(chan struct{})}
	l.spare = nil
	return w, l.closed
}

// store writes one batch, however long that takes. It reports false when the
// trail was closed and even a last try failed.
func (l *Log) store(w *batch) bool {
	pause := l.opt.retry
	for last := false; ; {
		err := l.disk.append(w.buf, l.strict)
		if err == nil {
			break
		}
		if w.err == nil {
			l.failing.Store(true)
			l.opt.Log.Error("trail cannot be written; new requests are refused", "file", l.opt.File, "error", err)
			l.opt.Alarm("trail.write", "the event file cannot be written, new requests are refused: "+err.Error())
			// Whoever waits is told now; the records are kept.
			w.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			close(w.done)
		}
		if last {
			return false
		}
		last = l.rest(pause)
		pause = min(2*pause, time.Second)
	}
	l.waiting.Add(-w.records)
	l.written.Add(uint64(w.records))
	if w.err == nil {
		close(w.done)
	} else {
		l.recover()
	}
	if l.waiting.Load() < int64(l.opt.Queue)/2 {
		l.full.Store(false)
	}
	l.mu.Lock()
	if cap(w.buf) <= keepBuffer {
		l.spare = w.buf
	}
	l.mu.Unlock()
	return true
}

func (l *Log) recover() {
	l.failing.Store(false)
	l.opt.Log.Info("trail is written again", "file", l.opt.File)
	l.opt.Alarm("trail.recovered", "the event file is written again; no record was lost")
}

// rest waits between two tries. Meanwhile those who ask for their records to be
// on disk are answered at once. It reports true, at once, when the trail is closed.
func (l *Log) rest(d time.Duration) (closed bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		l.mu.Lock()
		if l.pending.hurry {
			l.answer()
		}
		closed = l.closed
		l.mu.Unlock()
		if closed {
			return true
		}
		select {
		case <-timer.C:
			return false
		case <-l.wake:
		}
	}
}

// answer tells those who wait for the pending batch that it is not on disk, and
// goes on with the same records for new ones to wait for. Called with mu held.
func (l *Log) answer() {
	w := l.pending
	l.pending = &batch{buf: w.buf, records: w.records, done: make(chan struct{})}
	w.err = ErrUnavailable
	close(w.done)
}
