package authz

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// The input document is described in docs/policies.md. What is unknown is left
// out, never "" or null: a rule that compares two unknowns must not hold.

var (
	emptyObject = ast.NewTerm(ast.NewObject())
	emptyArray  = ast.NewTerm(ast.NewArray())
)

// name returns the term of a key. Strings used as keys are few: they are made once.
func name(s string) *ast.Term { return ast.InternedTerm(s) }

// members collects an object's members; what is unknown is left out.
type members [][2]*ast.Term

func (m *members) add(key string, v *ast.Term) { *m = append(*m, [2]*ast.Term{name(key), v}) }

func (m *members) text(key, v string) {
	if v != "" {
		m.add(key, ast.StringTerm(v))
	}
}

func (m members) object() *ast.Term { return ast.NewTerm(ast.NewObject(m...)) }

// build makes the input of an exchange: the parts that the policy uses.
func (g *Guard) build(x *exchange.Exchange, u usage, now time.Time, body bool) ast.Value {
	var few [8][2]*ast.Term
	in := members(few[:0])
	if u.part("identity") {
		t := identityTerm(&x.Identity)
		if x.Identity.Device != nil && u.field("identity", "device") {
			t = withDevice(t, x.Identity.Device)
		}
		in.add("identity", t)
	}
	if u.part("operation") {
		in.add("operation", g.operationTerm(x))
	}
	if u.part("object") {
		if t := objectTerm(x); t != nil {
			in.add("object", t)
		}
	}
	if u.part("objects") {
		in.add("objects", objectsTerm(x))
	}
	if u.part("params") {
		in.add("params", paramsTerm(x, u))
	}
	if body && u.part("body") && x.Request.Body != nil && x.Request.Body.Root != nil {
		in.add("body", valueTerm(x.Request.Body.Root))
	}
	if u.part("context") {
		in.add("context", contextTerm(x, u, now))
	}
	if u.part("risk") {
		in.add("risk", ast.FloatNumberTerm(x.Risk))
	}
	return ast.NewObject(in...)
}

// callerTerm is a caller's term, and the one thing in it that may be another for the
// same credential: APIs that share a browser's session call its scheme by their own
// documents' names.
type callerTerm struct {
	term    *ast.Term
	schemes []string
}

// identityTerm is the caller, computed once for a cached credential.
func identityTerm(id *exchange.Identity) *ast.Term {
	if t, ok := id.Memo.Load().(*callerTerm); ok && slices.Equal(t.schemes, id.Schemes) {
		return t.term
	}
	var m members
	m.add("anonymous", ast.InternedTerm(id.Anonymous()))
	m.add("verified", ast.InternedTerm(id.Verified))
	m.text("subject", id.Subject)
	m.text("issuer", id.Issuer)
	m.text("method", id.Method)
	m.text("client_id", id.ClientID)
	m.text("tenant", id.Tenant)
	m.text("session", id.Session)
	m.add("roles", texts(id.Roles))
	m.add("scopes", texts(id.Scopes))
	m.add("schemes", texts(id.Schemes))
	claims := emptyObject
	if len(id.Claims) > 0 {
		if v, err := ast.InterfaceToValue(id.Claims); err == nil {
			claims = ast.NewTerm(v)
		}
	}
	m.add("claims", claims)
	if !id.Expires.IsZero() {
		m.text("expires", id.Expires.UTC().Format(time.RFC3339))
	}
	if id.Certificate != nil {
		m.add("certificate", certificateTerm(id.Certificate))
	}
	if len(id.Also) > 0 {
		also := make([]*ast.Term, len(id.Also))
		for i := range id.Also {
			also[i] = identityTerm(&id.Also[i])
		}
		m.add("also", ast.NewTerm(ast.NewArray(also...)))
	}
	t := m.object()
	settle(t.Value)
	id.Memo.Store(&callerTerm{t, id.Schemes})
	return t
}

