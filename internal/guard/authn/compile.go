package authn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
	"github.com/crenel-project/crenel/internal/guard/authn/whoami"
	"github.com/crenel-project/crenel/internal/spec"
)

const (
	authorization = "Authorization"
	bearer        = "Bearer"
	defaultKeyIn  = "X-API-Key"
)

// compile makes the config's methods. The error names every mistake.
func (g *Guard) compile(o *Options) ([]*method, error) {
	var all []*method
	var errs []error
	for i := range o.Config.Methods {
		ms, err := g.compileOne(o, &o.Config.Methods[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("methods[%d]: %w", i, err))
			continue
		}
		for _, m := range ms {
			m.number = i + 1
		}
		all = append(all, ms...)
	}
	for _, m := range all {
		if m.place == nil {
			continue
		}
		if err := g.placeOne(m); err != nil {
			errs = append(errs, err)
		}
	}
	if m, err := g.declaredCertificates(o); err != nil {
		errs = append(errs, err)
	} else if m != nil {
		all = append(all, m)
	}
	return all, errors.Join(errs...)
}

// compileOne makes one entry's methods: one for each place that it may stand at.
func (g *Guard) compileOne(o *Options, c *config.AuthnMethod) ([]*method, error) {
	set := 0
	for _, is := range []bool{c.JWT != nil, c.APIKey != nil, c.Own != nil, c.Introspection != nil, c.Signature != nil, c.Session != nil, c.MTLS != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("exactly one of jwt, introspection, api_key, own, signature, session and mtls is needed, not %d", set)
	}
	var ms []*method
	switch {
	case c.JWT != nil:
		m, name, err := newJWT(c.JWT, o.Config.ClockSkew, g.keys)
		if err != nil {
			return nil, fmt.Errorf("jwt: %w", err)
		}
		if name != nil {
			g.held = append(g.held, *name)
		}
		g.tokens = append(g.tokens, m)
		one := &method{kind: "jwt", jwt: m, place: tokenPlace(c.JWT.Header, c.JWT.Prefix, c.JWT.Cookie)}
		if one.place.takesBound() {
			if one.dpop, err = newProofs(c.JWT.DPoP, o); err != nil {
				return nil, fmt.Errorf("jwt: dpop: %w", err)
			}
		}
		ms = []*method{one}
	case c.Introspection != nil:
		one := &method{kind: "introspection", place: tokenPlace(c.Introspection.Header, c.Introspection.Prefix, c.Introspection.Cookie)}
		var err error
		if one.asks, err = g.newIntrospected(c.Introspection, o); err != nil {
			return nil, fmt.Errorf("introspection: %w", err)
		}
		if one.place.takesBound() {
			if one.dpop, err = newProofs(c.Introspection.DPoP, o); err != nil {
				return nil, fmt.Errorf("introspection: dpop: %w", err)
			}
		}
		ms = []*method{one}
	case c.APIKey != nil:
		ring, err := g.newKeyRing(c.APIKey.File)
		if err != nil {
			return nil, fmt.Errorf("api_key: %w", err)
		}
		for _, p := range keyPlaces(c.APIKey, o.API) {
			ms = append(ms, &method{kind: "api_key", keys: ring, place: p})
		}
	case c.MTLS != nil:
		one, err := g.newCertificates(c.MTLS)
		if err != nil {
			return nil, fmt.Errorf("mtls: %w", err)
		}
		ms = []*method{one}
	case c.Signature != nil:
		s, err := g.newSigners(c.Signature, o)
		if err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		one := &method{kind: "signature", signed: s}
		g.signers = append(g.signers, one)
		g.whole = g.whole || s.whole
		ms = []*method{one}
	case c.Session != nil:
		if o.Sessions == nil {
			return nil, errors.New("session: there is no login whose sessions they could be")
		}
		if g.session != nil {
			return nil, errors.New("session: there are two: a browser has one session")
		}
		g.session, g.sessions = newSessionMethod(o, c.Schemes), o.Sessions
		return []*method{g.session}, unknownSchemes(c, o)
	case c.Own != nil:
		for _, p := range ownPlaces(c.Own) {
			ms = append(ms, &method{kind: "own", place: p})
		}
		if w := c.Own.WhoAmI; w != nil && len(ms) > 0 {
			if o.Ask == nil {
				return nil, errors.New("own: who_am_i: there is no API that could be asked")
			}
			asker := whoami.New(*w, o.Ask, g.now, o.Log)
			g.askers = append(g.askers, asker)
			for _, m := range ms {
				m.asker = asker
			}
		}
		if len(ms) == 0 {
			return nil, errors.New("own: one of header, cookie and query is needed")
		}
	}
	if err := assignSchemes(ms, c, o); err != nil {
		return nil, err
	}
	return ms, nil
}

