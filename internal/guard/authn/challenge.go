package authn

import (
	"crypto/x509"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
)

// challenge is one challenge of a WWW-Authenticate field (RFC 9110 section 11.6.1).
type challenge struct {
	text   string
	bearer bool // takes RFC 6750's error parameters
}

// challenges lists one challenge for each way to prove who is calling.
func challenges(methods []*method, realm string) []challenge {
	var out []challenge
	seen := make(map[string]bool)
	for _, m := range methods {
		c := m.challenge(realm)
		if !seen[c.text] {
			seen[c.text] = true
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		// RFC 9110 wants one even where no method is configured.
		out = []challenge{{text: `Bearer realm="` + realm + `"`, bearer: true}}
	}
	return out
}

func (m *method) challenge(realm string) challenge {
	r := ` realm="` + realm + `"`
	switch {
	case m.place == nil:
		return challenge{text: "Mutual" + r}
	case m.place.in == "cookie":
		return challenge{text: "Cookie" + r + `, cookie-name="` + quotable(m.place.name, "") + `"`}
	case m.place.name == authorization && m.place.in == "header":
		scheme := m.place.prefix
		if !token68(scheme) {
			scheme = bearer
		}
		return challenge{text: scheme + r, bearer: strings.EqualFold(scheme, bearer)}
	}
	return challenge{text: "ApiKey" + r + `, in="` + m.place.in + `", name="` + quotable(m.place.name, "") + `"`}
}

// descriptions are what RFC 6750's error_description says, by code. Anything
// more would help who probes.
var descriptions = map[string]string{
	"authn.expired":       "The access token expired",
	"authn.not_yet_valid": "The access token is not valid yet",
	"authn.audience":      "The access token is for another audience",
	"authn.issuer":        "The access token is from an issuer that is not trusted",
	"authn.too_large":     "The access token is too large",
	"authn.revoked":       "The access token was revoked",
	"authn.ambiguous":     "More than one access token was sent",
}

// challenge is the whole field of a denial. Without credentials it says no
// error (RFC 6750 section 3.1).
func (p *plan) challenge(f *failure) string {
	if f.unable {
		return ""
	}
	var b strings.Builder
	for i, c := range p.challenges {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.text)
		if !c.bearer || f.code == "authn.missing" {
			continue
		}
		name := "invalid_token"
		if f.code == "authn.ambiguous" {
			name = "invalid_request"
		}
		text := descriptions[f.code]
		if text == "" {
			text = "The access token is invalid"
		}
		b.WriteString(`, error="` + name + `", error_description="` + text + `"`)
	}
	return b.String()
}

// quotable makes a text fit for a quoted-string of a header field.
func quotable(s, otherwise string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 0x20 && r < 0x7f && r != '"' && r != '\\' {
			b.WriteRune(r)
		}
	}
	if strings.TrimSpace(b.String()) == "" {
		return otherwise
	}
	return strings.TrimSpace(b.String())
}

// token68 reports whether s can be the name of an authentication scheme.
func token68(s string) bool {
	for i := 0; i < len(s); i++ {
		if !letter(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != ""
}

// certificate is the identity of a client certificate that the connection
// verified: its first URI (SPIFFE), DNS name or e-mail address, else its common name.
func certificate(c *x509.Certificate, schemes []string) (*exchange.Identity, *failure) {
	id := &exchange.Identity{Method: "mtls", Verified: true, Issuer: c.Issuer.String(), Expires: c.NotAfter, Schemes: schemes}
	switch {
	case len(c.URIs) > 0:
		id.Subject = c.URIs[0].String()
	case len(c.DNSNames) > 0:
		id.Subject = c.DNSNames[0]
	case len(c.EmailAddresses) > 0:
		id.Subject = c.EmailAddresses[0]
	default:
		id.Subject = c.Subject.CommonName
	}
	if id.Subject == "" || !plain(id.Subject) {
		return nil, fail("authn.invalid", "the client certificate names no subject")
	}
	id.Issued, id.Revocable = c.NotBefore, revocableCertificate(id, c)
	return id, nil
}
