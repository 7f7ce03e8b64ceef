package config

import "strings"

func (v *validator) whoAmI(w *WhoAmI, path string) {
	if w == nil {
		return
	}
	if strings.ContainsAny(w.Path, "{}?#") {
		v.value(path+".path", w.Path, "is not one path", "write the path of an operation without parameters, such as /users/me")
	}
	for name, p := range map[string]string{"subject": w.Subject, "roles": w.Roles, "scopes": w.Scopes, "tenant": w.Tenant} {
		if p != "" && p[0] != '/' {
			v.value(path+"."+name, p, "is not a JSON pointer", "write /id, or /data/id to descend")
		}
	}
	if w.MaxAge < w.TTL && v.set(path+".max_age") {
		v.value(path+".max_age", w.MaxAge.String(), "is shorter than ttl, "+w.TTL.String(), "an answer may not become too old while it is believed")
	}
}
