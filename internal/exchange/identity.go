package exchange

import "time"

// Identity is who makes the call. The zero Identity is anonymous.
type Identity struct {
	Subject  string // stable id within Issuer; "" is anonymous
	Issuer   string
	Method   string // "jwt", "api_key", "mtls", "own", …: how it was proven; "" for anonymous
	Verified bool   // false for "must be present, passed on": credentials seen, not checked
	ClientID string
	Scopes   []string
	Roles    []string
	Tenant   string
	// Claims are the token's claims as decoded JSON (numbers as float64), nil
	// when there are none. Shared and read only.
	Claims map[string]any
	// Schemes are the names of the spec's security schemes that this proof satisfies.
	Schemes    []string
	Session    string    // session or token id ("sid", "jti"), "" when unknown
	Expires    time.Time // zero when it does not
	Credential string    // keyed digest of the credential, for logs and limits; never the credential
}

// Anonymous reports whether nobody was identified.
func (i *Identity) Anonymous() bool { return i.Method == "" }

// HasScope reports whether the identity was granted the scope.
func (i *Identity) HasScope(s string) bool {
	for _, have := range i.Scopes {
		if have == s {
			return true
		}
	}
	return false
}
