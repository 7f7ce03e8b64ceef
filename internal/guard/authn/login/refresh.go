package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/crenel-project/crenel/internal/oauth"
)

const (
	// handoffKeep is how long what became of a refresh token is kept for requests
	// that still carry it: those that were on their way, and a browser that did not
	// get the answer.
	handoffKeep = 10 * time.Minute
	handoffPoll = 20 * time.Millisecond
	maxHandoffs = 8 // followed for one request

	// What stands in place of a session.
	tombstone = "ended"  // the issuer refused the refresh token
	outage    = "failed" // the issuer could not be asked just now: nobody else need wait to find out
)

// errRefresh is that the tokens are over and no new ones can be had.
type refreshError struct{ err error }

func (e *refreshError) Error() string { return e.err.Error() }
func (e *refreshError) Unwrap() error { return e.err }

// flight is a refresh that is under way in this process.
type flight struct {
	done chan struct{}
	next *session
	err  error
}

// due reports whether a session's access token ends soon, and whether it has ended.
func (s *session) due(now time.Time) (soon, over bool) {
	if s.Refresh == "" || s.AccessEnd == 0 {
		return false, false
	}
	ahead := min(60, s.AccessLife/5)
	return now.Unix() >= s.AccessEnd-ahead, now.Unix() >= s.AccessEnd
}

// handoffKey names a session's refresh token in the shared state. The token's end is
// part of it: an issuer that does not rotate gives the same refresh token again.
func (l *Login) handoffKey(s *session) string {
	return l.ring.name("refresh " + s.ID + " " + s.Refresh + " " + strconv.FormatInt(s.AccessEnd, 10))
}

// fresh returns the session with tokens that hold. Where they end soon, a refresh
// is begun beside the request; where they have ended, the request waits for it. Of
// all requests on all gateways that carry one refresh token, one uses it, and the
// others take what it got: a refresh token that is used twice ends the session at
// an issuer that rotates them (RFC 9700 section 4.14.2).
func (l *Login) fresh(ctx context.Context, s *session, now time.Time) (*session, error) {
	for range maxHandoffs {
		soon, over := s.due(now)
		if !soon {
			return s, nil
		}
		key := l.handoffKey(s)
		next, err := l.handedOff(key, s)
		if down := (*refreshError)(nil); errors.As(err, &down) && !over {
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		if next != nil {
			s = next
			continue
		}
		f := l.begun(key, s)
		if !over {
			return s, nil
		}
		timer := time.NewTimer(l.client.Timeout())
		select {
		case <-f.done:
			timer.Stop()
			return f.next, f.err
		case <-timer.C:
			return nil, &refreshError{errors.New("the issuer did not answer in time")}
		case <-ctx.Done():
			timer.Stop()
			return nil, &refreshError{ctx.Err()}
		}
	}
	return nil, errEnded
}

// handedOff returns what another request's refresh got, nil when there was none.
func (l *Login) handedOff(key string, s *session) (*session, error) {
	b, ok, err := l.handoff.get(key)
	if err != nil || !ok {
		return nil, err
	}
	switch string(b) {
	case tombstone:
		return nil, errEnded
	case outage:
		return nil, &refreshError{errors.New("the issuer could not be asked a moment ago")}
	}
	plain, err := l.ring.open(kindHandoff, b)
	if err != nil {
		return nil, err
	}
	next, err := l.unmarshal(plain)
	if err != nil {
		return nil, err
	}
	if next.ID != s.ID {
		return nil, errSeal
	}
	next.secret = s.secret
	next.Seen = max(next.Seen, s.Seen)
	return next, nil
}

// begun joins the refresh of a refresh token, or begins it.
func (l *Login) begun(key string, s *session) *flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.flights[key]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	if l.closed {
		f.err = &refreshError{errors.New("the gateway stops")}
		close(f.done)
		return f
	}
	l.flights[key] = f
	l.wg.Go(func() {
		// Not the request's: what a refresh token was traded for must be kept even
		// when who asked has gone.
		ctx, cancel := context.WithTimeout(l.ctx, 2*l.client.Timeout())
		defer cancel()
		f.next, f.err = l.refresh(ctx, key, s)
		l.mu.Lock()
		delete(l.flights, key)
		l.mu.Unlock()
		close(f.done)
	})
	return f
}

