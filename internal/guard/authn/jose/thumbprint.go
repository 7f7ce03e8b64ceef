package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
)

// Thumbprint is a public key's SHA-256 thumbprint (RFC 7638, for OKP RFC 8037),
// base64url: what cnf.jkt holds. It is made from the key and not from its JSON,
// so that two spellings of one key have one thumbprint. "" for other keys.
func (k *Key) Thumbprint() string {
	b := make([]byte, 0, 512)
	number := func(n *big.Int, size int) {
		b = base64.RawURLEncoding.AppendEncode(b, n.FillBytes(make([]byte, size)))
	}
	switch pub := k.Public.(type) {
	case *ecdsa.PublicKey:
		b = append(b, `{"crv":"`+pub.Curve.Params().Name+`","kty":"EC","x":"`...)
		point, err := pub.Bytes() // 4, x, y (SEC 1 section 2.3.3)
		if err != nil {
			return ""
		}
		size := (len(point) - 1) / 2
		b = base64.RawURLEncoding.AppendEncode(b, point[1:1+size])
		b = append(b, `","y":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, point[1+size:])
		b = append(b, `"}`...)
	case *rsa.PublicKey:
		e := big.NewInt(int64(pub.E))
		b = append(b, `{"e":"`...)
		number(e, (e.BitLen()+7)/8)
		b = append(b, `","kty":"RSA","n":"`...)
		number(pub.N, (pub.N.BitLen()+7)/8)
		b = append(b, `"}`...)
	case ed25519.PublicKey:
		b = append(b, `{"crv":"Ed25519","kty":"OKP","x":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, pub)
		b = append(b, `"}`...)
	default:
		return ""
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
