package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"

	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/crenel-project/crenel/internal/value"
)

// Bounds of an RSA key.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Key is one verification key.
type Key struct {
	ID     string // "" when it has none
	Alg    string // the only algorithm that its owner allows it for; "" when it does not say
	Family Family
	Public any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, or []byte for HMAC
}

// ParseKey reads one JWK for verifying signatures. Certificates and URLs in it
// (x5c, x5u) are not looked at: the set itself is what is trusted.
func ParseKey(entry *value.Value, src []byte) (Key, bool) {
	if entry.Kind != value.Object {
		return Key{}, false
	}
	if use := entry.Get("use"); use != nil && use.Str() != "sig" {
		return Key{}, false
	}
	if ops := entry.Get("key_ops"); ops != nil {
		verify := false
		for i := range ops.Kids {
			verify = verify || ops.Kids[i].Str() == "verify"
		}
		if !verify {
			return Key{}, false
		}
	}
	switch entry.Get("kty").Str() {
	case "RSA", "EC", "OKP":
	default: // "oct": a key that is published is no secret
		return Key{}, false
	}
	parsed, err := jwk.ParseKey(src)
	if err != nil {
		return Key{}, false
	}
	public, err := jwk.PublicRawKeyOf(parsed)
	if err != nil {
		return Key{}, false
	}
	k := Key{ID: entry.Get("kid").Str(), Alg: entry.Get("alg").Str(), Public: public}
	if k.Alg != "" && algorithms[k.Alg] == nil {
		return Key{}, false
	}
	return k, k.Classify()
}

// For reports whether the key may verify by an algorithm: it is of its family, and its
// owner keeps it for no other. EdDSA and Ed25519 are two names of one (RFC 9864).
func (k *Key) For(a *Algorithm) bool {
	return k.Family == a.Family && (k.Alg == "" || k.Alg == a.Name || a.Family == Ed25519)
}

// Classify finds the key's family and refuses keys that are too weak.
func (k *Key) Classify() bool {
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		k.Family = RSA
		bits := pub.N.BitLen()
		return bits >= minRSABits && bits <= maxRSABits && pub.E >= 3 && pub.E%2 == 1
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			k.Family = P256
		case elliptic.P384():
			k.Family = P384
		case elliptic.P521():
			k.Family = P521
		default:
			return false
		}
		_, err := pub.ECDH() // fails when the point is not on the curve
		return err == nil
	case ed25519.PublicKey:
		k.Family = Ed25519
		return len(pub) == ed25519.PublicKeySize
	}
	return false
}
