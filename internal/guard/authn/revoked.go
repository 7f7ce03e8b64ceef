package authn

import (
	"crypto/x509"
	"encoding/hex"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/value"
)

// byText are the keys of a credential as it was sent, and as its holder could have
// sent it as well.
func byText(credential string) []string {
	out := make([]string, 1, 8)
	out[0] = revocation.ForToken(credential)
	if twin := jose.Twin(credential); twin != "" {
		out = append(out, revocation.ForToken(twin))
	}
	return out
}

// revocable lists the keys under which a credential may be taken back. text are
// those of the credential itself; tokenID and session are what its issuer calls
// it and the session that it belongs to, "" when unknown.
func revocable(id *exchange.Identity, text []string, tokenID, session string) []string {
	out := text
	if tokenID != "" {
		out = append(out, revocation.ForID(id.Issuer, tokenID))
	}
	if session != "" {
		out = append(out, revocation.SessionKeys(id.Issuer, session)...)
	}
	if id.Subject != "" {
		out = append(out, revocation.SubjectKeys(id.Issuer, id.Subject)...)
	}
	return out
}

// revocableClaims is revocable for verified claims. The subject may stand in
// another claim than sub, and events name it by sub: both count.
func revocableClaims(id *exchange.Identity, claims *value.Value, token string) []string {
	out := revocable(id, byText(token), claims.Get("jti").Str(), claims.Get("sid").Str())
	if sub := claims.Get("sub").Str(); sub != "" && sub != id.Subject {
		out = append(out, revocation.SubjectKeys(id.Issuer, sub)...)
	}
	if email := claims.Get("email").Str(); email != "" {
		out = append(out, revocation.ForEmail(id.Issuer, email))
	}
	if phone := claims.Get("phone_number").Str(); phone != "" {
		out = append(out, revocation.ForPhone(id.Issuer, phone))
	}
	return out
}

// issuedAt is when claims were issued, or their holder signed in, the earlier:
// what ends a session ends the tokens that were refreshed in it.
func issuedAt(claims *value.Value) (time.Time, *failure) {
	iat, hasIat, f := date(claims, "iat")
	if f != nil {
		return time.Time{}, f
	}
	signedIn, hasSignedIn, f := date(claims, "auth_time")
	if f != nil {
		return time.Time{}, f
	}
	if hasSignedIn && (!hasIat || signedIn.Before(iat)) {
		return signedIn, nil
	}
	return iat, nil
}

// revocableKey is revocable for an entry of a key file: its hash is the digest.
func revocableKey(id *exchange.Identity, hash string) []string {
	sum, err := hex.DecodeString(strings.TrimPrefix(hash, "sha256:"))
	var text []string
	if err == nil {
		text = []string{revocation.ForDigest(sum)}
	}
	return revocable(id, text, id.ClientID, "")
}

// revocableCertificate is revocable for a client certificate: its digest, its
// issuer's serial number, its subject.
func revocableCertificate(id *exchange.Identity, c *x509.Certificate) []string {
	serial := ""
	if c.SerialNumber != nil {
		serial = c.SerialNumber.Text(16)
	}
	return revocable(id, []string{revocation.ForToken(string(c.Raw))}, serial, "")
}

// takeBack fails a credential that held and was revoked, or of which that cannot
// be known.
func (g *Guard) takeBack(c *candidate) {
	if c.failure != nil || g.revoked == nil {
		return
	}
	e, revoked, err := g.revoked.Check(c.identity)
	switch {
	case err != nil:
		c.failure = unavailable(err.Error())
	case revoked:
		reason := "the credential was revoked"
		if e.Reason != "" {
			reason += ": " + sent(e.Reason)
		}
		c.failure = fail("authn.revoked", reason)
	}
}