// tokenPlace is where a token stands.
func tokenPlace(header string, prefix *string, cookie string) *place {
	if cookie != "" {
		return newPlace("cookie", cookie, "")
	}
	if header == "" {
		header = authorization
	}
	if prefix != nil {
		return newPlace("header", header, *prefix)
	}
	p := newPlace("header", header, bearer)
	p.optional = p.name != authorization
	return p
}

// keyPlaces are where a key may stand: where the config says, else where the
// document's schemes say.
func keyPlaces(c *config.KeyMethod, api *spec.API) []*place {
	var out []*place
	header := func(name string) {
		p := newPlace("header", name, "")
		if p.name == authorization {
			p = newPlace("header", name, bearer)
		}
		out = append(out, p)
	}
	if c.Header != "" {
		header(c.Header)
	}
	if c.Cookie != "" {
		out = append(out, newPlace("cookie", c.Cookie, ""))
	}
	if c.Query != "" {
		out = append(out, newPlace("query", c.Query, ""))
	}
	if len(out) == 0 && api != nil {
		seen := make(map[string]bool)
		for _, s := range sortedSchemes(api) {
			if s.Type != "apiKey" || seen[s.In+":"+s.Key] {
				continue
			}
			seen[s.In+":"+s.Key] = true
			if s.In == "header" {
				header(s.Key)
			} else {
				out = append(out, newPlace(s.In, s.Key, ""))
			}
		}
	}
	if len(out) == 0 {
		header(defaultKeyIn)
	}
	return out
}

func ownPlaces(c *config.OwnMethod) []*place {
	var out []*place
	if c.Header != "" {
		out = append(out, newPlace("header", c.Header, c.Prefix))
	}
	if c.Cookie != "" {
		out = append(out, newPlace("cookie", c.Cookie, ""))
	}
	if c.Query != "" {
		out = append(out, newPlace("query", c.Query, ""))
	}
	return out
}

