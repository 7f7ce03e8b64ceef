package authn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/jose"
)

// jwtMethod verifies the tokens of one issuer.
type jwtMethod struct {
	issuer     string // "" takes any: only where key or secret is the API's own
	audience   []string
	types      []string // allowed typ, lower case, without "application/"; nil: the usual ones
	algorithms map[string]*jose.Algorithm
	keys       *source
	skew       time.Duration
	requireExp bool
	claims     mapping
}

// newJWT compiles a method. The error says every mistake in it.
func newJWT(c *config.JWTMethod, skew time.Duration, store *KeyStore) (*jwtMethod, *sourceName, error) {
	m := &jwtMethod{issuer: c.Issuer, audience: c.Audience, skew: skew, requireExp: true, claims: newMapping(c.Claims)}
	if c.RequireExp != nil {
		m.requireExp = *c.RequireExp
	}
	for _, t := range c.Type {
		m.types = append(m.types, mediaType(t))
	}
	secret := !c.Secret.IsZero()
	var errs []error
	list, err := allowList(c.Algorithms, secret)
	if err != nil {
		errs = append(errs, err)
	}
	m.algorithms = list
	switch {
	case secret && c.JWKS != "":
		errs = append(errs, errors.New("secret and jwks exclude each other: one method, one kind of key"))
	case secret:
		b := []byte(c.Secret.Reveal())
		for _, a := range list {
			if a.Family == jose.HMAC && len(b) < a.Hash.Size() {
				errs = append(errs, fmt.Errorf("the secret is shorter than the %d bytes that %s needs (RFC 7518 section 3.2)", a.Hash.Size(), a.Name))
			}
		}
		m.keys = newStatic("secret", &keySet{keys: []jose.Key{{Family: jose.HMAC, Public: b}}})
	case c.JWKS != "" && !strings.Contains(c.JWKS, "://"):
		b, err := os.ReadFile(c.JWKS)
		if err != nil {
			return nil, nil, errors.Join(append(errs, fmt.Errorf("reading key set: %w", err))...)
		}
		set, err := parseKeySet(b)
		if err != nil {
			return nil, nil, errors.Join(append(errs, fmt.Errorf("%s: %w", c.JWKS, err))...)
		}
		if len(set.keys) == 0 {
			errs = append(errs, fmt.Errorf("%s: no usable signing key (%d skipped: wrong use, unknown type or too weak)", c.JWKS, set.skipped))
		}
		m.keys = newStatic("key set "+c.JWKS, set)
	case c.JWKS == "" && c.Issuer == "":
		errs = append(errs, errors.New("one of issuer, jwks and secret is needed"))
	default:
		what, from := "issuer", c.Issuer
		if c.JWKS != "" {
			what, from = "jwks", c.JWKS
		}
		if u, err := url.Parse(from); err != nil || !trustworthy(u) {
			errs = append(errs, fmt.Errorf("%s %q must be an https URL, or http on this machine", what, from))
		}
		if len(errs) > 0 {
			break
		}
		n := sourceName{issuer: c.Issuer}
		if c.JWKS != "" {
			n = sourceName{jwks: c.JWKS}
		}
		m.keys = store.acquire(n)
		return m, &n, nil
	}
	return m, nil, errors.Join(errs...)
}

// mediaType is typ without the prefix that RFC 7515 section 4.1.9 lets it omit.
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// allows reports whether a token of this typ may be used for access. Where the
// config names none: untyped, "JWT", and access tokens of RFC 9068 or an
// issuer's own ("okta-internal-at+jwt"). Every other kind of JWT (logout tokens,
// security events, DPoP proofs, request objects) says what it is in typ.
func (m *jwtMethod) allows(typ string) bool {
	typ = mediaType(typ)
	if m.types != nil {
		return slices.Contains(m.types, typ)
	}
	return typ == "" || typ == "jwt" || typ == "at+jwt" || strings.HasSuffix(typ, "-at+jwt")
}

// verify checks a parsed token whose issuer is this method's.
func (m *jwtMethod) verify(ctx context.Context, t *token, now time.Time) (*verified, *failure) {
	a := m.algorithms[t.alg]
	if a == nil {
		return nil, fail("authn.algorithm", "algorithm "+sent(t.alg)+" is not allowed")
	}
	if !m.allows(t.typ) {
		return nil, fail("authn.token_type", "a token of type "+sent(t.typ)+" is not for access")
	}
	var few [maxTries]*jose.Key
	keys, generation, f := m.keys.lookup(ctx, now, t.kid, a, few[:0])
	if f != nil {
		return nil, f
	}
	input := []byte(t.input)
	if !slices.ContainsFunc(keys, func(k *jose.Key) bool { return a.Verify(k, input, t.signature) }) {
		return nil, fail("authn.signature", "the signature does not verify")
	}
	if f := audience(t.claims, m.audience); f != nil {
		return nil, f
	}
	from, until, f := window(t.claims, now, m.skew, m.requireExp)
	if f != nil {
		return nil, f
	}
	id, f := m.claims.identity(t.claims)
	if f != nil {
		return nil, f
	}
	bound, f := bindingOf(t.claims)
	if f != nil {
		return nil, f
	}
	if !until.IsZero() {
		id.Expires = until.Add(-m.skew)
	}
	return &verified{identity: id, method: m, bound: bound, generation: generation, from: from, until: until}, nil
}

// issuerOf reads who a token says it is from. It is not believed: it only
// chooses whose keys must have signed it.
func issuerOf(t *token) string { return t.claims.Get("iss").Str() }
