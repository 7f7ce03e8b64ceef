package login

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/oauth"
)

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// serveCallback takes the issuer's answer (OpenID Connect Core section 3.1.2.5)
// and begins a session.
func (l *Login) serveCallback(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	for name, values := range q {
		if len(values) > 1 {
			err = errors.New(name + " stands twice")
		}
	}
	if err != nil {
		l.fail(w, r, exchange.Refuse("login.request", "query", "the callback's query is not well formed"))
		return
	}
	f, why := l.takeFlow(r.Header, q.Get("state"))
	if f == nil {
		l.fail(w, r, exchange.Refuse("login.state", "query:state", why))
		return
	}
	// Whatever comes of it, this state is used up.
	w.Header().Add("Set-Cookie", remove(l.flowCookie(f.State), "; SameSite=Lax"))
	s, v := l.login(r.Context(), f, q)
	if v.Action != exchange.Allow {
		v.Public = "" // the page says what a person can do
		l.failed(w, r, v, f)
		return
	}
	if v := l.welcome(w, r, s); v.Action != exchange.Allow {
		l.failed(w, r, v, f)
		return
	}
	l.log.Info("logged in", "api", l.api, "subject", s.identity.Subject, "session", s.identity.Credential)
	l.note(r, exchange.Verdict{Detail: map[string]any{"event": "login", "subject": s.identity.Subject, "session": s.identity.Credential}})
	if l.cfg.Session.SameSite == "strict" {
		// A redirect of a request that another site began would not carry the cookie.
		l.sendOn(w, "Logged in", l.origin+f.Return)
		return
	}
	redirect(w, l.origin+f.Return)
}

// login trades the callback's code for tokens and makes a session of them.
func (l *Login) login(ctx context.Context, f *flow, q url.Values) (*session, exchange.Verdict) {
	first, err := l.store.First(ctx, "login.state:"+l.ring.name("state "+f.State), flowLife+maxAhead)
	if err != nil {
		return nil, exchange.Undecided("login.unavailable", "the shared state: "+err.Error())
	}
	if !first {
		return nil, exchange.Refuse("login.state", "query:state", "the login was finished before")
	}
	m, err := l.client.Metadata(ctx)
	if err != nil {
		return nil, exchange.Undecided("login.unavailable", err.Error())
	}
	// RFC 9207 section 2.4: an answer of another issuer is no answer, nor is its error.
	iss, named := q["iss"]
	if named && iss[0] != l.issuer || !named && m.IssParameter {
		return nil, exchange.Refuse("login.issuer", "query:iss", "the callback is not from the issuer that the login was sent to")
	}
	if e := q.Get("error"); e != "" {
		if e == "temporarily_unavailable" || e == "server_error" {
			return nil, exchange.Undecided("login.unavailable", "the issuer answered with "+e)
		}
		return nil, exchange.Refuse("login.refused", "query:error", "the issuer answered with the error "+shown(e))
	}
	code := q.Get("code")
	if code == "" || len(code) > 4096 {
		return nil, exchange.Refuse("login.request", "query:code", "the callback has no code, or one that is too long")
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {l.redirectURI()}, "code_verifier": {f.Verifier}}
	for _, res := range l.cfg.Resource {
		form.Add("resource", res)
	}
	answer, err := l.client.Grant(ctx, form)
	if err != nil {
		if oauth.Refused(err) {
			return nil, exchange.Refuse("login.refused", "query:code", err.Error())
		}
		return nil, exchange.Undecided("login.unavailable", err.Error())
	}
	t, v := l.verify(ctx, f, answer)
	if v.Action != exchange.Allow {
		return nil, v
	}
	s, err := l.begin(t, l.now())
	if err != nil {
		return nil, exchange.Refuse("login.token", "", err.Error())
	}
	return s, exchange.Verdict{}
}

// verify checks the tokens of a login (OpenID Connect Core section 3.1.3.7).
func (l *Login) verify(ctx context.Context, f *flow, answer *oauth.Token) (*tokens, exchange.Verdict) {
	if answer.ID == "" || !answer.Bearer() {
		return nil, exchange.Refuse("login.token", "", "the issuer gave no ID token, or an access token of type "+shown(answer.Type))
	}
	claims, err := l.idTokens.Verify(ctx, answer.ID)
	if err != nil {
		return nil, tokenVerdict("the ID token", err)
	}
	refuse := func(why string) (*tokens, exchange.Verdict) {
		return nil, exchange.Refuse("login.token", "", "the ID token: "+why)
	}
	sub := claims.Text("sub")
	switch {
	case sub == "" || len(sub) > 255:
		return refuse("it names no subject")
	case !same(claims.Text("nonce"), f.Nonce):
		// Someone else's code, put into this login.
		return refuse("its nonce is not this login's")
	case claims.Has("azp") && claims.Text("azp") != l.client.ID(), len(claims.Texts("aud")) > 1 && claims.Text("azp") != l.client.ID():
		return refuse("it was issued to another client")
	}
	if at := claims.Text("at_hash"); claims.Has("at_hash") && !atHash(claims.Algorithm(), at, answer.Access) {
		return refuse("it is not of the access token beside it")
	}
	if v := demanded(f, claims, l.now()); v.Action != exchange.Allow {
		return nil, v
	}
	t := &tokens{idToken: answer.ID, claims: claims, answer: answer}
	if err := l.complete(ctx, t, claims); err != nil {
		return nil, tokenVerdict("the login's claims", err)
	}
	return t, exchange.Verdict{}
}

