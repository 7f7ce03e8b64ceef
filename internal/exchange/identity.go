package exchange

import (
	"sync/atomic"
	"time"
)

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
	Issued     time.Time // when it was given, or when its holder signed in, the earlier; zero when unknown
	Credential string    // keyed digest of the credential, for logs and limits; never the credential
	// Rates are limits of this credential's own, beside those of the API. Shared and read only.
	Rates []Rate
	// Certificate is the client certificate that proved it, or that the credential is
	// bound to; nil where there is none. Shared and read only.
	Certificate *Certificate
	// Also are the further credentials that were verified on the same request, for
	// operations that demand several at once. Theirs are empty. Shared and read only.
	Also []Identity
	// Memo keeps what a later guard computed from this identity for as long as the
	// credential is cached. Nil when the identity is not shared between requests.
	Memo *Memo
	// Revocable are the keys of the shared set "revoked" under which this credential
	// may be taken back (package revocation). Shared and read only.
	Revocable []string
	// Device is the device that the credential names, and what is known of it; nil
	// when it names none, or nothing is heard of devices here.
	Device *Device
}

// Device is what security events have said of a caller's device.
type Device struct {
	ID        string
	Status    string // "compliant", "not-compliant"; "" when nothing was said
	Compliant bool   // false also when nothing was said
	Since     time.Time
}

// Rate is a limit that comes with a credential.
type Rate struct {
	Rate  string // N/s, N/m, N/h, N/d, N/w or N/mo
	Burst int    // 0: the rate's number
}

// Memo is one value computed from an Identity, kept with it. Safe for
// concurrent use; what is stored must be immutable.
type Memo struct{ v atomic.Value }

// Load returns what was stored, or nil.
func (m *Memo) Load() any {
	if m == nil {
		return nil
	}
	return m.v.Load()
}

// Store keeps v, whose type must always be the same. A nil Memo keeps nothing.
func (m *Memo) Store(v any) {
	if m != nil {
		m.v.Store(v)
	}
}

// Find returns the credential that satisfies the security scheme, or nil.
func (i *Identity) Find(scheme string) *Identity {
	for _, s := range i.Schemes {
		if s == scheme {
			return i
		}
	}
	for n := range i.Also {
		for _, s := range i.Also[n].Schemes {
			if s == scheme {
				return &i.Also[n]
			}
		}
	}
	return nil
}

// Anonymous reports whether nobody was identified.
func (i *Identity) Anonymous() bool { return i.Method == "" }
