package authn

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync/atomic"
)

// serials counts the guards of the process.
var serials atomic.Uint64

// fingerprint names all that a verified token was verified by, beside what its
// issuer may change: two guards that have the same come to the same verdict.
type fingerprint [sha256.Size]byte

// fingerprint of a guard whose methods are compiled. Secrets and keys from files
// are in it by their digests.
func (g *Guard) fingerprint(o *Options) (f fingerprint) {
	sum := sha256.New()
	sum.Write(g.digest.key[:]) // so that it tells nothing of the secrets
	methods, err := json.Marshal(o.Config)
	if err != nil {
		methods = fmt.Appendf(nil, "guard %d", g.serial) // shared with nobody
	}
	fmt.Fprintf(sum, "%q %d %s\n", o.Name, o.CacheSize, methods)
	for _, p := range g.places {
		fmt.Fprintf(sum, "%q %q %v\n", p.at, p.prefix, p.optional)
	}
	for i := range o.Config.Methods {
		if j := o.Config.Methods[i].JWT; j != nil {
			fmt.Fprintf(sum, "%d %x\n", i, sha256.Sum256([]byte(j.Secret.Reveal())))
		}
	}
	for _, m := range g.tokens {
		if !m.keys.remote() {
			fmt.Fprintf(sum, "%x\n", m.keys.set.Load().digest)
		}
		fmt.Fprintf(sum, "%q\n", m.keys.from.ca)
	}
	sum.Sum(f[:0])
	return f
}
