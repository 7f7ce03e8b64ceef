package caddy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
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
