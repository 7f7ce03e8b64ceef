package authn

import (
	"strconv"

	"github.com/crenel-project/crenel/internal/exchange"
)

// failure is why a credential does not hold.
type failure struct {
	code       string // a code of the table, "authn.…"
	reason     string // for the operator; never holds a credential
	nonce      string // for the client to make its next proof with
	parameters string // more of the challenge
	unable     bool   // it could not be decided, because a dependency is down
	noToken    bool   // what failed is no access token: a key, a cookie, a certificate, a signature
}

func fail(code, reason string) *failure { return &failure{code: code, reason: reason} }

func unavailable(reason string) *failure {
	return &failure{code: "authn.unavailable", reason: reason, unable: true}
}

// sent quotes what a token says of itself for a reason, shortened: it comes from
// a stranger.
func sent(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// verdict is the denial of a failure.
func (f *failure) verdict(at, challenges string) exchange.Verdict {
	if f.unable {
		v := exchange.Undecided(f.code, f.reason)
		v.At = at
		v.Header = map[string]string{"Retry-After": "5"}
		return v
	}
	v := exchange.Refuse(f.code, at, f.reason)
	if challenges != "" {
		v.Header = map[string]string{"WWW-Authenticate": challenges}
	}
	if f.nonce != "" {
		v.Header["Dpop-Nonce"] = f.nonce
	}
	return v
}
