package gateway

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/login"
)

// makeLogins makes the logins of all APIs, before the APIs: one may take the
// sessions of another's.
func (g *Gateway) makeLogins() error {
	for i := range g.cfg.APIs {
		ac := &g.cfg.APIs[i]
		if ac.Login == nil {
			continue
		}
		l, err := login.New(login.Options{
			API: ac.Name, Config: *ac.Login, DataDir: g.cfg.DataDir, State: g.deps.State, StateMaxAge: g.cfg.State.MaxAge, Keys: g.deps.Keys, Client: g.deps.Client, Log: g.log, Now: g.deps.Now,
			Problem: func(w http.ResponseWriter, r *http.Request, v exchange.Verdict) {
				x := exchange.Of(r.Context())
				x.Request.Method = r.Method
				writeProblem(w, x, v)
			},
		})
		if err != nil {
			return fmt.Errorf("api %s: %w", ac.Name, err)
		}
		if g.logins == nil {
			g.logins = map[string]*login.Login{}
		}
		g.logins[ac.Name] = l
		var list []Endpoint
		for _, e := range l.Endpoints() {
			list = append(list, Endpoint{Name: login.Name, API: ac.Name, Hosts: []string{l.Host()}, Path: e.Path, Methods: e.Methods, MaxBody: e.MaxBody, Handler: e.Handler})
		}
		if err := g.endpoints.add(list); err != nil {
			return fmt.Errorf("api %s: %w", ac.Name, err)
		}
	}
	return nil
}

// sessionsOf returns the login whose sessions an API takes, as that API takes
// them, and whether its upstream gets their cookies; nil where it takes none.
func (g *Gateway) sessionsOf(ac *config.API) (sessions *login.Sessions, passCookie bool) {
	for i := range ac.Guards.Authn.Methods {
		m := ac.Guards.Authn.Methods[i].Session
		if m == nil {
			continue
		}
		name := m.API
		if name == "" {
			name = ac.Name
		}
		if l := g.logins[name]; l != nil {
			return l.Sessions(writers(ac)), m.PassCookie
		}
	}
	return nil, false
}

// writers are the origins whose pages may use an API with the caller's session.
func writers(ac *config.API) []string {
	out := slices.Clone(ac.AllowedOrigins)
	if c := ac.CORS; c != nil && c.Credentials && !slices.Contains(c.Origins, "*") {
		out = append(out, c.Origins...)
	}
	return out
}

// keepOwnCookies takes the cookies of all logins out of what an upstream gets:
// whoever has one can use its session.
func (s *session) keepOwnCookies() {
	if len(s.g.logins) > 0 && !s.api.passCookie {
		login.StripRequest(s.r.Header)
	}
}

// answerCookies sets the cookies that guards want set. Such an answer is the
// caller's alone (RFC 9111 section 7.3).
func (s *session) answerCookies(h http.Header) {
	if len(s.g.logins) > 0 {
		login.StripAnswer(h)
	}
	if len(s.x.AnswerCookies) == 0 {
		return
	}
	h["Set-Cookie"] = append(slices.Clone(h["Set-Cookie"]), s.x.AnswerCookies...)
	private(h)
}

// obtainToken has the access token for the upstream at hand, before it is called.
func (s *session) obtainToken() (v exchange.Verdict) {
	if s.api.token != nil {
		s.token, v = s.api.token.Obtain(s.r.Context(), &s.x)
	}
	return v
}
