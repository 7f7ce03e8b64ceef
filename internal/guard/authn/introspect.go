package authn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/introspection"
	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/oauth"
	"github.com/crenel-project/crenel/internal/value"
)

// introspected takes tokens that an authorization server vouches for.
type introspected struct {
	issuer     string // "" when the config names none
	audience   []string
	skew       time.Duration
	claims     mapping
	opaqueOnly bool
	name       string // for /readyz
	now        func() time.Time
	server     *introspection.Introspector[*verified]
}

// newIntrospected compiles a method. Nobody is asked anything yet.
func (g *Guard) newIntrospected(c *config.Introspection, o *Options) (*introspected, error) {
	m := &introspected{
		issuer: c.Issuer, audience: c.Audience, skew: o.Config.ClockSkew, claims: newMapping(c.Claims),
		opaqueOnly: c.Tokens == "opaque", name: "introspection at " + c.URL, now: o.Now,
	}
	at := sourceName{issuer: c.Issuer, refresh: defaultRefresh}
	if c.URL == "" {
		m.name = "introspection of " + c.Issuer
	}
	for _, u := range []string{c.URL, c.Issuer} {
		if u == "" || u == c.Issuer && c.URL != "" && !c.Signed {
			continue
		}
		if parsed, err := url.Parse(u); err != nil || !oauth.Trustworthy(parsed) {
			return nil, fmt.Errorf("%q must be an https URL, or http on this machine", u)
		}
	}
	if c.URL == "" && c.Issuer == "" {
		return nil, errors.New("one of url and issuer is needed")
	}
	if c.CA != "" {
		b, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("reading ca: %w", err)
		}
		at.ca = string(b)
	}
	client, err := askingClient(clientFor(g.keys.client, at.ca), &c.Auth)
	if err != nil {
		return nil, err
	}
	opt := introspection.Options[*verified]{Config: *c, Read: m.read, Client: client, Now: o.Now, Log: o.Log}
	if c.URL == "" {
		opt.Endpoint = func(ctx context.Context) (string, error) { return endpointOf(ctx, client, at, c.Auth.Method == "tls") }
	}
	if c.Signed {
		keys := g.keys.acquire(at)
		g.held = append(g.held, at)
		opt.Verify = func(ctx context.Context, text string) (*value.Value, error) { return m.signed(ctx, keys, text) }
	}
	if m.server, err = introspection.New(opt); err != nil {
		return nil, err
	}
	g.asked = append(g.asked, m)
	return m, nil
}

// askingClient is a client that follows no redirect: the request carries a token
// and the gateway's own credentials. With a certificate it shows that.
func askingClient(c *http.Client, auth *config.ClientAuth) (*http.Client, error) {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("redirected; set url to where it leads") }
	if auth.Method != "tls" {
		return &own, nil
	}
	cert, err := tls.LoadX509KeyPair(auth.Cert, auth.Key)
	if err != nil {
		return nil, fmt.Errorf("auth: reading the client certificate: %w", err)
	}
	t := transportOf(c)
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.Certificates = []tls.Certificate{cert}
	own.Transport = t
	return &own, nil
}

// endpointOf asks an issuer's discovery document for its introspection endpoint
// (RFC 8414 section 2; with a client certificate RFC 8705 section 5).
func endpointOf(ctx context.Context, client *http.Client, n sourceName, withCertificate bool) (string, error) {
	b, err := metadata(ctx, client, n)
	if err != nil {
		return "", err
	}
	doc, err := value.JSON(b, value.Limits{String: maxKeySet})
	if err != nil {
		return "", fmt.Errorf("parsing: %w", err)
	}
	if iss := doc.Get("issuer").Str(); iss == "" || strings.TrimSuffix(iss, "/") != strings.TrimSuffix(n.issuer, "/") {
		return "", fmt.Errorf("the document is of another issuer: %s", sent(iss))
	}
	at := doc.Get("introspection_endpoint").Str()
	if alias := doc.Get("mtls_endpoint_aliases").Get("introspection_endpoint").Str(); withCertificate && alias != "" {
		at = alias
	}
	u, err := url.Parse(at)
	if at == "" || err != nil || !oauth.Trustworthy(u) {
		return "", errors.New("the document names no introspection_endpoint at an https URL: set url")
	}
	return at, nil
}

func (m *introspected) ready() error {
	if err := m.server.Ready(); err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	return nil
}

// refusedToken carries a failure through an Introspector.
type refusedToken struct{ *failure }

func (r refusedToken) Error() string { return r.reason }

// ask has the server say what a token is.
func (m *introspected) ask(ctx context.Context, sum *digest, text string) (*verified, *failure) {
	if !plainToken(text) {
		return nil, fail("authn.malformed", "the token holds characters that no token has (RFC 6750 section 2.1)")
	}
	v, err := m.server.Ask(ctx, sum.String(), text)
	var refused refusedToken
	switch {
	case err == nil:
		if now := m.now(); now.Before(v.from) {
			return nil, fail("authn.not_yet_valid", "the token is not valid yet")
		}
		return v, nil
	case errors.As(err, &refused):
		return nil, refused.failure
	case errors.Is(err, introspection.ErrInactive):
		return nil, fail("authn.inactive", err.Error())
	case errors.Is(err, introspection.ErrUnavailable):
		return nil, unavailable(err.Error())
	}
	return nil, fail("authn.invalid", err.Error())
}

