package authn

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	_ "crypto/sha256" // hash functions of the algorithms below
	_ "crypto/sha512"
	"fmt"
	"math/big"
	"slices"
)

// family is a kind of key. An algorithm works with keys of one family only, so
// that a public key can never serve as an HMAC secret (RFC 8725 section 2.1).
type family uint8

const (
	familyRSA family = iota + 1
	familyP256
	familyP384
	familyP521
	familyEd25519
	familyHMAC
)

// algorithm is one signature algorithm of RFC 7518, RFC 8037 or RFC 9864.
type algorithm struct {
	name   string
	family family
	hash   crypto.Hash
	pss    bool
	size   int // bytes of a signature; 0: the RSA key's size
}

var algorithms = map[string]*algorithm{
	"RS256":   {"RS256", familyRSA, crypto.SHA256, false, 0},
	"RS384":   {"RS384", familyRSA, crypto.SHA384, false, 0},
	"RS512":   {"RS512", familyRSA, crypto.SHA512, false, 0},
	"PS256":   {"PS256", familyRSA, crypto.SHA256, true, 0},
	"PS384":   {"PS384", familyRSA, crypto.SHA384, true, 0},
	"PS512":   {"PS512", familyRSA, crypto.SHA512, true, 0},
	"ES256":   {"ES256", familyP256, crypto.SHA256, false, 64},
	"ES384":   {"ES384", familyP384, crypto.SHA384, false, 96},
	"ES512":   {"ES512", familyP521, crypto.SHA512, false, 132},
	"EdDSA":   {"EdDSA", familyEd25519, 0, false, ed25519.SignatureSize},
	"Ed25519": {"Ed25519", familyEd25519, 0, false, ed25519.SignatureSize},
	"HS256":   {"HS256", familyHMAC, crypto.SHA256, false, 32},
	"HS384":   {"HS384", familyHMAC, crypto.SHA384, false, 48},
	"HS512":   {"HS512", familyHMAC, crypto.SHA512, false, 64},
}

// allowList compiles a method's algorithms. With a secret only HMAC is possible,
// with keys only the others.
func allowList(names []string, secret bool) (map[string]*algorithm, error) {
	if len(names) == 0 {
		names = []string{"RS256", "PS256", "ES256", "EdDSA"}
		if secret {
			names = []string{"HS256"}
		}
	}
	list := make(map[string]*algorithm, len(names))
	for _, n := range names {
		a := algorithms[n]
		switch {
		case a == nil:
			known := make([]string, 0, len(algorithms))
			for k := range algorithms {
				known = append(known, k)
			}
			slices.Sort(known)
			return nil, fmt.Errorf("algorithm %q is not one of %v", n, known)
		case (a.family == familyHMAC) != secret:
			if secret {
				return nil, fmt.Errorf("algorithm %s does not work with a secret: use HS256, HS384 or HS512, or keys", n)
			}
			return nil, fmt.Errorf("algorithm %s needs a secret: a public key must never be an HMAC secret", n)
		}
		list[n] = a
	}
	return list, nil
}

// verify reports whether sig is the key's signature of input. The key must be of
// the algorithm's family.
func (a *algorithm) verify(k *key, input, sig []byte) bool {
	if k.family != a.family || a.size != 0 && len(sig) != a.size {
		return false
	}
	var digest []byte
	if a.hash != 0 && a.family != familyHMAC {
		h := a.hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		if len(sig) != pub.Size() {
			return false
		}
		if a.pss {
			// RFC 7518 section 3.5: the salt is as long as the hash.
			return rsa.VerifyPSS(pub, a.hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(pub, a.hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		r := new(big.Int).SetBytes(sig[:len(sig)/2])
		s := new(big.Int).SetBytes(sig[len(sig)/2:])
		return ecdsa.Verify(pub, digest, r, s)
	case ed25519.PublicKey:
		return ed25519.Verify(pub, input, sig)
	case []byte:
		h := hmac.New(a.hash.New, pub)
		h.Write(input)
		return hmac.Equal(h.Sum(nil), sig)
	}
	return false
}
