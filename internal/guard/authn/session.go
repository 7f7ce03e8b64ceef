package authn

import (
	"context"
	"slices"

	"github.com/crenel-project/crenel/internal/exchange"
)

// Sessions knows the sessions of browsers that logged in at the gateway.
type Sessions interface {
	// Find looks for the session that a request carries.
	Find(ctx context.Context, x *exchange.Exchange) Session
	// CookieName is where a browser keeps it, for challenges.
	CookieName() string
}

// Session is what was found of a session in a request. The zero Session: nothing.
type Session struct {
	Present  bool
	Identity *exchange.Identity // nil when it does not hold
	// Token is the session's access token, "" when there is none that still holds.
	Token string
	// Code and Reason say why it does not hold.
	Code, Reason string
	Unable       bool // it could not be decided, because a dependency is down
}

const sessionKind = "session"

// newSessionMethod compiles the method that takes sessions. It stands at no one
// place: a session may fill several cookies.
func newSessionMethod(o *Options, schemes []string) *method {
	m := &method{kind: sessionKind, cookie: o.Sessions.CookieName(), schemes: schemes}
	if len(schemes) > 0 || o.API == nil {
		return m
	}
	for _, s := range sortedSchemes(o.API) {
		switch {
		case s.Type == "apiKey" && (s.In != "cookie" || s.Key != m.cookie):
		case s.Type == "mutualTLS", s.Type == "http" && s.Scheme != "bearer":
		default: // openIdConnect, oauth2, bearer, the session's own cookie
			m.schemes = append(m.schemes, s.Name)
		}
	}
	slices.Sort(m.schemes)
	return m
}

// session finds the request's session, as a credential like others.
func (g *Guard) findSession(ctx context.Context, x *exchange.Exchange) (candidate, bool) {
	s := g.sessions.Find(ctx, x)
	if !s.Present {
		return candidate{}, false
	}
	c := candidate{method: g.session, schemes: g.session.schemes, identity: s.Identity, token: s.Token}
	if s.Identity == nil {
		c.failure = &failure{code: s.Code, reason: s.Reason, unable: s.Unable}
	}
	return c, true
}
