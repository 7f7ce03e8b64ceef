package login

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/state"
)

// Sets of the shared state, each followed by the API's name.
const (
	setSessions = "login.sessions:" // sessions that are kept there
	setSeen     = "login.seen:"     // when they were last used
	setHandoff  = "login.handoff:"  // what became of refresh tokens
	setKnown    = "login.known:"    // the issuer's session ids
	setLogouts  = "login.logouts:"  // logout tokens that have been carried out
)

var errAway = errors.New("the shared state cannot be asked")

// set is a set of the shared state, whose view is opened when it can be.
type set struct {
	store state.Store
	name  string
	most  time.Duration // for how long its view may have been out of touch
	view  atomic.Pointer[state.View]
	tried atomic.Int64
}

func newSet(store state.Store, name string, most time.Duration) *set {
	if most == 0 {
		most = revocation.DefaultMaxAge
	}
	s := &set{store: store, name: name, most: most}
	s.current()
	return s
}

func (s *set) current() state.View {
	if v := s.view.Load(); v != nil {
		return *v
	}
	now, last := time.Now().UnixMilli(), s.tried.Load()
	if now-last < 1000 || !s.tried.CompareAndSwap(last, now) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	v, err := s.store.View(ctx, s.name)
	if err != nil {
		return nil
	}
	s.view.Store(&v)
	return v
}

// get returns what a key holds; the error is errAway.
func (s *set) get(key string) ([]byte, bool, error) {
	v := s.current()
	if v == nil || v.Stale() > s.most {
		return nil, false, errAway
	}
	b, ok := v.Get(key)
	return b, ok, nil
}

func (s *set) put(ctx context.Context, key string, value []byte, expires time.Time) error {
	if err := s.store.Put(ctx, s.name, key, value, expires); err != nil {
		return fmt.Errorf("keeping in %s: %w", s.name, err)
	}
	return nil
}

// digest names something secret in the shared state.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// keep puts a session into the shared state, sealed with its ticket's secret.
func (l *Login) keep(ctx context.Context, s *session) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the session: %w", err)
	}
	r, err := newRing(l.ring.context+" "+s.ID, []string{s.secret})
	if err != nil {
		return err
	}
	return l.sessions.put(ctx, digest(s.ID), r.seal(kindSession, b), s.began().Add(l.absolute))
}

// fetch finds a ticket's session.
func (l *Login) fetch(t ticket) (*session, error) {
	b, ok, err := l.sessions.get(digest(t.ID))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errEnded
	}
	key := sha256.Sum256(append([]byte(t.Secret), b...))
	if s := l.cache.get(key); s != nil {
		return l.withSeen(s)
	}
	r, err := newRing(l.ring.context+" "+t.ID, []string{t.Secret})
	if err != nil {
		return nil, err
	}
	plain, err := r.open(kindSession, b)
	if err != nil {
		return nil, err
	}
	s, err := l.unmarshal(plain)
	if err != nil {
		return nil, err
	}
	s.secret = t.Secret
	l.cache.put(key, s)
	return l.withSeen(s)
}

// withSeen is the session as it was last seen in use: that is kept apart, so that
// a gateway which notes it cannot undo another's refresh.
func (l *Login) withSeen(s *session) (*session, error) {
	b, ok, err := l.seen.get(digest(s.ID))
	if err != nil || !ok {
		return s, err
	}
	at, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || at <= s.Seen {
		return s, nil //nolint:nilerr // an entry that is no time: the session's own holds
	}
	c := *s
	c.Seen = at
	return &c, nil
}
