package authn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/oauth"
	"github.com/crenel-project/crenel/internal/value"
)

// Verifier verifies JWTs of one issuer that are not sent as credentials: ID
// tokens, logout tokens, the access token of a login, security events. It is safe
// for concurrent use.
type Verifier struct {
	method   *jwtMethod
	issuer   string
	types    []string
	timeless bool
	store    *KeyStore
	held     *sourceName
	now      func() time.Time
}

// VerifierOptions say what a token must be.
type VerifierOptions struct {
	Issuer     string   // exactly iss; whose keys, by discovery
	JWKS       string   // URL of the keys, in the place of discovery
	Signals    bool     // discovery by a transmitter's SSF metadata instead of OpenID's
	CA         string   // PEM file of the authorities that its server is verified by; default the system's
	Audience   []string // one of which must be in aud
	Types      []string // allowed typ, lower case without "application/"; "" is none
	Algorithms []string // default RS256, PS256, ES256, EdDSA
	Skew       time.Duration
	Timeless   bool // the times are the caller's to check: security events do not expire
	Keys       *KeyStore
	Now        func() time.Time
}

// NewVerifier makes a verifier, whose keys are fetched until it is closed.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	if o.Issuer == "" || len(o.Audience) == 0 || len(o.Types) == 0 {
		return nil, errors.New("a verifier needs an issuer, an audience and types")
	}
	c := config.JWTMethod{Issuer: o.Issuer, JWKS: o.JWKS, IssuerKeys: config.IssuerKeys{CA: o.CA}, Audience: o.Audience, Algorithms: o.Algorithms}
	if o.Signals && o.JWKS == "" {
		var err error
		if c.Discovery, err = SignalsMetadata(o.Issuer); err != nil {
			return nil, err
		}
	}
	m, name, err := newJWT(&c, o.Skew, o.Keys)
	if err != nil {
		return nil, err
	}
	// Tokens are held to the issuer as it is configured. Where a transmitter's metadata
	// spell it otherwise, with a slash, its tokens still need not.
	m.discovered = m.discovered && !o.Signals
	return &Verifier{method: m, issuer: o.Issuer, types: o.Types, timeless: o.Timeless, store: o.Keys, held: name, now: o.Now}, nil
}

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

// Close stops fetching keys that nobody else needs.
func (v *Verifier) Close() {
	if v.held != nil {
		v.store.release(*v.held)
		v.held = nil
	}
}

// Ready says why there are no keys, nil when there are.
func (v *Verifier) Ready() error {
	if err := v.method.keys.state(v.method.maxAge); err != nil {
		return fmt.Errorf("%s: %w", v.method.keys.name, err)
	}
	return nil
}

// TokenError is why a token does not hold.
type TokenError struct {
	Code   string // "authn.signature", …
	Reason string // for the operator; holds nothing of the token that is secret
	Unable bool   // it could not be decided, because a dependency is down
}

func (e *TokenError) Error() string { return e.Reason }

func (f *failure) err() error { return &TokenError{Code: f.code, Reason: f.reason, Unable: f.unable} }

// Verify checks form, type, algorithm, signature, issuer, audience and times. A
// token must expire, unless its times are the caller's to check. The error is a
// *TokenError.
func (v *Verifier) Verify(ctx context.Context, text string) (*Claims, error) {
	t, f := parseToken(text)
	if f != nil {
		return nil, f.err()
	}
	m, now := v.method, v.now()
	a := m.algorithms[t.alg]
	if a == nil {
		return nil, fail("authn.algorithm", "algorithm "+sent(t.alg)+" is not allowed").err()
	}
	if !slices.Contains(v.types, mediaType(t.typ)) {
		return nil, fail("authn.token_type", "a token of type "+sent(t.typ)+" is not what is wanted here").err()
	}
	if issuerOf(t) != v.issuer {
		return nil, fail("authn.issuer", "issuer "+sent(issuerOf(t))+" is not "+v.issuer).err()
	}
	if _, f := m.signed(ctx, t, a, now); f != nil {
		return nil, f.err()
	}
	if f := audience(t.claims, m.audience); f != nil {
		return nil, f.err()
	}
	if v.timeless {
		return &Claims{tree: t.claims, alg: t.alg}, nil
	}
	if _, _, f := window(t.claims, now, m.skew, true); f != nil {
		return nil, f.err()
	}
	return &Claims{tree: t.claims, alg: t.alg}, nil
}

// Claims are a token's claims, or an object like them.
type Claims struct {
	tree *value.Value
	alg  string
}

// ParseToken reads the claims of a JWT without verifying it: of one that was
// verified before, and could not be changed since.
func ParseToken(text string) (*Claims, error) {
	t, f := parseToken(text)
	if f != nil {
		return nil, f.err()
	}
	return &Claims{tree: t.claims, alg: t.alg}, nil
}

// ParseClaims reads claims that are a JSON object by themselves.
func ParseClaims(src []byte) (*Claims, error) {
	v, err := value.JSON(src, value.Limits{Depth: maxNested, Nodes: maxNodes, Keys: maxClaims, Items: maxNodes, String: maxToken})
	if err != nil {
		return nil, errors.New("the claims are not strict JSON")
	}
	if v.Kind != value.Object {
		return nil, errors.New("the claims are not a JSON object")
	}
	return &Claims{tree: v}, nil
}

// Tree is all of them, to be read only.
func (c *Claims) Tree() *value.Value { return c.tree }

// Algorithm is what the token was signed with, "" when it was none.
func (c *Claims) Algorithm() string { return c.alg }

// Text returns a claim that is a string, else "".
func (c *Claims) Text(name string) string {
	if v := c.tree.Get(name); v != nil && v.Kind == value.String {
		return v.Text
	}
	return ""
}

// Has reports whether there is a claim of the name, whatever it is.
func (c *Claims) Has(name string) bool { return c.tree.Get(name) != nil }

// Time returns a claim that is a NumericDate.
func (c *Claims) Time(name string) (t time.Time, present bool, err error) {
	t, present, f := date(c.tree, name)
	if f != nil {
		return t, present, f.err()
	}
	return t, present, nil
}

// Texts returns a claim that is a string or a list of strings.
func (c *Claims) Texts(name string) []string {
	v := c.tree.Get(name)
	if v == nil {
		return nil
	}
	list, _ := texts(v)
	return list
}

// HasObject reports whether the claim is an object that has a member which is an
// object itself.
func (c *Claims) HasObject(name, member string) bool {
	v := c.tree.Get(name)
	if v == nil || v.Kind != value.Object {
		return false
	}
	m := v.Get(member)
	return m != nil && m.Kind == value.Object
}

// Map returns all claims as decoded JSON, with numbers as float64.
func (c *Claims) Map() map[string]any {
	m, _ := decoded(c.tree).(map[string]any)
	return m
}

// Identity reads the caller from the claims.
func (c *Claims) Identity(names config.Claims) (*exchange.Identity, error) {
	id, f := newMapping(names).identity(c.tree)
	if f != nil {
		return nil, f.err()
	}
	return id, nil
}

// Join returns the claims with those of a JSON object added. Where both have one
// of a name, the token's stays.
func (c *Claims) Join(src []byte) (*Claims, error) {
	more, err := ParseClaims(src)
	if err != nil {
		return nil, err
	}
	out := *c.tree
	out.Kids = slices.Clone(c.tree.Kids)
	for i := range more.tree.Kids {
		if m := &more.tree.Kids[i]; c.tree.Get(m.Name) == nil {
			out.Kids = append(out.Kids, *m)
		}
	}
	return &Claims{tree: &out, alg: c.alg}, nil
}
