package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// validator checks a completed config.
type validator struct {
	*decoder
	c        *Config
	reported map[string]bool // paths at which this validator found a mistake
}

// add reports a mistake, unless the path has one already or could not be read:
// a mistake is not the cause of a second message.
func (v *validator) add(path, what, fix string) {
	if v.broken(path) {
		return
	}
	v.reported[path] = true
	v.mistakes = append(v.mistakes, v.mistake(path, what, fix))
}

func (v *validator) broken(path string) bool {
	if v.reported[path] || v.unopened[path] {
		return true // of what stands in a secret's place nothing can be told
	}
	for p := path; p != ""; p = parent(p) {
		if v.bad[p] {
			return true
		}
	}
	return false
}

// value reports a value that is not what it should be.
func (v *validator) value(path, value, what, fix string) {
	v.add(path, v.quote(path, value)+" "+what, fix)
}

func (v *validator) config() {
	v.server()
	v.admin()
	v.state()
	v.decisionLog()
	v.signals()
	if len(v.c.APIs) == 0 {
		v.add("apis", "there is no API", "add at least one: apis: [{name: …, spec: …, upstream: {urls: […]}}]")
	}
	names := map[string]int{}
	for i := range v.c.APIs {
		a, path := &v.c.APIs[i], fmt.Sprintf("apis[%d]", i)
		if first, dup := names[a.Name]; dup && a.Name != "" {
			v.value(path+".name", a.Name, fmt.Sprintf("is also the name of apis[%d]", first), "give each API its own name")
		} else {
			names[a.Name] = i
		}
		v.api(a, path)
	}
	v.decisionPoint()
	v.collisions()
}

// fields checks what the tags state: required, enum, bounds and kinds.
func (v *validator) fields() {
	walk(reflect.ValueOf(v.c).Elem(), "", nil, func(x reflect.Value, path string, f *fieldInfo) {
		if f == nil {
			return
		}
		if f.required && (x.Kind() == reflect.String || x.Kind() == reflect.Slice || x.Type() == typeSecret) && isEmpty(x) {
			fix := ""
			if f.example != "" {
				fix = "such as " + f.key + ": " + f.example
			}
			if strings.HasSuffix(path, "]") {
				v.add(path, "is empty", fix)
			} else {
				v.add(path, "must be set", fix)
			}
			return
		}
		if v.set(path) && x.Kind() == reflect.String && x.Len() == 0 && (f.hasDef || strings.HasSuffix(path, "]")) {
			v.add(path, "is empty", "remove it or fill it in")
			return
		}
		if x.IsZero() && !v.set(path) {
			return
		}
		switch x.Kind() {
		case reflect.String, reflect.Int, reflect.Int64, reflect.Float64:
			if what, fix := f.check(x); what != "" {
				v.value(path, written(x, f), what, fix)
				return
			}
		}
		if x.Kind() == reflect.String && x.Len() > 0 {
			v.kind(path, x.String(), f.kind)
		}
	})
}

func isEmpty(x reflect.Value) bool {
	if x.Type() == typeSecret {
		return x.IsZero()
	}
	return x.Len() == 0
}

