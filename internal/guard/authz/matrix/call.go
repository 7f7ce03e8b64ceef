package matrix

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
)

// model makes calls of one operation.
type model struct {
	op       *spec.Operation
	cast     *cast
	params   []modelParam
	body     *value.Value
	media    *spec.MediaType
	owners   []bodyOwner
	claims   []string // that list the caller's objects
	varied   bool
	variants []variant
}

// bodyOwner is a field of the body that names an owner, of "subject" or "tenant".
type bodyOwner struct{ at, of string }

// modelParam is a parameter as it is in every call, or one that names an owner.
type modelParam struct {
	p     *spec.Parameter
	owner string // "subject", "tenant", or "": the value is fixed
	value value.Value
}

// unmakeable says why no call of an operation can be made up.
type unmakeable struct {
	what string
	err  error
}

func (u *unmakeable) Error() string {
	return "no value for " + u.what + " could be made: " + u.err.Error()
}

// random is seeded by a name, so that the same document gives the same calls.
func random(name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(h.Sum64(), 1)) //nolint:gosec // nothing secret is made
}

// newModel makes up what every call of an operation has in common.
func newModel(op *spec.Operation) (*model, error) {
	m := &model{op: op}
	if err := m.makeBody(); err != nil {
		return nil, err
	}
	var owned []*schema.Schema
	for _, p := range op.Parameters {
		if p.Object == nil {
			continue
		}
		if _, ok := spec.NamesOwner(p.Object.Resource); ok {
			owned = append(owned, p.Schema)
		}
	}
	for _, o := range m.owners {
		owned = append(owned, m.fieldSchema(o.at))
	}
	m.cast = newCast(op.ID, owned)
	for _, p := range op.Parameters {
		if err := m.makeParam(p); err != nil {
			return nil, err
		}
	}
	if m.media != nil && m.body != nil {
		for i := range m.media.Fields {
			f := &m.media.Fields[i]
			if v := m.body.At(f.Pointer); f.Object != nil && !f.Owner && v != nil && v.Kind < value.Array && v.Text != "" {
				m.cast.objects = append(m.cast.objects, v.Text)
			}
		}
	}
	return m, nil
}

// newCast chooses names that all schemas take where they stand.
func newCast(name string, schemas []*schema.Schema) *cast {
	sets := [][]string{
		{"990001", "990002", "990003", "990004", "880001", "880002"},
		{"9a000001-0000-4000-8000-000000000001", "9a000002-0000-4000-8000-000000000002", "9a000003-0000-4000-8000-000000000003",
			"9a000004-0000-4000-8000-000000000004", "8a000001-0000-4000-8000-000000000001", "8a000002-0000-4000-8000-000000000002"},
		{"caller", "colleague", "stranger", "nobody", "house", "elsewhere"},
	}
	rng := random(name)
	for _, s := range schemas {
		if s == nil {
			continue
		}
		var made []string
		for range 40 {
			v, err := generate.Value(s, rng, generate.Options{})
			if err == nil && v.Kind < value.Array && v.Text != "" && !slices.Contains(made, v.Text) {
				if made = append(made, v.Text); len(made) == 6 {
					sets = append(sets, made)
					break
				}
			}
		}
	}
	best, most := sets[0], -1
	for _, set := range sets {
		fit := 0
		for _, s := range schemas {
			if !slices.ContainsFunc(set, func(id string) bool { return !takes(s, id) }) {
				fit++
			}
		}
		if fit > most {
			best, most = set, fit
		}
	}
	return &cast{subject: best[0], colleague: best[1], stranger: best[2], nobody: best[3], tenant: best[4], elsewhere: best[5]}
}

func takes(s *schema.Schema, text string) bool {
	if s == nil {
		return true
	}
	v, ok := s.Coerce(text)
	return ok && s.Valid(&v, nil)
}

func typed(s *schema.Schema, text string) value.Value {
	if s == nil {
		return value.Value{Kind: value.String, Text: text}
	}
	v, _ := s.Coerce(text)
	return v
}

func (m *model) makeParam(p *spec.Parameter) error {
	if p.Object != nil {
		if of, ok := spec.NamesOwner(p.Object.Resource); ok {
			m.params = append(m.params, modelParam{p: p, owner: of})
			return nil
		}
		n := len(m.cast.objects) + 1
		for _, id := range []string{strconv.Itoa(770000 + n), fmt.Sprintf("7a00000%d-0000-4000-8000-000000000000", n%10), "object-" + strconv.Itoa(n)} {
			if takes(p.Schema, id) {
				m.cast.objects = append(m.cast.objects, id)
				m.params = append(m.params, modelParam{p: p, value: typed(p.Schema, id)})
				return nil
			}
		}
	}
	if !p.Required && p.In != "path" {
		return nil
	}
	if p.Schema == nil {
		m.params = append(m.params, modelParam{p: p, value: value.Value{Kind: value.String, Text: "x"}})
		return nil
	}
	v, err := generate.Value(p.Schema, random(m.op.ID+p.In+p.Name), generate.Options{Examples: true, Optional: -1})
	if err != nil {
		return &unmakeable{"the parameter " + p.Name, err}
	}
	if p.Object != nil && v.Kind < value.Array {
		m.cast.objects = append(m.cast.objects, v.Text)
	}
	m.params = append(m.params, modelParam{p: p, value: v})
	return nil
}

