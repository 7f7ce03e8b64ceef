package authn

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/crenel-project/crenel/internal/value"
)

// key is one verification key.
type key struct {
	id     string // "" when the set names none
	alg    string // the only algorithm that the set allows it for; "" when it does not say
	family family
	public any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, or []byte for HMAC
}

// keySet is an issuer's keys at one time. Immutable.
type keySet struct {
	keys    []key
	digest  [sha256.Size]byte // of all keys: two sets of one digest are the same
	skipped int               // entries that are no usable signing key
}

// Bounds of a key set document.
const (
	maxKeySet  = 1 << 20
	maxKeys    = 200
	minRSABits = 2048
	maxRSABits = 8192
	// maxTries bounds how many keys are tried for a token that names none.
	maxTries = 8
)

// parseKeySet reads a JWK Set (RFC 7517). Entries that it cannot use (another
// use, an unknown type, a key too weak, a symmetric key) are skipped and
// counted, as section 5 asks; a set that is none is an error.
func parseKeySet(src []byte) (*keySet, error) {
	if len(src) > maxKeySet {
		return nil, fmt.Errorf("key set is larger than %d bytes", maxKeySet)
	}
	root, err := value.JSON(src, value.Limits{Depth: 16, Items: maxKeys, String: maxKeySet})
	if err != nil {
		return nil, fmt.Errorf("parsing key set: %w", err)
	}
	list := root.Get("keys")
	if list == nil || list.Kind != value.Array {
		return nil, errors.New(`parsing key set: no array "keys"`)
	}
	set := &keySet{}
	sum := sha256.New()
	for i := range list.Kids {
		entry := &list.Kids[i]
		k, ok := parseKey(entry, src[entry.Start:entry.End])
		if !ok {
			set.skipped++
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(k.public)
		if err != nil {
			set.skipped++
			continue
		}
		fmt.Fprintf(sum, "%q %q %x\n", k.id, k.alg, der)
		set.keys = append(set.keys, k)
	}
	sum.Sum(set.digest[:0])
	return set, nil
}

// parseKey reads one JWK for verifying signatures. Certificates and URLs in it
// (x5c, x5u) are not looked at: the set itself is what is trusted.
func parseKey(entry *value.Value, src []byte) (key, bool) {
	if entry.Kind != value.Object {
		return key{}, false
	}
	if use := entry.Get("use"); use != nil && use.Str() != "sig" {
		return key{}, false
	}
	if ops := entry.Get("key_ops"); ops != nil {
		verify := false
		for i := range ops.Kids {
			verify = verify || ops.Kids[i].Str() == "verify"
		}
		if !verify {
			return key{}, false
		}
	}
	switch entry.Get("kty").Str() {
	case "RSA", "EC", "OKP":
	default: // "oct": a key that is published is no secret
		return key{}, false
	}
	parsed, err := jwk.ParseKey(src)
	if err != nil {
		return key{}, false
	}
	public, err := jwk.PublicRawKeyOf(parsed)
	if err != nil {
		return key{}, false
	}
	k := key{id: entry.Get("kid").Str(), alg: entry.Get("alg").Str(), public: public}
	if k.alg != "" && algorithms[k.alg] == nil {
		return key{}, false
	}
	return k, k.classify()
}

// classify finds the key's family and refuses keys that are too weak.
func (k *key) classify() bool {
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		k.family = familyRSA
		bits := pub.N.BitLen()
		return bits >= minRSABits && bits <= maxRSABits && pub.E >= 3 && pub.E%2 == 1
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			k.family = familyP256
		case elliptic.P384():
			k.family = familyP384
		case elliptic.P521():
			k.family = familyP521
		default:
			return false
		}
		_, err := pub.ECDH() // fails when the point is not on the curve
		return err == nil
	case ed25519.PublicKey:
		k.family = familyEd25519
		return len(pub) == ed25519.PublicKeySize
	}
	return false
}

// match returns the keys that may verify a token with this kid and algorithm,
// and whether any key has the kid at all. A key without an id serves any token:
// it is as trusted as the others.
func (s *keySet) match(kid string, a *algorithm, into []*key) (found []*key, known bool) {
	for i := range s.keys {
		k := &s.keys[i]
		if kid != "" && k.id != "" && k.id != kid {
			continue
		}
		known = true
		if k.family != a.family || k.alg != "" && k.alg != a.name {
			continue
		}
		if into = append(into, k); len(into) == maxTries {
			break
		}
	}
	return into, known
}
