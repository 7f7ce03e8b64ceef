package source

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// postman reads a Postman collection, version 2.0 or 2.1:
// https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html
func (r *reading) postman(root *value.Value) *capture {
	p := &postman{reading: r, c: &capture{title: strOf(root.Get("info"), "name")}, vars: map[string]string{}}
	p.variables(root.Get("variable"))
	p.environment()
	p.items(root.Get("item"), nil, authOf(root.Get("auth")), 0)
	r.oneOrigin(p.c, "/item")
	return p.c
}

type postman struct {
	*reading
	c    *capture
	vars map[string]string
}

// maxFolders bounds how deep folders nest.
const maxFolders = 50

func (p *postman) variables(vs *value.Value) {
	each(vs, func(v *value.Value) {
		name := strOf(v, "key")
		if name == "" {
			name = strOf(v, "id")
		}
		if val := strOf(v, "value"); name != "" && val != "" {
			p.vars[name] = val
		}
	})
}

// environment takes the values of the environment that lies beside the collection, as
// Postman exports it: NAME.postman_environment.json. One that is switched on there
// has precedence over the collection's own. Of several none is taken: nobody said which.
func (p *postman) environment() {
	if isAddress(p.name) || p.name == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(p.name), "*.postman_environment.json"))
	switch {
	case err != nil || len(files) == 0:
		return
	case len(files) > 1:
		p.repaired(nil, "/variable", "%d environments lie beside it (%s …), and none was taken: leave the one that is meant", len(files), filepath.Base(files[0]))
		return
	}
	data, err := os.ReadFile(files[0])
	if err != nil || int64(len(data)) > p.opts.MaxBytes {
		p.repaired(nil, "/variable", "the environment %s beside it could not be read", filepath.Base(files[0]))
		return
	}
	root, err := spec.ReadTree(data, files[0], spec.LoadOptions{})
	if err != nil || !isList(root.Get("values")) {
		p.repaired(nil, "/variable", "%s beside it is no environment: want an object with a list called values", filepath.Base(files[0]))
		return
	}
	taken := 0
	each(root.Get("values"), func(v *value.Value) {
		name, val := strOf(v, "key"), strOf(v, "value")
		if name == "" || val == "" || strOf(v, "enabled") == "false" || strOf(v, "type") == "secret" || credentialName(name) || strings.Contains(strings.ToLower(name), "password") {
			return
		}
		p.vars[name] = val
		taken++
	})
	p.repaired(nil, "/variable", "%d values were taken from %s, which lies beside it; secrets were not", taken, filepath.Base(files[0]))
}

func (p *postman) items(items *value.Value, tags []string, auth []credential, depth int) {
	if depth > maxFolders {
		return
	}
	each(items, func(it *value.Value) {
		if sub := it.Get("item"); isList(sub) {
			inner := auth
			if a := it.Get("auth"); isObject(a) {
				inner = authOf(a)
			}
			p.variables(it.Get("variable"))
			p.items(sub, append(slices.Clip(tags), strOf(it, "name")), inner, depth+1)
			return
		}
		p.item(it, tags, auth)
	})
}

// authOf reads where credentials go.
func authOf(a *value.Value) []credential {
	if !isObject(a) {
		return nil
	}
	detail := func(kind, key string) string {
		d := a.Get(kind)
		if isObject(d) { // version 2.0
			return strOf(d, key)
		}
		out := ""
		each(d, func(v *value.Value) {
			if strOf(v, "key") == key {
				out = strOf(v, "value")
			}
		})
		return out
	}
	switch t := strOf(a, "type"); t {
	case "bearer", "oauth2", "jwt":
		return []credential{{"bearer", "header", "Authorization"}}
	case "basic":
		return []credential{{"basic", "header", "Authorization"}}
	case "apikey":
		name, in := detail("apikey", "key"), detail("apikey", "in")
		if name == "" || strings.Contains(name, "{{") {
			name = "X-API-Key"
		}
		if in != "query" {
			in = "header"
		}
		return []credential{{"apiKey", in, name}}
	case "digest", "hawk", "awsv4", "oauth1", "ntlm", "edgegrid":
		return []credential{{"apiKey", "header", "Authorization"}}
	}
	return nil
}

