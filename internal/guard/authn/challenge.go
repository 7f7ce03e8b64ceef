package authn

import (
	"strings"

	"github.com/crenel-project/crenel/internal/guard/access"
)

// challenge is one challenge of a WWW-Authenticate field (RFC 9110 section 11.6.1).
type challenge struct {
	text   string
	bearer bool   // takes RFC 6750's error parameters
	dpop   bool   // takes RFC 9449's
	also   string // parameters that follow the error: scope, resource_metadata
}

// challenges lists one challenge for each way to prove who is calling. aside is
// the challenge for bound tokens where the config does not speak of them: only
// callers that use them are told.
func challenges(methods []*method, realm string) (out []challenge, aside *challenge) {
	seen := make(map[string]bool)
	add := func(c challenge) {
		if !seen[c.text] {
			seen[c.text] = true
			out = append(out, c)
		}
	}
	for _, m := range methods {
		d := m.dpop
		if d == nil || !d.required {
			add(m.challenge(realm))
		}
		if d != nil && d.offered {
			add(d.challenge(realm))
		} else if d != nil && aside == nil {
			c := d.challenge(realm)
			aside = &c
		}
	}
	for _, c := range out {
		if c.dpop {
			aside = nil
		}
	}
	if len(out) == 0 {
		// RFC 9110 wants one even where no method is configured.
		out = []challenge{{text: `Bearer realm="` + realm + `"`, bearer: true}}
	}
	return out, aside
}

func (m *method) challenge(realm string) challenge {
	r := ` realm="` + realm + `"`
	switch {
	case m.signed != nil:
		return challenge{text: "Signature" + r}
	case m.kind == sessionKind:
		return challenge{text: "Cookie" + r + `, cookie-name="` + quotable(m.cookie, "") + `"`}
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
	"authn.inactive":      "The access token is not active",
	"authn.step_up":       "Another or a fresher authentication is required",
	"authn.ambiguous":     "More than one access token was sent",
	"authn.binding":       "The access token is bound to what the caller did not prove to have",
	"authn.proof":         "The DPoP proof is missing or does not hold for this request",
	"authn.proof_nonce":   "The DPoP proof needs the nonce of this answer",
	"authn.replay":        "What may be used once was used before",
}

// challenge is the whole field of a denial. Without credentials it says no
// error (RFC 6750 section 3.1).
func (p *plan) challenge(f *failure) string {
	if f.unable || f.code == "authn.csrf" {
		return ""
	}
	var b strings.Builder
	for i := range p.challenges {
		p.challenges[i].write(&b, f)
	}
	if p.dpop != nil && (proofErrors[f.code] != "" || f.code == "authn.binding") {
		p.dpop.write(&b, f)
	}
	return b.String()
}

// proofErrors are what the scheme DPoP calls a failure of the proof (RFC 9449
// sections 7.1 and 9).
var proofErrors = map[string]string{
	"authn.proof": "invalid_dpop_proof", "authn.replay": "invalid_dpop_proof", "authn.proof_nonce": "use_dpop_nonce",
}

// also gives the challenges for tokens the scopes that the operation demands (RFC
// 6750 section 3) and the URL of the resource's metadata (RFC 9728 section 5.1).
func (p *plan) also(scope, metadata string) {
	text := ""
	if scope = quotable(scope, ""); scope != "" {
		text += `, scope="` + scope + `"`
	}
	if metadata != "" {
		text += `, resource_metadata="` + metadata + `"`
	}
	for i := range p.challenges {
		if c := &p.challenges[i]; c.bearer || c.dpop {
			c.also = text
		}
	}
	if p.dpop != nil {
		p.dpop.also = text
	}
}

// scopeOf are the scopes of an operation's first alternative that has some.
func scopeOf(d *access.Demand) string {
	for _, alt := range d.Alternatives {
		for _, use := range alt {
			if len(use.Scopes) > 0 && (use.Scheme.Type == "oauth2" || use.Scheme.Type == "openIdConnect") {
				return strings.Join(use.Scopes, " ")
			}
		}
	}
	return ""
}

// write appends the challenge, with what is wrong when a token was sent: a client
// that sent a key must not take its token for bad (RFC 6750 section 3.1).
func (c *challenge) write(b *strings.Builder, f *failure) {
	if b.Len() > 0 {
		b.WriteString(", ")
	}
	b.WriteString(c.text)
	defer func() { b.WriteString(c.also) }()
	proof := proofErrors[f.code]
	if f.code == "authn.missing" || f.noToken || !c.bearer && !c.dpop || c.bearer && proof != "" {
		return
	}
	name := "invalid_token"
	switch {
	case f.code == "authn.ambiguous":
		name = "invalid_request"
	case f.code == "authn.step_up":
		name = "insufficient_user_authentication"
	case proof != "":
		name = proof
	}
	text := descriptions[f.code]
	if text == "" {
		text = "The access token is invalid"
	}
	b.WriteString(`, error="` + name + `", error_description="` + text + `"` + f.parameters)
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
