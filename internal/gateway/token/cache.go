package token

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/oauth"
)

// forgetFailure is for how long a failure is remembered, so that a server that is
// down or refuses is not asked by every call.
const forgetFailure = time.Second

type key = [sha256.Size]byte

// cache keeps tokens by the digest of what they were had for, the least recently
// used leaving first, and has each asked for once however many want it.
type cache struct {
	most   int
	now    func() time.Time
	within time.Duration // of one grant
	margin time.Duration

	ctx  context.Context //nolint:containedctx // the life of grants, which close ends
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	entries map[key]*list.Element // of *entry
	order   *list.List            // the most recently used first
	flights map[key]*flight
}

type entry struct {
	key        key
	token      string
	renew, end time.Time
	failure    error // in place of a token
}

type flight struct {
	done  chan struct{}
	token string
	err   error
}

func newCache(most int, now func() time.Time, within time.Duration) *cache {
	c := &cache{most: max(1, most), now: now, within: within, entries: map[key]*list.Element{}, order: list.New(), flights: map[key]*flight{}}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

func (c *cache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.wg.Wait()
}

var (
	errSlow   = errors.New("the authorization server did not answer in time")
	errClosed = errors.New("the gateway stops")
)

// get returns the token that is kept under a key, or has it granted. until is when
// it may no longer be used whatever its own end; zero is never.
func (c *cache) get(ctx context.Context, k key, until time.Time, grant func(context.Context) (*oauth.Token, error)) (string, error) {
	now := c.now()
	c.mu.Lock()
	if at := c.entries[k]; at != nil {
		e := at.Value.(*entry)
		switch {
		case !now.Before(e.end):
			c.remove(at)
		case e.failure != nil:
			c.mu.Unlock()
			return "", e.failure
		default:
			c.order.MoveToFront(at)
			if !now.Before(e.renew) {
				c.fly(k, until, grant)
			}
			c.mu.Unlock()
			return e.token, nil
		}
	}
	f := c.fly(k, until, grant)
	c.mu.Unlock()
	timer := time.NewTimer(c.within)
	defer timer.Stop()
	select {
	case <-f.done:
		return f.token, f.err
	case <-timer.C:
		return "", errSlow
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// fly joins the grant of a key, or begins it; c.mu is held.
func (c *cache) fly(k key, until time.Time, grant func(context.Context) (*oauth.Token, error)) *flight {
	if f := c.flights[k]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	if c.closed {
		f.err = errClosed
		close(f.done)
		return f
	}
	c.flights[k] = f
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, c.within)
		defer cancel()
		t, err := grant(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.flights, k)
		if f.err = err; err == nil {
			f.token = t.Access
		}
		c.keep(k, t, err, until)
		close(f.done)
	})
	return f
}

// keep puts what came of a grant in; c.mu is held.
func (c *cache) keep(k key, t *oauth.Token, err error, until time.Time) {
	now := c.now()
	e := &entry{key: k, failure: err, end: now.Add(forgetFailure)}
	at := c.entries[k]
	if err != nil && at != nil && at.Value.(*entry).failure == nil && now.Before(at.Value.(*entry).end) {
		// Renewing ahead failed: the last one still holds. It is tried again soon.
		at.Value.(*entry).renew = now.Add(forgetFailure)
		return
	}
	if err == nil {
		life := t.Life
		if life == 0 {
			life = unknownLife + c.margin
		}
		e.token, e.end = t.Access, now.Add(life-c.margin)
		if !until.IsZero() && until.Before(e.end) {
			e.end = until
		}
		if !e.end.After(now) {
			return // good for who waits for it, and no longer
		}
		e.renew = e.end.Add(-min(time.Minute, e.end.Sub(now)/5))
	}
	if at != nil {
		c.remove(at)
	}
	for len(c.entries) >= c.most {
		c.remove(c.order.Back())
	}
	c.entries[k] = c.order.PushFront(e)
}

func (c *cache) remove(at *list.Element) {
	c.order.Remove(at)
	delete(c.entries, at.Value.(*entry).key)
}
