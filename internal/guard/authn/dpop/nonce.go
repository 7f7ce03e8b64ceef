package dpop

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/state"
)

// nonceSet is the shared set of the keys that nonces are made with.
const nonceSet = "dpop-nonce-keys"

// Shape of a nonce: the key's name, the time in seconds, and a keyed digest of both.
const (
	nameSize  = 8
	timeSize  = 8
	macSize   = 16
	nonceSize = nameSize + timeSize + macSize
	keySize   = 32
	// renewEvery is how long a gateway makes nonces with one key.
	renewEvery = time.Hour
	// retryEvery is how often a key that could not be shared is offered again.
	retryEvery = 5 * time.Second
	putTimeout = 500 * time.Millisecond
)

// Nonces makes nonces and knows its own again, without remembering any. With a
// secret every key follows from it and from the time, so that gateways with the
// same secret take each other's. Without one each gateway makes keys of its own
// and shares them through state: a gateway that has not heard of a key yet asks
// the client to try with another nonce, and lets nobody in.
type Nonces struct {
	life   time.Duration
	secret []byte
	store  state.Store
	view   state.View

	mu      sync.Mutex
	current nonceKey
	last    nonceKey // the one before, for nonces still under way
	offered time.Time
	shared  bool // current is in the set
}

type nonceKey struct {
	name  [nameSize]byte
	key   []byte
	begin time.Time
}

// NewNonces makes them; a nonce is good for life. store may be nil when there is
// a secret.
func NewNonces(ctx context.Context, life time.Duration, secret []byte, store state.Store) (*Nonces, error) {
	n := &Nonces{life: life, secret: secret, store: store}
	if len(secret) == 0 {
		var err error
		if n.view, err = store.View(ctx, nonceSet); err != nil {
			return nil, fmt.Errorf("sharing the keys of nonces: %w", err)
		}
	}
	return n, nil
}

// Issue makes a nonce.
func (n *Nonces) Issue(now time.Time) string {
	k := n.issuer(now)
	b := make([]byte, nameSize+timeSize, nonceSize)
	copy(b, k.name[:])
	binary.BigEndian.PutUint64(b[nameSize:], uint64(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, seal(k.key, b)...))
}

// check reports whether a nonce is one of ours that is still good, and its age.
func (n *Nonces) check(text string, now time.Time) (age time.Duration, ok bool) {
	var b [nonceSize]byte
	if len(text) != base64.RawURLEncoding.EncodedLen(nonceSize) {
		return 0, false
	}
	if m, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(text)); err != nil || m != nonceSize {
		return 0, false
	}
	seconds := binary.BigEndian.Uint64(b[nameSize:])
	if seconds > 1<<40 {
		return 0, false
	}
	age = now.Sub(time.Unix(int64(seconds), 0))
	// Clocks of gateways differ a little; a nonce from further ahead is none of ours.
	if age < -time.Minute || age >= n.life {
		return 0, false
	}
	key := n.find([nameSize]byte(b[:nameSize]), time.Unix(int64(seconds), 0))
	if key == nil || !hmac.Equal(seal(key, b[:nameSize+timeSize]), b[nameSize+timeSize:]) {
		return 0, false
	}
	return age, true
}

func seal(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

// issuer returns the key that nonces are made with now.
func (n *Nonces) issuer(now time.Time) nonceKey {
	if n.secret != nil {
		return n.derived(now)
	}
	n.mu.Lock()
	if age := now.Sub(n.current.begin); n.current.key == nil || age >= renewEvery || age < 0 {
		n.last = n.current
		n.current = nonceKey{key: make([]byte, keySize), begin: now}
		// crypto/rand does not fail: it ends the program where it cannot be had.
		_, _ = rand.Read(n.current.name[:])
		_, _ = rand.Read(n.current.key)
		n.shared, n.offered = false, time.Time{}
	}
	k, offer := n.current, !n.shared && now.Sub(n.offered) >= retryEvery
	if offer {
		n.offered = now
	}
	n.mu.Unlock()
	if !offer {
		return k
	}
	ctx, cancel := context.WithTimeout(context.Background(), putTimeout)
	err := n.store.Put(ctx, nonceSet, hex.EncodeToString(k.name[:]), k.key, now.Add(renewEvery+2*n.life))
	cancel()
	n.mu.Lock()
	// Until it is shared, the other gateways ask for another nonce.
	n.shared = err == nil && n.current.name == k.name
	n.mu.Unlock()
	return k
}

// find returns the key of a name, or nil.
func (n *Nonces) find(name [nameSize]byte, made time.Time) []byte {
	if n.secret != nil {
		k := n.derived(made)
		if k.name != name {
			return nil
		}
		return k.key
	}
	n.mu.Lock()
	current, last := n.current, n.last
	n.mu.Unlock()
	switch {
	case current.key != nil && current.name == name:
		return current.key
	case last.key != nil && last.name == name:
		return last.key
	}
	if key, ok := n.view.Get(hex.EncodeToString(name[:])); ok && len(key) == keySize {
		return key
	}
	return nil
}

// derived is the key of the hour, made from the secret.
func (n *Nonces) derived(at time.Time) nonceKey {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(at.Unix()/int64(renewEvery/time.Second)))
	h := hmac.New(sha256.New, n.secret)
	h.Write([]byte("crenel dpop nonce\x00"))
	h.Write(b[:])
	k := nonceKey{key: h.Sum(nil)}
	copy(k.name[:], b[:])
	return k
}
