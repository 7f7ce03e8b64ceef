package authn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/value"

	"github.com/crenel-project/crenel/internal/oauth"
)

// SignedOptions say which JWTs a Signed takes.
type SignedOptions struct {
	Issuer     string   // the only iss
	JWKS       string   // URL of its keys; "": by discovery
	Signals    bool     // discovery by the transmitter's SSF metadata instead of OpenID's
	Audience   []string // one of which must be in aud
	Types      []string // of which typ must be one, without "application/"
	Algorithms []string // default RS256, PS256, ES256, EdDSA
}

// Signed verifies JWTs of one issuer that are not for access and say so in typ,
// such as security event tokens (RFC 8417). Their times are the caller's to check.
type Signed struct {
	m      *jwtMethod
	store  *KeyStore
	name   sourceName
	issuer string
}

// NewSigned begins to fetch the issuer's keys.
func NewSigned(store *KeyStore, o SignedOptions) (*Signed, error) {
	list, err := allowList(o.Algorithms, false)
	if err != nil {
		return nil, err
	}
	s := &Signed{store: store, issuer: o.Issuer, name: sourceName{jwks: o.JWKS, refresh: defaultRefresh}}
	if o.JWKS == "" {
		s.name.issuer = o.Issuer
		if o.Signals {
			if s.name.discovery, err = SignalsMetadata(o.Issuer); err != nil {
				return nil, err
			}
		}
	}
	from := o.Issuer
	if o.JWKS != "" {
		from = o.JWKS
	}
	switch u, err := url.Parse(from); {
	case err != nil || !oauth.Trustworthy(u):
		return nil, fmt.Errorf("%q must be an https URL, or http on this machine", from)
	case o.Issuer == "" || len(o.Audience) == 0 || len(o.Types) == 0:
		return nil, errors.New("issuer, audience and types are needed")
	}
	s.m = &jwtMethod{
		issuers: issuers{name: o.Issuer}, audience: o.Audience, types: o.Types, algorithms: list,
		keys: store.acquire(s.name), maxAge: defaultMaxAge,
	}
	return s, nil
}

// Refusal is why a JWT does not hold.
type Refusal struct {
	Code   string // as of denials: "authn.signature"
	Reason string // never holds the token
	Unable bool   // it could not be decided: the keys cannot be had
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Reason }

// Verify returns a JWT's claims. Every error is a *Refusal.
func (s *Signed) Verify(ctx context.Context, text string, now time.Time) (*value.Value, error) {
	claims, f := s.verify(ctx, text, now)
	if f != nil {
		return nil, &Refusal{f.code, f.reason, f.unable}
	}
	return claims, nil
}

func (s *Signed) verify(ctx context.Context, text string, now time.Time) (*value.Value, *failure) {
	t, f := parseToken(text)
	if f != nil {
		return nil, f
	}
	if !slices.Contains(s.m.types, mediaType(t.typ)) {
		return nil, fail("authn.token_type", "typ is "+sent(t.typ))
	}
	if issuerOf(t) != s.issuer {
		return nil, fail("authn.issuer", "issuer "+sent(issuerOf(t))+" is not the one expected")
	}
	a := s.m.algorithms[t.alg]
	if a == nil {
		return nil, fail("authn.algorithm", "algorithm "+sent(t.alg)+" is not allowed")
	}
	if _, f := s.m.signed(ctx, t, a, now); f != nil {
		return nil, f
	}
	if f := audience(t.claims, s.m.audience); f != nil {
		return nil, f
	}
	return t.claims, nil
}

// Ready says why there are no keys, nil when there are.
func (s *Signed) Ready() error { return s.m.keys.state(s.m.maxAge) }

// Close stops fetching keys.
func (s *Signed) Close() { s.store.release(s.name) }

// SignalsMetadata is where a transmitter publishes its metadata: the well-known
// part stands between its host and its path (OpenID Shared Signals Framework 1.0,
// section 7.2).
func SignalsMetadata(issuer string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil || !oauth.Trustworthy(u) {
		return "", errors.New("the issuer must be an https URL, or http on this machine")
	}
	u.Path, u.RawPath = "/.well-known/ssf-configuration"+strings.TrimSuffix(u.EscapedPath(), "/"), ""
	return u.String(), nil
}
