package config

import (
	"net/url"
	"strings"
)

func (v *validator) stepUp(s *StepUp, path string) {
	if s == nil {
		return
	}
	if len(s.ACR) == 0 && len(s.AMR) == 0 && s.MaxAge == 0 && !v.broken(path+".max_age") {
		v.add(path, "nothing is demanded", "set one of acr, amr and max_age")
	}
	for i, list := range [][]string{s.ACR, s.AMR} {
		for _, a := range list {
			if a == "" || strings.ContainsFunc(a, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '"' || r == '\\' }) {
				v.value(path+"."+[]string{"acr", "amr"}[i], a, "is not a value of that claim", "write visible ASCII without spaces and quotes")
			}
		}
	}
}

func (v *validator) resource(r *Resource, path string) {
	if r == nil || r.URL == "" || v.broken(path+".url") {
		return
	}
	u, err := url.Parse(r.URL)
	switch {
	case err != nil || u.Host == "":
		v.value(path+".url", r.URL, "is not the URL of an API", "write https://host/base")
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		v.value(path+".url", r.URL, "is not https", "a resource is named by an https URL (RFC 9728 section 1.2)")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		v.add(path+".url", "the URL has credentials, a query or a fragment", "take them out")
	case len(u.Path) > 1 && strings.HasSuffix(u.Path, "/"):
		v.value(path+".url", r.URL, "ends in a slash", "take it off: the path of its metadata would end in one")
	}
}
