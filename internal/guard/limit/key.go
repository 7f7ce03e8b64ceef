package limit

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"strconv"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// by says whose bucket a rate is.
type by uint8

const (
	byAddress   by = iota // before the caller is known
	byPrefix              // likewise
	byIdentity            // the identity, or the address of an anonymous caller
	byKey                 // the credential, also of one identity that has several
	byPlan                // all callers of a plan
	byClaim               // all callers with the same value of a claim
	byOperation           // as by identity, for each operation apart
	byAPI                 // everybody's
)

var byNameList = []string{"address", "prefix", "identity", "key", "plan", "claim", "operation", "api"}

var byNames = map[string]by{"address": byAddress, "prefix": byPrefix, "identity": byIdentity, "key": byKey, "plan": byPlan, "claim": byClaim, "operation": byOperation, "api": byAPI}

// early reports whether the rate is known before the caller is.
func (b by) early() bool { return b == byAddress || b == byPrefix }

// key names the bucket of the exchange's caller: lists of parts, written so that
// no two lists are alike.
func (g *Guard) key(b []byte, x *exchange.Exchange, r *rate) []byte {
	switch r.by {
	case byAddress, byPrefix:
		return appendAddress(b, x.Client, r.bits)
	case byIdentity:
		return appendCaller(b, x, r.bits)
	case byKey:
		return appendCredential(b, x, r)
	case byPlan:
		return appendParts(b, "plan", g.planOf(x))
	case byClaim:
		if text, ok := claimText(&x.Identity, r.claim); ok {
			return appendParts(b, "claim", x.Identity.Issuer, text)
		}
		return appendCaller(b, x, r.bits)
	case byOperation:
		b = appendCaller(b, x, r.bits)
		if x.Operation != nil {
			b = appendParts(b, x.Operation.ID)
		}
		return b
	default:
		return appendParts(b, "api")
	}
}

// hash is the key in a table: never 0, which marks an empty slot.
func (g *Guard) hash(key []byte) uint64 { return max(maphash.Bytes(g.store.seed, key), 1) }

// appendCaller names an identity by what proves it: the subject where the proof
// was verified, else the credential itself, so that nobody can use up the bucket
// of a subject whom he only names. Who shows nothing is known by address.
func appendCaller(b []byte, x *exchange.Exchange, bits [2]uint8) []byte {
	id := &x.Identity
	switch {
	case id.Verified && id.Subject != "":
		return appendParts(b, "subject", id.Issuer, id.Subject)
	case id.Credential != "":
		return appendParts(b, "credential", id.Credential)
	}
	return appendAddress(b, x.Client, bits)
}

// appendCredential names the credential: that which brought the rate, where one did.
func appendCredential(b []byte, x *exchange.Exchange, r *rate) []byte {
	id := &x.Identity
	if r.brought != nil {
		for i := range id.Also {
			if rates := id.Also[i].Rates; len(rates) > 0 && &rates[0] == r.brought {
				id = &id.Also[i]
				break
			}
		}
		return appendParts(b, "key", id.ClientID)
	}
	switch {
	case id.Verified && id.Method == "api_key":
		return appendParts(b, "key", id.ClientID)
	case id.Credential != "":
		return appendParts(b, "credential", id.Credential)
	}
	return appendCaller(b, x, r.bits)
}

// appendParts writes parts so that no two lists of them are written alike.
func appendParts(b []byte, parts ...string) []byte {
	for _, s := range parts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// appendAddress writes the network of an address. An invalid address (there is
// none behind some listeners) is a caller of its own.
func appendAddress(b []byte, a netip.Addr, bits [2]uint8) []byte {
	a = a.Unmap()
	n := bits[1]
	if a.Is4() {
		n = bits[0]
	}
	p, err := a.Prefix(int(n))
	if err != nil {
		return append(b, 0)
	}
	full := p.Addr().As16()
	return append(append(b, byte(a.BitLen()), n), full[:]...)
}

// claimText is a claim's value as a text.
func claimText(id *exchange.Identity, path []string) (string, bool) {
	if len(path) == 0 || !id.Verified {
		return "", false
	}
	var v any = id.Claims
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return "", false
		}
		v = m[name]
	}
	switch v := v.(type) {
	case string:
		return v, v != ""
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// callerPlan is the config's, taken apart.
type callerPlan struct {
	claim []string
	config.CallerPlan
}

// planOf is the caller's plan, "" for none.
func (g *Guard) planOf(x *exchange.Exchange) string {
	if text, ok := claimText(&x.Identity, g.callerPlan.claim); ok {
		return text
	}
	if x.Identity.Verified {
		for _, role := range g.callerPlan.Roles {
			for _, held := range x.Identity.Roles {
				if held == role {
					return role
				}
			}
		}
	}
	return g.callerPlan.Default
}