func sortedSchemes(api *spec.API) []*spec.SecurityScheme {
	var out []*spec.SecurityScheme
	for _, s := range api.SecuritySchemes {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *spec.SecurityScheme) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// assignSchemes says which of the document's schemes the methods satisfy: those
// that the config names, else all that fit their kind and place.
func assignSchemes(ms []*method, c *config.AuthnMethod, o *Options) error {
	if len(c.Schemes) > 0 {
		for _, m := range ms {
			m.schemes = c.Schemes
		}
		return unknownSchemes(c, o)
	}
	if o.API == nil {
		return nil
	}
	for _, m := range ms {
		m.schemes = fitting(m, o)
	}
	return nil
}

func unknownSchemes(c *config.AuthnMethod, o *Options) error {
	var errs []error
	for _, n := range c.Schemes {
		if o.API == nil || o.API.SecuritySchemes[n] == nil {
			errs = append(errs, fmt.Errorf("schemes: the document has no security scheme %q", n))
		}
	}
	return errors.Join(errs...)
}

// fitting lists the schemes that a method satisfies by its kind and place. A
// scheme that names the method's very place comes before the looser fits.
func fitting(m *method, o *Options) []string {
	var exact, loose []string
	for _, s := range sortedSchemes(o.API) {
		switch {
		case m.kind == "mtls":
			if s.Type == "mutualTLS" {
				exact = append(exact, s.Name)
			}
		case m.kind == "signature":
			if s.Type == "http" && strings.EqualFold(s.Scheme, "signature") {
				exact = append(exact, s.Name)
			}
		case s.Type == "apiKey":
			at := newPlace(s.In, s.Key, "")
			if at.in == m.place.in && at.name == m.place.name {
				exact = append(exact, s.Name)
			}
		case m.kind == "api_key", s.Type == "mutualTLS":
		case s.Type == "http" && s.Scheme != "bearer":
			if m.kind == "own" && m.place.name == authorization && (m.place.prefix == "" || strings.EqualFold(m.place.prefix, s.Scheme)) {
				exact = append(exact, s.Name)
			}
		case m.kind == "own" && (m.place.name != authorization || m.place.prefix != "" && !strings.EqualFold(m.place.prefix, bearer)):
		case s.Type == "openIdConnect" && m.kind == "jwt" && othersIssuer(s.OpenIDConnectURL, m.jwt.name, o):
		default: // bearer, oauth2, openIdConnect
			if m.place.name == authorization {
				exact = append(exact, s.Name)
			} else {
				loose = append(loose, s.Name)
			}
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return loose
}

// othersIssuer reports whether an OpenID Connect URL is of another configured
// method's issuer and not of this one's.
func othersIssuer(discovery, issuer string, o *Options) bool {
	is := func(iss string) bool {
		return iss != "" && strings.HasPrefix(discovery, strings.TrimSuffix(iss, "/")+"/")
	}
	if discovery == "" || is(issuer) {
		return false
	}
	for i := range o.Config.Methods {
		if j := o.Config.Methods[i].JWT; j != nil && is(j.Issuer) {
			return true
		}
	}
	return false
}

// placeOne joins a method with the others that read the same place.
func (g *Guard) placeOne(m *method) error {
	var at *place
	for _, p := range g.places {
		if p.in != m.place.in || p.name != m.place.name {
			continue
		}
		same := strings.EqualFold(p.prefix, m.place.prefix) && p.optional == m.place.optional
		if !same && (p.prefix == "" || m.place.prefix == "" || p.optional || m.place.optional) {
			return fmt.Errorf("two methods read %s, one with a prefix and one without: which is meant cannot be told", p.at)
		}
		if same {
			at = p
		}
	}
	if at == nil {
		at = m.place
		at.index = len(g.places)
		g.places = append(g.places, at)
	}
	m.place = at
	switch m.kind {
	case "jwt":
		at.jwt = append(at.jwt, m)
	case "introspection":
		if at.opaque != nil {
			return fmt.Errorf("two introspection methods read %s: whom to ask cannot be told", at.at)
		}
		at.opaque = m
	case "api_key":
		if at.keys != nil {
			return fmt.Errorf("two api_key methods read %s: put the keys into one file", at.at)
		}
		at.keys = m
	case "own":
		if at.own != nil {
			return fmt.Errorf("two own methods read %s", at.at)
		}
		at.own = m
	}
	if at.own != nil && (at.keys != nil || at.token() != nil) {
		// Whatever the other method refuses would pass as the API's own.
		return fmt.Errorf("an own method reads %s, which another method verifies", at.at)
	}
	return nil
}

// keyRing is a key file, compiled, with each holder's Identity made ready.
type keyRing struct {
	*apikey.Verifier
	identities []exchange.Identity // by place in the file
}

func (g *Guard) newKeyRing(path string) (*keyRing, error) {
	if path == "" {
		return nil, errors.New("file is needed; crenel keys create makes it")
	}
	f, err := apikey.Load(path)
	if err != nil {
		return nil, err
	}
	v, err := apikey.NewVerifier(f.Keys)
	if err != nil {
		return nil, err
	}
	r := &keyRing{Verifier: v, identities: make([]exchange.Identity, len(f.Keys))}
	for i, k := range f.Keys {
		r.identities[i] = exchange.Identity{
			Subject: k.Subject, Method: "api_key", Verified: true, ClientID: k.ID, Scopes: k.Scopes, Roles: k.Roles,
			Tenant: k.Tenant, Rates: keyRates(k.Rates), Expires: k.Expires, Credential: g.digest.sum(-1, k.ID).String(), Memo: new(exchange.Memo),
		}
		r.identities[i].Issued, r.identities[i].Revocable = k.Created, revocableKey(&r.identities[i], k.Hash)
	}
	return r, nil
}

func keyRates(rates []apikey.Rate) []exchange.Rate {
	var out []exchange.Rate
	for _, r := range rates {
		out = append(out, exchange.Rate(r))
	}
	return out
}

// verifyKey finds the holder of a key.
func (r *keyRing) verifyKey(text string, now time.Time) (*exchange.Identity, *failure) {
	_, i, err := r.Verify(text, now)
	switch {
	case err == nil:
		return &r.identities[i], nil
	case errors.Is(err, apikey.ErrMalformed):
		return nil, fail("authn.malformed", err.Error())
	case errors.Is(err, apikey.ErrExpired):
		return nil, fail("authn.expired", err.Error())
	}
	return nil, fail("authn.invalid", err.Error())
}
