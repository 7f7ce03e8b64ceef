package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// derive gives the fields their defaults that depend on other fields.
func (d *decoder) derive(c *Config) {
	if c.Server.TLS.Mode == "off" && !d.set("server.protocols") {
		c.Server.Protocols = slices.DeleteFunc(slices.Clone(c.Server.Protocols), func(p string) bool { return p == "h3" })
	}
	if c.Server.TLS.ClientCA != "" && c.Server.TLS.ClientAuth == "" {
		c.Server.TLS.ClientAuth = "request"
	}
	for i := range c.APIs {
		d.deriveAPI(c, &c.APIs[i])
	}
}

func (d *decoder) deriveAPI(c *Config, a *API) {
	if a.Limits == nil {
		a.Limits = new(Limits)
	}
	inherit(reflect.ValueOf(a.Limits).Elem(), reflect.ValueOf(c.Server.Limits))
	for _, g := range a.Guards.All() {
		if g.Mode == "" {
			g.Mode = a.Mode
		}
	}
	if a.Guards.Limit.Rates == nil {
		a.Guards.Limit.Rates = []Rate{{By: "address", Rate: "50/s", Burst: 200, Window: "rolling", IPv4: 24, IPv6: 64}, {By: "identity", Rate: "50/s", Burst: 200, Window: "rolling", IPv4: 24, IPv6: 64}}
	}
	deriveBursts(a.Guards.Limit.Rates)
	for i := range a.Operations {
		deriveBursts(a.Operations[i].Rates)
	}
	for i := range a.Guards.Limit.Flows {
		deriveBursts(a.Guards.Limit.Flows[i].Rates)
	}
	own := len(a.Guards.Authn.Methods) == 0
	for i := range a.Guards.Authn.Methods {
		m := &a.Guards.Authn.Methods[i]
		own = own || m.Own != nil || m.JWT != nil && !m.JWT.Secret.IsZero()
		if m.JWT != nil {
			m.JWT.derive()
		}
		if m.Introspection != nil {
			m.Introspection.derive()
		}
	}
	if a.Upstream.Credentials == "" {
		a.Upstream.Credentials = "strip"
		if own {
			a.Upstream.Credentials = "pass"
		}
	}
}

func (j *JWTMethod) derive() {
	if len(j.Algorithms) == 0 {
		j.Algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}
		if !j.Secret.IsZero() {
			j.Algorithms = []string{"HS256"}
		}
	}
	derivePlace(&j.Header, j.Cookie, &j.Prefix)
}

func (i *Introspection) derive() { derivePlace(&i.Header, i.Cookie, &i.Prefix) }

// derivePlace is where a token stands unless the config says it.
func derivePlace(header *string, cookie string, prefix **string) {
	if *header == "" && cookie == "" {
		*header = "Authorization"
	}
	if *prefix == nil {
		word := ""
		if strings.EqualFold(*header, "Authorization") {
			word = "Bearer"
		}
		*prefix = &word
	}
}

func deriveBursts(rates []Rate) {
	for i := range rates {
		if n, _, err := rates[i].Parse(); err == nil && rates[i].Burst == 0 && rates[i].Window != "calendar" {
			rates[i].Burst = n
		}
	}
}

// inherit copies from to the fields of v that are zero.
func inherit(v, from reflect.Value) {
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			v.Field(i).Set(from.Field(i))
		}
	}
}

// All returns what the guards have in common, by guard name.
func (g *Guards) All() map[string]*GuardCommon {
	return map[string]*GuardCommon{
		"contract": &g.Contract.GuardCommon,
		"authn":    &g.Authn.GuardCommon,
		"authz":    &g.Authz.GuardCommon,
		"limit":    &g.Limit.GuardCommon,
		"waf":      &g.WAF.GuardCommon,
		"upload":   &g.Upload.GuardCommon,
	}
}

// GuardNames are the guards that a config knows.
func GuardNames() []string { return []string{"authn", "authz", "contract", "limit", "upload", "waf"} }

// resolvePaths makes every path absolute to the config's folder, and the event
// file to the data directory.
func (d *decoder) resolvePaths(c *Config) {
	c.DataDir = d.resolve(c.DataDir)
	c.Trail.File = under(c.DataDir, c.Trail.File)
	c.DecisionLog.Dir = under(c.DataDir, c.DecisionLog.Dir)
	walk(reflect.ValueOf(c).Elem(), "", nil, func(v reflect.Value, _ string, f *fieldInfo) {
		if f != nil && v.Kind() == reflect.String && (f.kind == "file" || f.kind == "files" || f.kind == "file-or-url" && !isURL(v.String()) || f.kind == "bundle" && isBundleFile(v.String())) {
			v.SetString(d.resolve(v.String()))
		}
	})
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// ControlSocket is the path of the running gateway's control socket.
func (c *Config) ControlSocket() string { return filepath.Join(c.DataDir, "control.sock") }

// walk visits every value of a config, outermost first, with its path and the
// field (or the list's or map's field) that it belongs to.
func walk(v reflect.Value, path string, f *fieldInfo, visit func(v reflect.Value, path string, f *fieldInfo)) {
	visit(v, path, f)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), path, f, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), path+"["+strconv.Itoa(i)+"]", f, visit)
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			walk(v.MapIndex(k), join(path, k.String()), f, visit)
		}
	case reflect.Struct:
		if v.Type() == typeSecret || v.Type() == typePrefix {
			return
		}
		fields := fieldsOf(v.Type())
		for i := range fields.list {
			sub := &fields.list[i]
			walk(v.FieldByIndex(sub.index), join(path, sub.key), sub, visit)
		}
	}
}
