package config

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

var apiName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (v *validator) api(a *API, path string) {
	if a.Name != "" && !apiName.MatchString(a.Name) {
		v.value(path+".name", a.Name, "is not a name", "use lower-case letters, digits, - and _, at most 63")
	}
	if a.Spec == "" && a.Guards.Contract.Mode != "off" {
		v.add(path+".spec", "must be set", "name the OpenAPI document, such as spec: openapi.yaml, or set guards.contract.mode: off")
	}
	for i, h := range a.Hosts {
		if slices.Contains(a.Hosts[:i], h) {
			v.value(fmt.Sprintf("%s.hosts[%d]", path, i), h, "stands twice", "remove one")
		}
	}
	v.upstream(a, path+".upstream")
	if a.Limits != nil && a.Limits.String > a.Limits.Body && v.set(path+".limits.string") {
		v.value(path+".limits.string", a.Limits.String.String(), "is larger than limits.body, "+a.Limits.Body.String(), "a string cannot be longer than the body that holds it")
	}
	if a.CORS != nil && a.CORS.Credentials && slices.Contains(a.CORS.Origins, "*") {
		v.add(path+".cors.origins", `"*" with credentials would let every site act as the user`, "list the origins, or set credentials: false")
	}
	v.publicURL(a, path)
	v.operations(a, path)
	v.guards(a, path+".guards")
	v.login(a, path)
}

func (v *validator) upstream(a *API, path string) {
	u := &a.Upstream
	if len(u.URLs) == 0 {
		v.add(path+".urls", "must be set", "such as urls: [http://127.0.0.1:9000]")
	}
	scheme := ""
	for i, s := range u.URLs {
		at := fmt.Sprintf("%s.urls[%d]", path, i)
		if slices.Contains(u.URLs[:i], s) {
			v.value(at, s, "stands twice", "remove one")
			continue
		}
		parsed := v.upstreamURL(at, s)
		if parsed == nil {
			continue
		}
		if scheme == "" {
			scheme = parsed.Scheme
		} else if scheme != parsed.Scheme {
			v.add(at, "its scheme is "+parsed.Scheme+" and the first's is "+scheme, "all servers of an API share one scheme")
		}
		v.selfCall(at, s)
	}
	v.upstreamTLS(u, path+".tls", scheme)
	if u.Health.Path != "" && u.Health.Timeout >= u.Health.Interval {
		v.add(path+".health.timeout", "the check's timeout is not shorter than its interval", "make timeout smaller or interval larger")
	}
	if u.Sign != nil && !u.Sign.Key.IsZero() && len(u.Sign.Key.Reveal()) < 32 {
		v.add(path+".sign.key", "the secret is shorter than 32 bytes", "openssl rand -hex 32 makes one")
	}
}

func (v *validator) upstreamURL(at, s string) *url.URL {
	fix := "write http://host:port, https://host or h2c://host:port"
	if s == "" {
		return nil // reported
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || !isHost(u.Hostname()) || u.Port() != "" && !isPort(u.Port()):
		if err == nil && u.User != nil {
			s = "…"
		}
		v.value(at, redactURL(s), "is not the URL of a server", fix)
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		v.value(at, redactURL(s), "has the unknown scheme "+u.Scheme, fix)
	case u.User != nil:
		v.add(at, "holds a user name or password", "take it out")
	case u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		v.value(at, redactURL(s), "has more than scheme, host and port", "a server has no path: see base_path and strip_base_path")
	default:
		return u
	}
	return nil
}

// redactURL keeps what may be a password out of a message.
func redactURL(s string) string {
	if strings.Contains(s, "@") {
		return "…" + s[strings.LastIndex(s, "@"):]
	}
	return s
}

// selfCall refuses a URL that leads back into this gateway: every call would loop.
func (v *validator) selfCall(at, s string) {
	u, err := url.Parse(s)
	if err != nil {
		return
	}
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	host := strings.ToLower(u.Hostname())
	for i, l := range v.c.Server.Listen {
		lh, lp, err := net.SplitHostPort(l)
		if err != nil || lp != port || lp == "0" {
			continue
		}
		if host == lh || isLoopback(host) && (anyHost(lh) || lh == "localhost") || anyHost(host) && host != "" {
			v.add(at, fmt.Sprintf("leads back to this gateway (server.listen[%d] is %s)", i, l), "name the API's own server")
			return
		}
	}
}

