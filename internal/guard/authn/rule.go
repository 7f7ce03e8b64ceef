package authn

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/access"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
	"github.com/crenel-project/crenel/internal/guard/authn/clientcert"
	"github.com/crenel-project/crenel/internal/spec"
)

// candidate is one credential of the request: who it proves, or why it does not.
type candidate struct {
	method   *method
	place    *place // nil for a client certificate and a session
	identity *exchange.Identity
	schemes  []string
	failure  *failure
	withDPoP bool   // it came by the scheme DPoP, with a proof in a field of its own
	token    string // the access token, where the credential is one or has one
	counts   bool   // it is one of those by which the call is let in
}

func (c *candidate) at() string {
	switch {
	case c.place != nil:
		return c.place.at
	case c.method.signed != nil:
		return signedAt
	case c.method.kind == sessionKind:
		return "cookie:" + c.method.cookie
	}
	return ""
}

// verified reports whether the gateway itself has proof of whose the credential is.
func (c *candidate) verified() bool { return c.identity != nil && c.identity.Verified }

// places are where in the request the credential stands; none for a certificate.
func (c *candidate) places() []exchange.CredentialPlace {
	switch {
	case c.place == nil && c.method.signed != nil:
		return signaturePlaces
	case c.place == nil:
		return nil
	case c.withDPoP:
		return c.place.proven
	}
	return c.place.credentials
}

// rule checks every credential of the request and rules on the operation's
// security alternatives.
func (g *Guard) rule(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	p := g.planOf(x.Operation)
	now := g.now()
	var few [4]candidate
	found := few[:0]
	for _, at := range g.places {
		credential, how := at.find(&x.Request)
		switch how {
		case absent:
			continue
		case repeated:
			f := fail("authn.ambiguous", "more than one credential at "+at.at)
			return p.deny(x, f, at.at)
		}
		found = append(found, g.check(ctx, x, at, credential, how == presentDPoP, now))
	}
	if len(g.mtls) > 0 && (x.PeerCert != nil || x.PeerFault != "") {
		found = append(found, g.certified(x, now))
	}
	if len(g.signers) > 0 && (len(x.Request.Header["Signature-Input"]) > 0 || len(x.Request.Header["Signature"]) > 0) {
		found = g.signed(ctx, x, found, now)
	}
	if g.session != nil {
		if c, ok := g.findSession(ctx, x); ok {
			found = append(found, c)
		}
	}
	for i := range found {
		g.takeBack(&found[i])
	}
	x.Request.Credentials = credentials(x, found)
	if f, at := p.ambiguous(x, found); f != nil {
		return p.deny(x, f, at)
	}
	if p.settle(x, found) {
		if f := p.stepUp(found, now, g.skew); f != nil {
			return f.verdict("", p.challenge(f))
		}
		return allowed(x, found)
	}
	if p.public {
		for i := range found {
			if found[i].failure == nil {
				p.identify(x, found, i)
				break
			}
		}
		return allowed(x, found)
	}
	f, at := p.failure(x, found)
	v := p.deny(x, f, at)
	v.LoginHelps = p.loginHelps(f, found)
	return v
}

// deny refuses a call, with what the operation takes in place of it.
func (p *plan) deny(x *exchange.Exchange, f *failure, at string) exchange.Verdict {
	v := f.verdict(at, p.challenge(f))
	if f.unable {
		return v
	}
	if v.Header == nil {
		v.Header = map[string]string{}
	}
	for _, m := range p.methods {
		if m.signed != nil {
			v.Header["Accept-Signature"] = m.signed.accept(x)
			break
		}
	}
	return v
}

// loginHelps reports whether a browser would be let in with a session, as far as
// this guard can tell: the operation takes one, and there was none that held.
func (p *plan) loginHelps(f *failure, found []candidate) bool {
	if f.unable || f.code == "authn.csrf" {
		return false
	}
	for i := range found {
		if found[i].method.kind == sessionKind && found[i].failure == nil {
			return false
		}
	}
	return slices.ContainsFunc(p.methods, func(m *method) bool { return m.kind == sessionKind })
}

// check verifies the credential that stood at a place.
func (g *Guard) check(ctx context.Context, x *exchange.Exchange, at *place, credential string, withDPoP bool, now time.Time) candidate {
	c := candidate{place: at, withDPoP: withDPoP}
	switch {
	case withDPoP:
		c.method = at.token()
	case at.own != nil:
		c.method = at.own
	case at.keys != nil && (at.token() == nil || apikey.Own(credential)):
		c.method = at.keys
	default:
		c.method = at.token()
	}
	c.schemes = c.method.schemes
	switch {
	case len(credential) > g.maxToken:
		c.failure = fail("authn.too_large", fmt.Sprintf("the credential is larger than %d bytes", g.maxToken))
		return c
	case credential == "":
		c.failure = fail("authn.malformed", "the credential is empty")
		return c
	}
	switch c.method.kind {
	case "own":
		c.identity, c.failure = g.ownCredential(ctx, x, c.method, credential)
	case "api_key":
		id, f := c.method.keys.verifyKey(credential, now)
		c.identity, c.failure = id, f
	default:
		v, m, f := g.verify(ctx, at, credential, now)
		c.failure = f
		if f == nil {
			c.method, c.schemes, c.identity, c.token = m, m.schemes, v.identity, credential
			c.failure = g.confirm(ctx, x, m, &v.bound, credential, withDPoP, now)
			if c.failure == nil && v.bound.certificate != "" {
				id := *v.identity
				id.Certificate, id.Memo = clientcert.Describe(x.PeerCert), nil
				c.identity = &id
			}
		}
	}
	return c
}

