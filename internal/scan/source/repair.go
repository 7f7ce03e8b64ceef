package source

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// repairer corrects the tree of an OpenAPI document where it evidently means
// something that it does not say in OpenAPI's terms.
type repairer struct {
	*reading
	root    *value.Value
	v2      bool
	schemas map[string]string // name in lower case without signs → reference, of all schemas of the document
	byPath  map[string]bool   // references known to lead somewhere
	inPath  map[string]bool   // names of the operation's parameters in path
}

// repairDocument repairs the tree in place; a part that is as it should be stays
// as it is, so a good document is left alone.
func (r *reading) repairDocument(root *value.Value) *value.Value {
	d := &repairer{reading: r, root: root, byPath: map[string]bool{}}
	d.version()
	d.hoist()
	d.index()
	d.paths()
	d.components()
	d.securitySchemes()
	d.references(root, "", 0)
	return root
}

// version reads what stands where the version should.
func (d *repairer) version() {
	o, s := strOf(d.root, "openapi"), strOf(d.root, "swagger")
	trimmed := strings.TrimLeft(strings.TrimSpace(o), "vV^~=")
	switch {
	case o != "" && trimmed != o:
		put(d.root, "openapi", text(trimmed))
		o = trimmed
		d.repaired(d.root.Get("openapi"), "/openapi", "the version was read as %s", trimmed)
	case o == "" && strings.HasPrefix(s, "3"):
		rename(d.root, "swagger", "openapi")
		o, s = s, ""
		d.repaired(d.root.Get("openapi"), "/swagger", "a document of version 3 names it under openapi; it was read so")
	}
	switch {
	case o == "3" || o == "3.x" || o == "3.0.x":
		put(d.root, "openapi", text("3.0.3"))
		d.repaired(d.root, "/openapi", "version %q is read as 3.0.3", o)
	case strings.HasPrefix(o, "2"):
		if rename(d.root, "openapi", "swagger") {
			put(d.root, "swagger", text("2.0"))
			d.repaired(d.root, "/openapi", "a document of version 2 names it under swagger; it was read so")
		}
	case o != "" && !strings.HasPrefix(o, "3."):
		put(d.root, "openapi", text("3.0.3"))
		d.repaired(d.root, "/openapi", "version %q is read as 3.0.3", o)
	case o == "" && s != "" && !strings.HasPrefix(s, "2"):
		put(d.root, "swagger", text("2.0"))
		d.repaired(d.root, "/swagger", "version %q is read as 2.0", s)
	case o == "" && s == "":
		if d.root.Get("definitions") != nil || d.root.Get("basePath") != nil || d.root.Get("securityDefinitions") != nil {
			put(d.root, "swagger", text("2.0"))
			d.repaired(d.root, "", "no version is named; by its members it is 2.0")
		} else {
			put(d.root, "openapi", text("3.0.3"))
			d.repaired(d.root, "", "no version is named; it is read as 3.0.3")
		}
	}
	d.v2 = d.root.Get("openapi") == nil
}

