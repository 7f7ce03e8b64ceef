package state

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Store is shared state. It is safe for concurrent use.
type Store interface {
	// First marks key for ttl and reports whether nobody had marked it yet, on any
	// gateway: of two that ask at once, one is first. For replay caches.
	First(ctx context.Context, key string, ttl time.Duration) (bool, error)
	// Put makes key of a set hold value, on every gateway, until expires; the zero
	// time is never. When it returns, this process's views have it.
	Put(ctx context.Context, set, key string, value []byte, expires time.Time) error
	// PutIf is Put, provided that key still holds was (nil: nothing); it reports
	// whether it did. Of two gateways that change one entry neither undoes the other.
	PutIf(ctx context.Context, set, key string, was, value []byte, expires time.Time) (bool, error)
	// Drop removes key from a set on every gateway.
	Drop(ctx context.Context, set, key string) error
	// View returns the local copy of a set, filled before it returns; an error when
	// it could not be. Views of one set share the copy. It lives until the Store is
	// closed.
	View(ctx context.Context, set string) (View, error)
	// Ready says why the store cannot be asked, or that it can.
	Ready() error
	// Close ends all views.
	Close() error
}

// View is a local copy of a set. It is safe for concurrent use.
type View interface {
	// Get returns what key holds. The value is shared and read only.
	Get(key string) (value []byte, ok bool)
	// All gives every entry that has not ended, in no order, as it was when it was asked for.
	All() iter.Seq2[string, []byte]
	// Len is how many entries there are. A view of none costs its reader nothing.
	Len() int
	// Stale is for how long the copy has been out of touch with the others; 0 when it
	// is not. What it holds may be believed for as long as the config's state.max_age;
	// what leans on it must then deny.
	Stale() time.Duration
	// Watch has f called with each entry that is put (value non-nil) or dropped
	// (nil), in order, from one goroutine, until stop is called. f must not block.
	Watch(f func(key string, value []byte)) (stop func())
}

// ErrFull is returned when a bound on the number of entries is reached: what
// cannot be remembered must not be let pass.
var ErrFull = errors.New("state: no more room")

// ErrClosed is returned by a Store that was closed.
var ErrClosed = errors.New("state: closed")
