package authn

import (
	"fmt"

	"github.com/crenel-project/crenel/internal/guard/authn/jose"
)

// allowList compiles a method's algorithms. With a secret only HMAC is possible,
// with keys only the others.
func allowList(names []string, secret bool) (map[string]*jose.Algorithm, error) {
	if len(names) == 0 {
		names = []string{"RS256", "PS256", "ES256", "EdDSA"}
		if secret {
			names = []string{"HS256"}
		}
	}
	list := make(map[string]*jose.Algorithm, len(names))
	for _, n := range names {
		a := jose.Lookup(n)
		switch {
		case a == nil:
			return nil, fmt.Errorf("algorithm %q is not one of %v", n, jose.Names())
		case (a.Family == jose.HMAC) != secret:
			if secret {
				return nil, fmt.Errorf("algorithm %s does not work with a secret: use HS256, HS384 or HS512, or keys", n)
			}
			return nil, fmt.Errorf("algorithm %s needs a secret: a public key must never be an HMAC secret", n)
		}
		list[n] = a
	}
	return list, nil
}
