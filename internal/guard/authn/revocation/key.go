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

// AnyIssuer stands for every issuer, and for credentials that have none, in
// ForSession and ForSubject: who takes everything back from somebody need not
// know who gave it. No issuer is called that: theirs are URLs (RFC 8414 section 2).
const AnyIssuer = "*"

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

// SessionKeys are the keys that revoke what belongs to a session: of its issuer, and of any.
func SessionKeys(issuer, session string) []string {
	return []string{ForSession(issuer, session), ForSession(AnyIssuer, session)}
}

// SubjectKeys are the keys that revoke what a subject holds: of its issuer, and of any.
func SubjectKeys(issuer, subject string) []string {
	return []string{ForSubject(issuer, subject), ForSubject(AnyIssuer, subject)}
}

// ForEmail is the key that revokes everything an issuer gave the holder of an
// e-mail address, as its tokens say it. Security events may name people so.
func ForEmail(issuer, address string) string {
	return "email:" + issuer + "|" + strings.ToLower(address)
}

// ForPhone is ForEmail by the telephone number.
func ForPhone(issuer, number string) string { return "phone_number:" + issuer + "|" + number }
