package bundle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// startWait is how long a start waits for the servers' first answers.
const startWait = 5 * time.Second

// Pool holds the fetchers of a process. A fetcher lives as long as any feed uses
// it, so that a reload with the same bundle goes on with what there is.
type Pool struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	fetchers map[string]*fetcher
}

// NewPool makes a pool that keeps bundles below a folder; "" keeps none. now may be nil.
func NewPool(dir string, log *slog.Logger, now func() time.Time) *Pool {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	return &Pool{dir: dir, log: log, now: now, fetchers: map[string]*fetcher{}}
}

// Feed is the bundles of one API, for an engine.
type Feed struct {
	pool    *Pool
	mine    []*fetcher // sorted by key, the order in which their turns are taken
	sources []authz.Source
	engine  *authz.Engine
}

var _ authz.Feed = (*Feed)(nil)

// Feed begins to fetch the bundles of an API, unless they are being fetched. The
// error names every mistake.
func (p *Pool) Feed(api string, list []config.Bundle) (*Feed, error) {
	f := &Feed{pool: p}
	var errs []error
	for i := range list {
		one, err := p.acquire(api, &list[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f.mine = append(f.mine, one)
		f.sources = append(f.sources, authz.Source{Name: one.source, MaxAge: list[i].MaxAge})
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, f.Close())...)
	}
	slices.SortFunc(f.mine, func(a, b *fetcher) int { return cmp.Compare(a.key, b.key) })
	return f, nil
}

// acquire returns the fetcher of a bundle, made when there is none.
func (p *Pool) acquire(api string, c *config.Bundle) (*fetcher, error) {
	keys, err := readKeys(c)
	if err != nil {
		return nil, err
	}
	key, err := identity(api, c, keys)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.fetchers[key]; f != nil {
		f.refs++
		return f, nil
	}
	own := *c
	var k *kept
	if p.dir != "" && (c.Persist == nil || *c.Persist) {
		k = &kept{dir: filepath.Join(p.dir, api), name: c.Name, url: c.URL}
	}
	f, err := newFetcher(&own, keys, k, p.log.With("api", api), p.now)
	if err != nil {
		return nil, err
	}
	f.key, f.refs = key, 1
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	p.fetchers[key] = f
	go f.run(ctx)
	return f, nil
}

// identity is a digest of all that a fetcher is made of, secrets and the content
// of key files too: when one differs it is another fetcher.
func identity(api string, c *config.Bundle, keys map[string]*bundle.KeyConfig) (string, error) {
	// A config marshals its secrets as nothing.
	text, err := json.Marshal([]any{api, c, c.Token.Reveal(), password(c), keys})
	if err != nil {
		return "", fmt.Errorf("bundle %s: %w", c.Name, err)
	}
	sum := sha256.Sum256(text)
	return c.Name + "/" + hex.EncodeToString(sum[:]), nil
}

func password(c *config.Bundle) string {
	if c.Basic == nil {
		return ""
	}
	return c.Basic.Password.Reveal()
}

// release gives a fetcher back; the last one to do so ends it.
func (p *Pool) release(f *fetcher) {
	p.mu.Lock()
	f.refs--
	last := f.refs == 0
	if last {
		delete(p.fetchers, f.key)
	}
	p.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}

// Sources are the bundles, as an engine knows them.
func (f *Feed) Sources() []authz.Source { return f.sources }

// Start hands the bundles to an engine: first what was there before (kept on
// disk, or fetched for the generation before this one), then what the servers
// say, for which it waits a little. All that come together are activated together.
func (f *Feed) Start(ctx context.Context, e *authz.Engine) error {
	f.engine = e
	f.update(ctx, e, false)
	late := time.NewTimer(startWait)
	defer late.Stop()
	for _, one := range f.mine {
		select {
		case <-one.first:
		case <-late.C:
			late.Reset(0)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.update(ctx, e, true)
	return nil
}

// update gives an engine what the fetchers have, all at once. subscribe has them
// go on with each on their own.
func (f *Feed) update(ctx context.Context, e *authz.Engine, subscribe bool) {
	for _, one := range f.mine {
		one.turn.Lock()
		defer one.turn.Unlock()
	}
	parts := map[string]*authz.Part{}
	for _, one := range f.mine {
		if one.last != nil {
			parts[one.source] = one.last.part
		}
	}
	if len(parts) > 0 {
		if err := e.Update(ctx, parts); err != nil {
			f.pool.log.Error("bundles were kept out", "error", err)
		}
	}
	if !subscribe {
		return
	}
	for _, one := range f.mine {
		one.subs[e] = true
		switch err := errors.Join(one.bad, one.down); {
		case err != nil:
			e.Fail(one.source, err)
		case one.last != nil:
			e.Confirm(one.source, one.heard)
		}
	}
}

// Close ends the deliveries to the engine.
func (f *Feed) Close() error {
	for _, one := range f.mine {
		one.turn.Lock()
		delete(one.subs, f.engine)
		one.turn.Unlock()
		f.pool.release(one)
	}
	f.mine = nil
	return nil
}