// withDevice is the caller with the device's posture, which changes while the
// credential stays the same.
func withDevice(identity *ast.Term, d *exchange.Device) *ast.Term {
	var few [16][2]*ast.Term
	m := members(few[:0])
	identity.Value.(ast.Object).Foreach(func(k, v *ast.Term) { m = append(m, [2]*ast.Term{k, v}) })
	var device members
	device.text("id", d.ID)
	device.text("status", d.Status)
	if d.Status != "" {
		device.add("compliant", ast.InternedTerm(d.Compliant))
	}
	if !d.Since.IsZero() {
		device.text("since", d.Since.UTC().Format(time.RFC3339))
	}
	m.add("device", device.object())
	return m.object()
}

// certificateTerm is what the caller's client certificate says.
func certificateTerm(c *exchange.Certificate) *ast.Term {
	var m members
	m.text("subject", c.Subject)
	m.text("issuer", c.Issuer)
	m.text("common_name", c.CommonName)
	m.add("dns", texts(c.DNS))
	m.add("uris", texts(c.URIs))
	m.add("emails", texts(c.Emails))
	m.add("ips", texts(c.IPs))
	m.text("serial", c.Serial)
	m.text("thumbprint", c.Thumbprint)
	m.text("not_before", c.NotBefore.UTC().Format(time.RFC3339))
	m.text("not_after", c.NotAfter.UTC().Format(time.RFC3339))
	return m.object()
}

// settle has a value order its members now: OPA does it on first need, and a
// shared value is better left alone after.
func settle(v ast.Value) {
	switch v := v.(type) {
	case ast.Object:
		v.Foreach(func(_, val *ast.Term) { settle(val.Value) })
	case *ast.Array:
		v.Foreach(func(t *ast.Term) { settle(t.Value) })
	case ast.Set:
		v.Foreach(func(t *ast.Term) { settle(t.Value) })
	}
}

func texts(list []string) *ast.Term {
	if len(list) == 0 {
		return emptyArray
	}
	terms := make([]*ast.Term, len(list))
	for i, s := range list {
		terms[i] = ast.StringTerm(s)
	}
	return ast.NewTerm(ast.NewArray(terms...))
}

// newOperationTerm is an operation as the document has it, made at load.
func newOperationTerm(op *spec.Operation) *ast.Term {
	var m members
	m.text("id", op.ID)
	m.text("method", op.Method)
	m.text("path", op.Path)
	m.text("resource", op.Resource)
	m.add("tags", texts(op.Tags))
	m.add("deprecated", ast.InternedTerm(op.Deprecated))
	ext := emptyObject
	if len(op.Extensions) > 0 {
		if v, err := ast.InterfaceToValue(op.Extensions); err == nil {
			ext = ast.NewTerm(v)
		}
	}
	m.add("extensions", ext)
	addAnswer(&m, op)
	t := m.object()
	settle(t.Value)
	return t
}

// addAnswer adds what the document says of the operation's successful answers:
// lists of objects, fields that name owners, and fields of sensitive data.
func addAnswer(m *members, op *spec.Operation) {
	m.add("lists", texts(op.Lists()))
	owners := op.OwnerFields()
	terms := make([]*ast.Term, len(owners))
	for i := range owners {
		o := &owners[i]
		var f members
		f.text("at", o.At)
		if o.InList {
			f.add("list", ast.StringTerm(o.List))
			f.add("optional", ast.InternedTerm(o.Optional))
		}
		f.text("field", o.Field)
		f.text("of", o.Of)
		f.text("noun", o.Noun)
		terms[i] = f.object()
	}
	m.add("owner_fields", ast.NewTerm(ast.NewArray(terms...)))
	sensitive := op.SensitiveFields()
	terms = make([]*ast.Term, len(sensitive))
	for i := range sensitive {
		var f members
		f.text("at", sensitive[i].At)
		f.text("class", string(sensitive[i].Class))
		terms[i] = f.object()
	}
	m.add("sensitive_fields", ast.NewTerm(ast.NewArray(terms...)))
}

// operationTerm is the operation; of one that is unknown only what was called.
func (g *Guard) operationTerm(x *exchange.Exchange) *ast.Term {
	if op := x.Operation; op != nil && op.Index < len(g.operations) {
		return g.operations[op.Index]
	}
	var m members
	m.text("method", x.Request.Method)
	m.add("tags", emptyArray)
	m.add("extensions", emptyObject)
	return m.object()
}

