package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/oauth"
)

// unknownLife is for how long a token is used whose issuer does not say how long
// it holds.
const unknownLife = time.Minute

const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessToken   = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // the name of a type
	own           = "own"                                           // what is kept under it is the gateway's
)

// Options are what a Source is made from.
type Options struct {
	Config config.UpstreamToken
	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
}

// Source has the tokens for one API's upstream. It is safe for concurrent use.
type Source struct {
	cfg    config.UpstreamToken
	header string
	client *oauth.Client // nil when sessions have the token
	actor  bool
	cache  *cache
	now    func() time.Time
	log    *slog.Logger
}

// New makes a source. That the authorization server cannot be asked is no error here.
func New(o Options) (*Source, error) {
	s := &Source{cfg: o.Config, header: textproto.CanonicalMIMEHeaderKey(o.Config.Header), now: o.Now, log: o.Log}
	var oc config.OAuthClient
	switch {
	case o.Config.Exchange != nil:
		oc, s.actor = o.Config.Exchange.OAuthClient, o.Config.Exchange.Actor
	case o.Config.Client != nil:
		oc = *o.Config.Client
	default:
		return s, nil
	}
	c, err := oauth.New(oauth.Options{Config: oc, Client: o.Client, Now: o.Now})
	if err != nil {
		return nil, fmt.Errorf("upstream.token: %w", err)
	}
	s.client, s.cache = c, newCache(o.Config.Cache, o.Now, 2*c.Timeout())
	s.cache.margin = o.Config.Margin
	return s, nil
}

// Close ends what is under way.
func (s *Source) Close() {
	if s.client != nil {
		s.cache.close()
		s.client.Close()
	}
}

// Ready says why tokens cannot be had, as far as that is known.
func (s *Source) Ready() error {
	if s.client == nil {
		return nil
	}
	return s.client.Ready()
}

// Obtain finds the token for a call that was allowed, "" where it goes without
// one: a caller whom nobody needs to know, on a public operation.
func (s *Source) Obtain(ctx context.Context, x *exchange.Exchange) (string, exchange.Verdict) {
	id := &x.Identity
	switch {
	case s.cfg.Session:
		if id.Method != "session" {
			return "", exchange.Verdict{}
		}
		if x.Token == "" {
			v := exchange.Refuse("authn.expired", "", "the session's access token has ended, and there is no refresh token")
			v.LoginHelps = true
			v.Header = map[string]string{"WWW-Authenticate": "Cookie"} // a 401 names one (RFC 9110 section 15.5.2)
			return "", v
		}
		return x.Token, exchange.Verdict{}
	case s.cfg.Client != nil:
		t, err := s.cache.get(ctx, sha256.Sum256([]byte(own)), time.Time{}, s.grantOwn)
		return t, verdict(err)
	case id.Anonymous():
		return "", exchange.Verdict{}
	case !id.Verified || x.Token == "":
		return "", exchange.Refuse("gateway.token_refused", "", "the caller has no token that could be exchanged: authenticated by "+id.Method)
	}
	subject := x.Token
	t, err := s.cache.get(ctx, sha256.Sum256([]byte("of "+subject)), id.Expires, func(ctx context.Context) (*oauth.Token, error) { return s.exchange(ctx, subject) })
	return t, verdict(err)
}

// Put places a token in what the upstream gets. Whatever the client sent in its
// place goes.
func (s *Source) Put(h http.Header, token string) {
	if s.header == "Authorization" {
		delete(h, "Dpop")
	}
	switch {
	case token == "" && s.cfg.Session: // the caller's own credentials, as upstream.credentials says
	case token == "":
		delete(h, s.header)
	case s.header == "Authorization":
		h[s.header] = []string{"Bearer " + token}
	default:
		h[s.header] = []string{token}
	}
}

func (s *Source) target(form url.Values) url.Values {
	for _, a := range s.cfg.Audience {
		form.Add("audience", a)
	}
	for _, r := range s.cfg.Resource {
		form.Add("resource", r)
	}
	if len(s.cfg.Scope) > 0 {
		form.Set("scope", strings.Join(s.cfg.Scope, " "))
	}
	return form
}

// grantOwn asks for a token of the gateway's own.
func (s *Source) grantOwn(ctx context.Context) (*oauth.Token, error) {
	return s.grant(ctx, s.target(url.Values{"grant_type": {"client_credentials"}}))
}

// exchange trades a caller's token (RFC 8693 section 2.1).
func (s *Source) exchange(ctx context.Context, subject string) (*oauth.Token, error) {
	form := s.target(url.Values{
		"grant_type": {grantExchange}, "subject_token": {subject}, "subject_token_type": {s.cfg.Exchange.SubjectTokenType},
		"requested_token_type": {s.cfg.Exchange.RequestedTokenType},
	})
	if s.actor {
		actor, err := s.cache.get(ctx, sha256.Sum256([]byte("actor")), time.Time{}, func(ctx context.Context) (*oauth.Token, error) {
			return s.grant(ctx, url.Values{"grant_type": {"client_credentials"}})
		})
		if err != nil {
			// That the gateway is refused is no word on the caller.
			return nil, fmt.Errorf("the actor's token: %w", &outage{err})
		}
		form.Set("actor_token", actor)
		form.Set("actor_token_type", accessToken)
	}
	t, err := s.grant(ctx, form)
	if err == nil && t.Issued != "" && t.Issued != s.cfg.Exchange.RequestedTokenType && t.Issued != accessToken {
		return nil, errors.New("the exchanged token is not of the type that was asked for")
	}
	return t, err
}

func (s *Source) grant(ctx context.Context, form url.Values) (*oauth.Token, error) {
	t, err := s.client.Grant(ctx, form)
	if err != nil {
		if !oauth.Refused(err) {
			s.log.Warn("a token for the upstream could not be had", "issuer", s.client.Issuer(), "grant_type", form.Get("grant_type"), "error", err)
		}
		return nil, err
	}
	// RFC 8693 section 2.2.1: N_A where it is no access token, as a JWT by itself.
	if !t.Bearer() && t.Type != "N_A" {
		return nil, errors.New("the token is not one to be sent after Bearer")
	}
	return t, nil
}

// outage hides whether the server refused what is below it.
type outage struct{ err error }

func (o *outage) Error() string { return o.err.Error() }

// verdict is the denial of a call whose token could not be had.
func verdict(err error) exchange.Verdict {
	switch {
	case err == nil:
		return exchange.Verdict{}
	case oauth.Refused(err):
		return exchange.Refuse("gateway.token_refused", "", err.Error())
	}
	v := exchange.Undecided("gateway.token_unavailable", err.Error())
	v.Header = map[string]string{"Retry-After": "5"}
	return v
}
