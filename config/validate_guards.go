package config

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

func (v *validator) guards(a *API, path string) {
	v.resource(a.Guards.Authn.Resource, path+".authn.resource")
	for i := range a.Guards.Authn.Methods {
		v.method(&a.Guards.Authn.Methods[i], fmt.Sprintf("%s.authn.methods[%d]", path, i))
	}
	v.sources(&a.Guards.Authz, path+".authz")
	if q := a.Guards.Authz.Query; q != "" && !regoRef.MatchString(q) {
		v.value(path+".authz.query", q, "is not a reference to a rule", "write data.package.rule")
	}
	v.impact(a, path)
	v.limit(a, path+".limit")
	v.authzFilters(a, path)
	v.bundles(a.Guards.Authz.Bundles, path+".authz.bundles")
	v.wafOperations(a.Guards.WAF.Operations, path+".waf.operations")
	v.wafExclusions(a.Guards.WAF.Exclusions, path+".waf.exclusions")
	for i, s := range a.Guards.WAF.Skip {
		if !wafSkip.MatchString(s) {
			v.value(fmt.Sprintf("%s.waf.skip[%d]", path, i), s, "is not a field", `write "OPERATION /pointer" or "OPERATION query:name"`)
		}
	}
}

var (
	regoRef = regexp.MustCompile(`^data(\.[A-Za-z_][A-Za-z0-9_]*)+$`)
	wafSkip = regexp.MustCompile(`^\S.* (/\S*|(query|path|header|cookie|form):\S+)$`)
)

func (v *validator) method(m *AuthnMethod, path string) {
	n := 0
	for _, set := range []bool{m.JWT != nil, m.APIKey != nil, m.Own != nil, m.Introspection != nil, m.Signature != nil, m.Session != nil, m.MTLS != nil} {
		if set {
			n++
		}
	}
	switch {
	case n == 0:
		v.add(path, "the method says nothing", "set one of jwt, introspection, api_key, own, signature, session or mtls")
	case n > 1:
		v.add(path, "the method is more than one kind", "make each of jwt, introspection, api_key, own, signature, session and mtls a list item of its own")
	case m.JWT != nil:
		v.jwt(m.JWT, path+".jwt")
	case m.Introspection != nil:
		v.introspection(m.Introspection, path+".introspection")
	case m.APIKey != nil:
		k := m.APIKey
		v.carriers(path+".api_key", []string{"header", "query", "cookie"}, []string{k.Header, k.Query, k.Cookie}, 0)
	case m.MTLS != nil:
		v.mtls(m.MTLS, path+".mtls")
	case m.Signature != nil:
		v.signature(m.Signature, path+".signature")
	case m.Session != nil: // see login
	default:
		o := m.Own
		v.carriers(path+".own", []string{"header", "query", "cookie"}, []string{o.Header, o.Query, o.Cookie}, 1)
		if o.Prefix != "" && o.Header == "" {
			v.add(path+".own.prefix", "a prefix belongs to a header", "set header, or remove prefix")
		}
		v.whoAmI(o.WhoAmI, path+".own.who_am_i")
	}
}

// carriers checks that a credential is looked for in one place.
func (v *validator) carriers(path string, names, values []string, least int) {
	var set []string
	for i, s := range values {
		if s != "" {
			set = append(set, names[i])
		}
	}
	switch {
	case len(set) > 1:
		v.add(path+"."+set[1], "the credential has two places, "+set[0]+" and "+set[1], "make each a method of its own")
	case len(set) < least:
		v.add(path, "where the credential stands is not said", "set one of "+either(names))
	}
}

