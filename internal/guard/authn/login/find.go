package login

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
)

// CSRFHeader is the field in which a page's writes bring their token.
const CSRFHeader = "X-Csrf-Token"

// Sessions is a login as one API takes its sessions.
type Sessions struct {
	login *Login
	// origins are those whose pages may write, beside the login's own.
	origins []string
}

var _ authn.Sessions = (*Sessions)(nil)

// Sessions returns the login for an API, whose allowed origins may use sessions
// beside the login's own.
func (l *Login) Sessions(origins []string) *Sessions { return &Sessions{l, origins} }

// CookieName implements [authn.Sessions].
func (v *Sessions) CookieName() string { return v.login.jar.session }

// Find implements [authn.Sessions].
func (v *Sessions) Find(ctx context.Context, x *exchange.Exchange) authn.Session {
	r := &x.Request
	f := v.login.find(ctx, r.Header)
	if f.session == nil {
		return f.refused()
	}
	if why := v.crossSite(r.Method, r.Upgrade, r.Header, f.session); why != "" {
		return authn.Session{Present: true, Code: "authn.csrf", Reason: why}
	}
	f = v.login.keepUp(ctx, f, r.Header)
	if f.session == nil {
		return f.refused()
	}
	x.AnswerCookies = append(x.AnswerCookies, f.cookies...)
	s := f.session
	out := authn.Session{Present: true, Identity: s.identity}
	if s.AccessEnd == 0 || v.login.now().Unix() < s.AccessEnd {
		out.Token = s.Access
	}
	return out
}

// found is what a request's cookies come to.
type found struct {
	session *session // nil when there is none that holds
	present bool     // there was something
	code    string
	reason  string
	unable  bool
	cookies []string // to set
}

func (f *found) refused() authn.Session {
	return authn.Session{Present: f.present, Code: f.code, Reason: f.reason, Unable: f.unable}
}

func bad(code, reason string) found { return found{present: true, code: code, reason: reason} }

func away(reason string) found {
	return found{present: true, code: "authn.unavailable", reason: reason, unable: true}
}

// find opens the session that a request carries and checks that it still holds.
func (l *Login) find(_ context.Context, h http.Header) found {
	value, err := l.jar.read(h)
	switch {
	case errors.Is(err, errRepeated):
		return bad("authn.ambiguous", err.Error())
	case err != nil:
		return bad("authn.malformed", err.Error())
	case value == "":
		return found{}
	}
	s, err := l.opened(value)
	switch {
	case errors.Is(err, errAway):
		return away(err.Error())
	case errors.Is(err, errEnded):
		return bad("authn.expired", err.Error())
	case err != nil:
		return bad("authn.invalid", "the session: "+err.Error())
	}
	if why := l.over(s, l.now()); why != "" {
		return bad("authn.expired", why)
	}
	return l.unrevoked(s)
}

// opened decodes a cookie's value, or remembers that it did.
func (l *Login) opened(value string) (*session, error) {
	if l.sessions != nil {
		return l.decode(value)
	}
	key := sha256.Sum256([]byte(value))
	if s := l.cache.get(key); s != nil {
		return s, nil
	}
	s, err := l.decode(value)
	if err == nil {
		l.cache.put(key, s)
	}
	return s, err
}

func (l *Login) unrevoked(s *session) found {
	_, revoked, err := l.revoked.Check(s.identity)
	switch {
	case err != nil:
		return away(err.Error())
	case revoked:
		return bad("authn.revoked", "the session was ended")
	}
	return found{session: s, present: true}
}

// keepUp refreshes a session's tokens where that is due and notes that it is in
// use. The answer's cookies then carry it on.
func (l *Login) keepUp(ctx context.Context, f found, h http.Header) found {
	now := l.now()
	s, err := l.fresh(ctx, f.session, now)
	switch {
	case errors.Is(err, errEnded):
		return bad("authn.expired", "the issuer ended the session")
	case err != nil:
		return away("refreshing the session's tokens: " + err.Error())
	}
	refreshed, old := s != f.session, l.cookieIsOld(s, now)
	if refreshed {
		if f = l.unrevoked(s); f.session == nil {
			return f
		}
	}
	if !refreshed && !old {
		return f
	}
	if l.sessions != nil {
		if old {
			// That it is in use is known here at once, and soon elsewhere.
			if err := l.seen.put(ctx, digest(s.ID), strconv.AppendInt(nil, now.Unix(), 10), s.began().Add(l.absolute)); err != nil {
				return away(err.Error())
			}
		}
		return f
	}
	next := *s
	next.Seen = now.Unix()
	value, err := l.encode(&next)
	if err == nil {
		f.cookies, err = l.jar.write(h, value)
	}
	if err != nil {
		return bad("authn.too_large", err.Error())
	}
	return f
}

// cookieIsOld reports whether it is time to note that a session is in use.
func (l *Login) cookieIsOld(s *session, now time.Time) bool {
	step := min(l.idle/6, 5*time.Minute)
	return now.Sub(time.Unix(s.Seen, 0)) >= step
}

// crossSite says why a request may be another site's doing, "" when it is not
// (CSRF, CWE-352; cross-site WebSocket hijacking, CWE-1385). A browser names the
// origin of a write, and newer ones say of every request where it comes from
// (Fetch Metadata); what a page of ours writes also brings the session's token.
func (v *Sessions) crossSite(method, upgrade string, h http.Header, s *session) string {
	origin, site := one(h, "Origin"), one(h, "Sec-Fetch-Site")
	allowed := origin == v.login.origin || slices.Contains(v.origins, origin)
	if origin != "" && !allowed && (upgrade != "" || method != http.MethodGet && method != http.MethodHead) {
		return "the request comes from a page of another origin"
	}
	safe := method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
	if upgrade != "" {
		// A browser always says where a WebSocket is opened from, and cannot send a token.
		if origin == "" {
			return "an upgrade without an origin"
		}
		return ""
	}
	if !allowed && (site == "cross-site" || site == "same-site") {
		// Following a link is the user's doing; loading ours into a page is not.
		if !safe || one(h, "Sec-Fetch-Mode") != "navigate" || one(h, "Sec-Fetch-Dest") != "document" {
			return "the request comes from a page of another site"
		}
	}
	if safe {
		return ""
	}
	switch v.login.cfg.CSRF {
	case "origin":
		if !allowed && site != "same-origin" {
			return "the write does not say which page it comes from"
		}
	case "header":
		if len(h[CSRFHeader]) == 0 {
			return "the write lacks the field X-CSRF-Token"
		}
	default:
		if token := one(h, CSRFHeader); !v.login.ring.isCSRFToken(s.ID, token) {
			return "the write lacks the session's X-CSRF-Token"
		}
	}
	return ""
}

// one is a field that stands once; one that stands twice is no value of any.
func one(h http.Header, name string) string {
	switch v := h[name]; len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	}
	return "\x00"
}

// end ends one session on every gateway.
func (l *Login) end(ctx context.Context, s *session, reason string) error {
	return revocation.Put(ctx, l.store, revocation.ForSession(l.own, s.ID), revocation.Entry{Reason: reason}, s.began().Add(l.absolute))
}
