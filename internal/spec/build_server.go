package spec

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// maxServerVariants bounds how many base paths the enums of one server's
// variables can make.
const maxServerVariants = 32

// servers reads a servers list; nil when there is none.
func (b *builder) servers(list node) []Server {
	if !list.ok() || len(list.v.Kids) == 0 {
		return nil
	}
	var out []Server
	list.each(func(_ string, n node) {
		if !n.isObject() {
			b.report(Degraded, "spec.wrong_type", n, "a server should be an object with a url, not %s", kindName(n.v))
			return
		}
		raw := n.str("url")
		if !n.has("url") {
			b.report(Degraded, "spec.missing_field", n, "a server should have a url; it is read as /")
			raw = "/"
		}
		for _, u := range b.expandServer(n, raw) {
			s := b.server(n, u)
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	})
	return out
}

// expandServer replaces the variables of a server's URL by their defaults, and
// those in its path by every value that their enum lists.
func (b *builder) expandServer(n node, raw string) []string {
	pathAt := 0
	if i := strings.Index(raw, "://"); i >= 0 {
		pathAt = i + 3
		if j := strings.IndexByte(raw[pathAt:], '/'); j >= 0 {
			pathAt += j
		} else {
			pathAt = len(raw)
		}
	}
	variants := []string{""}
	add := func(texts ...string) {
		var next []string
		for _, v := range variants {
			for _, t := range texts {
				next = append(next, v+t)
			}
		}
		variants = next
	}
	for i := 0; i < len(raw); {
		if raw[i] != '{' {
			j := strings.IndexByte(raw[i:], '{')
			if j < 0 {
				j = len(raw) - i
			}
			add(raw[i : i+j])
			i += j
			continue
		}
		end := strings.IndexByte(raw[i:], '}')
		if end < 0 {
			b.report(Degraded, "spec.bad_server", n, "a { in the server's url opens no variable")
			add(raw[i:])
			break
		}
		name := raw[i+1 : i+end]
		v := n.get("variables").get(name)
		def := scalarText(v.get("default").v)
		if !v.has("default") {
			b.report(Degraded, "spec.bad_server", n, "the server's variable {%s} should have a default; its name is used instead", name)
			def = name
		}
		values := []string{def}
		if i >= pathAt {
			v.get("enum").each(func(_ string, e node) {
				if t := scalarText(e.v); !slices.Contains(values, t) && len(values)*len(variants) < maxServerVariants {
					values = append(values, t)
				}
			})
		}
		add(values...)
		i += end + 1
	}
	return variants
}

// server splits a server's URL. Of an odd one it keeps what it can.
func (b *builder) server(n node, raw string) Server {
	s := Server{URL: strings.Clone(raw)}
	text := strings.TrimSpace(raw)
	if text != raw {
		b.report(Warning, "spec.bad_server", n, "the server's url has white space around it")
	}
	if !strings.Contains(text, "://") && !strings.HasPrefix(text, "/") && text != "" && text[0] != '.' {
		if first, _, _ := strings.Cut(text, "/"); strings.Contains(first, ".") || strings.Contains(first, ":") || first == "localhost" {
			b.report(Warning, "spec.bad_server", n, "the server's url %q has no scheme; it is read as https://%s", raw, text)
			text = "https://" + text
		}
	}
	u, err := url.Parse(text)
	if err != nil {
		b.report(Degraded, "spec.bad_server", n, "the server's url %q cannot be read; it is taken as /", raw)
		return s
	}
	if b.base != nil {
		u = b.base.ResolveReference(u)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		b.report(Warning, "spec.bad_server", n, "the server's url should end with its path, without user, query or fragment; they are ignored")
	}
	s.Host = strings.ToLower(u.Host)
	s.BasePath = b.cleanBase(n, u.EscapedPath())
	return s
}

// cleanBase makes "" or "/v1" of a base path.
func (b *builder) cleanBase(n node, p string) string {
	if p == "" || p == "/" {
		return ""
	}
	clean := path.Clean("/" + strings.TrimPrefix(p, "/"))
	if strings.TrimSuffix(p, "/") != clean {
		b.report(Warning, "spec.bad_server", n, "the base path %q is read as %q", p, clean)
	}
	if clean == "/" {
		return ""
	}
	return clean
}

// servers20 makes servers of 2.0's schemes, host and basePath.
func (b *builder) servers20() []Server {
	host, base := b.root.str("host"), b.root.str("basePath")
	if strings.ContainsAny(host, "/{") {
		b.report(Degraded, "spec.bad_server", b.root.get("host"), "host should be a name and perhaps a port, without scheme, path or variables")
		if i := strings.Index(host, "://"); i >= 0 {
			host = host[i+3:]
		}
		host, _, _ = strings.Cut(host, "/")
	}
	schemes := b.strings(b.root.get("schemes"))
	if len(schemes) == 0 {
		schemes = []string{"https"}
	}
	at := b.root
	if k := b.root.get("basePath"); k.ok() {
		at = k
	}
	s := Server{Host: strings.ToLower(strings.Clone(host)), BasePath: b.cleanBase(at, strings.Clone(base))}
	var out []Server
	for _, scheme := range schemes {
		s.URL = s.BasePath
		if s.URL == "" {
			s.URL = "/"
		}
		if host != "" {
			s.URL = scheme + "://" + host + s.BasePath
		}
		out = append(out, s)
		if host == "" {
			break
		}
	}
	return out
}

// bases are the base paths that servers give, or those that the options put in their place.
func (b *builder) bases(servers []Server) []basePath {
	var out []basePath
	if b.l.opts.BasePaths != nil {
		for _, p := range b.l.opts.BasePaths {
			out = append(out, basePath{path: strings.TrimSuffix(p, "/")})
		}
		return out
	}
	for _, s := range servers {
		if p := (basePath{path: s.BasePath, host: s.Host}); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}
