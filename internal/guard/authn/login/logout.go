package login

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
)

// serveLogout ends the browser's session here, on every gateway, and sends the
// browser to end it at the issuer too (OpenID Connect RP-Initiated Logout 1.0). A
// link from another site only gets to ask the user.
func (l *Login) serveLogout(w http.ResponseWriter, r *http.Request) {
	f := l.find(r.Context(), r.Header)
	if f.unable {
		l.fail(w, r, exchange.Undecided("login.unavailable", f.reason))
		return
	}
	after := l.returnTo(r.URL.Query().Get("return_to"), l.afterBy)
	if f.session == nil {
		// Another site's form comes without the cookies (SameSite): that nothing was
		// sent does not say that there is nothing, and removing it would be a logout.
		if f.present {
			addCookies(w, l.jar.clear(r.Header))
		}
		l.leave(w, r, l.origin+after)
		return
	}
	if !l.meant(r, f.session) {
		if r.Method == http.MethodGet {
			l.page(w, http.StatusOK, "Log out?", "You are about to be logged out.", form{
				Action: l.path + "/logout?" + url.Values{"return_to": {after}}.Encode(), Token: l.ring.csrfToken(f.session.ID), Button: "Log out", Back: l.origin + l.afterIn,
			})
			return
		}
		l.fail(w, r, exchange.Refuse("authn.csrf", "header:x-csrf-token", "the logout lacks the session's token, or comes from another site"))
		return
	}
	addCookies(w, l.jar.clear(r.Header))
	if err := l.end(r.Context(), f.session, "logout"); err != nil {
		// The cookies go, but a copy of them would still be good: that is not logged out.
		l.fail(w, r, exchange.Undecided("login.unavailable", "ending the session: "+err.Error()))
		return
	}
	if l.sessions != nil {
		if err := l.store.Drop(r.Context(), l.sessions.name, digest(f.session.ID)); err != nil {
			l.log.Warn("an ended session stays in the shared state until it expires", "api", l.api, "error", err)
		}
	}
	l.forget(f.session)
	l.note(r, exchange.Verdict{Detail: map[string]any{"event": "logout", "subject": f.session.identity.Subject, "session": f.session.identity.Credential}})
	l.leave(w, r, l.endSession(r.Context(), f.session, after))
}

// serveLoggedOut is a page for after_logout, where the API has none that anybody
// may see.
func (l *Login) serveLoggedOut(w http.ResponseWriter, _ *http.Request) {
	l.page(w, http.StatusOK, "Logged out", "You are logged out.", form{Link: l.loginURL(url.Values{}), Button: "Log in again"})
}

// meant reports whether the user asked for a logout: by a page of ours, or by
// typing the address.
func (l *Login) meant(r *http.Request, s *session) bool {
	site, origin := one(r.Header, "Sec-Fetch-Site"), one(r.Header, "Origin")
	if r.Method == http.MethodGet {
		return site == "same-origin" || site == "none"
	}
	if origin != "" && origin != l.origin || site == "cross-site" || site == "same-site" {
		return false
	}
	token := one(r.Header, CSRFHeader)
	if token == "" {
		if r.ParseForm() != nil {
			return false
		}
		token = r.PostForm.Get("csrf_token")
	}
	return l.ring.isCSRFToken(s.ID, token)
}

// endSession is where the browser goes to end its session at the issuer, or where
// it goes then, when the issuer has no such page.
func (l *Login) endSession(ctx context.Context, s *session, after string) string {
	m, err := l.client.Metadata(ctx)
	if err != nil || m.EndSession == "" {
		return l.origin + after
	}
	q := url.Values{"client_id": {l.client.ID()}, "post_logout_redirect_uri": {l.origin + l.afterBy}}
	if len(s.Issued) <= 4096 { // longer ones do not fit into every server's request line
		q.Set("id_token_hint", s.Issued)
	} else {
		q.Set("logout_hint", s.claims.Text("sub"))
	}
	return withQuery(m.EndSession, q)
}

// forget has the issuer forget the refresh token, beside the answer.
func (l *Login) forget(s *session) {
	if s.Refresh == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.wg.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, 2*l.client.Timeout())
		defer cancel()
		if err := l.client.Revoke(ctx, s.Refresh, "refresh_token"); err != nil {
			l.log.Info("the issuer could not be told to forget a refresh token", "api", l.api, "error", err)
		}
	})
}

// leave sends a browser on; a script is told where to send it.
func (l *Login) leave(w http.ResponseWriter, r *http.Request, to string) {
	if r.Method == http.MethodPost && !wantsPage(r) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]string{"location": to}) // who is gone needs none
		return
	}
	if r.Method == http.MethodPost {
		l.sendOn(w, "Logged out", to)
		return
	}
	redirect(w, to)
}

// backChannelEvent is the member of events that makes a JWT a logout token
// (OpenID Connect Back-Channel Logout 1.0 section 2.4).
const backChannelEvent = "http://schemas.openid.net/event/backchannel-logout"

// maxLogoutLife bounds how long a logout token may hold, and with it the replay mark.
const maxLogoutLife = time.Hour

