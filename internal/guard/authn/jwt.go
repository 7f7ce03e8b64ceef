package authn

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/oauth"
	"github.com/crenel-project/crenel/internal/value"
)

// jwtMethod verifies the tokens of one issuer.
type jwtMethod struct {
	issuers
	audience   []string
	types      []string // allowed typ, lower case, without "application/"; nil: the usual ones
	algorithms map[string]*jose.Algorithm
	keys       *source
	maxAge     time.Duration // of the keys
	idTokens   bool          // tokens that are made for the client are taken too
	skew       time.Duration
	requireExp bool
	claims     mapping
}

// newJWT compiles a method. The error says every mistake in it.
func newJWT(c *config.JWTMethod, skew time.Duration, store *KeyStore) (*jwtMethod, *sourceName, error) {
	m := &jwtMethod{
		issuers: issuers{name: c.Issuer, tenants: c.Tenants}, audience: c.Audience, skew: skew, requireExp: true,
		claims: newMapping(c.Claims), maxAge: c.MaxAge, idTokens: c.IDTokens,
	}
	if m.maxAge == 0 {
		m.maxAge = defaultMaxAge
	}
	if m.claims.tenant == "" && strings.Contains(c.Issuer, tenantMark) {
		m.claims.tenant = "tid"
	}
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
		n, err := remoteName(c)
		if err != nil {
			errs = append(errs, err)
		}
		if len(errs) > 0 {
			break
		}
		m.discovered = c.JWKS == ""
		m.keys = store.acquire(n)
		return m, &n, nil
	}
	return m, nil, errors.Join(errs...)
}

// remoteName says where a method's keys are fetched.
func remoteName(c *config.JWTMethod) (sourceName, error) {
	n := sourceName{issuer: c.Issuer, discovery: c.Discovery, refresh: c.Refresh, keep: c.KeepKeys}
	what, from := "issuer", fill(c.Issuer, "common")
	switch {
	case c.JWKS != "":
		n = sourceName{jwks: c.JWKS, refresh: c.Refresh, keep: c.KeepKeys}
		what, from = "jwks", c.JWKS
	case c.Discovery != "":
		what, from = "discovery", c.Discovery
	}
	var errs []error
	if u, err := url.Parse(from); err != nil || !oauth.Trustworthy(u) {
		errs = append(errs, fmt.Errorf("%s %q must be an https URL, or http on this machine", what, from))
	}
	if n.refresh == 0 {
		n.refresh = defaultRefresh
	}
	if c.CA != "" {
		b, err := os.ReadFile(c.CA)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading ca: %w", err))
		} else if !x509.NewCertPool().AppendCertsFromPEM(b) {
			errs = append(errs, fmt.Errorf("ca: %s holds no certificate", c.CA))
		}
		n.ca = string(b)
	}
	return n, errors.Join(errs...)
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
	generation, f := m.signed(ctx, t, a, now)
	if f != nil {
		return nil, f
	}
	if f := m.forAccess(t); f != nil {
		return nil, f
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

// signed checks the signature, and that whose it is may sign for the token's
// issuer. generation is that of the keys.
func (m *jwtMethod) signed(ctx context.Context, t *token, a *jose.Algorithm, now time.Time) (generation uint64, f *failure) {
	w := wanted{kid: t.kid, algorithm: a, issuer: issuerOf(t), tenant: t.claims.Get("tid").Str()}
	input := []byte(t.input)
	for again := false; ; again = true {
		var few [maxTries]*jose.Key
		keys, set, f := m.keys.lookup(ctx, now, m.maxAge, &w, few[:0])
		if f != nil {
			return 0, f
		}
		if slices.ContainsFunc(keys, func(k *jose.Key) bool { return a.Verify(k, input, t.signature) }) {
			return set.generation, m.check(t.claims, set.issuer)
		}
		if again || !m.keys.renewed(ctx, set.generation) {
			return 0, fail("authn.signature", "the signature does not verify")
		}
	}
}

// forAccess refuses tokens that say they are made for the client, or for
// something else than calls of an API (RFC 8725 section 3.12): ID tokens, refresh
// tokens, logout tokens and security events. A typ of RFC 9068 says enough.
func (m *jwtMethod) forAccess(t *token) *failure {
	typ := mediaType(t.typ)
	if typ == "at+jwt" || strings.HasSuffix(typ, "-at+jwt") {
		return nil
	}
	if t.claims.Get("events") != nil {
		return fail("authn.token_type", "a security event or logout token is not for access")
	}
	id, why := false, ""
	// Keycloak says it in a claim, Cognito in another.
	switch kind := t.claims.Get("typ"); {
	case kind == nil || kind.Kind != value.String:
	case strings.EqualFold(kind.Text, "ID"):
		id, why = true, "its claim typ is ID"
	case strings.EqualFold(kind.Text, "Refresh"), strings.EqualFold(kind.Text, "Offline"), strings.EqualFold(kind.Text, "Logout"):
		return fail("authn.token_type", "a token whose claim typ is "+sent(kind.Text)+" is not for access")
	case strings.EqualFold(kind.Text, "Bearer"), strings.EqualFold(kind.Text, "DPoP"):
		return nil
	}
	if use := t.claims.Get("token_use").Str(); use != "" && use != "access" {
		id, why = true, "its claim token_use is "+sent(use)
	}
	// OpenID Connect Core section 3.1.3.6 and 3.3.2.11: only ID tokens have these.
	for _, name := range []string{"at_hash", "c_hash", "s_hash"} {
		if t.claims.Get(name) != nil {
			id, why = true, "it has "+name
		}
	}
	if t.claims.Get("nonce") != nil && t.claims.Get("scope") == nil && t.claims.Get("scp") == nil {
		id, why = true, "it has a nonce and no scope"
	}
	if id && !m.idTokens {
		return fail("authn.token_type", "an ID token is not for access: "+why)
	}
	return nil
}

// issuerOf reads who a token says it is from. It is not believed: it only
// chooses whose keys must have signed it.
func issuerOf(t *token) string { return t.claims.Get("iss").Str() }