func (p *postman) item(it *value.Value, tags []string, auth []credential) {
	req := it.Get("request")
	s := &sample{method: "GET", name: strOf(it, "name"), tags: tags, text: descriptionOf(it)}
	var at *value.Value
	switch {
	case isText(req):
		at = req
	case isObject(req):
		if m := strOf(req, "method"); m != "" {
			s.method = strings.ToUpper(m)
		}
		if s.text == "" {
			s.text = descriptionOf(req)
		}
		at = req.Get("url")
	default:
		return
	}
	if !methods[strings.ToLower(s.method)] {
		return
	}
	if !p.address(s, at) {
		p.repaired(at, "", "the request %q has no address that can be read; it was left out", s.name)
		return
	}
	if isObject(req) {
		each(req.Get("header"), func(h *value.Value) {
			if strOf(h, "disabled") != "true" {
				s.header(strOf(h, "key"), p.fill(strOf(h, "value")))
			}
		})
		if a := req.Get("auth"); isObject(a) {
			auth = authOf(a)
		}
		p.body(s, req.Get("body"))
	}
	if len(s.creds) == 0 {
		s.creds = slices.Clone(auth)
	}
	p.varied(s, it)
	answered := false
	each(it.Get("response"), func(resp *value.Value) {
		c := *s
		c.status, _ = strconv.Atoi(strOf(resp, "code"))
		each(resp.Get("header"), func(h *value.Value) {
			if strings.EqualFold(strOf(h, "key"), "content-type") {
				c.answerType = bareType(strOf(h, "value"))
			}
			c.answerHeader(strOf(h, "key"))
		})
		if body := strings.TrimSpace(strOf(resp, "body")); body != "" && (body[0] == '{' || body[0] == '[') {
			if c.answer = jsonOf(body); c.answer != nil && !strings.Contains(c.answerType, "json") {
				c.answerType = "application/json"
			}
		}
		p.c.samples = append(p.c.samples, &c)
		answered = true
	})
	if !answered {
		p.c.samples = append(p.c.samples, s)
	}
}

// varied makes a variable of the one part of a path in which a request differs from those
// that its examples were recorded with: "/members/ann", answered for "/members/nobody" too.
func (p *postman) varied(s *sample, it *value.Value) {
	each(it.Get("response"), func(resp *value.Value) {
		from := resp.Get("originalRequest")
		o := &sample{}
		if !isObject(from) || !strings.EqualFold(strOf(from, "method"), s.method) || !p.address(o, from.Get("url")) || len(o.path) != len(s.path) {
			return
		}
		at := -1
		for i := range s.path {
			if s.path[i].name != "" || s.path[i].text == o.path[i].text {
				continue
			}
			if at >= 0 || i == 0 || isIDText(s.path[i].text) {
				return // another request, or what is taken for an identifier as it is
			}
			at = i
		}
		if at > 0 {
			s.path[at].name = variableName(s.path[at-1].text) + "_name" // what is no number is a name
		}
	})
}

func descriptionOf(v *value.Value) string {
	d := v.Get("description")
	if isObject(d) {
		return strOf(d, "content")
	}
	return d.Str()
}

var (
	variable      = regexp.MustCompile(`\{\{\s*([^{}]+?)\s*\}\}`)
	wholeVariable = regexp.MustCompile(`^\{\{\s*([^{}]+?)\s*\}\}$`)
	quotedVar     = regexp.MustCompile(`("[^"\n]*)\{\{\s*([^{}\n]+?)\s*\}\}`)
)

// fill puts the values of known variables in; others stay as they are.
func (p *postman) fill(s string) string {
	for range 5 {
		next := variable.ReplaceAllStringFunc(s, func(m string) string {
			name := variable.FindStringSubmatch(m)[1]
			if v, ok := p.vars[name]; ok && len(v) < 10_000 {
				return v
			}
			return m
		})
		if next == s || len(next) > 1<<20 {
			return next
		}
		s = next
	}
	return s
}