// hoist puts components that stand where the other version has them into their place.
func (d *repairer) hoist() {
	move := func(from, to string) {
		src := d.root.Get(from)
		if !isObject(src) {
			return
		}
		parts := strings.Split(to, "/")
		if len(parts) == 2 {
			c := d.root.Get(parts[0])
			if c != nil && c.Kind != value.Object {
				return
			}
			if c == nil {
				put(d.root, parts[0], object())
				c = d.root.Get(parts[0])
				src = d.root.Get(from)
			}
			have := c.Get(parts[1])
			if have == nil {
				put(c, parts[1], *src)
			} else if have.Kind == value.Object {
				for i := range src.Kids {
					if have.Get(src.Kids[i].Name) == nil {
						put(have, src.Kids[i].Name, src.Kids[i])
					}
				}
			}
		}
		d.repaired(src, "/"+from, "in this version %s stands under %s; it was read there", from, to)
	}
	if d.v2 {
		if s := d.root.Get("components").Get("securitySchemes"); isObject(s) && d.root.Get("securityDefinitions") == nil {
			put(d.root, "securityDefinitions", *s)
			d.repaired(s, "/components/securitySchemes", "in this version security schemes stand under securityDefinitions; they were read there")
		}
		if s := d.root.Get("components").Get("schemas"); isObject(s) && d.root.Get("definitions") == nil {
			put(d.root, "definitions", *s)
		}
		return
	}
	move("securityDefinitions", "components/securitySchemes")
	move("securitySchemes", "components/securitySchemes")
	move("definitions", "components/schemas")
	if s := d.root.Get("schemas"); isObject(s) && d.root.Get("components").Get("schemas") == nil {
		move("schemas", "components/schemas")
	}
	if c := d.root.Get("components"); isObject(c) {
		for _, pair := range [][2]string{{"schema", "schemas"}, {"securitySchema", "securitySchemes"}, {"securitySchemas", "securitySchemes"}, {"securityScheme", "securitySchemes"}, {"securityDefinitions", "securitySchemes"}, {"definitions", "schemas"}, {"models", "schemas"}} {
			if isObject(c.Get(pair[0])) && c.Get(pair[1]) == nil {
				put(c, pair[1], *c.Get(pair[0]))
				d.repaired(c.Get(pair[0]), "/components/"+pair[0], "components has no %s; it was read as %s", pair[0], pair[1])
			}
		}
	}
}

// index remembers the names of all schemas, for references that miss them.
func (d *repairer) index() {
	d.schemas = map[string]string{}
	add := func(v *value.Value, at string) {
		if !isObject(v) {
			return
		}
		for i := range v.Kids {
			if k := plainName(v.Kids[i].Name); d.schemas[k] == "" {
				d.schemas[k] = "#" + join(at, v.Kids[i].Name)
			}
		}
	}
	add(d.root.Get("components").Get("schemas"), "/components/schemas")
	add(d.root.Get("definitions"), "/definitions")
}

func plainName(s string) string {
	return strings.ToLower(strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || c == ' ' || c == '.' {
			return -1
		}
		return c
	}, s))
}

// references corrects those that lead nowhere in this document.
func (d *repairer) references(v *value.Value, pointer string, depth int) {
	if depth > 400 {
		return
	}
	for i := range v.Kids {
		k := &v.Kids[i]
		if k.Name == "$ref" && k.Kind == value.String && v.Kind == value.Object {
			d.reference(v, k, pointer)
			continue
		}
		if k.Name == "example" || k.Name == "examples" || k.Name == "x-example" || k.Name == "default" || k.Name == "enum" {
			if !strings.HasSuffix(pointer, "/properties") && !(k.Name == "examples" && strings.HasSuffix(pointer, "/components")) {
				continue
			}
		}
		if len(k.Kids) > 0 {
			at := join(pointer, k.Name)
			if v.Kind == value.Array {
				at = index(pointer, i)
			}
			d.references(k, at, depth+1)
		}
	}
}

func (d *repairer) reference(v, ref *value.Value, pointer string) {
	name := strings.TrimSpace(ref.Text)
	if strings.HasPrefix(name, "#/") {
		ok, known := d.byPath[name]
		if !known {
			un, err := url.PathUnescape(name)
			ok = resolves(d.root, name) || err == nil && resolves(d.root, un)
			d.byPath[name] = ok
		}
		if ok {
			if name != ref.Text {
				ref.Text = name
			}
			return
		}
	}
	last := name
	if i := strings.LastIndexAny(name, "/#"); i >= 0 {
		last = name[i+1:]
	}
	local := strings.HasPrefix(name, "#") || !strings.ContainsAny(name, "/.#:")
	if to := d.schemas[plainName(last)]; to != "" && local {
		d.repaired(ref, join(pointer, "$ref"), "$ref %q leads nowhere; %q is meant", ref.Text, to)
		ref.Text = to
		return
	}
	if local && strings.Contains(pointer, "schema") || local && strings.Contains(pointer, "definitions") {
		d.repaired(ref, join(pointer, "$ref"), "$ref %q leads nowhere; anything is taken there", ref.Text)
		drop(v, "$ref")
	}
}

