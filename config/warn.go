package config

import (
	"fmt"
	"net"
	"strings"
)

// harden collects what is allowed and still weakens the defence.
func (v *validator) harden() {
	s := &v.c.Server
	for i, l := range s.Listen {
		if host, _, _ := net.SplitHostPort(l); s.TLS.Mode == "off" && !isLoopback(host) {
			v.warn(fmt.Sprintf("server.listen[%d]", i), "plain HTTP on "+l+" can be read and changed on the way", "turn server.tls.mode on, or listen on loopback behind a terminating proxy")
		}
	}
	for i, p := range s.TrustedProxies {
		if p.Bits() == 0 {
			v.warn(fmt.Sprintf("server.trusted_proxies[%d]", i), p.String()+" lets every client choose its own address", "name the proxies' addresses")
		}
	}
	if host, _, err := net.SplitHostPort(v.c.Admin.Listen); err == nil && !isLoopback(host) {
		v.warn("admin.listen", "metrics and status are open beyond this machine", "listen on 127.0.0.1")
	}
	if w := v.c.Alarms.Webhook; w != "" {
		v.clear("alarms.webhook", w)
	}
	for i := range v.c.APIs {
		v.hardenAPI(&v.c.APIs[i], fmt.Sprintf("apis[%d]", i))
	}
}

// clear warns of a URL that is fetched in the clear over a network.
func (v *validator) clear(path, s string) {
	if rest, ok := strings.CutPrefix(s, "http://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(host) {
			v.warn(path, "is not https", "use https")
		}
	}
}

func (v *validator) hardenAPI(a *API, path string) {
	if len(a.Hosts) == 0 {
		v.warn(path+".hosts", "the API answers to every host name", "list the names that it is served under")
	}
	if isURL(a.Spec) {
		v.clear(path+".spec", a.Spec)
	}
	if a.RemoteRefs {
		v.warn(path+".remote_refs", "whoever controls a host that the document points to controls the contract", "bundle the document into local files")
	}
	if a.Upstream.TLS.InsecureSkipVerify {
		v.warn(path+".upstream.tls.insecure_skip_verify", "whoever stands between gateway and upstream can read and change everything", "set ca instead")
	}
	if a.CORS != nil {
		for i, o := range a.CORS.Origins {
			if o == "*" {
				v.warn(fmt.Sprintf("%s.cors.origins[%d]", path, i), "every web site may read the answers", "list the origins")
			}
		}
	}
	for i := range a.Guards.Authz.Bundles {
		if b := &a.Guards.Authz.Bundles[i]; b.Signing == nil && strings.Contains(b.URL, "://") {
			v.warn(fmt.Sprintf("%s.guards.authz.bundles[%d].signing", path, i), "whoever controls the server of the bundle decides who may do what", "sign the bundles, and set signing.keys")
		}
	}
	v.hardenModes(a, path)
	v.hardenAuthn(a, path+".guards.authn")
}

func (v *validator) hardenModes(a *API, path string) {
	common := a.Guards.All()
	for _, name := range GuardNames() {
		g, at := common[name], path+".guards."+name
		where := at + ".mode"
		if !v.set(where) {
			where = path + ".mode"
		}
		switch g.Mode {
		case "monitor":
			v.warn(where, "guard "+name+" records and lets pass", "set enforce when its log is quiet")
		case "off":
			v.warn(where, "guard "+name+" is off", "set enforce")
		}
		if g.Fail == "open" {
			v.warn(at+".fail", "guard "+name+" lets pass what it cannot decide", "set closed")
		}
	}
	c := &a.Guards.Contract
	for key, value := range map[string]string{"unknown_properties": c.UnknownProperties, "unknown_parameters": c.UnknownParameters, "undocumented": c.Undocumented} {
		if value == "allow" {
			v.warn(path+".guards.contract."+key, "calls that the document does not describe pass", "set refuse")
		}
	}
	for i := range a.Operations {
		o, at := &a.Operations[i], fmt.Sprintf("%s.operations[%d]", path, i)
		if o.Mode == "monitor" || o.Mode == "off" {
			v.warn(at+".mode", fmt.Sprintf("no guard stops calls of %s", o.Operation), "set enforce")
		}
		for name, m := range o.Modes {
			if m != "enforce" {
				v.warn(at+".modes."+name, fmt.Sprintf("guard %s stops no call of %s", name, o.Operation), "set enforce")
			}
		}
	}
}

func (v *validator) hardenAuthn(a *API, path string) {
	for i := range a.Guards.Authn.Methods {
		m, at := &a.Guards.Authn.Methods[i], fmt.Sprintf("%s.methods[%d]", path, i)
		switch {
		case m.JWT != nil:
			if len(m.JWT.Audience) == 0 {
				v.warn(at+".jwt.audience", "tokens meant for other services are accepted (RFC 8725 section 3.9)", "list this API's audience")
			}
			if m.JWT.Issuer == "" {
				v.warn(at+".jwt.issuer", "the token's issuer is not checked", "set issuer")
			}
			if strings.Contains(m.JWT.Issuer, tenantMark) && len(m.JWT.Tenants) == 0 {
				v.warn(at+".jwt.tenants", "every tenant of the provider is let in", "list the tenants")
			}
			if m.JWT.IDTokens {
				v.warn(at+".jwt.id_tokens", "tokens that tell a client who signed in are taken for access (RFC 8725 section 3.12)", "have the client ask for an access token")
			}
			if m.JWT.RequireExp != nil && !*m.JWT.RequireExp {
				v.warn(at+".jwt.require_exp", "tokens that never expire are accepted", "set true")
			}
		case m.Introspection != nil && len(m.Introspection.Audience) == 0:
			v.warn(at+".introspection.audience", "tokens meant for other services are accepted (RFC 7662 section 4)", "list this API's audience")
		case m.APIKey != nil && m.APIKey.Query != "":
			v.warn(at+".api_key.query", "keys in the URL end up in logs and histories", "use a header")
		case m.Own != nil && m.Own.WhoAmI == nil:
			v.warn(at+".own", "the credential must be there and is not verified here", "verify it: jwt with secret or jwks, or api_key")
		}
	}
}