// refresh uses a refresh token, unless another gateway does.
func (l *Login) refresh(ctx context.Context, key string, s *session) (*session, error) {
	first, err := l.store.First(ctx, "login.refresh:"+key, l.client.Timeout()+time.Second)
	if err != nil {
		return nil, &refreshError{fmt.Errorf("the shared state: %w", err)}
	}
	if !first {
		return l.await(ctx, key, s)
	}
	if next, err := l.handedOff(key, s); next != nil || err != nil {
		return next, err
	}
	next, err := l.trade(ctx, s)
	if oauth.Refused(err) {
		l.log.Info("the issuer ended a session at its refresh", "subject", s.identity.Subject, "error", err)
		if err := l.handoff.put(ctx, key, []byte(tombstone), l.now().Add(handoffKeep)); err != nil {
			return nil, &refreshError{err}
		}
		if err := l.end(ctx, s, "refresh refused"); err != nil {
			return nil, &refreshError{err}
		}
		return nil, errEnded
	}
	if err != nil {
		l.log.Warn("refreshing a session's tokens failed", "subject", s.identity.Subject, "error", err)
		if err := l.handoff.put(ctx, key, []byte(outage), l.now().Add(l.client.Timeout())); err != nil {
			return nil, &refreshError{err}
		}
		return nil, &refreshError{err}
	}
	b, err := json.Marshal(next)
	if err != nil {
		return nil, &refreshError{err}
	}
	if l.sessions != nil {
		if err := l.keep(ctx, next); err != nil {
			return nil, &refreshError{err}
		}
	}
	if err := l.handoff.put(ctx, key, l.ring.seal(kindHandoff, b), l.now().Add(handoffKeep)); err != nil {
		return nil, &refreshError{err}
	}
	return next, nil
}

// trade asks the issuer for new tokens and verifies them.
func (l *Login) trade(ctx context.Context, s *session) (*session, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.Refresh}}
	for _, r := range l.cfg.Resource {
		form.Add("resource", r)
	}
	answer, err := l.client.Grant(ctx, form)
	if err != nil {
		return nil, err
	}
	t := &tokens{idToken: answer.ID, answer: answer}
	if answer.ID != "" {
		// OpenID Connect Core section 12.2: the same issuer, subject and audience; no nonce is needed.
		if t.claims, err = l.idTokens.Verify(ctx, answer.ID); err != nil {
			return nil, fmt.Errorf("the refreshed ID token: %w", err)
		}
		if t.claims.Text("sub") != s.claims.Text("sub") {
			return nil, errors.New("the refreshed ID token is of another subject")
		}
		if sid := s.claims.Text("sid"); sid != "" && t.claims.Text("sid") != sid {
			// A logout token names the session by it; the first ID token keeps it.
			t.idToken = ""
		}
	}
	if err := l.complete(ctx, t, s.claims); err != nil {
		return nil, err
	}
	return l.renewed(s, t, l.now())
}

// await waits for what another gateway's refresh gets.
func (l *Login) await(ctx context.Context, key string, s *session) (*session, error) {
	tick := time.NewTicker(handoffPoll)
	defer tick.Stop()
	timer := time.NewTimer(l.client.Timeout())
	defer timer.Stop()
	for {
		if next, err := l.handedOff(key, s); next != nil || err != nil {
			return next, err
		}
		select {
		case <-tick.C:
		case <-timer.C:
			return nil, &refreshError{errors.New("another gateway refreshes it, and has not done so in time")}
		case <-ctx.Done():
			return nil, &refreshError{ctx.Err()}
		}
	}
}
