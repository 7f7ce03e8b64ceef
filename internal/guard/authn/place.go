package authn

import (
	"net/textproto"
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
)

// place is where in a request a credential may stand.
type place struct {
	in     string // "header", "cookie" or "query"
	name   string // a header's in canonical form
	prefix string // of a header's value, such as "Bearer"; compared without case
	// optional: the prefix may be missing.
	optional bool
	at       string // for the record: "header:authorization"
	index    int
	// methods that read this place: tokens, keys, or one that only asks for presence.
	jwt    []*method
	opaque *method // asks an authorization server about tokens that no jwt method claims
	keys   *method
	own    *method
	// credentials is the place by itself, as the Exchange names it; proven with the
	// proof that stands beside it.
	credentials, proven []exchange.CredentialPlace
}

func newPlace(in, name, prefix string) *place {
	if in == "header" {
		name = textproto.CanonicalMIMEHeaderKey(name)
	}
	p := &place{in: in, name: name, prefix: prefix, at: in + ":" + name}
	if in == "header" {
		p.at = in + ":" + strings.ToLower(name)
	}
	p.credentials = []exchange.CredentialPlace{{In: in, Name: name}}
	p.proven = []exchange.CredentialPlace{{In: in, Name: name}, {In: "header", Name: "Dpop"}}
	return p
}

// token is the method that answers for tokens of this place before it is known
// which one verifies them; nil when none does.
func (p *place) token() *method {
	if len(p.jwt) > 0 {
		return p.jwt[0]
	}
	return p.opaque
}

// presence is what was found at a place.
type presence uint8

const (
	absent presence = iota
	present
	presentDPoP // after the scheme DPoP, by which bound tokens come
	repeated    // more than once: servers differ on which one counts
)

// find returns the credential that stands at the place.
func (p *place) find(r *exchange.Request) (string, presence) {
	switch p.in {
	case "header":
		values := r.Header[p.name]
		if len(values) == 0 {
			return "", absent
		}
		if len(values) > 1 {
			return "", repeated
		}
		return p.unprefix(values[0])
	case "cookie":
		return cookie(r.Header["Cookie"], p.name)
	case "query":
		return queryParameter(r.Query, p.name)
	}
	return "", absent
}

// unprefix takes the authentication scheme off a header's value. A value of
// another scheme is no credential of this place.
func (p *place) unprefix(v string) (string, presence) {
	if p.prefix == "" {
		return v, present
	}
	if len(v) >= len(p.prefix) && strings.EqualFold(v[:len(p.prefix)], p.prefix) {
		rest := v[len(p.prefix):]
		token := strings.TrimLeft(rest, " ")
		// "Bearerx" is another word.
		if rest == "" || len(token) < len(rest) || !letter(p.prefix[len(p.prefix)-1]) {
			return token, present
		}
	}
	if p.optional {
		return v, present
	}
	if p.token() != nil && p.takesBound() && len(v) >= len(dpopScheme) && strings.EqualFold(v[:len(dpopScheme)], dpopScheme) {
		rest := v[len(dpopScheme):]
		if token := strings.TrimLeft(rest, " "); rest == "" || len(token) < len(rest) {
			return token, presentDPoP
		}
	}
	return "", absent
}

// dpopScheme is the scheme of tokens that are bound to a key (RFC 9449 section 7.1).
const dpopScheme = "DPoP"

// takesBound reports whether tokens of this place may come by the scheme DPoP.
func (p *place) takesBound() bool {
	return p.in == "header" && p.name == authorization && strings.EqualFold(p.prefix, bearer)
}

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// cookie finds the one cookie of the name (RFC 6265 section 5.4).
func cookie(lines []string, name string) (found string, how presence) {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			pair = strings.Trim(pair, " \t")
			n, v, _ := strings.Cut(pair, "=")
			if strings.TrimRight(n, " \t") != name {
				continue
			}
			if how == present {
				return "", repeated
			}
			found, how = strings.TrimLeft(v, " \t"), present
		}
	}
	return found, how
}

// queryParameter finds the one parameter of the name, however it is escaped.
func queryParameter(query, name string) (found string, how presence) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		n, v, _ := strings.Cut(pair, "=")
		if n != name {
			if !strings.ContainsAny(n, "%+") {
				continue
			}
			if decoded, err := url.QueryUnescape(n); err != nil || decoded != name {
				continue
			}
		}
		if how == present {
			return "", repeated
		}
		decoded, err := url.QueryUnescape(v)
		if err != nil {
			decoded = "" // present and malformed: an empty credential never verifies
		}
		found, how = decoded, present
	}
	return found, how
}
