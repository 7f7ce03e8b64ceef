package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz/relation"
)

// version is what a look at a source gave.
type version struct {
	doc  *relation.Document
	mark any       // greatest cursor
	tag  string    // of the source's own: an ETag, a file's hash
	full time.Time // when it was last read whole
	rows int
}

// origin is one kind of source.
type origin interface {
	// look returns the next version: last itself when there is nothing new. When
	// whole, or last is nil, it reads everything.
	look(ctx context.Context, last *version, whole bool) (*version, error)
	close()
}

// keeper looks at one source again and again, for all feeds that want it.
type keeper struct {
	cfg    config.Source
	origin origin
	log    *slog.Logger
	now    func() time.Time
	cancel context.CancelFunc
	done   chan struct{}
	first  chan struct{} // closed after the first look

	mu    sync.Mutex
	feeds map[*feed]bool
	news  news
}

// news is what feeds are told.
type news struct {
	table    *relation.Table // nil before the first good look
	revision string
	heard    time.Time
	fault    error // of the last look
}

// errTurned is told when a look was ended because the keeper was.
var errTurned = errors.New("the source is being closed")

func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	defer k.origin.close()
	var last *version
	failures := 0
	for {
		next, err := k.look(ctx, last)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failures++
		} else {
			failures, last = 0, next
		}
		select {
		case <-k.first:
		default:
			close(k.first)
		}
		t := time.NewTimer(pause(k.cfg.Every, failures))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// pause is the time to the next look: shorter than every after a first failure,
// then longer, never in step with others.
func pause(every time.Duration, failures int) time.Duration {
	d := every
	if failures > 0 {
		d = min(every, time.Second<<min(failures-1, 20))
	}
	return d - time.Duration(rand.Int64N(int64(d)/10+1)) //nolint:gosec // not a secret
}

// look asks the source once and tells the feeds.
func (k *keeper) look(ctx context.Context, last *version) (*version, error) {
	within, cancel := context.WithTimeoutCause(ctx, k.cfg.Timeout, fmt.Errorf("no whole answer within %s (timeout)", k.cfg.Timeout))
	defer cancel()
	begin := k.now()
	next, err := k.guarded(within, last, begin)
	if ctx.Err() != nil {
		return nil, errTurned
	}
	if err != nil && within.Err() != nil {
		err = context.Cause(within)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.log.Warn("data for policies could not be had", "at", k.cfg.At, "error", err, "last_good", k.news.heard)
		k.news.fault = err
		for f := range k.feeds {
			f.fail(err)
		}
		return nil, err
	}
	changed := last == nil || next.doc != last.doc
	// Of rows that changed while they were read the source will tell next time:
	// the state is as old as the moment when the look began.
	k.news.heard, k.news.fault = begin, nil
	if changed {
		if k.news.table == nil {
			k.news.table = relation.NewTable(next.doc, k.cfg.At, k.cfg.MaxRead)
		} else {
			k.news.table = k.news.table.With(next.doc)
		}
		k.news.revision = begin.UTC().Format(time.RFC3339Nano)
		k.log.Info("data for policies", "at", k.cfg.At, "members", next.doc.Count(), "bytes", next.doc.Bytes(), "whole", next.full.Equal(begin), "took", k.now().Sub(begin).Round(time.Millisecond))
	}
	for f := range k.feeds {
		f.tell(ctx, k.news, changed)
	}
	return next, nil
}

// guarded has the origin look; a panic of a driver is an error of the source.
func (k *keeper) guarded(ctx context.Context, last *version, begin time.Time) (next *version, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading failed in a way that it should not have: %v", p)
		}
	}()
	whole := last == nil || begin.Sub(last.full) >= k.cfg.Full
	next, err = k.origin.look(ctx, last, whole)
	if err != nil {
		return nil, err
	}
	if size := next.doc.Bytes(); (last == nil || next.doc != last.doc) && size > int64(k.cfg.MaxMemory) {
		return nil, fmt.Errorf("%w: %d bytes in memory (max_memory is %d)", relation.ErrTooLarge, size, int64(k.cfg.MaxMemory))
	}
	if whole && next != last {
		next.full = begin
	} else if whole {
		same := *last
		same.full = begin
		next = &same
	}
	return next, nil
}
