package authn

import (
	"context"

	"github.com/crenel-project/crenel/internal/exchange"
)

// again rules once more on a caller whose exchange is under way, such as an open
// WebSocket: whether the credential has expired or was revoked, and whether the
// config, which may be a newer one, still takes it. The credential itself is not
// at hand any more.
func (g *Guard) again(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	p := g.planOf(x.Operation)
	if x.Identity.Anonymous() {
		if p.public {
			return exchange.Verdict{}
		}
		return exchange.Refuse("authn.missing", "", "the operation has come to need credentials")
	}
	found := make([]candidate, 0, 1+len(x.Identity.Also))
	for i := -1; i < len(x.Identity.Also); i++ {
		id := &x.Identity
		if i >= 0 {
			id = &x.Identity.Also[i]
		}
		c := candidate{identity: id, schemes: id.Schemes, failure: g.still(id)}
		g.takeBack(&c)
		if c.failure != nil {
			return c.failure.verdict("", "")
		}
		found = append(found, c)
	}
	var settled exchange.Exchange
	if !p.public && !p.settle(&settled, found) {
		return exchange.Refuse("authn.invalid", "", "the operation has come to need another credential")
	}
	return exchange.Verdict{}
}

// still says why a credential that held before does not any more.
func (g *Guard) still(id *exchange.Identity) *failure {
	now := g.now()
	if !id.Expires.IsZero() && !now.Before(id.Expires.Add(g.skew)) {
		return fail("authn.expired", "the credential has expired since")
	}
	known := true
	switch id.Method {
	case "jwt", "introspection":
		known = g.takesIssuer(id.Issuer)
	case "mtls":
		known = g.mtls != nil
	case "own":
		known = false
		for _, at := range g.places {
			known = known || at.own != nil
		}
	case "api_key":
		known = false
		for _, at := range g.places {
			known = known || at.keys != nil && at.keys.keys.Still(id.ClientID, now) == nil
		}
	}
	if !known {
		return fail("authn.invalid", "the config takes the credential no more")
	}
	return nil
}

func (g *Guard) takesIssuer(issuer string) bool {
	for _, at := range g.places {
		if at.opaque != nil {
			return true
		}
		for _, m := range at.jwt {
			if m.jwt.name == "" || m.jwt.takes(issuer) {
				return true
			}
		}
	}
	return false
}
