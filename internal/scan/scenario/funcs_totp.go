package scenario

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what RFC 6238 has by default
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"
)

// The function on one-time codes.
func init() {
	maps.Copy(funcs, map[string]Func{
		// otp.totp: secret (Base32, or an otpauth address that holds it), and at
		// (Unix seconds; now where it is left out): the code of 6 digits (RFC 6238).
		"otp.totp": func(a map[string]string) (any, error) {
			at := time.Now()
			if a["at"] != "" {
				var seconds int64
				if _, err := fmt.Sscan(a["at"], &seconds); err != nil {
					return nil, fmt.Errorf("otp.totp: at %q: want Unix seconds", a["at"])
				}
				at = time.Unix(seconds, 0)
			}
			return TOTP(a["secret"], at)
		},
	})
}

// TOTP is the code of 6 digits that an authenticator shows (RFC 6238, with
// SHA-1 and 30 seconds).
func TOTP(secret string, at time.Time) (string, error) {
	if u, err := url.Parse(secret); err == nil && u.Scheme == "otpauth" {
		secret = u.Query().Get("secret")
	}
	text := strings.ToUpper(strings.TrimRight(strings.NewReplacer(" ", "", "-", "").Replace(secret), "="))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil || len(key) < 10 {
		return "", errors.New("otp.totp: the secret is no Base32 of 80 bits at least")
	}
	m := hmac.New(sha1.New, key)
	_ = binary.Write(m, binary.BigEndian, at.Unix()/30) // a hash takes all that is written
	sum := m.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0x0f:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000), nil
}