// read takes the identity from what the server says of a token that it calls active.
func (m *introspected) read(key, token string, claims *value.Value) (*verified, time.Time, error) {
	v, f := m.verified(claims)
	if f != nil {
		return nil, time.Time{}, refusedToken{f}
	}
	v.identity.Credential = key
	v.identity.Revocable = revocableClaims(v.identity, claims, token)
	return v, v.until, nil
}

func (m *introspected) verified(claims *value.Value) (*verified, *failure) {
	if iss := claims.Get("iss"); m.issuer != "" && iss != nil && strings.TrimSuffix(iss.Str(), "/") != strings.TrimSuffix(m.issuer, "/") {
		return nil, fail("authn.issuer", "the server speaks of a token of another issuer: "+sent(iss.Str()))
	}
	if f := accessType(claims); f != nil {
		return nil, f
	}
	if f := audience(claims, m.audience); f != nil {
		return nil, f
	}
	from, until, f := window(claims, m.now(), m.skew, false)
	if f != nil {
		return nil, f
	}
	id, f := m.claims.identity(claims)
	if f != nil {
		return nil, f
	}
	id.Method = "introspection"
	if id.Issuer == "" {
		id.Issuer = m.issuer
	}
	bound, f := bindingOf(claims)
	if f != nil {
		return nil, f
	}
	if !until.IsZero() {
		id.Expires = until.Add(-m.skew)
	}
	return &verified{identity: id, bound: bound, from: from, until: until}, nil
}

// accessType refuses what the server says is another kind of token. A refresh
// token is active too.
func accessType(claims *value.Value) *failure {
	for name, takes := range map[string][]string{
		"token_type": {"bearer", "dpop", "mac", "n_a", "access_token", "urn:ietf:params:oauth:token-type:access_token"},
		"token_use":  {"access", "access_token"},
		"typ":        {"bearer", "dpop", "jwt", "at+jwt", "application/at+jwt"},
	} {
		v := claims.Get(name)
		if v == nil || v.Kind == value.Null {
			continue
		}
		ok := false
		for _, t := range takes {
			ok = ok || strings.EqualFold(v.Str(), t)
		}
		if !ok {
			return fail("authn.token_type", "the server says that the token's "+name+" is "+sent(v.Str()))
		}
	}
	return nil
}

// signed verifies a signed answer (RFC 9701 section 5): its type, its signature by
// the issuer's keys, its issuer and its age.
func (m *introspected) signed(ctx context.Context, keys *source, text string) (*value.Value, error) {
	t, f := parseToken(text)
	if f != nil {
		return nil, errors.New(f.reason)
	}
	if mediaType(t.typ) != "token-introspection+jwt" {
		return nil, errors.New("its typ is " + sent(t.typ))
	}
	list, err := allowList(nil, false)
	if err != nil {
		return nil, err
	}
	a := list[t.alg]
	if a == nil {
		return nil, errors.New("algorithm " + sent(t.alg) + " is not allowed")
	}
	var few [maxTries]*jose.Key
	found, set, f := keys.lookup(ctx, m.now(), defaultMaxAge, &wanted{kid: t.kid, algorithm: a, issuer: issuerOf(t)}, few[:0])
	if f != nil {
		return nil, errors.New(f.reason)
	}
	verifies := false
	for _, k := range found {
		verifies = verifies || a.Verify(k, []byte(t.input), t.signature)
	}
	switch iat, has, f := date(t.claims, "iat"); {
	case !verifies:
		return nil, errors.New("its signature does not verify")
	case issuerOf(t) != set.issuer:
		return nil, errors.New("it is from another issuer: " + sent(issuerOf(t)))
	case f != nil || !has:
		return nil, errors.New("it does not say when it was made")
	case iat.Before(m.now().Add(-time.Minute-m.skew)) || iat.After(m.now().Add(m.skew)):
		return nil, errors.New("it was not made just now")
	}
	return t.claims, nil
}

// looksSigned reports whether a token has the form of a JWS: three parts, of
// which the first is a header that names an algorithm. Opaque tokens have dots too.
func looksSigned(s string) bool {
	if strings.Count(s, ".") != 2 {
		return false
	}
	head, _, _ := strings.Cut(s, ".")
	header, err := object(head)
	return err == nil && header.Get("alg") != nil
}

// plainToken reports whether a token is a b64token (RFC 6750 section 2.1) or at
// least of visible ASCII without quotes (RFC 6749 appendix A.12).
func plainToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' || s[i] == ',' {
			return false
		}
	}
	return s != ""
}
