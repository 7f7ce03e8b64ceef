package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authn/jose"
)

// How keys are kept fresh.
const (
	fetchTimeout = 5 * time.Second // of one fetch, discovery and key set together
	waitForFetch = 2 * time.Second // how long a request waits for one
	retryFirst   = time.Second     // after a failed fetch, doubling …
	retryMost    = time.Minute     // … up to this
	noKeysGap    = time.Second     // between fetches that requests cause while there are no keys

	defaultRefresh = 5 * time.Minute // in the background, give or take a fifth
	// defaultMaxAge is how long the last good keys are believed while the issuer
	// cannot be asked. After it nobody is let in.
	defaultMaxAge = time.Hour
)

// source has one issuer's keys. It is safe for concurrent use.
type source struct {
	name   string // for logs and /readyz
	from   sourceName
	client *http.Client
	log    *slog.Logger
	now    func() time.Time

	set  atomic.Pointer[fetched]
	kept *keptKeys // on disk; nil when they are not to be

	mu      sync.Mutex
	sought  sought
	tries   uint64        // fetches that ended
	misses  uint64        // those of them that failed
	flight  chan struct{} // closed when the running fetch ends; nil when none runs
	tried   time.Time     // when the last fetch began
	failure error         // of the last fetch; nil when it went well
	stopped bool

	ctx  context.Context //nolint:containedctx // the life of the background fetch, which stop ends
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// fetched are keys, and when they were last known to be the issuer's.
type fetched struct {
	keySet
	issuer     string // as its discovery document spells it; "" when none was asked
	generation uint64 // changes when the keys do
	at         time.Time
}

// newStatic is a source whose keys never change.
func newStatic(name string, set *keySet) *source {
	s := &source{name: name}
	s.set.Store(&fetched{keySet: *set})
	return s
}

// newRemote is a source that fetches, once start is called.
func newRemote(from sourceName, client *http.Client, log *slog.Logger, now func() time.Time) *source {
	name := "issuer " + from.issuer
	if from.jwks != "" {
		name = "key set " + from.jwks
	}
	s := &source{name: name, from: from, client: client, log: log, now: now}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// start begins to fetch in the background, until close.
func (s *source) start() {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		retry := retryFirst
		// The first may have been fetched for a request by now.
		for gap := noKeysGap; s.ctx.Err() == nil; gap = 0 {
			wait := s.from.refresh
			if s.refresh(s.ctx, gap) || s.fetchedNow() {
				retry = retryFirst
			} else {
				wait = retry
				retry = min(2*retry, retryMost)
			}
			wait = time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // only so that gateways do not ask together
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-s.ctx.Done():
				timer.Stop()
			}
		}
	}()
}

// fetchedNow reports whether the last fetch went well.
func (s *source) fetchedNow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight == nil && s.failure == nil && s.set.Load() != nil
}

// close ends all fetching and waits for what runs.
func (s *source) close() {
	if s.stop == nil {
		return
	}
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
}

func (s *source) remote() bool { return s.stop != nil }

// current returns the keys, or nil when there are none that may still be believed.
func (s *source) current(now time.Time, maxAge time.Duration) *fetched {
	f := s.set.Load()
	if f == nil || s.remote() && now.Sub(f.at) > maxAge {
		return nil
	}
	return f
}

// generation names the keys that are believed now; false when there are none.
func (s *source) generation(now time.Time, maxAge time.Duration) (uint64, bool) {
	f := s.current(now, maxAge)
	if f == nil {
		return 0, false
	}
	return f.generation, true
}

// wanted is what a token's key must be.
type wanted struct {
	kid       string
	algorithm *jose.Algorithm
	issuer    string // the token's
	tenant    string // the token's, where its issuer has several
}

// lookup finds the keys that may verify a token. An unknown kid has the keys
// fetched anew, but seldom, however many ask.
func (s *source) lookup(ctx context.Context, now time.Time, maxAge time.Duration, w *wanted, into []*jose.Key) ([]*jose.Key, *fetched, *failure) {
	set := s.current(now, maxAge)
	if set == nil {
		s.refresh(ctx, noKeysGap)
		if set = s.current(s.now(), maxAge); set == nil {
			return nil, nil, unavailable("no keys of " + s.name + ": " + s.state(maxAge).Error())
		}
	}
	found, known := set.match(w, into)
	if !known && s.remote() {
		s.seek(ctx, w)
		if now := s.current(s.now(), maxAge); now != nil {
			set = now
			found, known = set.match(w, into)
		}
	}
	switch {
	case len(found) > 0:
		return found, set, nil
	case known:
		return nil, nil, fail("authn.algorithm", "the key is not for "+w.algorithm.Name)
	}
	return nil, nil, fail("authn.unknown_key", s.name+" has no key "+sent(w.kid))
}