// demanded checks that the authentication is as fresh and as strong as was asked for.
func demanded(f *flow, claims *authn.Claims, now time.Time) exchange.Verdict {
	if f.MaxAge >= 0 {
		at, ok, err := claims.Time("auth_time")
		if err != nil || !ok || now.Sub(at) > time.Duration(f.MaxAge)*time.Second+skew {
			return exchange.Refuse("login.step_up", "", "the user did not authenticate as lately as was asked for")
		}
	}
	if len(f.ACR) > 0 && !slices.Contains(f.ACR, claims.Text("acr")) {
		return exchange.Refuse("login.step_up", "", "the authentication is "+shown(claims.Text("acr"))+", which is none that was asked for")
	}
	return exchange.Verdict{}
}

// complete adds the claims that are not in the ID token, and checks the access
// token where it is the identity.
func (l *Login) complete(ctx context.Context, t *tokens, claims *authn.Claims) error {
	switch l.cfg.Identity {
	case "userinfo":
		b, err := l.client.Userinfo(ctx, t.answer.Access)
		if err != nil {
			return err
		}
		c, err := authn.ParseClaims(b)
		if err != nil {
			return fmt.Errorf("userinfo: %w", err)
		}
		// OpenID Connect Core section 5.3.4: else it may be another user's.
		if c.Text("sub") != claims.Text("sub") {
			return errors.New("userinfo: it is of another subject than the ID token")
		}
		t.userinfo = string(b)
	case "access_token":
		if _, err := l.accessTokens.Verify(ctx, t.answer.Access); err != nil {
			return fmt.Errorf("the access token: %w", err)
		}
	}
	return nil
}

func tokenVerdict(what string, err error) exchange.Verdict {
	var t *authn.TokenError
	var o *oauth.Error
	if errors.As(err, &t) && t.Unable || errors.As(err, &o) {
		return exchange.Undecided("login.unavailable", what+": "+err.Error())
	}
	return exchange.Refuse("login.token", "", what+": "+err.Error())
}

// atHash checks that the ID token goes with the access token (OpenID Connect Core
// section 3.1.3.6).
func atHash(alg, claim, access string) bool {
	var sum []byte
	switch {
	case strings.HasSuffix(alg, "256"):
		s := sha256.Sum256([]byte(access))
		sum = s[:16]
	case strings.HasSuffix(alg, "384"):
		s := sha512.Sum384([]byte(access))
		sum = s[:24]
	default: // 512, and Ed25519, whose hash is SHA-512
		s := sha512.Sum512([]byte(access))
		sum = s[:32]
	}
	return same(claim, base64.RawURLEncoding.EncodeToString(sum))
}

// welcome ends the session that the browser had, and gives it the new one.
func (l *Login) welcome(w http.ResponseWriter, r *http.Request, s *session) exchange.Verdict {
	ctx := r.Context()
	if old := l.find(ctx, r.Header); old.session != nil {
		if err := l.end(ctx, old.session, "logged in anew"); err != nil {
			return exchange.Undecided("login.unavailable", "ending the last session: "+err.Error())
		}
	}
	if l.sessions != nil {
		if err := l.keep(ctx, s); err != nil {
			return exchange.Undecided("login.unavailable", err.Error())
		}
	}
	if sid := s.claims.Text("sid"); l.known != nil && sid != "" {
		if err := l.known.put(ctx, l.ring.name("sid "+sid), nil, s.began().Add(l.absolute)); err != nil {
			return exchange.Undecided("login.unavailable", err.Error())
		}
	}
	value, err := l.encode(s)
	if err != nil {
		return exchange.Refuse("gateway.internal", "", err.Error())
	}
	cookies, err := l.jar.write(r.Header, value)
	if err != nil {
		return exchange.Refuse("login.too_large", "", err.Error())
	}
	addCookies(w, cookies)
	w.Header().Add("Set-Cookie", l.jar.csrfCookie(l.ring.csrfToken(s.ID)))
	return exchange.Verdict{}
}

// shown is a text from elsewhere for a reason, shortened.
func shown(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%+q", s)
}