func (v *validator) jwt(j *JWTMethod, path string) {
	hasSecret := !j.Secret.IsZero() || v.broken(path+".secret")
	switch {
	case j.Issuer == "" && j.JWKS == "" && !hasSecret:
		v.add(path, "there is no key to verify tokens with", "set issuer (keys by OIDC discovery), jwks or secret")
	case j.JWKS != "" && hasSecret:
		v.add(path+".secret", "both secret and jwks are set", "tokens are signed with one or the other: make two methods if there are both kinds")
	}
	if !j.Secret.IsZero() && len(j.Secret.Reveal()) < 32 {
		v.add(path+".secret", "the secret is shorter than 32 bytes", "an HMAC key that can be guessed lets everyone sign tokens (RFC 7518 section 3.2)")
	}
	v.issuer(j, path)
	v.dpop(j, path)
	v.issuerKeys(j, path)
	v.jwks(j, path)
	v.algorithms(j, path, hasSecret)
	if j.Header != "" && j.Cookie != "" {
		v.add(path+".cookie", "the token has two places, header and cookie", "make each a method of its own")
	}
	if j.Prefix != nil && strings.ContainsAny(*j.Prefix, " \t:") {
		v.value(path+".prefix", *j.Prefix, "is not a scheme", "write the word alone, such as Bearer")
	}
	for i, a := range j.Audience {
		if slices.Contains(j.Audience[:i], a) {
			v.value(fmt.Sprintf("%s.audience[%d]", path, i), a, "stands twice", "remove one")
		}
	}
	v.claimNames(&j.Claims, path+".claims")
}

func (v *validator) claimNames(c *Claims, path string) {
	for name, c := range map[string]string{"subject": c.Subject, "roles": c.Roles, "tenant": c.Tenant, "scope": c.Scope} {
		if c != "" && (strings.HasPrefix(c, ".") || strings.HasSuffix(c, ".") || strings.Contains(c, "..")) {
			v.value(path+"."+name, c, "is not the name of a claim", "write sub, or realm_access.roles to descend")
		}
	}
}

// issuer must be an https URL when keys are discovered by it (OpenID Connect
// Discovery section 3); with keys of its own it may be any string.
func (v *validator) issuer(j *JWTMethod, path string) {
	if j.Issuer == "" || j.JWKS != "" || !j.Secret.IsZero() || v.broken(path+".secret") {
		return
	}
	u, err := url.Parse(j.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.value(path+".issuer", j.Issuer, "is not the URL of an issuer", "write https://…, as in the token's iss")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		v.add(path+".issuer", "the URL has credentials, a query or a fragment", "take them out")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.value(path+".issuer", j.Issuer, "is not https", "keys that are fetched in the clear can be replaced on the way")
	}
}

func (v *validator) jwks(j *JWTMethod, path string) {
	at := path + ".jwks"
	if j.JWKS == "" || v.broken(at) {
		return
	}
	if isURL(j.JWKS) {
		if u, err := url.Parse(j.JWKS); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			v.add(at, "the key set's URL is not https", "keys that are fetched in the clear can be replaced on the way")
		}
		return
	}
	data, err := os.ReadFile(j.JWKS)
	if err != nil {
		v.add(at, "cannot be read: "+reason(err), "")
		return
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	// What the file holds may be private: it is not quoted.
	if json.Unmarshal(data, &set) != nil {
		v.add(at, "is not a JSON Web Key set", `it must be {"keys": [ … ]} (RFC 7517)`)
		return
	}
	if len(set.Keys) == 0 {
		v.add(at, "holds no key", "no token would ever verify")
		return
	}
	for i, k := range set.Keys {
		if kty, _ := k["kty"].(string); kty == "oct" {
			v.add(at, fmt.Sprintf("key %d is a shared secret", i+1), "use secret for HMAC; a key set holds public keys")
		}
		if _, private := k["d"]; private {
			v.add(at, fmt.Sprintf("key %d is private", i+1), "only public keys belong here")
		}
	}
}

func (v *validator) algorithms(j *JWTMethod, path string, hasSecret bool) {
	if v.broken(path + ".secret") {
		return // the default depends on whether there is one
	}
	for i, a := range j.Algorithms {
		at := fmt.Sprintf("%s.algorithms[%d]", path, i)
		hmac := strings.HasPrefix(a, "HS")
		switch {
		case slices.Contains(j.Algorithms[:i], a):
			v.value(at, a, "stands twice", "remove one")
		case hmac && !hasSecret:
			v.value(at, a, "needs a shared secret", "a public key taken for an HMAC secret lets everyone sign tokens (CVE-2015-9235): set secret, or remove it")
		case !hmac && hasSecret && strings.ToLower(a) != "none":
			v.value(at, a, "needs a public key, and only a secret is set", "use HS256, HS384 or HS512")
		}
	}
}
