package authn

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// tenantMark stands for the tenant's id in the issuer of a provider that has one
// issuer for each tenant, as Entra ID writes it in its discovery document.
const tenantMark = "{tenantid}"

// fill puts a tenant into an issuer that has a place for it.
func fill(issuer, tenant string) string { return strings.Replace(issuer, tenantMark, tenant, 1) }

// issuers are those whose tokens a method takes.
type issuers struct {
	name       string   // as configured; "" takes any: only where key or secret is the API's own
	discovered bool     // the discovery document has the last word on how it is spelled
	tenants    []string // of a name with tenantMark; empty takes every tenant
}

// takes reports whether a token that names this issuer is for the method to verify.
func (i *issuers) takes(iss string) bool {
	switch {
	case i.name == "":
		return false
	case strings.Contains(i.name, tenantMark):
		_, ok := i.tenant(iss)
		return ok
	case i.discovered:
		return strings.TrimSuffix(iss, "/") == strings.TrimSuffix(i.name, "/")
	}
	return iss == i.name
}

// tenant takes the tenant's id out of an issuer.
func (i *issuers) tenant(iss string) (string, bool) {
	before, after, _ := strings.Cut(i.name, tenantMark)
	rest, ok := strings.CutPrefix(iss, before)
	if !ok {
		return "", false
	}
	id, ok := strings.CutSuffix(rest, after)
	return id, ok && uuid(id)
}

// check holds verified claims to the issuer's name, spelled as its discovery
// document does, and to the tenants that are let in.
func (i *issuers) check(claims *value.Value, spelled string) *failure {
	iss := claims.Get("iss").Str()
	switch {
	case i.name == "":
		return nil
	case strings.Contains(i.name, tenantMark):
		id, ok := i.tenant(iss)
		if !ok || claims.Get("tid").Str() != id {
			return fail("authn.issuer", "the token's tid is not the tenant of its issuer")
		}
		if len(i.tenants) > 0 && !slices.ContainsFunc(i.tenants, func(t string) bool { return strings.EqualFold(t, id) }) {
			return fail("authn.issuer", "tenant "+sent(id)+" is not let in")
		}
		return nil
	case i.discovered && iss != spelled:
		return fail("authn.issuer", "the issuer spells itself "+sent(spelled)+", the token "+sent(iss))
	case !i.discovered && iss != i.name:
		return fail("authn.issuer", "issuer "+sent(iss)+" is not trusted here")
	}
	return nil
}

// uuid reports whether s is written as RFC 9562 section 4 has it.
func uuid(s string) bool {
	const size = 36
	if len(s) != size {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'):
			return false
		}
	}
	return true
}
