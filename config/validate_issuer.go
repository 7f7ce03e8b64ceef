package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// tenantMark is where an issuer for many tenants has the tenant's id.
const tenantMark = "{tenantid}"

var tenantID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// issuerKeys checks how an issuer's keys are had.
func (v *validator) issuerKeys(j *JWTMethod, path string) {
	many := strings.Contains(j.Issuer, tenantMark)
	if rest := strings.Replace(j.Issuer, tenantMark, "", 1); strings.ContainsAny(rest, "{}") {
		v.value(path+".issuer", j.Issuer, "has another place to fill in than one "+tenantMark, "write the issuer as in the token's iss, or with "+tenantMark+" for the tenant")
	}
	for i, t := range j.Tenants {
		at := fmt.Sprintf("%s.tenants[%d]", path, i)
		switch {
		case !tenantID.MatchString(t):
			v.value(at, t, "is not the id of a tenant", "write its UUID, as in the token's tid")
		case slices.Contains(j.Tenants[:i], t):
			v.value(at, t, "stands twice", "remove one")
		}
	}
	if len(j.Tenants) > 0 && !many && !v.broken(path+".issuer") {
		v.add(path+".tenants", "the issuer is of one tenant", "write "+tenantMark+" where the issuer has the tenant's id, or remove tenants")
	}
	remote := j.Secret.IsZero() && (j.JWKS == "" || isURL(j.JWKS)) && !v.broken(path+".secret")
	switch {
	case j.Discovery != "" && (j.JWKS != "" || !j.Secret.IsZero()):
		v.add(path+".discovery", "keys are had in two ways", "discovery finds the key set by itself: remove jwks and secret, or discovery")
	case j.Discovery != "" && j.Issuer == "":
		v.add(path+".discovery", "there is no issuer whose document it is", "set issuer, as in the token's iss")
	case j.Discovery != "":
		if u, err := url.Parse(j.Discovery); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			v.value(path+".discovery", j.Discovery, "is not https", "keys that are fetched in the clear can be replaced on the way")
		}
	}
	if j.KeepKeys && !remote {
		v.add(path+".keep_keys", "no server is asked for keys", "remove keep_keys")
	}
	if j.CA != "" && !remote {
		v.add(path+".ca", "no server is asked for keys", "remove ca")
	}
	if j.MaxAge < j.Refresh && !v.broken(path+".max_age") && !v.broken(path+".refresh") {
		v.value(path+".max_age", formatDuration(j.MaxAge), "is shorter than refresh, "+formatDuration(j.Refresh), "keys may not become too old between two fetches")
	}
}