// serveBackChannel ends the sessions that a logout token of the issuer names.
func (l *Login) serveBackChannel(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.ParseForm() != nil || len(r.PostForm["logout_token"]) != 1 {
		l.refuseLogout(w, r, exchange.Refuse("login.logout_token", "body", "the body is not a form with one logout_token"))
		return
	}
	v := l.backChannel(r.Context(), r.PostForm.Get("logout_token"))
	if v.Action != exchange.Allow {
		l.refuseLogout(w, r, v)
		return
	}
	l.note(r, v)
	w.WriteHeader(http.StatusOK)
}

// backChannel validates a logout token (section 2.6) and does what it says.
func (l *Login) backChannel(ctx context.Context, token string) exchange.Verdict {
	c, err := l.logoutTokens.Verify(ctx, token)
	if err != nil {
		v := tokenVerdict("the logout token", err)
		if v.Code == "login.token" {
			v.Code = "login.logout_token"
		}
		return v
	}
	sub, sid, jti := c.Text("sub"), c.Text("sid"), c.Text("jti")
	refuse := func(why string) exchange.Verdict {
		return exchange.Refuse("login.logout_token", "body", "the logout token "+why)
	}
	now := l.now()
	exp, _, err := c.Time("exp") // Verify demanded it
	switch {
	case err != nil:
		return refuse("has no time at which it ends")
	case !c.HasObject("events", backChannelEvent):
		return refuse("is not one: its events do not say so")
	case c.Has("nonce"):
		// An ID token, which logs in, is not to log out.
		return refuse("has a nonce, which only ID tokens have")
	case sub == "" && sid == "":
		return refuse("names neither subject nor session")
	case len(sub) > 255 || len(sid) > 255:
		return refuse("names a subject or session that is too long")
	case jti == "" || len(jti) > 255:
		return refuse("has no id, or one that is too long")
	case !c.Has("iat"):
		return refuse("does not say when it was issued")
	case exp.Sub(now) > maxLogoutLife:
		return refuse("holds for longer than an hour")
	}
	mark := l.ring.name("jti " + jti)
	_, used, err := l.logouts.get(mark)
	if err != nil {
		return exchange.Undecided("login.unavailable", err.Error())
	}
	if used {
		return refuse("was used before")
	}
	if err := l.endNamed(ctx, sub, sid, "back-channel logout"); err != nil {
		return exchange.Undecided("login.unavailable", err.Error())
	}
	// Marked when it is done: an issuer that is told to try again must be heard then.
	if err := l.logouts.put(ctx, mark, []byte{}, exp.Add(2*skew)); err != nil {
		return exchange.Undecided("login.unavailable", err.Error())
	}
	l.log.Info("the issuer ended sessions", "api", l.api, "subject", sub, "by_session", sid != "")
	return exchange.Verdict{Detail: map[string]any{"event": "backchannel_logout", "subject": sub}}
}

// endNamed ends the sessions that the issuer names: one, or all of a subject
// that began before now.
func (l *Login) endNamed(ctx context.Context, sub, sid, reason string) error {
	now := l.now()
	if sid != "" {
		return revocation.Put(ctx, l.store, revocation.ForSession(l.issuer, sid), revocation.Entry{Reason: reason}, now.Add(l.absolute))
	}
	return revocation.Put(ctx, l.store, revocation.ForSubject(l.issuer, sub), revocation.Entry{Before: revocation.Before(now), Reason: reason}, now.Add(l.absolute))
}

// refuseLogout answers as Back-Channel Logout section 2.8 says.
func (l *Login) refuseLogout(w http.ResponseWriter, r *http.Request, v exchange.Verdict) {
	l.note(r, v)
	l.log.Warn("a back-channel logout was not done", "api", l.api, "code", v.Code, "reason", v.Reason)
	status, code := http.StatusBadRequest, "invalid_request"
	if v.Action == exchange.Unable {
		status, code = http.StatusServiceUnavailable, "temporarily_unavailable"
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code}) // who is gone needs none
}

// serveFrontChannel ends a session whose id the issuer's page names in a frame
// (OpenID Connect Front-Channel Logout 1.0). Browsers keep our cookies from such
// a frame, so the session is ended by its id in the shared state; only ids of
// sessions that began here count, so that nobody can fill it.
func (l *Login) serveFrontChannel(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+originOf(l.issuer))
	h.Set("X-Content-Type-Options", "nosniff")
	q := r.URL.Query()
	sid := q.Get("sid")
	if len(q["iss"]) != 1 || len(q["sid"]) != 1 || q.Get("iss") != l.issuer || sid == "" || len(sid) > 255 {
		l.note(r, exchange.Refuse("login.request", "query", "iss and sid do not name a session of the issuer"))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f := l.find(r.Context(), r.Header)
	_, known, err := l.known.get(l.ring.name("sid " + sid))
	if err == nil && known {
		err = l.endNamed(r.Context(), "", sid, "front-channel logout")
	}
	if err != nil {
		l.note(r, exchange.Undecided("login.unavailable", err.Error()))
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	l.note(r, exchange.Verdict{Detail: map[string]any{"event": "frontchannel_logout", "known": known}})
	// Anybody can have a browser open this address: only what was ended is removed.
	if f.session != nil && f.session.claims.Text("sid") == sid {
		addCookies(w, l.jar.clear(r.Header))
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusOK)
}

func originOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "'none'"
	}
	return u.Scheme + "://" + u.Host
}
