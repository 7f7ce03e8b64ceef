package login

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

// serveUserinfo tells a page who is logged in, until when, and the token that its
// writes must bring; nothing of it is of use elsewhere.
func (l *Login) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	f := l.find(r.Context(), r.Header)
	if site := one(r.Header, "Sec-Fetch-Site"); f.session != nil && site != "" && site != "same-origin" && site != "none" {
		l.problem(w, r, exchange.Refuse("authn.csrf", "header:sec-fetch-site", "the page of another site asks"))
		return
	}
	if f.session != nil {
		f = l.keepUp(r.Context(), f, r.Header)
	}
	switch {
	case f.unable:
		l.problem(w, r, exchange.Undecided(f.code, f.reason))
		return
	case f.session == nil:
		v := exchange.Refuse("authn.missing", "cookie:"+l.jar.session, "there is no session")
		if f.present {
			v.Code, v.Reason = f.code, f.reason
		}
		v.Login = l.loginURL(nil)
		l.problem(w, r, v)
		return
	}
	s := f.session
	out := l.about(s)
	out["session"] = map[string]any{
		"began": s.Began, "ends": s.began().Add(l.absolute).Unix(), "idle_ends": time.Unix(s.Seen, 0).Add(l.idle).Unix(),
	}
	out["scope"] = s.Scope
	out["csrf_token"] = l.ring.csrfToken(s.ID)
	out["logout"] = l.origin + l.path + "/logout"
	addCookies(w, f.cookies)
	w.Header().Add("Set-Cookie", l.jar.csrfCookie(l.ring.csrfToken(s.ID)))
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(out) // who is gone needs none
}