// kind checks what a string means.
func (v *validator) kind(path, s, kind string) {
	switch kind {
	case "addr":
		v.address(path, s)
	case "url":
		v.url(path, s)
	case "file":
		// Key files are secrets too.
		if v.unopened == nil || !strings.Contains(path, ".guards.authn.") {
			v.file(path, s)
		}
	case "files":
		if _, err := os.Stat(s); err != nil {
			v.add(path, "cannot be read: "+reason(err), "check the path; it is relative to the config file")
		}
	case "file-or-url":
		if isURL(s) {
			v.url(path, s)
		} else {
			v.file(path, s)
		}
	case "header":
		v.header(path, s)
	case "cookie":
		if !isToken(s) {
			v.value(path, s, "is not the name of a cookie", "")
		}
	case "method":
		if !isToken(s) || s != strings.ToUpper(s) {
			v.value(path, s, "is not an HTTP method", "write it in capitals, such as GET")
		}
	case "path":
		v.urlPath(path, s)
	case "host":
		v.host(path, s)
	case "hostport":
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			host, port = s, "443"
		}
		if !isHost(host) || !isPort(port) {
			v.value(path, s, "is not a host", "write a name or address, with :port if need be")
		}
	case "origin":
		v.origin(path, s)
	case "cors-origin":
		if s != "*" {
			v.origin(path, s)
		}
	case "mask":
		v.mask(path, s)
	case "percent":
		if _, err := ParsePercent(s); err != nil {
			v.value(path, s, "is not a percentage", "write a number and %, such as 0.1%")
		}
	case "rate":
		if _, _, err := (Rate{Rate: s}).Parse(); err != nil {
			v.value(path, s, "is not a rate", "write N/s, N/m, N/h, N/d, N/w or N/mo, such as 50/s")
		}
	}
}

func (v *validator) server() {
	s := &v.c.Server
	if len(s.Listen) == 0 {
		v.add("server.listen", "the server listens nowhere", `such as listen: [":8443"]`)
	}
	seen := map[string]bool{}
	for i, l := range s.Listen {
		if seen[l] {
			v.value(fmt.Sprintf("server.listen[%d]", i), l, "stands twice", "remove one")
		}
		seen[l] = true
	}
	v.protocols()
	v.serverTLS()
	v.clientCertificate()
	if s.Limits.String > s.Limits.Body && v.set("server.limits.string") {
		v.value("server.limits.string", s.Limits.String.String(), "is larger than limits.body, "+s.Limits.Body.String(), "a string cannot be longer than the body that holds it")
	}
}

func (v *validator) protocols() {
	s := &v.c.Server
	if len(s.Protocols) == 0 {
		v.add("server.protocols", "no protocol is served", "such as protocols: [h1, h2]")
	}
	for i, p := range s.Protocols {
		at := fmt.Sprintf("server.protocols[%d]", i)
		if slices.Contains(s.Protocols[:i], p) {
			v.value(at, p, "stands twice", "remove one")
		} else if p == "h3" && s.TLS.Mode == "off" {
			v.add(at, "HTTP/3 needs TLS and server.tls.mode is off", "remove h3")
		}
	}
}

func (v *validator) admin() {
	a := v.c.Admin.Listen
	if a == "off" || a == "" {
		return
	}
	v.address("admin.listen", a)
	for i, l := range v.c.Server.Listen {
		if overlap(a, l) {
			v.value("admin.listen", a, fmt.Sprintf("is also served by server.listen[%d]", i), "give the admin listener a port of its own")
		}
	}
	if w := v.c.Alarms.Webhook; w != "" {
		v.selfCall("alarms.webhook", w)
	}
}

// overlap reports whether two listen addresses cannot both be bound.
func overlap(a, b string) bool {
	ah, ap, err1 := net.SplitHostPort(a)
	bh, bp, err2 := net.SplitHostPort(b)
	if err1 != nil || err2 != nil || ap != bp || ap == "0" {
		return false
	}
	return ah == bh || anyHost(ah) || anyHost(bh) || isLoopback(ah) && isLoopback(bh) && (ah == "localhost" || bh == "localhost")
}

func anyHost(h string) bool { return h == "" || h == "0.0.0.0" || h == "::" }

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

func (v *validator) address(path, s string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isPort(port) || strings.ContainsAny(host, " /") {
		v.value(path, s, "is not an address to listen on", "write :PORT or HOST:PORT, such as :8443 or 127.0.0.1:8443")
		return
	}
	if host != "" && !isHost(host) {
		v.value(path, s, "is not an address to listen on", "the host must be a name or an IP address, an IPv6 one in [ ]")
	}
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}