func (m *model) makeBody() error {
	if m.op.Body == nil {
		return nil
	}
	for _, mt := range m.op.Body.Content {
		tree := mt.Type == "application/json" || strings.HasSuffix(mt.Type, "+json") || mt.Type == "application/x-www-form-urlencoded" || mt.Type == "*/*"
		if !tree || mt.Schema == nil {
			continue
		}
		v, err := generate.Value(mt.Schema, random(m.op.ID+"body"), generate.Options{Direction: schema.Request, Strict: true, Examples: true, Optional: 1})
		if err != nil {
			return &unmakeable{"the body", err}
		}
		m.body, m.media = &v, mt
		for i := range mt.Fields {
			if f := &mt.Fields[i]; f.Owner && !f.ReadOnly && !strings.Contains(f.Pointer, "*") && v.At(f.Pointer) != nil {
				o := bodyOwner{f.Pointer, "subject"}
				if f.Object != nil {
					if of, ok := spec.NamesOwner(f.Object.Resource); ok {
						o.of = of
					}
				}
				m.owners = append(m.owners, o)
			}
		}
		return nil
	}
	return nil
}

// fieldSchema is the schema of a field of the body, nil when it is not simply declared.
func (m *model) fieldSchema(pointer string) *schema.Schema {
	s := m.media.Schema
	for token := range strings.SplitSeq(pointer[1:], "/") {
		if s == nil {
			return nil
		}
		s, _ = s.Declared(value.UnescapeToken(token))
	}
	return s
}

// variant is a change to a call: another value of something that no relation fixes.
type variant struct {
	what  string // "body /weight", "query limit", "time", "risk"
	apply func(*exchange.Exchange)
}

// call makes a call of an actor in a relation.
func (m *model) call(api *spec.API, name string, a *Actor, relation string, claims map[string]any) *exchange.Exchange {
	c := m.cast
	x := &exchange.Exchange{ID: "matrix", Start: noon, API: name, Spec: api, Operation: m.op, Client: netip.MustParseAddr("192.0.2.1"), Identity: m.identity(api, a, claims)}
	q := &x.Request
	q.Method, q.Scheme, q.Host, q.Header = m.op.Method, "https", "api.example", http.Header{}
	path := m.op.Path
	for _, mp := range m.params {
		v, raw := mp.value, mp.value.Text
		if mp.owner != "" {
			if relation == None && mp.p.In != "path" && !mp.p.Required {
				continue
			}
			raw = c.owner(mp.owner, relation)
			v = typed(mp.p.Schema, raw)
		}
		if v.Kind >= value.Array {
			raw = string(value.Append(nil, &v))
		}
		x.Params = append(x.Params, exchange.Param{Spec: mp.p, Raw: raw, Value: v})
		switch mp.p.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+mp.p.Name+"}", url.PathEscape(raw))
		case "header":
			q.Header.Set(mp.p.Name, raw)
		}
	}
	for _, p := range m.op.PathParams {
		if found := x.Param("path", p.Name); found != nil {
			q.PathParams = append(q.PathParams, found.Raw)
		} else {
			q.PathParams = append(q.PathParams, "")
		}
	}
	q.Path, q.RawPath, q.Relative = path, path, path
	if m.body != nil {
		root := generate.Clone(m.body)
		for _, o := range m.owners {
			if v := root.At(o.at); v != nil {
				made := typed(m.fieldSchema(o.at), c.owner(o.of, relation))
				v.Kind, v.Text, v.Kids = made.Kind, made.Text, nil
			}
		}
		q.MediaType = m.media.Type
		q.Body = &exchange.Body{Bytes: value.Append(nil, &root), MediaType: q.MediaType, Root: &root}
		q.Length = int64(len(q.Body.Bytes))
	}
	return x
}

func (m *model) identity(api *spec.API, a *Actor, claims map[string]any) exchange.Identity {
	if a.anonymous {
		return exchange.Identity{}
	}
	id := exchange.Identity{
		Subject: m.cast.subject, Issuer: "https://issuer.example", Method: "jwt", Verified: true, ClientID: "client", Tenant: m.cast.tenant,
		Roles: a.roles, Scopes: a.scopes, Session: "session", Claims: map[string]any{"sub": m.cast.subject},
	}
	for name, v := range claims {
		id.Claims[name] = v
	}
	for name := range api.SecuritySchemes {
		id.Schemes = append(id.Schemes, name)
	}
	slices.Sort(id.Schemes)
	return id
}