// verify checks a token, or remembers that it did. Who is asked about it is told
// by its form and by the issuer that it names: what a jwt method claims is never
// put to a server, and what is no JWT never to a key.
func (g *Guard) verify(ctx context.Context, at *place, text string, now time.Time) (*verified, *method, *failure) {
	sum := g.digest.sum(at.index, text)
	if v := g.cache.get(&sum, now); v != nil {
		m := at.methodOf(v.number)
		if v.guard != g.serial {
			v = g.adopt(&sum, v, m)
		}
		return v, m, nil
	}
	if at.opaque != nil && (len(at.jwt) == 0 && !at.opaque.asks.opaqueOnly || !looksSigned(text)) {
		v, f := at.opaque.asks.ask(ctx, &sum, text)
		return v, at.opaque, f
	}
	t, f := parseToken(text)
	if f != nil {
		return nil, nil, f
	}
	issuer := issuerOf(t)
	if at.opaque != nil && !at.opaque.asks.opaqueOnly && !slices.ContainsFunc(at.jwt, func(m *method) bool { return m.jwt.name == "" || m.jwt.takes(issuer) }) {
		v, f := at.opaque.asks.ask(ctx, &sum, text)
		return v, at.opaque, f
	}
	for _, named := range []bool{true, false} {
		// Methods of exactly this issuer first; only where there is none, those that take any.
		for _, m := range at.jwt {
			if named != (m.jwt.name != "") || named && !m.jwt.takes(issuer) {
				continue
			}
			v, why := m.jwt.verify(ctx, t, now)
			if why == nil {
				v.number, v.guard = m.number, g.serial
				v.identity.Schemes = m.schemes
				v.identity.Credential = sum.String()
				v.identity.Revocable = revocableClaims(v.identity, t.claims, text)
				g.cache.put(&sum, v)
				return v, m, nil
			}
			if f == nil || f.code == "authn.algorithm" || why.unable {
				f = why
			}
		}
		if f != nil {
			return nil, nil, f
		}
	}
	return nil, nil, fail("authn.issuer", "issuer "+sent(issuer)+" is not trusted here")
}

// adopt takes over what a guard of the last config verified. What later guards
// computed from the identity is left behind: their config may be another.
func (g *Guard) adopt(sum *digest, was *verified, m *method) *verified {
	v, id := *was, *was.identity
	id.Schemes, id.Memo = m.schemes, new(exchange.Memo)
	v.identity, v.guard = &id, g.serial
	g.cache.put(sum, &v)
	return &v
}

func (p *place) methodOf(number int) *method {
	for _, m := range p.jwt {
		if m.number == number {
			return m
		}
	}
	return p.jwt[0]
}

