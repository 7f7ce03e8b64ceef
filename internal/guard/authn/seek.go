package authn

import (
	"context"
	"crypto/sha256"
	"time"
)

// How much of an issuer's time tokens with unknown keys may take, and how long
// their senders are kept waiting.
const (
	seekGap      = 2 * time.Second  // between fetches that tokens cause, whatever they name
	sameKeyGap   = 10 * time.Second // between fetches that one and the same unknown key causes
	seekPatience = 4 * time.Second  // how long a call waits for its turn and its fetch together
	mostWaiting  = 64               // calls that wait for their turn; further ones are refused at once
	mostSought   = 1024             // unknown keys that are remembered
)

// sought is what tokens wanted of an issuer that it did not have. An honest
// client whose issuer has just changed its key waits for the next fetch, at most
// seekGap away, however many tokens with made-up keys come meanwhile: those share
// the same fetches. Its times are of the machine's clock, since it is about
// waiting and not about what tokens say.
type sought struct {
	last    time.Time // when a token last caused a fetch
	waiting int
	recent  map[soughtID]time.Time // keys that a fetch did not bring
}

// soughtID names a key that was looked for: a digest, since strangers name it.
type soughtID [sha256.Size]byte

func (w *wanted) id() soughtID {
	return sha256.Sum256([]byte(w.issuer + "\x00" + w.kid))
}

// note remembers that a fetch was made for a key.
func (o *sought) note(id soughtID, now time.Time) {
	if o.recent == nil {
		o.recent = make(map[soughtID]time.Time)
	}
	if len(o.recent) >= mostSought {
		for k, at := range o.recent {
			if now.Sub(at) >= sameKeyGap {
				delete(o.recent, k)
			}
		}
	}
	if len(o.recent) < mostSought {
		o.recent[id] = now
	}
}

// seek has the keys fetched for a token that names none of them: at once, or in
// its turn. It returns when the key is there, when it is not to be had, or when
// it was waited for long enough.
func (s *source) seek(ctx context.Context, w *wanted) {
	ctx, cancel := context.WithTimeout(ctx, seekPatience)
	defer cancel()
	id, waits := w.id(), false
	defer func() {
		if waits {
			s.mu.Lock()
			s.sought.waiting--
			s.mu.Unlock()
		}
	}()
	for ctx.Err() == nil {
		if set := s.set.Load(); set != nil {
			if _, known := set.match(w, nil); known {
				return
			}
		}
		s.mu.Lock()
		now := time.Now()
		at, asked := s.sought.recent[id]
		turn := s.sought.last.Add(seekGap).Sub(now)
		switch flight := s.flight; {
		case s.stopped || asked && now.Sub(at) < sameKeyGap:
			s.mu.Unlock()
			return
		case flight != nil: // it may have begun before the issuer changed its keys: look again after it
			s.mu.Unlock()
			if !s.await(ctx, flight) {
				return
			}
		case turn <= 0:
			s.sought.last = now
			flight = s.begin(&id)
			s.mu.Unlock()
			if !s.await(ctx, flight) {
				return
			}
		case !waits && s.sought.waiting >= mostWaiting:
			s.mu.Unlock()
			return
		default:
			if !waits {
				s.sought.waiting++
				waits = true
			}
			s.mu.Unlock()
			pause(ctx, turn)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// renewed fetches the keys anew, but seldom, for a token whose signature those of
// before do not verify: an issuer may have changed its key without changing its
// id, or give it none. It reports whether the keys are others now. Nobody waits
// for a turn here: such a token is refused, and its sender may try again.
func (s *source) renewed(ctx context.Context, before uint64) bool {
	if !s.remote() {
		return false
	}
	s.mu.Lock()
	flight := s.flight
	if now := time.Now(); flight == nil && !s.stopped && now.Sub(s.sought.last) >= seekGap {
		s.sought.last = now
		flight = s.begin(nil)
	}
	s.mu.Unlock()
	if flight != nil {
		s.await(ctx, flight)
	}
	set := s.set.Load()
	return set != nil && set.generation != before
}
