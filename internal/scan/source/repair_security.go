package source

import (
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// securitySchemes repairs the schemes, and makes those that operations name and
// nothing declares.
func (d *repairer) securitySchemes() {
	parent, key, at := d.root.Get("components"), "securitySchemes", "/components/securitySchemes"
	if d.v2 {
		parent, key, at = d.root, "securityDefinitions", "/securityDefinitions"
	}
	if isObject(parent) {
		if ss := parent.Get(key); isObject(ss) {
			for i := range ss.Kids {
				d.scheme(&ss.Kids[i], join(at, ss.Kids[i].Name))
			}
		}
	}
	missing := map[string]*value.Value{}
	var order []string
	note := func(req *value.Value) {
		if isObject(req) {
			req = &value.Value{Kind: value.Array, Kids: []value.Value{*req}}
		}
		if !isList(req) {
			return
		}
		for i := range req.Kids {
			for j := range req.Kids[i].Kids {
				n := req.Kids[i].Kids[j].Name
				if n != "" && missing[n] == nil && (parent == nil || parent.Get(key).Get(n) == nil) {
					missing[n] = &req.Kids[i].Kids[j]
					order = append(order, n)
				}
			}
		}
	}
	note(d.root.Get("security"))
	if paths := d.root.Get("paths"); isObject(paths) {
		for i := range paths.Kids {
			for j := range paths.Kids[i].Kids {
				if op := &paths.Kids[i].Kids[j]; op.Kind == value.Object {
					note(op.Get("security"))
				}
			}
		}
	}
	for _, n := range order {
		s, what := guessScheme(n)
		if d.v2 {
			s, what = guessScheme20(n)
		}
		if parent == nil {
			put(d.root, "components", object())
			parent = d.root.Get("components")
		}
		if parent.Get(key) == nil {
			put(parent, key, object())
		}
		if ss := parent.Get(key); ss.Kind == value.Object {
			put(ss, n, s)
			d.repaired(missing[n], at, "no security scheme is called %q; by its name it was taken as %s", n, what)
		}
	}
}

// scheme repairs one security scheme.
func (d *repairer) scheme(s *value.Value, at string) {
	if !isObject(s) || s.Get("$ref") != nil {
		return
	}
	t := strings.TrimSpace(strOf(s, "type"))
	l := strings.ToLower(t)
	set := func(what string, pairs ...string) {
		for i := 0; i+1 < len(pairs); i += 2 {
			put(s, pairs[i], text(pairs[i+1]))
		}
		d.repaired(s, at, "the type %q of a security scheme was read as %s", t, what)
	}
	known := map[string]string{"apikey": "apiKey", "api_key": "apiKey", "api-key": "apiKey", "http": "http", "oauth2": "oauth2", "openidconnect": "openIdConnect", "oidc": "openIdConnect", "oauth": "oauth2", "mutualtls": "mutualTLS"}
	switch {
	case l == "bearer" || l == "jwt" || l == "token" || l == "bearerauth":
		if d.v2 {
			set("an API key in Authorization", "type", "apiKey", "in", "header", "name", "Authorization")
		} else {
			set("HTTP bearer", "type", "http", "scheme", "bearer")
		}
	case l == "basic" && !d.v2 || l == "basicauth":
		if d.v2 {
			set("HTTP basic", "type", "basic")
		} else {
			set("HTTP basic", "type", "http", "scheme", "basic")
		}
	case l == "cookie" || l == "session":
		name := strOf(s, "name")
		if name == "" {
			name = "session"
		}
		set("a cookie", "type", "apiKey", "in", "cookie", "name", name)
	case known[l] != "" && known[l] != t:
		set(known[l], "type", known[l])
	case t == "" && strOf(s, "scheme") != "":
		set("http", "type", "http")
	case t == "" && (s.Get("flows") != nil || s.Get("flow") != nil):
		set("oauth2", "type", "oauth2")
	case t == "" && strOf(s, "name") != "":
		set("apiKey", "type", "apiKey")
	}
	switch strOf(s, "type") {
	case "http":
		if strOf(s, "scheme") == "" && !d.v2 {
			scheme := "bearer"
			if strings.Contains(strings.ToLower(s.Name+strOf(s, "description")), "basic") {
				scheme = "basic"
			}
			put(s, "scheme", text(scheme))
			d.repaired(s, at, "a security scheme of type http has no scheme; it was read as %s", scheme)
		}
		if d.v2 {
			if strings.EqualFold(strOf(s, "scheme"), "basic") {
				set("basic", "type", "basic")
			} else {
				set("an API key in Authorization", "type", "apiKey", "in", "header", "name", "Authorization")
			}
		}
	case "apiKey":
		in := strings.ToLower(strOf(s, "in"))
		if in == "headers" || in == "" || in == "http_header" {
			put(s, "in", text("header"))
			if in != "header" {
				d.repaired(s, at, "an API key in %q was read as in header", in)
			}
		} else if in != strOf(s, "in") {
			put(s, "in", text(in))
		}
		if strOf(s, "name") == "" {
			name := "Authorization"
			if strings.Contains(strings.ToLower(s.Name), "key") {
				name = "X-API-Key"
			}
			put(s, "name", text(name))
			d.repaired(s, at, "an API key has no name; it was read as %s", name)
		}
	}
}

// guessScheme makes a scheme of its name alone.
func guessScheme(name string) (value.Value, string) {
	n := strings.Join(spec.Words(name), "")
	switch {
	case strings.Contains(n, "basic"):
		return object(named("type", text("http")), named("scheme", text("basic"))), "HTTP basic"
	case strings.Contains(n, "cookie") || strings.Contains(n, "session"):
		return object(named("type", text("apiKey")), named("in", text("cookie")), named("name", text("session"))), "a cookie called session"
	case strings.Contains(n, "apikey") || n == "key" || strings.Contains(n, "xapi"):
		return object(named("type", text("apiKey")), named("in", text("header")), named("name", text("X-API-Key"))), "an API key in X-API-Key"
	}
	return object(named("type", text("http")), named("scheme", text("bearer"))), "HTTP bearer"
}

func guessScheme20(name string) (value.Value, string) {
	s, what := guessScheme(name)
	switch {
	case strOf(&s, "scheme") == "basic":
		return object(named("type", text("basic"))), what
	case strOf(&s, "scheme") == "bearer":
		return object(named("type", text("apiKey")), named("in", text("header")), named("name", text("Authorization"))), "an API key in Authorization"
	case strOf(&s, "in") == "cookie":
		return object(named("type", text("apiKey")), named("in", text("header")), named("name", text("Cookie"))), "a cookie"
	}
	return s, what
}
