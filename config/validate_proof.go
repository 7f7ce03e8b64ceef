package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// publicURL must be a base that an operation's path can follow.
func (v *validator) publicURL(a *API, path string) {
	if a.PublicURL == "" || v.broken(path+".public_url") {
		return
	}
	u, err := url.Parse(a.PublicURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.value(path+".public_url", a.PublicURL, "is not the URL of an API", "write https://host/base")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		v.add(path+".public_url", "the URL has credentials, a query or a fragment", "take them out")
	}
}

func (v *validator) dpop(j *JWTMethod, path string) {
	d, path := j.DPoP, path+".dpop"
	if d == nil {
		return
	}
	if j.Cookie != "" || j.Header != "" && !strings.EqualFold(j.Header, "Authorization") || j.Prefix != nil && !strings.EqualFold(*j.Prefix, "Bearer") {
		v.add(path, "bound tokens stand in Authorization, after the word DPoP, and this method reads another place", "remove dpop, or header, prefix and cookie")
	}
	if !d.NonceSecret.IsZero() && len(d.NonceSecret.Reveal()) < 32 {
		v.add(path+".nonce_secret", "the secret is shorter than 32 bytes", "openssl rand -hex 32 makes one")
	}
	if !d.NonceSecret.IsZero() && d.Nonce != "required" {
		v.add(path+".nonce_secret", "there is a secret for nonces, and none are demanded", "set nonce: required, or remove it")
	}
}

func (v *validator) signature(m *SignatureMethod, path string) {
	if len(m.Keys) == 0 {
		v.add(path+".keys", "there is no key to verify signatures with", "such as keys: [{id: acme-2026, subject: acme, public_key: acme.pem}]")
	}
	ids := map[string]int{}
	for i := range m.Keys {
		k, at := &m.Keys[i], fmt.Sprintf("%s.keys[%d]", path, i)
		v.signatureKey(k, at)
		if first, dup := ids[k.ID]; dup && k.ID != "" {
			v.value(at+".id", k.ID, fmt.Sprintf("is also the id of keys[%d]", first), "which of the two keys is meant could not be told")
		} else {
			ids[k.ID] = i
		}
	}
	for i, c := range m.Covered {
		at := fmt.Sprintf("%s.covered[%d]", path, i)
		known := []string{"@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"}
		switch {
		case slices.Contains(m.Covered[:i], c):
			v.value(at, c, "stands twice", "remove one")
		case strings.HasPrefix(c, "@") && !slices.Contains(known, c):
			v.value(at, c, "is not a component that can be demanded", "components are "+strings.Join(known, ", ")+" and fields")
		case !strings.HasPrefix(c, "@") && (!isToken(c) || c != strings.ToLower(c)):
			v.value(at, c, "is not a component", "write the name of a field in lower case")
		}
	}
	for name := range m.StructuredFields {
		if !isToken(name) || name != strings.ToLower(name) {
			v.add(join(path+".structured_fields", name), "is not the name of a field", "write it in lower case")
		}
	}
}

func (v *validator) signatureKey(k *SignatureKey, path string) {
	secret := !k.Secret.IsZero() || v.broken(path+".secret")
	n := 0
	for _, set := range []bool{k.PublicKey != "", secret, k.JWKS != ""} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		v.add(path, "exactly one of public_key, secret and jwks is needed", "set one")
	case k.JWKS != "" && k.ID != "":
		v.add(path+".id", "the keys of a set have their own ids (kid)", "remove id")
	case k.JWKS == "" && k.ID == "":
		v.add(path+".id", "must be set", "the keyid that signatures name, such as id: acme-2026")
	}
	if !k.Secret.IsZero() && len(k.Secret.Reveal()) < 32 {
		v.add(path+".secret", "the secret is shorter than 32 bytes", "openssl rand -hex 32 makes one")
	}
	if n == 1 && k.Algorithm != "" && secret != (k.Algorithm == "hmac-sha256") {
		v.value(path+".algorithm", k.Algorithm, "is not for this kind of key", "hmac-sha256 goes with secret, the others with public keys")
	}
	if k.JWKS != "" && !v.broken(path+".jwks") {
		if u, err := url.Parse(k.JWKS); isURL(k.JWKS) && err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			v.add(path+".jwks", "the key set's URL is not https", "keys that are fetched in the clear can be replaced on the way")
		}
	}
}

func (v *validator) mtls(m *MTLSMethod, path string) {
	if m.CA != "" {
		v.authorities(path+".ca", m.CA)
	}
	if v.c.Server.TLS.ClientCA == "" && v.c.Server.ClientCertificate == nil {
		v.add(path, "no client is asked for a certificate", "set server.tls.client_ca, or server.client_certificate behind a proxy that ends TLS")
	}
	for pattern, roles := range m.Roles {
		if len(roles) == 0 {
			v.add(join(path+".roles", pattern), "names no role", "list roles, or remove it")
		}
	}
}

func (v *validator) clientCertificate() {
	c, path := v.c.Server.ClientCertificate, "server.client_certificate"
	if c == nil {
		return
	}
	if c.CA != "" {
		v.authorities(path+".ca", c.CA)
	}
	if len(v.c.Server.TrustedProxies) == 0 {
		v.add(path, "there is no proxy that may pass a certificate on", "set server.trusted_proxies")
	}
	if c.Format == "rfc9440" && c.Header != "" {
		v.add(path+".header", "RFC 9440 has a field of its own, Client-Cert", "remove header")
	}
}