// paths repairs path items and their operations.
func (d *repairer) paths() {
	paths := d.root.Get("paths")
	if isList(paths) { // [{"path": "/a", "get": {…}}] or [{"/a": {…}}]
		out := object()
		for i := range paths.Kids {
			item := &paths.Kids[i]
			if p := strOf(item, "path"); p != "" {
				put(&out, p, *item)
			} else if item.Kind == value.Object {
				for j := range item.Kids {
					if strings.HasPrefix(item.Kids[j].Name, "/") {
						put(&out, item.Kids[j].Name, item.Kids[j])
					}
				}
			}
		}
		if len(out.Kids) > 0 {
			d.repaired(paths, "/paths", "paths is a list; it was read as an object of paths")
			put(d.root, "paths", out)
			paths = d.root.Get("paths")
		}
	}
	if !isObject(paths) {
		return
	}
	for i := range paths.Kids {
		item := &paths.Kids[i]
		if strings.HasPrefix(item.Name, "x-") {
			continue
		}
		at := join("/paths", item.Name)
		if fixed := fixTemplate(item.Name); fixed != item.Name && paths.Get(fixed) == nil {
			d.repaired(item, at, "the path %q was read as %q", item.Name, fixed)
			item.Name = fixed
			at = join("/paths", fixed)
		}
		if item.Kind != value.Object {
			continue
		}
		if ps := item.Get("parameters"); isList(ps) {
			d.inPath = d.pathNames(ps)
			d.parameters(ps, at+"/parameters", item.Name)
		}
		for j := range item.Kids {
			op := &item.Kids[j]
			if op.Kind == value.Object && methods[strings.ToLower(op.Name)] {
				d.operation(op, join(at, op.Name), item.Name, item.Get("parameters"))
			}
		}
	}
}

var methods = map[string]bool{"get": true, "put": true, "post": true, "delete": true, "options": true, "head": true, "patch": true, "trace": true}

