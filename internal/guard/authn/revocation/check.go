package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/state"
)

// DefaultMaxAge is for how long a view may have been out of touch.
const DefaultMaxAge = 30 * time.Second

// retryEvery is how often a store that could not be asked at first is asked again.
const retryEvery = time.Second

// Checker looks identities up in the set. It is safe for concurrent use.
type Checker struct {
	store  state.Store
	maxAge time.Duration
	log    *slog.Logger
	view   atomic.Pointer[state.View]
	failed atomic.Pointer[error] // why there is no view

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// Open begins to look at the store's set. That the store cannot be asked is no
// error here: until it can, Check refuses to answer and Ready says why. maxAge
// 0 is [DefaultMaxAge].
func Open(ctx context.Context, store state.Store, maxAge time.Duration, log *slog.Logger) *Checker {
	if maxAge == 0 {
		maxAge = DefaultMaxAge
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &Checker{store: store, maxAge: maxAge, log: log, stop: stop}
	if !c.look(ctx) {
		c.wg.Go(func() {
			tick := time.NewTicker(retryEvery)
			defer tick.Stop()
			for !c.look(ctx) {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	return c
}

// look tries once to get the view.
func (c *Checker) look(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	view, err := c.store.View(ctx, Set)
	if err != nil {
		if c.failed.Swap(&err) == nil {
			c.log.Warn("revocations cannot be read: calls with credentials are refused", "error", err)
		}
		return false
	}
	c.view.Store(&view)
	if c.failed.Load() != nil {
		c.log.Info("revocations can be read again")
	}
	return true
}

// Close stops asking.
func (c *Checker) Close() {
	c.stop()
	c.wg.Wait()
}

// Ready says why revocations are not known, nil when they are.
func (c *Checker) Ready() error {
	_, err := c.current()
	return err
}

func (c *Checker) current() (state.View, error) {
	v := c.view.Load()
	if v == nil {
		if err := c.failed.Load(); err != nil {
			return nil, fmt.Errorf("revocations: %w", *err)
		}
		return nil, errors.New("revocations: not read yet")
	}
	if age := (*v).Stale(); age > c.maxAge {
		return nil, fmt.Errorf("revocations: out of touch with the shared state for %s, at most %s is allowed", age.Round(time.Second), c.maxAge)
	}
	return *v, nil
}

// Check reports whether the identity, or one beside it, was revoked, and by
// which entry. An error says that it cannot be known; then nobody is to be let in.
func (c *Checker) Check(id *exchange.Identity) (e Entry, revoked bool, err error) {
	view, err := c.current()
	if err != nil {
		return Entry{}, false, err
	}
	if view.Len() == 0 {
		return Entry{}, false, nil
	}
	if e, revoked = Look(view, id); revoked {
		return e, true, nil
	}
	for i := range id.Also {
		if e, revoked = Look(view, &id.Also[i]); revoked {
			return e, true, nil
		}
	}
	return Entry{}, false, nil
}

// Look is Check for one identity by itself and a view that is known to be in touch.
func Look(view state.View, id *exchange.Identity) (Entry, bool) {
	for _, key := range id.Revocable {
		value, ok := view.Get(key)
		if !ok {
			continue
		}
		if e := parse(value); e.Refuses(id.Issued) {
			return e, true
		}
	}
	return Entry{}, false
}
