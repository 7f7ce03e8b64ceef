package authn

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/value"
)

// keySet is an issuer's keys at one time. Immutable.
type keySet struct {
	keys    []jose.Key
	issuers []string          // of the keys, "" for one that serves every issuer of the set
	digest  [sha256.Size]byte // of all keys: two sets of one digest are the same
	skipped int               // entries that are no usable signing key
}

// Bounds of a key set document.
const (
	maxKeySet = 1 << 20
	maxKeys   = 200
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
		k, ok := jose.ParseKey(entry, src[entry.Start:entry.End])
		if !ok {
			set.skipped++
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(k.Public)
		if err != nil {
			set.skipped++
			continue
		}
		issuer := entry.Get("issuer").Str()
		fmt.Fprintf(sum, "%q %q %q %x\n", k.ID, k.Alg, issuer, der)
		set.keys = append(set.keys, k)
		set.issuers = append(set.issuers, issuer)
	}
	sum.Sum(set.digest[:0])
	return set, nil
}

// match returns the keys that may verify a token, and whether any key has its
// kid at all. A key without an id serves any token: it is as trusted as the
// others. A key that the set keeps for one issuer (as Entra's sets for many
// tenants do) serves that issuer's tokens only.
func (s *keySet) match(w *wanted, into []*jose.Key) (found []*jose.Key, known bool) {
	for i := range s.keys {
		k := &s.keys[i]
		if w.kid != "" && k.ID != "" && k.ID != w.kid {
			continue
		}
		if i < len(s.issuers) && s.issuers[i] != "" && fill(s.issuers[i], w.tenant) != w.issuer {
			continue
		}
		known = true
		if !k.For(w.algorithm) {
			continue
		}
		if into = append(into, k); len(into) == maxTries {
			break
		}
	}
	return into, known
}
