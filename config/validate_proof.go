package config

import (
	"net/url"
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
