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
	fetchTimeout  = 5 * time.Second  // of one fetch, discovery and key set together
	waitForFetch  = 2 * time.Second  // how long a request waits for one
	refreshEvery  = 5 * time.Minute  // in the background, give or take a fifth
	retryFirst    = time.Second      // after a failed fetch, doubling …
	retryMost     = time.Minute      // … up to this
	unknownKeyGap = 10 * time.Second // between fetches that unknown kids cause
	noKeysGap     = time.Second      // between fetches that requests cause while there are no keys
	// keysMaxAge is how long the last good keys are believed while the issuer cannot
	// be asked. After it nobody is let in.
	keysMaxAge = time.Hour
)

// source has one issuer's keys. It is safe for concurrent use.
type source struct {
	name   string // for logs and /readyz
	issuer string // asked by discovery when jwks is ""
	jwks   string // URL of the key set
	client *http.Client
	log    *slog.Logger
	now    func() time.Time

	set atomic.Pointer[fetched]

	mu      sync.Mutex
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
func newRemote(issuer, jwks string, client *http.Client, log *slog.Logger, now func() time.Time) *source {
	name := "issuer " + issuer
	if jwks != "" {
		name = "key set " + jwks
	}
	s := &source{name: name, issuer: issuer, jwks: jwks, client: client, log: log, now: now}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// start begins to fetch in the background, until close.
func (s *source) start() {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		retry := retryFirst
		for s.ctx.Err() == nil {
			wait := refreshEvery
			if s.refresh(s.ctx, 0) {
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
func (s *source) current(now time.Time) *fetched {
	f := s.set.Load()
	if f == nil || s.remote() && now.Sub(f.at) > keysMaxAge {
		return nil
	}
	return f
}

// generation names the keys that are believed now; false when there are none.
func (s *source) generation(now time.Time) (uint64, bool) {
	f := s.current(now)
	if f == nil {
		return 0, false
	}
	return f.generation, true
}

// lookup finds the keys that may verify a token. An unknown kid has the keys
// fetched anew, but seldom, however many ask.
func (s *source) lookup(ctx context.Context, now time.Time, kid string, a *jose.Algorithm, into []*jose.Key) ([]*jose.Key, uint64, *failure) {
	set := s.current(now)
	if set == nil {
		s.refresh(ctx, noKeysGap)
		if set = s.current(s.now()); set == nil {
			return nil, 0, unavailable("no keys of " + s.name + ": " + s.state().Error())
		}
	}
	found, known := set.match(kid, a, into)
	if !known && s.remote() && s.refresh(ctx, unknownKeyGap) {
		if set = s.current(s.now()); set != nil {
			found, known = set.match(kid, a, into)
		}
	}
	switch {
	case len(found) > 0:
		return found, set.generation, nil
	case known:
		return nil, 0, fail("authn.algorithm", "the key is not for "+a.Name)
	}
	return nil, 0, fail("authn.unknown_key", s.name+" has no key "+sent(kid))
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
		s.tried = now
		flight = make(chan struct{})
		s.flight = flight
		s.wg.Add(1)
		go s.fly(flight)
	}
	s.mu.Unlock()
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
func (s *source) fly(done chan struct{}) {
	defer s.wg.Done()
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	set, err := s.fetch(ctx)
	cancel()
	if err == nil {
		s.take(set)
	}
	s.mu.Lock()
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

func (s *source) fetch(ctx context.Context) (*keySet, error) {
	from := s.jwks
	if from == "" {
		var err error
		if from, err = discover(ctx, s.client, s.issuer); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	b, err := get(ctx, s.client, from)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return parseKeySet(b)
}

// take makes the keys the current ones. A set that is well formed and empty
// withdraws the keys; that is the issuer's right.
func (s *source) take(set *keySet) {
	next := &fetched{keySet: *set, generation: 1, at: s.now()}
	if last := s.set.Load(); last != nil {
		next.generation = last.generation
		if last.digest != set.digest {
			next.generation++
			s.log.Info("an issuer's keys changed", "source", s.name, "keys", len(set.keys), "skipped", set.skipped)
		}
	}
	s.set.Store(next)
}

// state says why there are no keys to be believed, nil when there are.
func (s *source) state() error {
	if !s.remote() {
		return nil
	}
	set := s.current(s.now())
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
		return fmt.Errorf("the last keys are older than %s: %w", keysMaxAge, s.failure)
	case s.failure != nil:
		return s.failure
	}
	return errors.New("not fetched yet")
}
