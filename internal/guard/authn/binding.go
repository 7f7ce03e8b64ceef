package authn

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/clientcert"
	"github.com/crenel-project/crenel/internal/value"
)

// binding is what a token is bound to (its cnf, RFC 7800): who sends it must
// prove to have it. The zero binding is a bearer token's.
type binding struct {
	key         string // jkt: thumbprint of a key that proofs are made with (RFC 9449 section 6)
	certificate string // x5t#S256: thumbprint of a client certificate (RFC 8705 section 3.1)
	other       bool   // something that cannot be checked here
}

// bindingOf reads it from verified claims, of a token or of an introspection.
func bindingOf(claims *value.Value) (b binding, f *failure) {
	cnf := claims.Get("cnf")
	if cnf == nil || cnf.Kind == value.Null {
		return b, nil
	}
	if cnf.Kind != value.Object {
		return b, fail("authn.malformed", "claim cnf is not an object")
	}
	for _, m := range []struct {
		name string
		into *string
	}{{"jkt", &b.key}, {"x5t#S256", &b.certificate}} {
		v := cnf.Get(m.name)
		if v == nil {
			continue
		}
		if v.Kind != value.String || len(v.Text) != base64.RawURLEncoding.EncodedLen(sha256.Size) {
			return b, fail("authn.malformed", "claim cnf."+m.name+" is not a thumbprint")
		}
		*m.into = v.Text
	}
	b.other = b.key == "" && b.certificate == ""
	return b, nil
}

// confirm demands of who sent a token what the token is bound to. withDPoP says
// that it came by the scheme DPoP.
func (g *Guard) confirm(ctx context.Context, x *exchange.Exchange, m *method, b *binding, token string, withDPoP bool, now time.Time) *failure {
	if b.other {
		return fail("authn.binding", "the token is bound in a way that cannot be checked here (cnf)")
	}
	if b.certificate != "" {
		switch {
		case x.PeerCert == nil:
			return fail("authn.binding", "the token is bound to a client certificate, and none was shown"+because(x.PeerFault))
		case clientcert.Thumbprint(x.PeerCert) != b.certificate:
			return fail("authn.binding", "the token is bound to another client certificate")
		}
	}
	switch {
	case b.key == "" && withDPoP:
		return fail("authn.binding", "a token that is bound to no key was sent with the scheme DPoP")
	case b.key == "" && m.dpop != nil && m.dpop.required:
		return fail("authn.binding", "the token is bound to no key, which is demanded here")
	case b.key == "":
		return nil
	case !withDPoP || m.dpop == nil:
		return fail("authn.binding", "a token that is bound to a key was sent without the scheme DPoP")
	}
	return g.prove(ctx, x, m.dpop, b.key, token, now)
}

func because(fault string) string {
	if fault == "" {
		return ""
	}
	return ": " + fault
}
