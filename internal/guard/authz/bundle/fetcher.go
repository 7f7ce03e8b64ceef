package bundle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// firstRetry is the wait after a first failure; it doubles with each further one.
const firstRetry = time.Second

// heldFor is how long a server must have held a question to be asked again at once.
const heldFor = time.Second

// localEvery is how often a file is looked at.
const localEvery = time.Second

// fetcher keeps one bundle up to date, for the engines that listen.
type fetcher struct {
	key    string
	source string // in engines
	cfg    *config.Bundle
	terms  terms
	from   place
	kept   *kept // nil: it is not kept
	log    *slog.Logger
	now    func() time.Time

	refs   int           // guarded by the pool
	first  chan struct{} // closed after the first round
	cancel context.CancelFunc
	done   chan struct{}

	turn  sync.Mutex // one delivery at a time; guards what follows
	last  *news      // nil: nothing good yet
	subs  map[*authz.Engine]bool
	etag  string    // of what was read last, good or not
	sum   string    // of its archive: for servers without etags
	heard time.Time // when last was last known to be what there is
	bad   error     // what is wrong with that
	down  error     // why the place could not be asked
}

// news is a part on its way to the engines.
type news struct {
	content *content
	part    *authz.Part
}

// newFetcher makes a fetcher and gives it what is kept on disk. Its error is a
// mistake of the config.
func newFetcher(c *config.Bundle, keys map[string]*bundle.KeyConfig, k *kept, log *slog.Logger, now func() time.Time) (*fetcher, error) {
	f := &fetcher{
		source: "bundle " + c.Name, cfg: c, terms: newTerms(c, keys), kept: k, log: log.With("bundle", c.Name), now: now,
		first: make(chan struct{}), done: make(chan struct{}), subs: map[*authz.Engine]bool{},
	}
	var err error
	switch scheme, remote := c.Remote(); {
	case !remote:
		f.from, f.kept = newLocal(c), nil
	case strings.HasPrefix(scheme, "oci"):
		f.from, err = newOCI(c)
	default:
		f.from, err = newServer(c)
	}
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", c.Name, err)
	}
	f.restore()
	return f, nil
}

// readKeys loads the keys that bundles are verified with.
func readKeys(c *config.Bundle) (map[string]*bundle.KeyConfig, error) {
	if c.Signing == nil {
		return nil, nil
	}
	out := map[string]*bundle.KeyConfig{}
	for _, k := range c.Signing.Keys {
		text := k.Secret.Reveal()
		if k.File != "" {
			data, err := os.ReadFile(k.File)
			if err != nil {
				return nil, fmt.Errorf("bundle %s: reading key %s: %w", c.Name, k.ID, err)
			}
			text = string(data)
		}
		out[k.ID] = &bundle.KeyConfig{Key: text, Algorithm: k.Algorithm}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("bundle %s: signing names no key", c.Name)
	}
	return out, nil
}

// restore takes the last good bundle from disk, verified as if it had just come.
func (f *fetcher) restore() {
	if f.kept == nil {
		return
	}
	data, m, err := f.kept.load(int64(f.cfg.Size))
	if err == nil && data != nil {
		var c *content
		if c, err = f.terms.read(data, nil); err == nil {
			f.last, f.etag = &news{content: c, part: c.part(data)}, m.ETag
			f.last.part.Heard, f.heard, f.sum = m.Confirmed, m.Confirmed, m.SHA256
		}
	}
	if err != nil {
		f.log.Warn("the bundle that was kept cannot be used", "error", err)
	}
}

