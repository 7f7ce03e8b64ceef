package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// introspection checks a method that asks an authorization server.
func (v *validator) introspection(i *Introspection, path string) {
	if i.URL == "" && i.Issuer == "" {
		v.add(path, "there is nobody to ask", "set url, the introspection endpoint, or issuer, whose discovery document names it")
	}
	if i.URL == "" || i.Signed {
		v.issuer(&JWTMethod{Issuer: i.Issuer}, path)
	}
	if i.Signed && i.Issuer == "" {
		v.add(path+".signed", "there is no issuer whose keys verify the answers", "set issuer")
	}
	if u, err := url.Parse(i.URL); i.URL != "" && err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		v.value(path+".url", i.URL, "is not https", "tokens and the gateway's own credentials would be sent in the clear")
	}
	if i.Header != "" && i.Cookie != "" {
		v.add(path+".cookie", "the token has two places, header and cookie", "make each a method of its own")
	}
	if i.Prefix != nil && strings.ContainsAny(*i.Prefix, " \t:") {
		v.value(path+".prefix", *i.Prefix, "is not a scheme", "write the word alone, such as Bearer")
	}
	for n, a := range i.Audience {
		if slices.Contains(i.Audience[:n], a) {
			v.value(path+".audience["+strconv.Itoa(n)+"]", a, "stands twice", "remove one")
		}
	}
	v.claimNames(&i.Claims, path+".claims")
	if i.MaxAge < i.TTL && !v.broken(path+".max_age") && !v.broken(path+".ttl") {
		v.value(path+".max_age", formatDuration(i.MaxAge), "is shorter than ttl, "+formatDuration(i.TTL), "an answer may not become too old while it is believed")
	}
	v.clientAuth(&i.Auth, path+".auth")
	v.dpop(&JWTMethod{Header: i.Header, Prefix: i.Prefix, Cookie: i.Cookie, DPoP: i.DPoP}, path)
}

// clientAuth checks that a method of proof has what it needs, and nothing else.
func (v *validator) clientAuth(a *ClientAuth, path string) {
	needs := map[string][]string{
		"basic": {"client_id", "client_secret"}, "post": {"client_id", "client_secret"}, "bearer": {"token"},
		"private_key_jwt": {"client_id", "key"}, "tls": {"client_id", "key", "cert"},
	}[a.Method]
	takes := append([]string{}, needs...)
	if a.Method == "private_key_jwt" {
		takes = append(takes, "key_id", "algorithm", "audience")
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"client_id", a.ClientID != ""},
		{"client_secret", !a.ClientSecret.IsZero() || v.broken(path+".client_secret")},
		{"token", !a.Token.IsZero() || v.broken(path+".token")},
		{"key", a.Key != ""}, {"cert", a.Cert != ""},
		{"key_id", a.KeyID != ""}, {"algorithm", a.Algorithm != ""}, {"audience", a.Audience != ""},
	} {
		switch {
		case !f.set && slices.Contains(needs, f.name):
			v.add(path+"."+f.name, "must be set for "+a.Method, "it is how the gateway proves to the server who it is")
		case f.set && len(takes) > 0 && !slices.Contains(takes, f.name) && !(f.name == "client_id" && a.Method == "bearer"):
			v.add(path+"."+f.name, "has no part in "+a.Method, "remove it, or choose another method")
		}
	}
}
