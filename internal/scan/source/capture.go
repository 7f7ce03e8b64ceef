package source

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// capture is recorded calls of an API.
type capture struct {
	title   string
	samples []*sample
}

// sample is one recorded call, without its credentials.
type sample struct {
	method, origin string
	path           []segment
	query          []field
	headers        []field
	creds          []credential
	bodyType       string
	body           *value.Value // decoded JSON
	form           []field
	status         int // 0: not recorded
	answerType     string
	answer         *value.Value
	answerHeaders  []string
	name, text     string
	tags           []string
}

// field is a parameter or a form's field.
type field struct {
	name, value, text string
	optional, file    bool
}

// credential is where a call carried one; never what it was.
type credential struct{ kind, in, name string } // kind: "bearer", "basic", "apiKey", "oauth2"

// origins are where the calls went, the commonest first.
func (c *capture) origins() []string {
	count := map[string]int{}
	for _, s := range c.samples {
		if s.origin != "" {
			count[s.origin]++
		}
	}
	var out []string
	for o := range count {
		out = append(out, o)
	}
	slices.SortFunc(out, func(x, y string) int { return cmp.Or(count[y]-count[x], strings.Compare(x, y)) })
	return out
}

// plainHeaders are request headers that say nothing of an API.
var plainHeaders = map[string]bool{"accept": true, "content-type": true, "content-length": true, "authorization": true, "cookie": true, "host": true, "user-agent": true, "connection": true, "referer": true, "origin": true,
	"accept-encoding": true, "accept-language": true, "accept-charset": true, "cache-control": true, "pragma": true, "dnt": true, "te": true, "upgrade-insecure-requests": true, "if-none-match": true, "if-modified-since": true,
	"x-requested-with": true, "priority": true, "keep-alive": true, "postman-token": true, "proxy-connection": true, "proxy-authorization": true, "transfer-encoding": true, "expect": true, "date": true, "via": true, "forwarded": true, "x-forwarded-for": true, "x-forwarded-proto": true, "x-forwarded-host": true, "x-real-ip": true, "save-data": true, "range": true}

// credentialName reports whether a header or a cookie carries a credential, by its name.
func credentialName(name string) bool {
	n := strings.Join(spec.Words(name), "")
	for _, w := range []string{"token", "apikey", "auth", "session", "secret", "jwt", "sid"} {
		if n == w || strings.HasSuffix(n, w) || w != "sid" && strings.Contains(n, w) {
			return !strings.Contains(n, "csrf") && !strings.Contains(n, "xsrf")
		}
	}
	return false
}

// header sorts a request header in: a credential, a parameter, or nothing.
func (s *sample) header(name, val string) {
	l := strings.ToLower(name)
	switch {
	case strings.HasPrefix(l, ":") || strings.HasPrefix(l, "sec-"):
	case l == "authorization":
		switch scheme, _, _ := strings.Cut(strings.TrimSpace(val), " "); strings.ToLower(scheme) {
		case "bearer":
			s.credential("bearer", "header", "Authorization")
		case "basic":
			s.credential("basic", "header", "Authorization")
		default:
			s.credential("apiKey", "header", "Authorization")
		}
	case l == "cookie":
		for c := range strings.SplitSeq(val, ";") {
			if n, _, _ := strings.Cut(strings.TrimSpace(c), "="); credentialName(n) {
				s.credential("apiKey", "cookie", n)
			}
		}
	case plainHeaders[l]:
	case credentialName(name):
		s.credential("apiKey", "header", name)
	default:
		s.headers = append(s.headers, field{name: name, value: val, optional: true})
	}
}

func (s *sample) credential(kind, in, name string) {
	if c := (credential{kind, in, name}); !slices.Contains(s.creds, c) {
		s.creds = append(s.creds, c)
	}
}

// address reads a call's address. It reports false for one that is none.
func (s *sample) address(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return false
	}
	s.origin = strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host)
	s.path = segmentsOf(u.EscapedPath())
	s.rawQuery(u.RawQuery)
	return true
}

func segmentsOf(path string) []segment {
	var out []segment
	for p := range strings.SplitSeq(path, "/") {
		if p == "" {
			continue
		}
		if un, err := url.PathUnescape(p); err == nil && !strings.ContainsAny(un, "/{}?#") {
			p = un
		}
		out = append(out, segment{text: p})
	}
	return out
}

