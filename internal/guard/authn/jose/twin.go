package jose

import (
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// curves are those whose signatures can be written in two ways.
var curves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}

// header limits of a token that is only looked at for its algorithm.
var twinLimits = value.Limits{Depth: 16, Nodes: 2048, Keys: 256, Items: 2048}

// Twin returns the other way in which a compact JWS signed by ECDSA can be written,
// "" for any other text. Where (r, s) is a signature, (r, n-s) is one too, and
// whoever holds the token can make it: what is known of a token by its text must be
// known by both (CWE-347). The signature is not verified.
func Twin(token string) string {
	// Whatever begins with a brace and is base64url begins so.
	if !strings.HasPrefix(token, "ey") || strings.Count(token, ".") != 2 {
		return ""
	}
	head, _, _ := strings.Cut(token, ".")
	header, err := Object(head, twinLimits)
	if err != nil {
		return ""
	}
	name := header.Get("alg").Str()
	curve := curves[name]
	if curve == nil {
		return ""
	}
	at := strings.LastIndexByte(token, '.') + 1
	sig, err := Decode(token[at:])
	if err != nil || len(sig) != algorithms[name].Size {
		return ""
	}
	half := len(sig) / 2
	n, s := curve.Params().N, new(big.Int).SetBytes(sig[half:])
	if s.Sign() == 0 || s.Cmp(n) >= 0 {
		return ""
	}
	s.Sub(n, s).FillBytes(sig[half:])
	return token[:at] + base64.RawURLEncoding.EncodeToString(sig)
}
