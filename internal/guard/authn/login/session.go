package login

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/oauth"
)

// session is a logged-in browser. What is exported is sealed; the rest is made
// from it. Immutable once opened.
type session struct {
	ID       string `json:"i"` // random, of this session alone
	Began    int64  `json:"b"` // seconds since 1970, as all times here
	Seen     int64  `json:"n"` // when it was last known to be in use, give or take
	Issued   string `json:"t"` // the ID token
	Userinfo string `json:"u,omitempty"`
	Access   string `json:"a,omitempty"`
	// AccessEnd is when the access token ends, 0 where that is not known.
	AccessEnd  int64  `json:"e,omitempty"`
	AccessLife int64  `json:"l,omitempty"`
	Refresh    string `json:"r,omitempty"`
	Scope      string `json:"s,omitempty"`

	// Secret is what opens the session in the shared state; it stands in the cookie alone.
	secret   string
	claims   *authn.Claims // of the ID token
	identity *exchange.Identity
}

// ticket is what the cookie of a session holds that is kept in the shared state.
type ticket struct {
	ID     string `json:"i"`
	Secret string `json:"k"`
}

// tokens are what a grant gave, verified.
type tokens struct {
	idToken  string // "" when a refresh gave none
	claims   *authn.Claims
	userinfo string
	answer   *oauth.Token
}

// begin makes a session of a login's tokens.
func (l *Login) begin(t *tokens, now time.Time) (*session, error) {
	s := &session{ID: rand.Text(), Began: now.Unix(), Seen: now.Unix(), secret: rand.Text()}
	s.take(t, l.scopes, now)
	return s, l.derive(s)
}

// renewed is the session with the tokens of a refresh.
func (l *Login) renewed(s *session, t *tokens, now time.Time) (*session, error) {
	next := *s
	next.identity, next.claims = nil, nil
	next.Seen = now.Unix()
	next.take(t, s.Scope, now)
	return &next, l.derive(&next)
}

func (s *session) take(t *tokens, scope string, now time.Time) {
	if t.idToken != "" {
		s.Issued = t.idToken
	}
	if t.userinfo != "" {
		s.Userinfo = t.userinfo
	}
	a := t.answer
	s.Access, s.AccessEnd, s.AccessLife = a.Access, 0, 0
	if a.Life > 0 {
		s.AccessEnd, s.AccessLife = now.Add(a.Life).Unix(), int64(a.Life.Seconds())
	}
	if a.Refresh != "" {
		s.Refresh = a.Refresh
	}
	if s.Scope = a.Scope; s.Scope == "" {
		s.Scope = scope // RFC 6749 section 5.1: as asked for
	}
}

// derive reads the identity from a session's tokens, which were verified when
// they came.
func (l *Login) derive(s *session) error {
	claims, err := authn.ParseToken(s.Issued)
	if err != nil {
		return fmt.Errorf("the ID token: %w", err)
	}
	s.claims = claims
	from := claims
	switch l.cfg.Identity {
	case "access_token":
		if from, err = authn.ParseToken(s.Access); err != nil {
			return fmt.Errorf("the access token: %w", err)
		}
	case "userinfo":
		if from, err = claims.Join([]byte(s.Userinfo)); err != nil {
			return fmt.Errorf("the userinfo claims: %w", err)
		}
	}
	id, err := from.Identity(l.cfg.Claims)
	if err != nil {
		return fmt.Errorf("reading the identity: %w", err)
	}
	began := time.Unix(s.Began, 0)
	id.Method, id.Verified = "session", true
	id.Issuer = l.issuer
	id.Issued, id.Expires = began, began.Add(l.absolute)
	id.ClientID = l.client.ID()
	if len(id.Scopes) == 0 {
		id.Scopes = strings.Fields(s.Scope)
	}
	id.Session = claims.Text("sid")
	id.Revocable = append(revocation.SubjectKeys(l.issuer, claims.Text("sub")), revocation.ForSession(l.own, s.ID))
	if id.Subject != claims.Text("sub") {
		id.Revocable = append(id.Revocable, revocation.SubjectKeys(l.issuer, id.Subject)...)
	}
	// Events may name people by these (RFC 9493).
	if email := from.Text("email"); email != "" {
		id.Revocable = append(id.Revocable, revocation.ForEmail(l.issuer, email))
	}
	if phone := from.Text("phone_number"); phone != "" {
		id.Revocable = append(id.Revocable, revocation.ForPhone(l.issuer, phone))
	}
	if id.Session != "" {
		id.Revocable = append(id.Revocable, revocation.SessionKeys(l.issuer, id.Session)...)
	} else {
		id.Session = s.ID
	}
	// Limits and records count by it: a name of the session that tells nothing of it.
	id.Credential = l.ring.name("session " + s.ID)
	s.identity = id
	return nil
}

func (s *session) began() time.Time { return time.Unix(s.Began, 0) }

// over reports why a session's time is up, "" when it is not.
func (l *Login) over(s *session, now time.Time) string {
	switch {
	case !now.Before(s.began().Add(l.absolute)):
		return "the session has reached its end"
	case !now.Before(time.Unix(s.Seen, 0).Add(l.idle)):
		return "the session was not used for too long"
	case now.Before(s.began().Add(-maxAhead)):
		return "the session begins in the future"
	}
	return ""
}

// maxAhead is how far the clocks of two gateways may be apart.
const maxAhead = 5 * time.Minute

var errEnded = errors.New("the session has ended")

// encode is the value of the session's cookies. A session in the shared state is
// not put there by it.
func (l *Login) encode(s *session) (string, error) {
	if l.sessions == nil {
		b, err := json.Marshal(s)
		if err != nil {
			return "", fmt.Errorf("encoding the session: %w", err)
		}
		return l.ring.sealText(kindSession, b), nil
	}
	b, err := json.Marshal(ticket{s.ID, s.secret}) //nolint:gosec // to be sealed
	if err != nil {
		return "", fmt.Errorf("encoding the session: %w", err)
	}
	return l.ring.sealText(kindTicket, b), nil
}

// decode opens what encode made. The error is errEnded where a session was in
// the shared state and is no longer, errAway where the state cannot be asked.
func (l *Login) decode(value string) (*session, error) {
	if l.sessions == nil {
		b, err := l.ring.openText(kindSession, value)
		if err != nil {
			return nil, err
		}
		return l.unmarshal(b)
	}
	b, err := l.ring.openText(kindTicket, value)
	if err != nil {
		return nil, err
	}
	var t ticket
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, errSeal
	}
	return l.fetch(t)
}

func (l *Login) unmarshal(b []byte) (*session, error) {
	s := new(session)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, errSeal
	}
	if err := l.derive(s); err != nil {
		return nil, err
	}
	return s, nil
}

// about is what a session tells the browser it belongs to.
func (l *Login) about(s *session) map[string]any {
	out := map[string]any{}
	all := s.identity.Claims
	for name, v := range s.claims.Map() {
		if slices.Contains(l.cfg.Show, name) {
			out[name] = v
		}
	}
	for name, v := range all {
		if slices.Contains(l.cfg.Show, name) {
			out[name] = v
		}
	}
	return out
}