func (s *sample) rawQuery(q string) {
	for pair := range strings.SplitSeq(q, "&") {
		if pair == "" {
			continue
		}
		n, v, _ := strings.Cut(pair, "=")
		if un, err := url.QueryUnescape(n); err == nil {
			n = un
		}
		if un, err := url.QueryUnescape(v); err == nil {
			v = un
		}
		s.parameter(field{name: n, value: v})
	}
}

// parameter sorts a query parameter in.
func (s *sample) parameter(f field) {
	switch n := strings.Join(spec.Words(f.name), ""); n {
	case "":
	case "apikey", "accesstoken", "authtoken", "apitoken":
		s.credential("apiKey", "query", f.name)
	default:
		s.query = append(s.query, f)
	}
}

// bodyText reads a request's body.
func (s *sample) bodyText(mediaType, body string) {
	s.bodyType = bareType(mediaType)
	trimmed := strings.TrimSpace(body)
	switch {
	case trimmed == "":
	case s.bodyType == "application/x-www-form-urlencoded":
		for pair := range strings.SplitSeq(trimmed, "&") {
			n, v, _ := strings.Cut(pair, "=")
			n, _ = url.QueryUnescape(n)
			v, _ = url.QueryUnescape(v)
			if n != "" {
				s.form = append(s.form, field{name: n, value: v})
			}
		}
	case trimmed[0] == '{' || trimmed[0] == '[':
		if v := jsonOf(trimmed); v != nil {
			s.body = v
			if s.bodyType == "" || s.bodyType == "text/plain" {
				s.bodyType = "application/json"
			}
		}
	}
	if s.bodyType == "" {
		s.bodyType = "text/plain"
	}
}

func jsonOf(s string) *value.Value {
	v, err := spec.ReadTree([]byte(s), "body.json", spec.LoadOptions{MaxDepth: 200, MaxNodes: 500_000})
	if err != nil {
		fixed, _ := lenientJSON([]byte(s))
		if fixed == nil {
			return nil
		}
		if v, err = spec.ReadTree(fixed, "body.json", spec.LoadOptions{MaxDepth: 200, MaxNodes: 500_000}); err != nil {
			return nil
		}
	}
	return v
}