func (v *validator) upstreamTLS(u *Upstream, path, scheme string) {
	t := &u.TLS
	if t.CA != "" {
		v.authorities(path+".ca", t.CA)
	}
	switch {
	case t.Cert != "" && t.Key == "":
		v.add(path+".key", "the certificate has no key", "set key beside cert")
	case t.Key != "" && t.Cert == "":
		v.add(path+".cert", "the key has no certificate", "set cert beside key")
	case t.Cert != "":
		v.keyPair(path, t.Cert, t.Key)
	}
	if *t != (UpstreamTLS{}) && scheme != "" && scheme != "https" {
		v.add(path, "TLS settings for an upstream that is reached by "+scheme, "use https:// URLs, or remove tls")
	}
	if t.Name != "" && !isHost(t.Name) {
		v.value(path+".name", t.Name, "is not a host", "write the name in the upstream's certificate")
	}
}

var overrideOperation = regexp.MustCompile(`^[A-Z*]+ [/*]\S*$`)

func (v *validator) operations(a *API, path string) {
	seen := map[string]int{}
	for i := range a.Operations {
		o, at := &a.Operations[i], fmt.Sprintf("%s.operations[%d]", path, i)
		if strings.ContainsAny(o.Operation, " /") && !overrideOperation.MatchString(o.Operation) {
			v.value(at+".operation", o.Operation, "names no operation", `write an operationId or "METHOD /path"`)
		}
		if first, dup := seen[o.Operation]; dup && o.Operation != "" {
			v.value(at+".operation", o.Operation, fmt.Sprintf("is also operations[%d]", first), "join the two")
		} else {
			seen[o.Operation] = i
		}
		if o.Operation != "" && reflect.DeepEqual(*o, OperationOverride{Operation: o.Operation}) {
			v.add(at, "changes nothing", "set one of its settings, such as mode, roles or rates")
		}
		v.stepUp(o.StepUp, at+".step_up")
		if o.Public != nil && *o.Public && o.StepUp != nil {
			v.add(at+".public", "the operation is public and demands a step-up", "drop one of the two")
		}
		if o.Public != nil && *o.Public && len(o.Roles) > 0 {
			v.add(at+".roles", "a public operation has callers without roles", "remove public or roles")
		}
		v.rates(o.Rates, at+".rates")
		v.loginOperation(o.Login, at+".login")
		v.guardNames(at+".modes", o.Modes)
		v.writable(at+".writable_by", o.WritableBy)
	}
}

func (v *validator) guardNames(path string, modes map[string]string) {
	for name := range modes {
		if !slices.Contains(GuardNames(), name) {
			fix := "guards are " + strings.Join(GuardNames(), ", ")
			if near := nearest(name, GuardNames()); near != "" {
				fix = "did you mean " + near + "?"
			}
			v.add(join(path, name), "is not a guard", fix)
		}
	}
}

func (v *validator) writable(path string, fields map[string][]string) {
	for pointer, roles := range fields {
		at := join(path, pointer)
		if !strings.HasPrefix(pointer, "/") || strings.HasSuffix(pointer, "/") {
			v.add(at, "is not a JSON pointer", "write such as /status or /items/*/price")
		}
		if len(roles) == 0 {
			v.add(at, "names no role", "list the roles that may write the field; readOnly in the document is for nobody")
		}
	}
}

// collisions refuses two APIs that answer to the same host and base path.
func (v *validator) collisions() {
	for i := range v.c.APIs {
		for j := range i {
			a, b := &v.c.APIs[i], &v.c.APIs[j]
			if a.BasePath == nil || b.BasePath == nil || *a.BasePath != *b.BasePath {
				continue // unknown until the documents are loaded, or different
			}
			host, shared := commonHost(a.Hosts, b.Hosts)
			if shared {
				v.add(fmt.Sprintf("apis[%d].base_path", i), fmt.Sprintf("apis[%d] answers to %s%s as well", j, host, *a.BasePath), "give them different hosts or base paths")
			}
		}
	}
}

func commonHost(a, b []string) (string, bool) {
	if len(a) == 0 && len(b) == 0 {
		return "*", true
	}
	for _, h := range a {
		if slices.Contains(b, h) {
			return h, true
		}
	}
	return "", false
}
