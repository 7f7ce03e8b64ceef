package spec

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// pathItemFields are the members of a path item that are no operations.
var pathItemFields = []string{"$ref", "summary", "description", "servers", "parameters", "additionalOperations"}

// pathItem reads the operations of one path.
func (b *builder) pathItem(path string, item node) {
	target := item
	if item.has("$ref") {
		target = b.resolve(item)
	}
	if !target.isObject() {
		if target.ok() {
			b.report(Degraded, "spec.wrong_type", target, "a path item should be an object, not %s", kindName(target.v))
		}
		return
	}
	path = strings.Clone(path)
	tmpl := parseTemplate(path)
	for _, f := range tmpl.faults {
		b.report(Warning, "spec.bad_path", item, "%s: %s", path, f)
	}
	// 3.1 lets a path item hold fields beside its $ref; they win.
	sources := []node{target}
	if item.has("$ref") && target.v != item.v {
		sources = []node{item, target}
	}
	field := func(name string) node {
		for _, s := range sources {
			if s.has(name) {
				return s.get(name)
			}
		}
		return node{doc: item.doc, ptr: item.ptr}
	}
	shared := b.parameterList(field("parameters"))
	servers := b.servers(field("servers"))
	if servers == nil {
		servers = b.global.servers
	}
	done := map[string]bool{}
	for _, src := range sources {
		src.each(func(name string, n node) {
			method := strings.ToUpper(name)
			switch {
			case slices.Contains(pathItemFields, name) || strings.HasPrefix(name, "x-"):
				return
			case methodIndex(method) < 0:
				b.report(Warning, "spec.unknown_field", n, "%q is neither a method nor a field of a path item; it is ignored", name)
				return
			case done[method]:
				return
			case name != strings.ToLower(name):
				b.report(Warning, "spec.unknown_field", n, "the method %q should be written in lower case", name)
			}
			if !n.isObject() {
				b.report(Degraded, "spec.wrong_type", n, "an operation should be an object, not %s", kindName(n.v))
				return
			}
			done[method] = true
			b.operation(method, path, &tmpl, n, shared, servers, item.uri()+"/"+name)
		})
	}
}

func (b *builder) operation(method, path string, tmpl *template, n node, shared []paramDecl, servers []Server, uri string) {
	op := &Operation{Index: len(b.api.Operations), Method: method, Path: path,
		ID: strings.Clone(n.str("operationId")), Summary: strings.Clone(n.str("summary")), Description: strings.Clone(n.str("description")),
		Tags: b.strings(n.get("tags")), Deprecated: b.boolean(n, "deprecated", false),
		Extensions: extensions(n), Servers: servers, Place: n.place()}
	fallback := method + " " + path
	switch {
	case op.ID == "":
		op.ID = fallback
	case b.ids[op.ID] != nil:
		b.report(Warning, "spec.duplicate_operation_id", n.get("operationId"), "operationId %q is taken by %s %s; this one is called %q", op.ID, b.ids[op.ID].Method, b.ids[op.ID].Path, fallback)
		op.ID = fallback
	}
	b.ids[op.ID] = op

	if own := b.servers(n.get("servers")); own != nil {
		op.Servers = own
	}
	if n.has("security") {
		op.Security, op.Public, op.SecurityDeclared = b.security(n.get("security"))
		op.SecurityOwn = true
	} else {
		op.Security, op.Public, op.SecurityDeclared = b.global.security, b.global.public, b.global.declared
	}

	decls := mergeParameters(shared, b.parameterList(n.get("parameters")))
	b.parameters(op, tmpl, decls, n)
	if b.api.Version == OpenAPI20 {
		b.body20(op, n, decls)
	} else if n.has("requestBody") {
		op.Body = b.body(n.get("requestBody"))
	}
	if op.Body != nil && (method == "GET" || method == "HEAD" || method == "TRACE") {
		b.report(Warning, "spec.body_on_get", n, "%s has a request body; its meaning is not defined for this method", method)
	}
	responses := n.get("responses")
	if !responses.ok() {
		b.report(Warning, "spec.missing_field", n, "responses is missing; it should say what the operation answers")
	}
	op.Responses = b.responses(b.object(responses, "responses"), n)
	b.callbacks(op, n.get("callbacks"))
	b.api.Operations = append(b.api.Operations, op)
	b.routes = append(b.routes, route{op: op, tmpl: tmpl, bases: b.bases(op.Servers), uri: uri})
}

// mergeParameters lets an operation's parameters take the place of its path's.
func mergeParameters(shared, own []paramDecl) []paramDecl {
	out := make([]paramDecl, 0, len(shared)+len(own))
	for _, s := range shared {
		if !slices.ContainsFunc(own, func(o paramDecl) bool { return o.name == s.name && o.in == s.in }) {
			out = append(out, s)
		}
	}
	return append(out, own...)
}