func bareType(t string) string {
	t, _, _ = strings.Cut(t, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	if kind, sub, ok := strings.Cut(t, "/"); !ok || kind == "" || sub == "" || strings.ContainsAny(t, " ,") {
		return ""
	}
	return t
}

// answerShape names the members of an answer, to tell kinds of answers apart.
func (s *sample) answerShape() string {
	if s.answer == nil || s.status >= 300 {
		return ""
	}
	v := s.answer
	prefix := ""
	if v.Kind == value.Array {
		if len(v.Kids) == 0 {
			return "[]"
		}
		v, prefix = &v.Kids[0], "[]"
	}
	var names []string
	for i := range v.Kids {
		names = append(names, v.Kids[i].Name)
	}
	slices.Sort(names)
	return prefix + strings.Join(names, ",")
}

// operation is all calls of one method on one template.
type operation struct {
	method, path string
	vars         []pathVar
	samples      []*sample
	unsaid       bool // no call of all carries credentials: cookies that a client keeps are not written down
}

// document writes the calls as an OpenAPI 3.1 document.
func (c *capture) document() []byte {
	base := c.commonBase()
	roots := newTrie()
	for _, s := range c.samples {
		roots.add(s.path[len(base):], s.method, s.answerShape())
	}
	roots.settle("")
	ops := map[string]*operation{}
	var order []*operation
	for _, s := range c.samples {
		path, vars := roots.template(s.path[len(base):])
		key := s.method + " " + path
		op := ops[key]
		if op == nil {
			op = &operation{method: s.method, path: path, vars: vars}
			ops[key] = op
			order = append(order, op)
		}
		op.samples = append(op.samples, s)
	}
	schemes := object()
	paths := object()
	unsaid := !slices.ContainsFunc(c.samples, func(s *sample) bool { return len(s.creds) > 0 })
	for _, op := range order {
		op.unsaid = unsaid
		if paths.Get(op.path) == nil {
			put(&paths, op.path, object())
		}
		put(paths.Get(op.path), strings.ToLower(op.method), op.node(&schemes))
	}
	title := c.title
	if title == "" {
		title = "Captured API"
	}
	var servers []value.Value
	suffix := ""
	for _, s := range base {
		suffix += "/" + s.text
	}
	for _, o := range c.origins()[:min(1, len(c.origins()))] {
		servers = append(servers, object(named("url", text(o+suffix))))
	}
	if servers == nil {
		servers = append(servers, object(named("url", text("/"+strings.TrimPrefix(suffix, "/")))))
	}
	doc := object(named("openapi", text("3.1.0")), named("info", object(named("title", text(title)), named("version", text("captured")))), named("servers", list(servers...)), named("paths", paths))
	if len(schemes.Kids) > 0 {
		put(&doc, "components", object(named("securitySchemes", schemes)))
	}
	return value.Append(nil, &doc)
}

// commonBase is the start that all paths share and that says nothing ("/api/v2").
func (c *capture) commonBase() []segment {
	if len(c.samples) < 2 {
		return nil
	}
	base := c.samples[0].path
	for _, s := range c.samples[1:] {
		n := 0
		for n < len(base) && n < len(s.path) && base[n] == s.path[n] {
			n++
		}
		base = base[:n]
	}
	for i, s := range base {
		l := strings.ToLower(s.text)
		if s.name != "" || l != "api" && l != "rest" && !versionSeg.MatchString(l) {
			return base[:i]
		}
	}
	// A path must keep something.
	if len(base) > 0 && slices.ContainsFunc(c.samples, func(s *sample) bool { return len(s.path) == len(base) }) {
		return base[:len(base)-1]
	}
	return base
}

func (o *operation) node(schemes *value.Value) value.Value {
	n := object()
	first := o.samples[0]
	if first.name != "" {
		put(&n, "summary", text(first.name))
	}
	if first.text != "" {
		put(&n, "description", text(first.text))
	}
	if len(first.tags) > 0 {
		tags := list()
		for _, t := range first.tags {
			tags.Kids = append(tags.Kids, text(t))
		}
		put(&n, "tags", tags)
	}
	if ps := o.parameters(); len(ps.Kids) > 0 {
		put(&n, "parameters", ps)
	}
	if b, ok := o.body(); ok {
		put(&n, "requestBody", b)
	}
	put(&n, "responses", o.responses())
	if !o.unsaid {
		put(&n, "security", o.security(schemes))
	}
	return n
}

// typeOfTexts is the schema of values that travel as text.
func typeOfTexts(name string, values []string) value.Value {
	var sum *shape
	for _, v := range values {
		node := text(v)
		switch {
		case v == "":
			continue
		case digitsOnly.MatchString(v) && len(v) < 16:
			node.Kind = value.Number
		case v == "true" || v == "false":
			node.Kind = value.Bool
		case isNumber(v) && len(v) < 16:
			node.Kind = value.Number
		}
		sum = sum.merge(infer(&node, name))
	}
	if sum == nil {
		return object(named("type", text("string")))
	}
	if len(sum.kinds) > 1 {
		return object(named("type", text("string")))
	}
	return sum.schema()
}

func (o *operation) parameters() value.Value {
	out := list()
	for _, v := range o.vars {
		p := object(named("name", text(v.name)), named("in", text("path")), named("required", yes()), named("schema", typeOfTexts(v.name, v.values)))
		out.Kids = append(out.Kids, p)
	}
	gather := func(in string, of func(s *sample) []field) {
		var names []string
		values := map[string][]string{}
		seen := map[string]int{}
		optional := map[string]bool{}
		texts := map[string]string{}
		for _, s := range o.samples {
			mine := map[string]bool{}
			for _, f := range of(s) {
				if values[f.name] == nil && seen[f.name] == 0 {
					names = append(names, f.name)
				}
				values[f.name] = append(values[f.name], f.value)
				optional[f.name] = optional[f.name] || f.optional
				if texts[f.name] == "" {
					texts[f.name] = f.text
				}
				if !mine[f.name] {
					mine[f.name] = true
					seen[f.name]++
				}
			}
		}
		for _, n := range names {
			p := object(named("name", text(n)), named("in", text(in)))
			if texts[n] != "" {
				put(&p, "description", text(texts[n]))
			}
			if in == "query" && !optional[n] && seen[n] == len(o.samples) && len(o.samples) >= minAlike {
				put(&p, "required", yes())
			}
			if bare, isArray := strings.CutSuffix(n, "[]"); isArray {
				put(&p, "schema", object(named("type", text("array")), named("items", typeOfTexts(bare, values[n]))))
			} else {
				put(&p, "schema", typeOfTexts(n, values[n]))
			}
			out.Kids = append(out.Kids, p)
		}
	}
	gather("query", func(s *sample) []field { return s.query })
	gather("header", func(s *sample) []field { return s.headers })
	return out
}

func (o *operation) body() (value.Value, bool) {
	content := object()
	shapes := map[string]*shape{}
	forms := map[string]*shape{}
	var order []string
	for _, s := range o.samples {
		if s.bodyType == "" {
			continue
		}
		if !slices.Contains(order, s.bodyType) {
			order = append(order, s.bodyType)
		}
		switch {
		case s.body != nil:
			shapes[s.bodyType] = shapes[s.bodyType].merge(infer(s.body, ""))
		case s.form != nil:
			f := &shape{kinds: map[value.Kind]bool{value.Object: true}, objects: 1}
			for _, x := range s.form {
				v := text(x.value)
				if x.file {
					v = text("")
				} else if isNumber(x.value) && len(x.value) < 16 {
					v.Kind = value.Number
				}
				sh := infer(&v, x.name)
				if x.file {
					sh.format = "binary"
				}
				seen := 1
				if x.optional {
					seen = 0
				}
				f.members = append(f.members, member{x.name, seen, sh})
			}
			forms[s.bodyType] = forms[s.bodyType].merge(f)
		}
	}
	for _, t := range order {
		m := object()
		switch {
		case shapes[t] != nil:
			put(&m, "schema", shapes[t].schema())
		case forms[t] != nil:
			put(&m, "schema", forms[t].schema())
		}
		put(&content, t, m)
	}
	if len(order) == 0 {
		return value.Value{}, false
	}
	return object(named("required", yes()), named("content", content)), true
}

func (o *operation) responses() value.Value {
	out := object()
	type key struct{ status, media string }
	shapes := map[key]*shape{}
	headers := map[string][]string{}
	var order []key
	for _, s := range o.samples {
		if s.status < 100 || s.status > 599 {
			continue
		}
		k := key{strconv.Itoa(s.status), s.answerType}
		if !slices.Contains(order, k) {
			order = append(order, k)
		}
		if s.answer != nil {
			shapes[k] = shapes[k].merge(infer(s.answer, ""))
		}
		for _, h := range s.answerHeaders {
			if !slices.Contains(headers[k.status], h) {
				headers[k.status] = append(headers[k.status], h)
			}
		}
	}
	slices.SortStableFunc(order, func(x, y key) int { return strings.Compare(x.status, y.status) })
	for _, k := range order {
		if out.Get(k.status) == nil {
			put(&out, k.status, object(named("description", text("recorded"))))
		}
		r := out.Get(k.status)
		if len(headers[k.status]) > 0 && r.Get("headers") == nil {
			hs := object()
			for _, h := range headers[k.status] {
				put(&hs, h, object(named("schema", object(named("type", text("string"))))))
			}
			put(r, "headers", hs)
		}
		if k.media == "" {
			continue
		}
		m := object()
		if s := shapes[k]; s != nil {
			put(&m, "schema", s.schema())
		}
		if r.Get("content") == nil {
			put(r, "content", object())
		}
		put(r.Get("content"), k.media, m)
	}
	if len(out.Kids) == 0 {
		put(&out, "default", object(named("description", text("not recorded"))))
	}
	return out
}

// security says what the calls carried. Where some carried nothing and were
// answered all the same, credentials are optional.
func (o *operation) security(schemes *value.Value) value.Value {
	out := list()
	var seen []string
	open := false
	for _, s := range o.samples {
		if len(s.creds) == 0 {
			open = open || s.status == 0 || s.status < 400
			continue
		}
		req := object()
		for _, c := range s.creds {
			name := c.kind
			if c.kind == "apiKey" {
				name = variableName(c.in + "_" + c.name)
			}
			if schemes.Get(name) == nil {
				switch c.kind {
				case "bearer", "basic":
					put(schemes, name, object(named("type", text("http")), named("scheme", text(c.kind))))
				default:
					put(schemes, name, object(named("type", text("apiKey")), named("in", text(c.in)), named("name", text(c.name))))
				}
			}
			put(&req, name, list())
		}
		key := string(value.Append(nil, &req))
		if !slices.Contains(seen, key) {
			seen = append(seen, key)
			out.Kids = append(out.Kids, req)
		}
	}
	if open && len(out.Kids) > 0 {
		out.Kids = append(out.Kids, object())
	}
	return out
}
