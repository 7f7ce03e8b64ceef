package signature

import (
	"fmt"
	"maps"
	"slices"

	"github.com/crenel-project/crenel/internal/guard/authn/jose"
)

// algorithms are those of RFC 9421 section 3.3, by what JOSE calls them: they
// are the same signatures, over another text.
var algorithms = map[string]*jose.Algorithm{
	"rsa-pss-sha512":    jose.Lookup("PS512"),
	"rsa-v1_5-sha256":   jose.Lookup("RS256"),
	"hmac-sha256":       jose.Lookup("HS256"),
	"ecdsa-p256-sha256": jose.Lookup("ES256"),
	"ecdsa-p384-sha384": jose.Lookup("ES384"),
	"ed25519":           jose.Lookup("Ed25519"),
}

// Algorithms lists the names, sorted.
func Algorithms() []string { return slices.Sorted(maps.Keys(algorithms)) }

// Key verifies signatures by one algorithm, which the signature cannot choose.
type Key struct {
	Algorithm string
	key       jose.Key
	algorithm *jose.Algorithm
}

// NewKey makes a key. An empty algorithm is the one for its kind: for RSA, which
// has two, rsa-pss-sha512, and what its owner keeps it for (a JWK's alg) before that.
func NewKey(k jose.Key, algorithm string) (*Key, error) {
	if algorithm == "" {
		for _, name := range []string{"ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256", "hmac-sha256"} {
			if a := algorithms[name]; a.Family == k.Family && fits(k.Alg, a) {
				algorithm = name
				break
			}
		}
		if algorithm == "" {
			return nil, fmt.Errorf("no signature algorithm of RFC 9421 is for this kind of key: %v", Algorithms())
		}
	}
	a := algorithms[algorithm]
	switch {
	case a == nil:
		return nil, fmt.Errorf("algorithm %q is not one of %v", algorithm, Algorithms())
	case a.Family != k.Family || !fits(k.Alg, a):
		return nil, fmt.Errorf("the key is not for %s", algorithm)
	}
	return &Key{Algorithm: algorithm, key: k, algorithm: a}, nil
}

// fits reports whether a JWK's alg allows an algorithm.
func fits(alg string, a *jose.Algorithm) bool {
	return alg == "" || alg == a.Name || alg == "EdDSA" && a.Name == "Ed25519"
}

// Verify reports whether the key made the signature over base. A signature that
// names another algorithm than the key's does not hold (RFC 9421 section 3.2).
func (s *Signature) Verify(k *Key, base []byte) bool {
	return (s.Algorithm == "" || s.Algorithm == k.Algorithm) && k.algorithm.Verify(&k.key, base, s.value)
}
