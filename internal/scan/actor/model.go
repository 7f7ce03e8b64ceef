package actor

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// The names of the people that a run may have. Checks name actors by these;
// fresh accounts made during the run are called "fresh1", "fresh2" ….
const (
	User    = "user"    // owns things
	Peer    = "peer"    // another user of the same role (and the same tenant, where there are tenants and it can be had)
	Foreign = "foreign" // a user of the same role in another tenant; absent when there are no tenants
	Admin   = "admin"   // only when credentials are given
	Nobody  = ""        // no credentials
)

// Actor is one person.
type Actor struct {
	Name string
	Role string // as the configuration calls it; "" unknown
	// Facts are what is known of the account: "id", "email", "username",
	// "password", "tenant", "phone", and whatever the login or who-am-I
	// answer held as a scalar, by name.
	Facts   map[string]string
	Session *Session // nil: not logged in (nobody never is)
	Made    bool     // the run registered the account itself
	Granted bool     // somebody who is logged in made it, and gave it a role that the run chose
	// Proven says by which call the session was seen to be worth something, "" when nothing tells.
	Proven string

	by       *entrance // how it logs in again
	witness  *witness
	turn     sync.Mutex // taken for a request where each answer brings a new credential
	renew    sync.Mutex
	who      *persona
	asked    time.Time     // when it was last looked whether the session lives; guarded by People.mu
	patience time.Duration // how long none is taken after it; guarded by People.mu
	apart    atomic.Int32  // sessions that are being opened beside its own
}

// Session is what makes a request an actor's. An actor's own may change while
// it is used (credentials that rotate, renewal): Apply and Snapshot are safe
// then, reading Parts is not.
type Session struct {
	Parts   []Part // the credential that matters most first
	Opened  time.Time
	Expires time.Time // zero: unknown
	Refresh string    // refresh token, "" none

	mu      sync.RWMutex
	rotates bool // answers bring the credential of the next request
}

// Snapshot is what the session's parts are now.
func (s *Session) Snapshot() []Part {
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.Parts)
}

// become takes over what another session holds.
func (s *Session) become(o *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Parts, s.Opened, s.Expires, s.Refresh, s.rotates = o.Parts, o.Opened, o.Expires, o.Refresh, o.rotates
}

// Part is one credential in one place of a request.
type Part struct {
	In     string // "header", "cookie", "query"
	Name   string // "Authorization", "X-Auth-Token", "sid", "api_key"
	Prefix string // "Bearer ", "Token ", "Token token=", "Basic ", or ""
	Value  string // the credential itself: secret
	CSRF   bool   // goes along with the credential, is none itself
}

// Computed reports whether the value itself is never sent: what is, is computed from it
// for each request (HTTP Digest).
func (part Part) Computed() bool { return part.In == "header" && part.Prefix == target.DigestPrefix }

// Apply puts the session's credentials on a request, in place of any that are
// there under the same names.
func (s *Session) Apply(r *target.Request) {
	for _, p := range s.Snapshot() {
		p.apply(r)
	}
}
