package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	_ "crypto/sha256" // hash functions of the algorithms below
	_ "crypto/sha512"
	"maps"
	"math/big"
	"slices"
)

// Family is a kind of key. An algorithm works with keys of one family only, so
// that a public key can never serve as an HMAC secret (RFC 8725 section 2.1).
type Family uint8

// The families.
const (
	RSA Family = iota + 1
	P256
	P384
	P521
	Ed25519
	HMAC
)

// Algorithm is one signature algorithm of RFC 7518, RFC 8037 or RFC 9864.
type Algorithm struct {
	Name   string
	Family Family
	Hash   crypto.Hash // 0 for Ed25519, which hashes by itself
	PSS    bool
	Size   int // bytes of a signature; 0: the RSA key's size
}

var algorithms = map[string]*Algorithm{
	"RS256":   {"RS256", RSA, crypto.SHA256, false, 0},
	"RS384":   {"RS384", RSA, crypto.SHA384, false, 0},
	"RS512":   {"RS512", RSA, crypto.SHA512, false, 0},
	"PS256":   {"PS256", RSA, crypto.SHA256, true, 0},
	"PS384":   {"PS384", RSA, crypto.SHA384, true, 0},
	"PS512":   {"PS512", RSA, crypto.SHA512, true, 0},
	"ES256":   {"ES256", P256, crypto.SHA256, false, 64},
	"ES384":   {"ES384", P384, crypto.SHA384, false, 96},
	"ES512":   {"ES512", P521, crypto.SHA512, false, 132},
	"EdDSA":   {"EdDSA", Ed25519, 0, false, ed25519.SignatureSize},
	"Ed25519": {"Ed25519", Ed25519, 0, false, ed25519.SignatureSize},
	"HS256":   {"HS256", HMAC, crypto.SHA256, false, 32},
	"HS384":   {"HS384", HMAC, crypto.SHA384, false, 48},
	"HS512":   {"HS512", HMAC, crypto.SHA512, false, 64},
}

// Lookup returns the algorithm of a name (RFC 7518, RFC 8037, RFC 9864), or nil.
func Lookup(name string) *Algorithm { return algorithms[name] }

// Names lists all algorithms, sorted.
func Names() []string { return slices.Sorted(maps.Keys(algorithms)) }

// Verify reports whether sig is the key's signature of input. The key must be of
// the algorithm's family.
func (a *Algorithm) Verify(k *Key, input, sig []byte) bool {
	if k.Family != a.Family || a.Size != 0 && len(sig) != a.Size {
		return false
	}
	var digest []byte
	if a.Hash != 0 && a.Family != HMAC {
		h := a.Hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		if len(sig) != pub.Size() {
			return false
		}
		if a.PSS {
			// RFC 7518 section 3.5: the salt is as long as the hash.
			return rsa.VerifyPSS(pub, a.Hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(pub, a.Hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		r := new(big.Int).SetBytes(sig[:len(sig)/2])
		s := new(big.Int).SetBytes(sig[len(sig)/2:])
		return ecdsa.Verify(pub, digest, r, s)
	case ed25519.PublicKey:
		return ed25519.Verify(pub, input, sig)
	case []byte:
		h := hmac.New(a.Hash.New, pub)
		h.Write(input)
		return hmac.Equal(h.Sum(nil), sig)
	}
	return false
}