// refresh fetches the keys unless that was begun less than gap ago, and waits
// for it. All who ask meanwhile wait for the one fetch. It reports whether a
// fetch was waited for and went well.
func (s *source) refresh(ctx context.Context, gap time.Duration) bool {
	s.mu.Lock()
	flight := s.flight
	if flight == nil {
		now := s.now()
		// A clock that was set back must not stop fetching: only a true recent try counts.
		since := now.Sub(s.tried)
		if s.stopped || !s.tried.IsZero() && since >= 0 && since < gap {
			s.mu.Unlock()
			return false
		}
		flight = s.begin(nil)
	}
	s.mu.Unlock()
	return s.await(ctx, flight)
}

// begin starts the one fetch; s.mu is held. cause is what a token wanted of it, or nil.
func (s *source) begin(cause *soughtID) chan struct{} {
	s.tried = s.now()
	flight := make(chan struct{})
	s.flight = flight
	s.wg.Add(1)
	go s.fly(flight, cause)
	return flight
}

// await waits for a fetch, and reports whether it went well.
func (s *source) await(ctx context.Context, flight chan struct{}) bool {
	timer := time.NewTimer(waitForFetch)
	defer timer.Stop()
	select {
	case <-flight:
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure == nil
}

// fly is the one running fetch.
func (s *source) fly(done chan struct{}, cause *soughtID) {
	defer s.wg.Done()
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	set, raw, issuer, err := s.fetch(ctx)
	cancel()
	if err == nil {
		s.take(set, issuer)
		s.kept.write(s.set.Load(), raw)
	}
	s.mu.Lock()
	s.tries++
	if err != nil {
		s.misses++
	} else if cause != nil {
		s.sought.note(*cause, time.Now())
	}
	if err != nil && s.ctx.Err() == nil {
		s.log.Warn("fetching an issuer's keys failed", "source", s.name, "error", err)
	} else if err == nil && s.failure != nil {
		s.log.Info("fetching an issuer's keys works again", "source", s.name)
	}
	s.failure = err
	s.flight = nil
	s.mu.Unlock()
	close(done)
}

// fetch asks for the keys, as they are and as they were sent; issuer is how the
// discovery document spells the issuer.
func (s *source) fetch(ctx context.Context) (set *keySet, raw []byte, issuer string, err error) {
	from := s.from.jwks
	if from == "" {
		if from, issuer, err = discover(ctx, s.client, s.from); err != nil {
			return nil, nil, "", fmt.Errorf("discovery: %w", err)
		}
	}
	if raw, err = get(ctx, s.client, from); err != nil {
		return nil, nil, "", fmt.Errorf("key set: %w", err)
	}
	set, err = parseKeySet(raw)
	return set, raw, issuer, err
}

// take makes the keys the current ones. A set that is well formed and empty
// withdraws the keys; that is the issuer's right.
func (s *source) take(set *keySet, issuer string) {
	next := &fetched{keySet: *set, issuer: issuer, generation: 1, at: s.now()}
	if last := s.set.Load(); last != nil {
		next.generation = last.generation
		if last.digest != set.digest || last.issuer != issuer {
			next.generation++
			s.log.Info("an issuer's keys changed", "source", s.name, "keys", len(set.keys), "skipped", set.skipped)
		}
	}
	s.set.Store(next)
}

// state says why there are no keys to be believed, nil when there are.
func (s *source) state(maxAge time.Duration) error {
	if !s.remote() {
		return nil
	}
	set := s.current(s.now(), maxAge)
	if set != nil && len(set.keys) > 0 {
		return nil
	}
	if set != nil {
		return errors.New("the key set holds no usable signing key")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failure != nil && s.set.Load() != nil:
		return fmt.Errorf("the last keys are older than %s: %w", maxAge, s.failure)
	case s.failure != nil:
		return s.failure
	}
	return errors.New("not fetched yet")
}
