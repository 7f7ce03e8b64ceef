package spec

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// securitySchemes reads components.securitySchemes, or 2.0's securityDefinitions.
func (b *builder) securitySchemes(at node) {
	if at.ok() && !at.isObject() {
		b.report(Degraded, "spec.wrong_type", at, "the security schemes should be an object, not %s", kindName(at.v))
		return
	}
	at.each(func(name string, n node) {
		n = b.object(n, "a security scheme")
		s := &SecurityScheme{Name: strings.Clone(name)}
		b.api.SecuritySchemes[s.Name] = s
		if !n.ok() {
			return
		}
		s.Type, s.Description = strings.Clone(n.str("type")), strings.Clone(n.str("description"))
		switch s.Type {
		case "basic": // 2.0
			s.Type, s.Scheme = "http", "basic"
		case "http":
			s.Scheme = strings.ToLower(n.str("scheme"))
			s.BearerFormat = strings.Clone(n.str("bearerFormat"))
			if s.Scheme == "" {
				b.report(Degraded, "spec.missing_field", n, `a security scheme of type http should have a scheme: "basic", "bearer", …; nobody can meet it`)
				s.Type = ""
			}
		case "apiKey":
			s.In, s.Key = strings.Clone(n.str("in")), strings.Clone(n.str("name"))
			if !slices.Contains([]string{"header", "query", "cookie"}, s.In) || s.Key == "" {
				b.report(Degraded, "spec.bad_security_scheme", n, `a security scheme of type apiKey should have a name, and in: "header", "query" or "cookie"; nobody can meet it`)
				s.Type = ""
			}
		case "openIdConnect":
			s.OpenIDConnectURL = strings.Clone(n.str("openIdConnectUrl"))
		case "mutualTLS":
		case "oauth2":
			s.Scopes = map[string]string{}
			flow := func(f node) {
				f.get("scopes").each(func(scope string, d node) { s.Scopes[strings.Clone(scope)] = scalarText(d.v) })
				if u := f.str("tokenUrl"); u != "" && !slices.Contains(s.TokenURLs, u) {
					s.TokenURLs = append(s.TokenURLs, strings.Clone(u))
				}
			}
			if n.has("flows") {
				n.get("flows").each(func(_ string, f node) { flow(f) })
			} else {
				flow(n) // 2.0 has one flow, written into the scheme itself
			}
		default:
			b.report(Degraded, "spec.bad_security_scheme", n, `the type %q of a security scheme is not known; it should be apiKey, http, oauth2, openIdConnect or mutualTLS. Nobody can meet it`, s.Type)
			s.Type = ""
		}
	})
}

// security reads a security list. Each part that cannot be read demands what
// nobody has, rather than nothing.
func (b *builder) security(at node) (alternatives []Requirement, public, declared bool) {
	if !at.ok() {
		return nil, true, false
	}
	if at.v.Kind == value.Object {
		b.report(Degraded, "spec.wrong_type", at, "security should be a list of requirements; the object is read as a list of one")
		r, empty := b.requirement(at)
		if empty {
			return nil, true, true
		}
		return []Requirement{r}, false, true
	}
	if at.v.Kind != value.Array {
		b.report(Degraded, "spec.wrong_type", at, "security should be a list of requirements, not %s; nobody can meet it", kindName(at.v))
		return []Requirement{{{Scheme: &SecurityScheme{}}}}, false, true
	}
	if len(at.v.Kids) == 0 {
		return nil, true, true
	}
	at.each(func(_ string, n node) {
		if !n.isObject() {
			b.report(Degraded, "spec.wrong_type", n, "a security requirement should be an object of scheme names, not %s; it is taken as one that nobody can meet", kindName(n.v))
			alternatives = append(alternatives, Requirement{{Scheme: &SecurityScheme{}}})
			return
		}
		r, empty := b.requirement(n)
		if empty {
			public = true
			return
		}
		alternatives = append(alternatives, r)
	})
	return alternatives, public, true
}

func (b *builder) requirement(n node) (r Requirement, empty bool) {
	n.each(func(name string, scopes node) {
		s := b.api.SecuritySchemes[name]
		if s == nil {
			b.report(Degraded, "spec.unknown_security_scheme", n, "no security scheme is called %q; nobody can meet this requirement. Declare the scheme", name)
			s = &SecurityScheme{Name: strings.Clone(name)}
		}
		use := SchemeUse{Scheme: s, Scopes: b.strings(scopes)}
		if scopes.v.Kind != value.Null && (scopes.v.Kind != value.Array || len(use.Scopes) != len(scopes.v.Kids)) {
			// A scope that cannot be read must not become a scope that is not demanded.
			b.report(Degraded, "spec.wrong_type", scopes, "the scopes of %q should be a list of strings; nobody can meet this requirement", name)
			use.Scheme = &SecurityScheme{Name: strings.Clone(name)}
		}
		r = append(r, use)
	})
	return r, len(n.v.Kids) == 0
}
