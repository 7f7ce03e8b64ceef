package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// login checks an API's login, its session methods and its upstream's token.
func (v *validator) login(a *API, path string) {
	if a.Login != nil {
		v.loginSection(a, path+".login")
	}
	for i := range a.Guards.Authn.Methods {
		if m := a.Guards.Authn.Methods[i].Session; m != nil {
			v.sessionMethod(a, m, fmt.Sprintf("%s.guards.authn.methods[%d].session", path, i))
		}
	}
	if a.Upstream.Token != nil {
		v.upstreamToken(a, path+".upstream.token")
	}
}

func (v *validator) oauthClient(c *OAuthClient, path string) {
	u, err := url.Parse(c.Issuer)
	switch {
	case c.Issuer == "":
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.value(path+".issuer", c.Issuer, "is not the URL of an issuer", "write https://…, as in its discovery document")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		v.add(path+".issuer", "the URL has credentials, a query or a fragment", "take them out")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.value(path+".issuer", c.Issuer, "is not https", "secrets and tokens that go in the clear can be read on the way")
	}
	secret := !c.ClientSecret.IsZero() || v.broken(path+".client_secret")
	switch {
	case secret && c.ClientKey != "":
		v.add(path+".client_key", "both client_secret and client_key are set", "the gateway authenticates with one of them")
	case secret && c.ClientCert != "":
		v.add(path+".client_cert", "both client_secret and client_cert are set", "the gateway authenticates with one of them")
	case c.ClientAuth == "tls" && c.ClientCert == "":
		v.add(path+".client_auth", "tls needs a certificate", "set client_cert, and client_key to its key")
	case c.ClientCert != "" && c.ClientKey == "":
		v.add(path+".client_cert", "its key is not set", "set client_key")
	case c.ClientCert != "" && c.ClientAuth != "" && c.ClientAuth != "tls":
		v.add(path+".client_auth", c.ClientAuth+" leaves client_cert unused", "write tls, or remove client_cert")
	case c.ClientCert != "" && c.ClientKeyID != "":
		v.add(path+".client_key_id", "a certificate has no key id", "remove it")
	case c.ClientAuth == "private_key_jwt" && c.ClientKey == "":
		v.add(path+".client_auth", "private_key_jwt needs a key", "set client_key")
	case (c.ClientAuth == "basic" || c.ClientAuth == "post") && !secret:
		v.add(path+".client_auth", c.ClientAuth+" needs a secret", "set client_secret")
	case c.ClientAuth == "none" && (secret || c.ClientKey != ""):
		v.add(path+".client_auth", "none leaves the secret or key unused", "remove one of the two")
	case c.ClientKeyID != "" && c.ClientKey == "":
		v.add(path+".client_key_id", "there is no key that it could be the id of", "set client_key")
	}
}

// ownParams are parameters of an authorization request that are not the config's.
var ownParams = []string{
	"client_id", "response_type", "response_mode", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
	"request", "request_uri", "client_secret", "client_assertion", "client_assertion_type", "resource", "acr_values", "max_age",
}

func (v *validator) loginSection(a *API, path string) {
	l := a.Login
	v.oauthClient(&l.OAuthClient, path)
	if u, err := url.Parse(l.Origin); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		v.value(path+".origin", l.Origin, "is not https", "browsers keep session cookies from plain http")
	}
	if l.Path == "/" || strings.HasSuffix(l.Path, "/") {
		v.value(path+".path", l.Path, "is not a path to put pages under", "write such as /auth")
	}
	if !slices.Contains(l.Scopes, "openid") {
		v.add(path+".scopes", "openid is not among them", "without it there is no ID token, and nobody is logged in (OpenID Connect Core 3.1.2.1)")
	}
	for name := range l.Params {
		if slices.Contains(ownParams, name) {
			v.add(join(path+".params", name), "is set by the gateway", "remove it; scopes, resource, acr_values and max_age have settings of their own")
		}
	}
	s := &l.Session
	if s.Idle > s.Absolute {
		v.value(path+".session.idle", formatDuration(s.Idle), "is longer than the session lives at most, "+formatDuration(s.Absolute), "make idle smaller or absolute larger")
	}
	for i, k := range s.Keys {
		at := fmt.Sprintf("%s.session.keys[%d]", path, i)
		if !k.IsZero() && len(k.Reveal()) < 32 {
			v.add(at, "the secret is shorter than 32 bytes", "whoever guesses it is everyone: openssl rand -hex 32 makes one")
		}
		for _, other := range s.Keys[:i] {
			if !k.IsZero() && k.Reveal() == other.Reveal() {
				v.add(at, "stands twice", "remove one")
			}
		}
	}
	if s.SameSite == "none" && l.CSRF != "token" {
		v.add(path+".csrf", "same_site: none has browsers send the session with every site's requests", "set csrf: token")
	}
	if len(l.AccessTokenAudience) > 0 && l.Identity != "access_token" {
		v.add(path+".access_token_audience", "the access token is not the identity", "set identity: access_token, or remove it")
	}
	if l.Identity == "access_token" && len(l.AccessTokenAudience) == 0 {
		v.add(path+".access_token_audience", "must be set", "an access token for another API would be taken for the identity")
	}
	if !slices.ContainsFunc(v.c.APIs, func(o API) bool { return usesLogin(&o, a.Name) }) {
		v.add(path, "nothing takes its sessions", "add - session: {} to guards.authn.methods")
	}
}

func usesLogin(a *API, name string) bool {
	return slices.ContainsFunc(a.Guards.Authn.Methods, func(m AuthnMethod) bool {
		return m.Session != nil && (m.Session.API == name || m.Session.API == "" && a.Name == name)
	})
}

func (v *validator) sessionMethod(a *API, m *SessionMethod, path string) {
	name := m.API
	if name == "" {
		name = a.Name
	}
	i := slices.IndexFunc(v.c.APIs, func(o API) bool { return o.Name == name })
	switch {
	case i < 0:
		v.value(path+".api", m.API, "is not the name of an API", "write the name of the API that has the login")
	case v.c.APIs[i].Login == nil && m.API == "":
		v.add(path, "the API has no login whose session it could be", "add a login section, or name the API that has one")
	case v.c.APIs[i].Login == nil:
		v.value(path+".api", m.API, "has no login", "add a login section to it")
	}
}

func (v *validator) upstreamToken(a *API, path string) {
	t := a.Upstream.Token
	n := 0
	for _, set := range []bool{t.Exchange != nil, t.Client != nil, t.Session} {
		if set {
			n++
		}
	}
	if n != 1 {
		v.add(path, "exactly one of exchange, client_credentials and session is needed", "say where the token is from")
		return
	}
	switch {
	case t.Exchange != nil:
		v.oauthClient(&t.Exchange.OAuthClient, path+".exchange")
		if len(t.Audience)+len(t.Resource) == 0 {
			v.add(path+".audience", "what the exchanged token is for is not said", "set audience or resource")
		}
	case t.Client != nil:
		v.oauthClient(t.Client, path+".client_credentials")
	default:
		if !slices.ContainsFunc(a.Guards.Authn.Methods, func(m AuthnMethod) bool { return m.Session != nil }) {
			v.add(path+".session", "no session is taken", "add - session: {} to guards.authn.methods")
		}
	}
	for i, r := range t.Resource {
		if u, err := url.Parse(r); err != nil || !u.IsAbs() || u.Fragment != "" {
			v.value(fmt.Sprintf("%s.resource[%d]", path, i), r, "is not an absolute URI", "write such as https://pets.internal (RFC 8707 section 2)")
		}
	}
}