var (
	colonVar  = regexp.MustCompile(`/:([A-Za-z_][A-Za-z0-9_]*)\??`)
	angleVar  = regexp.MustCompile(`<(?:[A-Za-z_]+(?:\([^)]*\))?:)?([A-Za-z_][A-Za-z0-9_]*)>`)
	mustacheV = regexp.MustCompile(`\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}`)
	regexVar  = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)\s*:[^{}/]*\}`)
	dollarVar = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)
)

// fixTemplate writes the variables of a path as OpenAPI does: "/users/:id",
// "/users/<int:id>", "/users/{{id}}", "/users/{id:[0-9]+}"; and takes an origin away.
func fixTemplate(p string) string {
	out := strings.TrimSpace(p)
	if isAddress(out) {
		if i := strings.Index(out, "://"); i > 0 {
			rest := out[i+3:]
			if j := strings.IndexByte(rest, '/'); j >= 0 {
				out = rest[j:]
			} else {
				out = "/"
			}
		}
	}
	out = mustacheV.ReplaceAllString(out, "{$1}")
	out = dollarVar.ReplaceAllString(out, "{$1}")
	out = regexVar.ReplaceAllString(out, "{$1}")
	out = angleVar.ReplaceAllString(out, "{$1}")
	out = colonVar.ReplaceAllString(out, "/{$1}")
	if out != "" && out[0] != '/' && !strings.HasPrefix(out, "{") {
		out = "/" + out
	}
	return out
}

// operation repairs one operation.
func (d *repairer) operation(op *value.Value, at, path string, shared *value.Value) {
	if b := op.Get("body"); b != nil && op.Get("requestBody") == nil && isObject(b) && !d.v2 {
		put(op, "requestBody", *b)
		d.repaired(b, at+"/body", "an operation's body stands under requestBody; it was read there")
	}
	d.inPath = d.pathNames(op.Get("parameters"), shared)
	if ps := op.Get("parameters"); isList(ps) {
		d.parameters(ps, at+"/parameters", path)
		if !d.v2 {
			d.bodyFromParameters(op, at)
		}
	} else if isObject(ps) && ps.Get("$ref") == nil && ps.Get("name") == nil { // {"id": {"in": "path", …}}
		out := list()
		for i := range ps.Kids {
			p := ps.Kids[i]
			if p.Kind == value.Object && p.Get("name") == nil {
				name := p.Name
				p.Name = ""
				p.Kids = append([]value.Value{named("name", text(name))}, p.Kids...)
				out.Kids = append(out.Kids, p)
			}
		}
		if len(out.Kids) > 0 {
			d.repaired(ps, at+"/parameters", "parameters is an object; it was read as a list")
			put(op, "parameters", out)
			d.parameters(op.Get("parameters"), at+"/parameters", path)
		}
	}
	if d.v2 && isObject(op.Get("requestBody")) {
		d.bodyParameter(op, at)
	}
	if rb := op.Get("requestBody"); isObject(rb) && rb.Get("$ref") == nil {
		d.body(rb, at+"/requestBody")
	}
	d.responses(op.Get("responses"), at+"/responses", op)
}

// pathNames are the parameters that lists declare in the path.
func (d *repairer) pathNames(lists ...*value.Value) map[string]bool {
	names := map[string]bool{}
	for _, l := range lists {
		each(l, func(p *value.Value) {
			if ref := strOf(p, "$ref"); strings.HasPrefix(ref, "#/") {
				p = follow(d.root, ref)
			}
			if strings.EqualFold(strOf(p, "in"), "path") {
				names[strOf(p, "name")] = true
			}
		})
	}
	return names
}

// parameters repairs a list of parameters.
func (d *repairer) parameters(ps *value.Value, at, path string) {
	for i := range ps.Kids {
		d.parameter(&ps.Kids[i], index(at, i), path)
	}
}

func (d *repairer) parameter(p *value.Value, at, path string) {
	if !isObject(p) || p.Get("$ref") != nil {
		return
	}
	name := strOf(p, "name")
	in := strings.ToLower(strings.TrimSpace(strOf(p, "in")))
	if in == "formdata" && strOf(p, "in") == "formData" {
		in = "formData"
	}
	fixed := in
	switch in {
	case "":
		switch {
		case name != "" && strings.Contains(path, "{"+name+"}"):
			fixed = "path"
		case name != "" && path != "":
			fixed = "query"
		}
	case "url", "uri", "route", "params", "param", "paths", "pathparam", "pathparams", "path_parameters":
		fixed = "query"
		if strings.Contains(path, "{"+name+"}") {
			fixed = "path"
		}
	case "querystring", "queries", "queryparam", "queryparams", "query_string", "query_params":
		fixed = "query"
	case "headers", "http_header":
		fixed = "header"
	case "cookies":
		fixed = "cookie"
	case "form", "formdata", "form-data", "multipart", "form_data":
		fixed = "formData"
	case "json", "requestbody", "payload", "request", "data":
		fixed = "body"
	case "query":
		if strings.Contains(path, "{"+name+"}") && name != "" && !strings.Contains(path, "?") && !d.inPath[name] {
			fixed = "path" // declared in the query, but the path has it
		}
	}
	if fixed != in && fixed != "" {
		put(p, "in", text(fixed))
		if in == "" {
			d.repaired(p, at, "the parameter %q does not say where it is; it was read as in %s", name, fixed)
		} else {
			d.repaired(p, at, "the parameter %q is in %q; it was read as in %s", name, in, fixed)
		}
	}
	if s := p.Get("schema"); s != nil {
		d.schema(s, at+"/schema", 0)
	} else if p.Get("type") != nil && !d.v2 && fixed != "body" && fixed != "formData" {
		s := object()
		for _, k := range slices.Clone(p.Kids) {
			switch k.Name {
			case "name", "in", "description", "required", "deprecated", "allowEmptyValue", "style", "explode", "example", "examples", "allowReserved", "collectionFormat":
			default:
				if !strings.HasPrefix(k.Name, "x-") {
					s.Kids = append(s.Kids, k)
					drop(p, k.Name)
				}
			}
		}
		s.Start, s.End = p.Start, p.End
		put(p, "schema", s)
		d.repaired(p, at, "the parameter %q has type where a schema should stand; it was read as one", name)
		d.schema(p.Get("schema"), at+"/schema", 0)
	} else if d.v2 && p.Get("type") != nil {
		d.typeOf(p, at)
		if it := p.Get("items"); isObject(it) {
			d.schema(it, at+"/items", 0)
		}
	}
	if e := p.Get("example"); !d.v2 && p.Get("schema") == nil && p.Get("content") == nil && e != nil && fixed != "body" {
		s := infer(e, name)
		put(p, "schema", s.schema())
		d.repaired(p, at, "the parameter %q has no schema; one was made of its example", name)
	}
}

// responses repairs what an operation answers.
func (d *repairer) responses(rs *value.Value, at string, op *value.Value) {
	if isList(rs) {
		out := object()
		for i := range rs.Kids {
			r := rs.Kids[i]
			for _, name := range []string{"status", "code", "statusCode", "httpStatus"} {
				if s := strOf(&r, name); s != "" {
					put(&out, s, r)
					break
				}
			}
		}
		if len(out.Kids) == 0 {
			return
		}
		d.repaired(rs, at, "responses is a list; it was read as an object of statuses")
		put(op, "responses", out)
		rs = op.Get("responses")
	}
	if !isObject(rs) {
		return
	}
	for i := range rs.Kids {
		k := &rs.Kids[i]
		if strings.HasPrefix(k.Name, "x-") {
			continue
		}
		if fixed := statusOf(k.Name); fixed != k.Name && rs.Get(fixed) == nil {
			d.repaired(k, join(at, k.Name), "the status %q was read as %q", k.Name, fixed)
			k.Name = fixed
		}
		if k.Kind == value.Object && k.Get("$ref") == nil {
			d.response(k, join(at, k.Name))
		}
	}
}

func (d *repairer) response(r *value.Value, at string) {
	if d.v2 {
		if s := r.Get("schema"); s != nil {
			d.schema(s, at+"/schema", 0)
		} else if c := r.Get("content"); isObject(c) && len(c.Kids) > 0 && c.Kids[0].Get("schema") != nil {
			put(r, "schema", *c.Kids[0].Get("schema"))
			d.repaired(c, at+"/content", "content is of version 3; its schema was read")
			d.schema(r.Get("schema"), at+"/schema", 0)
		} else if es := r.Get("examples"); isObject(es) && es.Get("application/json") != nil {
			put(r, "schema", infer(es.Get("application/json"), "").schema())
			d.repaired(es, at, "there is an example and no schema; one was made of it")
		}
		return
	}
	if r.Get("content") == nil {
		d.wrapContent(r, at)
	}
	d.content(r.Get("content"), at+"/content")
}

var statusStart = regexp.MustCompile(`^([1-5](?:[0-9]{2}|[xX]{2}))(?:$|[^0-9])`)

// statusOf reads a response's status: "200 OK", "2xx", "ok".
func statusOf(s string) string {
	if m := statusStart.FindStringSubmatch(strings.TrimSpace(s)); m != nil {
		return m[1]
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "ok", "success", "successful":
		return "200"
	case "created":
		return "201"
	case "error", "other", "any", "fail", "failure":
		return "default"
	}
	return s
}
