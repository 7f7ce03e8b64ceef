package revocation

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Set is the name of the set in the shared state.
const Set = "revoked"

// kinds are what the keys of the set begin with.
var kinds = []string{"token", "jti", "session", "subject", "email", "phone_number"}

// ForToken is the key that revokes one credential: a token or an API key as it
// was sent, or a client certificate in DER. Its digest is SHA-256 as base64url,
// which for a certificate is RFC 8705's x5t#S256.
func ForToken(credential string) string {
	sum := sha256.Sum256([]byte(credential))
	return ForDigest(sum[:])
}

// ForDigest is ForToken where only the SHA-256 digest is at hand.
func ForDigest(sum []byte) string {
	return "token:" + base64.RawURLEncoding.EncodeToString(sum)
}

// ForID is the key that revokes the token that an issuer gave the id (jti).
func ForID(issuer, id string) string { return "jti:" + issuer + "|" + id }

// ForSession is the key that revokes every token of an issuer's session (sid).
func ForSession(issuer, session string) string { return "session:" + issuer + "|" + session }

// ForSubject is the key that revokes everything an issuer gave a subject. Where
// there is no issuer (API keys, an API's own sessions) it is "".
func ForSubject(issuer, subject string) string { return "subject:" + issuer + "|" + subject }

// ForEmail is the key that revokes everything an issuer gave the holder of an
// e-mail address, as its tokens say it. Security events may name people so.
func ForEmail(issuer, address string) string {
	return "email:" + issuer + "|" + strings.ToLower(address)
}

// ForPhone is ForEmail by the telephone number.
func ForPhone(issuer, number string) string { return "phone_number:" + issuer + "|" + number }
