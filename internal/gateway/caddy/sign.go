package caddy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader is the default name of the signed header.
const SignatureHeader = "X-Crenel-Signature"

// Sign returns the value of the signed header for a request as it is sent:
//
//	t=UNIX-SECONDS,id=REQUEST-ID,sig=HEX
//
// where sig is HMAC-SHA-256 with the shared key over five lines joined by "\n":
// t, id, method, Host, and the request target (path and query as on the request
// line). A newline can stand in none of them, so no two requests sign alike.
func Sign(key []byte, at time.Time, id, method, host, target string) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",id=" + id + ",sig=" + hex.EncodeToString(mac(key, t, id, method, host, target))
}

func mac(key []byte, t, id, method, host, target string) []byte {
	h := hmac.New(sha256.New, key)
	for i, s := range [...]string{t, id, method, host, target} {
		if i > 0 {
			h.Write([]byte{'\n'})
		}
		h.Write([]byte(s))
	}
	return h.Sum(nil)
}

// ErrSignature is why VerifySignature refuses a request.
var ErrSignature = errors.New("the request does not carry a valid signature of the gateway")

// VerifySignature is what an upstream does to refuse whoever comes around the
// gateway: it checks the signed header of a received request against the shared
// key and the time, which may differ by at most skew. Remembering ids for that
// long makes a replay impossible as well.
func VerifySignature(r *http.Request, header string, key []byte, now time.Time, skew time.Duration) (id string, err error) {
	values := r.Header.Values(header)
	if len(values) != 1 {
		return "", ErrSignature
	}
	var t, sig string
	for i, part := range strings.Split(values[0], ",") {
		name, value, _ := strings.Cut(part, "=")
		if want := [...]string{"t", "id", "sig"}; i >= len(want) || name != want[i] { //nolint:gosec // the bound is checked first
			return "", ErrSignature
		}
		switch i {
		case 0:
			t = value
		case 1:
			id = value
		case 2:
			sig = value
		}
	}
	given, err := hex.DecodeString(sig)
	if err != nil || !hmac.Equal(given, mac(key, t, id, r.Method, r.Host, r.RequestURI)) {
		return "", ErrSignature
	}
	sec, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return "", ErrSignature
	}
	if d := now.Sub(time.Unix(sec, 0)); d > skew || d < -skew {
		return "", fmt.Errorf("%w: signed %s ago", ErrSignature, d)
	}
	return id, nil
}