// settle looks for an alternative that the credentials meet, and takes the
// identity from it. One whose scopes were granted too goes before one of which only
// the schemes are met: who is let in for a scope is who it was granted to.
func (p *plan) settle(x *exchange.Exchange, found []candidate) bool {
	for _, granted := range []bool{true, false} {
		for _, r := range p.requirements {
			if first := meets(r, found, granted); first >= 0 {
				p.identify(x, found, first)
				return true
			}
		}
	}
	if len(p.alternatives) > 0 {
		return false
	}
	first := -1
	for i := range found {
		if found[i].failure == nil && (first < 0 || !found[first].identity.Verified && found[i].identity.Verified) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	found[first].counts = true
	p.identify(x, found, first)
	return true
}

// meets finds credentials for all schemes of an alternative, and marks them. It
// returns whose identity goes first, -1 when there are not all.
func meets(r spec.Requirement, found []candidate, granted bool) (first int) {
	first = -1
	for i := range found {
		found[i].counts = false
	}
	for u := range r {
		i := slices.IndexFunc(found, func(c candidate) bool {
			return c.failure == nil && slices.Contains(c.schemes, r[u].Scheme.Name) && (!granted || access.Granted(&r[u], c.identity))
		})
		if i < 0 {
			return -1
		}
		found[i].counts = true
		if first < 0 || !found[first].identity.Verified && found[i].identity.Verified {
			first = i
		}
	}
	return first
}

// identify sets the identity, with the further credentials that hold beside it.
func (p *plan) identify(x *exchange.Exchange, found []candidate, first int) {
	x.Identity, x.Token = *found[first].identity, found[first].token
	x.Identity.Schemes = found[first].schemes
	for i := range found {
		if i != first && found[i].failure == nil {
			also := *found[i].identity
			also.Schemes = found[i].schemes
			x.Identity.Also = append(x.Identity.Also, also)
			x.Identity.Memo = nil // what was computed for the one credential does not hold for both
		}
	}
}

// allowed marks the credentials that did not hold, so that the upstream does not
// see them, and says so in the record.
func allowed(x *exchange.Exchange, found []candidate) exchange.Verdict {
	var v exchange.Verdict
	for i := range found {
		c := &found[i]
		if c.failure == nil {
			continue
		}
		for _, p := range c.places() {
			for j := range x.Request.Credentials {
				if at := &x.Request.Credentials[j]; at.In == p.In && at.Name == p.Name {
					at.Rejected = true
				}
			}
		}
		if v.Reason == "" {
			v.At = c.at()
			v.Reason = "a credential was ignored: " + c.failure.reason
		}
		v.More = append(v.More, exchange.Fault{Code: c.failure.code, At: c.at(), Reason: c.failure.reason})
	}
	return v
}

// credentials lists where credentials stood: those found, in order, and an
// Authorization header of a scheme that no method reads.
func credentials(x *exchange.Exchange, found []candidate) []exchange.CredentialPlace {
	other := len(x.Request.Header[authorization]) > 0
	var first []exchange.CredentialPlace
	count, good := 0, true
	for i := range found {
		if places := found[i].places(); len(places) > 0 {
			if count++; count == 1 {
				first = places
			}
			good = good && found[i].failure == nil && found[i].verified()
			other = other && places[0].Name != authorization
		}
	}
	if count == 1 && good && !other {
		return first
	}
	if count == 0 && !other {
		return nil
	}
	out := make([]exchange.CredentialPlace, 0, count+2)
	for i := range found {
		from := len(out)
		out = append(out, found[i].places()...)
		for j := from; j < len(out); j++ {
			out[j].Unproven = !found[i].verified()
		}
	}
	if other {
		out = append(out, exchange.CredentialPlace{In: "header", Name: authorization, Unproven: true})
	}
	return out
}

// ambiguous refuses two credentials of one kind that both could be meant: which
// one the upstream believes cannot be known. Two that an alternative demands
// together are no such case.
func (p *plan) ambiguous(x *exchange.Exchange, found []candidate) (*failure, string) {
	for i := range found {
		a := &found[i]
		if !a.method.token() && a.method.kind != "api_key" {
			continue
		}
		for j := range found[:i] {
			b := &found[j]
			if (a.method.kind == b.method.kind || a.method.token() && b.method.token()) && p.relevant(a) && p.relevant(b) && !p.together(a, b) {
				return fail("authn.ambiguous", "two credentials of one kind, at "+b.at()+" and "+a.at()), a.at()
			}
		}
		if a.method.token() && a.place.name == authorization && !p.takesAccessToken && x.Request.Query != "" {
			// RFC 6750 section 2: a client must not send its token in two ways.
			if _, how := queryParameter(x.Request.Query, "access_token"); how != absent {
				return fail("authn.ambiguous", "a token in the header and one in the query"), "query:access_token"
			}
		}
	}
	return nil, ""
}

// relevant reports whether the operation's security names the candidate's method.
func (p *plan) relevant(c *candidate) bool {
	return slices.ContainsFunc(p.methods, func(m *method) bool { return m.place == c.place && m.kind == c.method.kind })
}

func (p *plan) together(a, b *candidate) bool {
	for _, alt := range p.alternatives {
		ia := slices.IndexFunc(alt, func(s string) bool { return slices.Contains(a.schemes, s) })
		ib := slices.IndexFunc(alt, func(s string) bool { return slices.Contains(b.schemes, s) && !slices.Contains(a.schemes, s) })
		if ia >= 0 && ib >= 0 {
			return true
		}
	}
	return false
}

// failure says why no alternative is met: what is wrong with a credential that
// the operation takes, else that there is none.
func (p *plan) failure(x *exchange.Exchange, found []candidate) (*failure, string) {
	var first *candidate
	for i := range found {
		c := &found[i]
		if c.failure == nil || !p.relevant(c) {
			continue
		}
		if c.failure.unable {
			return c.failure, c.at()
		}
		if first == nil {
			first = c
		}
	}
	switch {
	case first != nil:
		f := *first.failure
		f.noToken = !first.method.token() && (first.place == nil || first.place.name != authorization)
		return &f, first.at()
	case len(found) > 0:
		return fail("authn.missing", "credentials were sent, but not of a kind that this operation takes"), ""
	}
	for _, m := range p.methods {
		// What stands in the field is not told: it may well be a token without its scheme.
		if at := m.place; at != nil && at.prefix != "" && len(x.Request.Header[at.name]) > 0 {
			return fail("authn.missing", "field "+at.name+" was sent, but not as "+at.name+": "+at.prefix+" …"), at.at
		}
	}
	return fail("authn.missing", "no credentials were sent"), ""
}