// objectTerm is the object that the path addresses.
func objectTerm(x *exchange.Exchange) *ast.Term {
	op := x.Operation
	if op == nil || op.Object == nil {
		return nil
	}
	for i, p := range op.PathParams {
		if p.Name == op.Object.Param && i < len(x.Request.PathParams) {
			var few [2][2]*ast.Term
			m := members(few[:0])
			m.text("resource", op.Object.Resource)
			m.text("id", x.Request.PathParams[i])
			return m.object()
		}
	}
	return nil
}

// objectsTerm lists every object that a parameter names.
func objectsTerm(x *exchange.Exchange) *ast.Term {
	var out []*ast.Term
	one := func(p *spec.Parameter, id string) {
		var m members
		m.text("resource", p.Object.Resource)
		m.text("id", id)
		m.text("in", p.In)
		m.text("param", p.Name)
		out = append(out, m.object())
	}
	for i := range x.Params {
		p := &x.Params[i]
		if p.Spec.Object == nil {
			continue
		}
		switch p.Value.Kind {
		case value.Array:
			for j := range p.Value.Kids {
				one(p.Spec, p.Value.Kids[j].Text)
			}
		case value.String, value.Number:
			one(p.Spec, p.Value.Text)
		default:
			one(p.Spec, p.Raw)
		}
	}
	if len(out) == 0 {
		return emptyArray
	}
	return ast.NewTerm(ast.NewArray(out...))
}

var places = [...]string{"path", "query", "header", "cookie"}

// paramsTerm are the declared parameters, typed, by where they stand. Names of
// headers are in lower case.
func paramsTerm(x *exchange.Exchange, u usage) *ast.Term {
	var few [len(places)][2]*ast.Term
	m := members(few[:0])
	for _, in := range places {
		if !u.field("params", in) {
			continue
		}
		var list members
		for i := range x.Params {
			p := &x.Params[i]
			if p.Spec.In != in {
				continue
			}
			key := p.Spec.Name
			if in == "header" {
				key = strings.ToLower(key)
			}
			list = append(list, [2]*ast.Term{ast.StringTerm(key), valueTerm(&p.Value)})
		}
		if len(list) == 0 {
			m.add(in, emptyObject)
		} else {
			m.add(in, list.object())
		}
	}
	return m.object()
}

// contextTerm is what surrounds the call.
func contextTerm(x *exchange.Exchange, u usage, now time.Time) *ast.Term {
	var m members
	text := func(key string, v func() string) {
		if u.field("context", key) {
			m.text(key, v())
		}
	}
	text("client_ip", func() string {
		if !x.Client.IsValid() {
			return ""
		}
		return x.Client.String()
	})
	text("time", func() string { return now.UTC().Format(time.RFC3339) })
	text("host", func() string { return x.Request.Host })
	text("scheme", func() string { return x.Request.Scheme })
	text("api", func() string { return x.API })
	text("user_agent", func() string { return x.Request.Header.Get("User-Agent") })
	text("method", func() string { return x.Request.Method })
	text("path", func() string { return x.Request.Path })
	text("request_id", func() string { return x.ID })
	if u.field("context", "unvalidated") {
		m.add("unvalidated", ast.InternedTerm(x.Unvalidated))
	}
	return m.object()
}

// valueTerm turns a decoded value into OPA's.
func valueTerm(v *value.Value) *ast.Term {
	switch v.Kind {
	case value.Bool:
		return ast.InternedTerm(v.Text == "true")
	case value.Number:
		return ast.NumberTerm(json.Number(v.Text))
	case value.String:
		return ast.StringTerm(v.Text)
	case value.Array:
		terms := make([]*ast.Term, len(v.Kids))
		for i := range v.Kids {
			terms[i] = valueTerm(&v.Kids[i])
		}
		return ast.NewTerm(ast.NewArray(terms...))
	case value.Object:
		list := make([][2]*ast.Term, len(v.Kids))
		for i := range v.Kids {
			list[i] = [2]*ast.Term{ast.StringTerm(v.Kids[i].Name), valueTerm(&v.Kids[i])}
		}
		return ast.NewTerm(ast.NewObject(list...))
	}
	return ast.NullTerm()
}