func (b *builder) parameters(op *Operation, tmpl *template, decls []paramDecl, at node) {
	var path []*Parameter
	for _, d := range decls {
		if d.in == "body" || d.in == "formData" {
			continue
		}
		if d.in == "header" && strings.EqualFold(d.name, "authorization") {
			op.AuthorizationHeader = true
			op.AuthorizationText = strings.TrimSpace(strings.Join([]string{op.AuthorizationText, d.at.str("description"), d.at.str("example"), d.at.get("schema").str("example"), d.at.str("default"), d.at.get("schema").str("default")}, " "))
		}
		p := b.parameter(d)
		switch {
		case p == nil:
		case p.In == "path":
			path = append(path, p)
		default:
			op.Parameters = append(op.Parameters, p)
		}
	}
	rest := op.Parameters
	op.Parameters = nil
	for _, name := range tmpl.vars {
		p := takeParameter(&path, name)
		if p == nil {
			b.report(Degraded, "spec.path_parameter_undeclared", at, "the path has {%s}, and no parameter of that name in path is declared; any text is taken", name)
			p = &Parameter{Name: name, In: "path", Required: true, Style: "simple", Place: at.place()}
		}
		op.PathParams = append(op.PathParams, p)
		op.Parameters = append(op.Parameters, p)
	}
	for _, p := range path {
		b.report(Warning, "spec.path_parameter_unused", at, "the parameter %q is declared in path, and the path has no {%s}; it is ignored", p.Name, p.Name)
	}
	op.Parameters = append(op.Parameters, rest...)
}

// takeParameter removes from list the parameter of a template's variable and
// returns it. Case and the signs of foreign template languages ({key+}) may differ.
func takeParameter(list *[]*Parameter, name string) *Parameter {
	bare := strings.Trim(name, "+*")
	for _, same := range []func(p *Parameter) bool{
		func(p *Parameter) bool { return p.Name == name },
		func(p *Parameter) bool { return strings.EqualFold(strings.Trim(p.Name, "+*"), bare) },
	} {
		if i := slices.IndexFunc(*list, same); i >= 0 {
			p := (*list)[i]
			*list = slices.Delete(*list, i, i+1)
			return p
		}
	}
	return nil
}

func (b *builder) responses(at node, op node) []*Response {
	var out []*Response
	at.each(func(status string, n node) {
		if strings.HasPrefix(status, "x-") {
			return
		}
		code := strings.ToUpper(status)
		switch {
		case code == "DEFAULT":
			code = "default"
		case !isStatus(code):
			b.report(Degraded, "spec.bad_status", n, `%q is no response status; it should be like "200", "4XX" or "default"`, status)
			return
		}
		r := b.response(n, op)
		if r == nil {
			return
		}
		c := *r
		c.Status = strings.Clone(code)
		out = append(out, &c)
	})
	return out
}

func isStatus(s string) bool {
	if len(s) != 3 || s[0] < '1' || s[0] > '5' {
		return false
	}
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	return s[1:] == "XX" || (digit(s[1]) && digit(s[2]))
}

func (b *builder) callbacks(op *Operation, at node) {
	at.each(func(name string, n node) {
		n = b.object(n, "a callback")
		n.each(func(expression string, item node) {
			if strings.HasPrefix(expression, "x-") {
				return
			}
			c := &Callback{Name: strings.Clone(name), Expression: strings.Clone(expression), Place: item.place()}
			b.object(item, "a path item").each(func(m string, _ node) {
				if m = strings.ToUpper(m); methodIndex(m) >= 0 {
					c.Methods = append(c.Methods, m)
				}
			})
			op.Callbacks = append(op.Callbacks, c)
		})
	})
}

func (b *builder) linksOf(at node) []*Link {
	var out []*Link
	at.each(func(name string, n node) {
		n = b.object(n, "a link")
		if !n.ok() {
			return
		}
		l := &Link{Name: strings.Clone(name), Place: n.place()}
		n.get("parameters").each(func(p string, v node) {
			if l.Parameters == nil {
				l.Parameters = map[string]string{}
			}
			l.Parameters[strings.Clone(p)] = expressionText(v.v)
		})
		l.RequestBody = expressionText(n.get("requestBody").v)
		b.links = append(b.links, linkTarget{link: l, id: n.str("operationId"), ref: n.str("operationRef"), at: n})
		out = append(out, l)
	})
	return out
}

// expressionText is a runtime expression, or a constant as JSON.
func expressionText(v *value.Value) string {
	switch {
	case v == nil:
		return ""
	case v.Kind == value.String:
		return strings.Clone(v.Text)
	}
	return string(value.Append(nil, v))
}
