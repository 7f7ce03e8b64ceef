package authz

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/access"
	"github.com/crenel-project/crenel/internal/spec"
)

// builtin is the policy that the document and the config state.
//
//   - An operation that is not public needs an identified caller.
//   - Of its security alternatives one must be met: each scheme by a credential
//     that was verified, with all the scopes that the alternative names. Scopes of
//     a credential that only the API can check are the API's to check.
//   - Of each list of roles in the config's overrides, a verified caller must hold one.
func builtin(d *access.Demand, id *exchange.Identity, realm string) exchange.Verdict {
	if d.Public {
		return exchange.Verdict{}
	}
	if id.Anonymous() {
		return exchange.Refuse("authz.denied", "", "the caller is not identified, and the operation is not public")
	}
	if v := alternatives(d.Alternatives, id, realm); v.Action != exchange.Allow {
		return v
	}
	for _, roles := range d.Roles {
		if !id.Verified {
			return exchange.Refuse("authz.denied", "", "the operation demands a role, and the caller's credentials were not verified here")
		}
		if !slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(id.Roles, r) }) {
			return exchange.Refuse("authz.denied", "", "the caller has none of the roles "+strings.Join(roles, ", "))
		}
	}
	return exchange.Verdict{}
}

// alternatives finds one that is met. When scopes alone are lacking it names
// those of the alternative that lacks the fewest.
func alternatives(all []spec.Requirement, id *exchange.Identity, realm string) exchange.Verdict {
	if len(all) == 0 {
		return exchange.Verdict{}
	}
	var nearest spec.Requirement
	fewest := -1
	for _, r := range all {
		missing, proven := lacking(r, id)
		if !proven {
			continue
		}
		if missing == 0 {
			return exchange.Verdict{}
		}
		if fewest < 0 || missing < fewest {
			nearest, fewest = r, missing
		}
	}
	if fewest < 0 {
		return exchange.Refuse("authz.denied", "", "none of the operation's security alternatives is met")
	}
	scope := scopes(nearest)
	v := exchange.Refuse("authz.scope", "", "the caller lacks a scope of: "+scope)
	v.Header = map[string]string{"WWW-Authenticate": `Bearer realm="` + realm + `", error="insufficient_scope", scope="` + quotable(scope) + `"`}
	return v
}

// lacking counts the scopes of an alternative that the caller was not granted,
// and says whether its schemes are satisfied at all: by the caller, whom roles and
// policies are about, and not only by credentials that stand beside theirs. What
// somebody else may do is not the caller's to do.
func lacking(r spec.Requirement, id *exchange.Identity) (missing int, proven bool) {
	own := len(r) == 0
	for i := range r {
		c := id.Find(r[i].Scheme.Name)
		if c == nil {
			return 0, false
		}
		own = own || c == id
		missing += access.Missing(&r[i], c)
	}
	return missing, own
}

func scopes(r spec.Requirement) string {
	var out []string
	for _, use := range r {
		out = append(out, use.Scopes...)
	}
	return strings.Join(out, " ")
}

// quotable makes a text fit for a quoted-string of a header field.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