// run asks again and again until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	defer close(f.done)
	defer f.from.close()
	failures, first := 0, true
	for {
		begin := time.Now()
		held, err := f.round(ctx)
		if first {
			close(f.first)
			first = false
		}
		if ctx.Err() != nil {
			return
		}
		wait := f.cfg.Interval
		if _, remote := f.cfg.Remote(); !remote {
			wait = localEvery
		}
		switch {
		case err != nil:
			wait = min(firstRetry<<min(failures, 20), wait)
			failures++
		case held && time.Since(begin) > heldFor:
			wait, failures = 0, 0
		case held:
			wait, failures = min(wait, heldFor), 0 // it does not hold, or there is much news
		default:
			failures = 0
		}
		// Gateways that were started together should not ask together for ever.
		wait += time.Duration(rand.Int64N(int64(wait)/10 + 1)) //nolint:gosec // spreading load
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// round asks once and hands on what was said.
func (f *fetcher) round(ctx context.Context) (held bool, err error) {
	f.turn.Lock()
	etag, last := f.etag, f.last
	f.turn.Unlock()
	a, err := f.from.ask(ctx, etag)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	if err != nil {
		f.fail(err)
		return false, err
	}
	f.down = nil
	at := f.now()
	if a.archive != nil {
		sum := digest(a.archive)
		a.unchanged = sum == f.sum
		f.sum, f.etag = sum, a.etag
	}
	if a.unchanged {
		if f.bad != nil {
			f.tell(f.bad) // still the one that was kept out
			return a.held, nil
		}
		f.confirm(at)
		return a.held, nil
	}
	n, err := f.make(a, last)
	if err != nil {
		f.etag, f.bad = a.etag, fmt.Errorf("kept out: %w", err)
		if errors.Is(err, errDelta) || last != nil && strings.Contains(err.Error(), "delta") {
			f.etag, f.sum = "", "" // the next one is to be whole
		}
		f.log.Error("a bundle was kept out", "error", err)
		f.tell(f.bad)
		return false, f.bad
	}
	n.part.Heard, f.heard = at, at
	f.last, f.etag, f.bad = n, a.etag, nil
	for e := range f.subs {
		f.deliver(ctx, e)
	}
	return a.held, nil
}

// make makes a part of what was fetched.
func (f *fetcher) make(a *answer, last *news) (*news, error) {
	var base *content
	if last != nil {
		base = last.content
	}
	n := &news{}
	var err error
	if a.dir != "" {
		n.content, err = f.terms.load(bundle.NewDirectoryLoader(a.dir).WithSizeLimitBytes(f.terms.unpacked), base)
	} else {
		n.content, err = f.terms.read(a.archive, base)
	}
	if err != nil {
		return nil, err
	}
	archive := a.archive
	if f.kept != nil && base != nil && len(base.modules) > 0 && len(n.content.modules) > 0 && &base.modules[0] == &n.content.modules[0] {
		if archive, err = n.content.pack(); err != nil { // a delta has no archive of the whole
			return nil, err
		}
	}
	n.part = n.content.part(archive)
	if f.kept != nil {
		var once sync.Once
		n.part.Accepted = func() {
			once.Do(func() {
				if err := f.kept.save(archive, a.etag, n.part.Heard); err != nil {
					f.log.Warn("the bundle could not be kept for a start without its server", "error", err)
				}
			})
		}
	}
	return n, nil
}

// deliver hands the last good part to an engine.
func (f *fetcher) deliver(ctx context.Context, e *authz.Engine) {
	err := e.Update(ctx, map[string]*authz.Part{f.source: f.last.part})
	if err != nil {
		f.log.Error("a bundle was kept out, the last good one decides", "revision", f.last.part.Revision, "error", err)
		return
	}
	f.log.Info("bundle activated", "revision", f.last.part.Revision)
}

func (f *fetcher) confirm(at time.Time) {
	if f.last != nil {
		f.heard = at
		for e := range f.subs {
			e.Confirm(f.source, at)
		}
	}
	if f.kept != nil {
		if err := f.kept.confirm(f.etag, at); err != nil {
			f.log.Warn("when the bundle was last confirmed could not be written down", "error", err)
		}
	}
}

func (f *fetcher) fail(err error) {
	if f.down == nil || f.down.Error() != err.Error() {
		f.log.Warn("the bundle cannot be had", "error", err)
	}
	f.down = err
	if f.bad != nil {
		err = errors.Join(f.bad, err)
	}
	f.tell(err)
}

func (f *fetcher) tell(err error) {
	for e := range f.subs {
		e.Fail(f.source, err)
	}
}