// address reads a request's address, a text or an object.
func (p *postman) address(s *sample, at *value.Value) bool {
	raw := ""
	switch {
	case isText(at):
		raw = at.Text
	case isObject(at):
		raw = strOf(at, "raw")
	}
	if raw == "" && isObject(at) {
		var host []string
		each(at.Get("host"), func(h *value.Value) { host = append(host, h.Text) })
		raw = strings.Join(host, ".")
		if t := strOf(at, "host"); raw == "" {
			raw = t
		}
		each(at.Get("path"), func(h *value.Value) { raw += "/" + h.Text })
	}
	raw, query, _ := strings.Cut(raw, "?")
	raw, _, _ = strings.Cut(raw, "#")
	// What stands before the path, mostly {{baseUrl}}, is the origin, known or not.
	path := raw
	head := p.fill(firstPart(raw))
	if isAddress(head) {
		u, err := url.Parse(head)
		if err != nil || u.Host == "" {
			return false
		}
		s.origin = strings.ToLower(u.Scheme + "://" + u.Host)
		path = strings.TrimSuffix(u.EscapedPath(), "/") + raw[len(firstPart(raw)):]
	} else if firstPart(raw) != "" {
		path = raw[len(firstPart(raw)):]
		if isHost(head) {
			s.origin = "http://" + strings.ToLower(head)
		}
	}
	for seg := range strings.SplitSeq(path, "/") {
		switch m := wholeVariable.FindStringSubmatch(seg); {
		case seg == "":
		case strings.HasPrefix(seg, ":") && len(seg) > 1:
			s.path = append(s.path, segment{text: p.pathValue(at, seg[1:]), name: seg[1:]})
		case m != nil && p.isPart(m[1]):
			s.path = append(s.path, segmentsOf(p.vars[m[1]])...)
		case m != nil:
			s.path = append(s.path, segment{text: p.vars[m[1]], name: m[1]})
		case variable.MatchString(seg):
			name := variable.FindStringSubmatch(seg)[1]
			s.path = append(s.path, segment{name: name})
		default:
			s.path = append(s.path, segmentsOf(seg)...)
		}
	}
	if qs := at.Get("query"); isList(qs) {
		each(qs, func(q *value.Value) {
			if name := strOf(q, "key"); name != "" && !strings.Contains(name, "{{") {
				v := p.fill(strOf(q, "value"))
				if strings.Contains(v, "{{") {
					v = ""
				}
				s.parameter(field{name: name, value: v, text: descriptionOf(q), optional: strOf(q, "disabled") == "true"})
			}
		})
	} else if query != "" {
		s.rawQuery(p.fill(query))
	}
	return true
}

// isPart reports whether a variable stands for a piece of path, such as "api/v1", and not for an id.
func (p *postman) isPart(name string) bool {
	v, ok := p.vars[name]
	return ok && v != "" && !isIDText(v) && (strings.Contains(v, "/") || versionSeg.MatchString(strings.ToLower(v)) || strings.EqualFold(v, "api"))
}

// firstPart is a raw address up to its path: "{{baseUrl}}", "https://a.b", "localhost:3000".
func firstPart(raw string) string {
	start := 0
	if i := strings.Index(raw, "://"); i >= 0 {
		start = i + 3
	}
	if j := strings.IndexByte(raw[start:], '/'); j >= 0 {
		return raw[:start+j]
	}
	return raw
}

func isHost(s string) bool {
	return s != "" && !strings.Contains(s, "{{") && (strings.ContainsAny(s, ".:") || s == "localhost")
}

func (p *postman) pathValue(at *value.Value, name string) string {
	out := ""
	each(at.Get("variable"), func(v *value.Value) {
		if strOf(v, "key") == name || strOf(v, "id") == name {
			out = p.fill(strOf(v, "value"))
		}
	})
	if strings.Contains(out, "{{") {
		return ""
	}
	return out
}

func (p *postman) body(s *sample, b *value.Value) {
	if !isObject(b) || strOf(b, "disabled") == "true" {
		return
	}
	switch strOf(b, "mode") {
	case "raw":
		raw := p.fill(strOf(b, "raw"))
		lang := strOf(b.Get("options").Get("raw"), "language")
		t := ""
		if lang == "json" {
			t = "application/json"
		} else if lang == "xml" {
			t = "application/xml"
		}
		// What is left of variables becomes text, or a text of its own.
		for range 20 {
			next := quotedVar.ReplaceAllString(raw, "${1}${2}")
			if next == raw {
				break
			}
			raw = next
		}
		raw = variable.ReplaceAllString(raw, `"$1"`)
		if strings.TrimSpace(raw) != "" {
			s.bodyText(t, raw)
		}
	case "urlencoded":
		s.bodyType = "application/x-www-form-urlencoded"
		p.form(s, b.Get("urlencoded"))
	case "formdata":
		s.bodyType = "multipart/form-data"
		p.form(s, b.Get("formdata"))
	case "file":
		s.bodyType = "application/octet-stream"
	case "graphql":
		s.bodyType = "application/json"
		q := object(named("query", text(strOf(b.Get("graphql"), "query"))), named("variables", object()))
		s.body = &q
	}
}

func (p *postman) form(s *sample, fields *value.Value) {
	each(fields, func(f *value.Value) {
		if name := strOf(f, "key"); name != "" {
			v := p.fill(strOf(f, "value"))
			if strings.Contains(v, "{{") {
				v = ""
			}
			s.form = append(s.form, field{name: name, value: v, optional: strOf(f, "disabled") == "true", file: strOf(f, "type") == "file"})
		}
	})
	if s.form == nil {
		s.form = []field{}
	}
}
