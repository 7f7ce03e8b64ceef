package matrix

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
)

// Bounds of what is tried for one cell. The values that matter most to a policy
// are those that it names, and those beside them.
const (
	maxVariants = 200
	maxLeaves   = 24
	maxValues   = 12
)

// literals are the values that policies name, and the claims that they look at.
type literals struct {
	texts   []string
	numbers []string
	claims  []string
	timed   bool // a policy asks for the present by itself
}

func (l *literals) gather(modules map[string]*ast.Module) {
	add := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	for _, m := range modules {
		steps := map[*ast.Term]bool{}
		ast.WalkRefs(m, func(r ast.Ref) bool {
			for _, t := range r {
				steps[t] = true
			}
			if len(r) > 3 && r.HasPrefix(claimsRef) {
				if s, ok := r[3].Value.(ast.String); ok && s != "sub" {
					add(&l.claims, string(s))
				}
			}
			return false
		})
		ast.WalkTerms(m, func(t *ast.Term) bool {
			switch v := t.Value.(type) {
			case ast.String:
				if !steps[t] && v != "" {
					add(&l.texts, string(v))
				}
			case ast.Number:
				add(&l.numbers, string(v))
				if n, ok := v.Int64(); ok {
					add(&l.numbers, strconv.FormatInt(n-1, 10))
					add(&l.numbers, strconv.FormatInt(n+1, 10))
				}
			case ast.Call:
				// lib.claim_lists_object("orders") names a claim.
				if len(v) == 2 && strings.Contains(v[0].String(), "claim") {
					if s, ok := v[1].Value.(ast.String); ok {
						add(&l.claims, string(s))
					}
				}
			}
			return false
		})
		ast.WalkRefs(m, func(r ast.Ref) bool {
			l.timed = l.timed || r.String() == "time.now_ns"
			return false
		})
		ast.WalkExprs(m, func(e *ast.Expr) bool {
			if e.IsCall() && len(e.Operands()) == 1 && strings.Contains(e.Operator().String(), "claim") {
				if s, ok := e.Operand(0).Value.(ast.String); ok {
					add(&l.claims, string(s))
				}
			}
			return false
		})
	}
	slices.Sort(l.texts)
	slices.Sort(l.numbers)
	slices.Sort(l.claims)
}

var claimsRef = ast.MustParseRef("input.identity.claims")

// variants are the changes to a call that no relation fixes, of those parts that
// the policy looks at.
func (d *Deriver) variants(m *model) []variant {
	if m.varied {
		return m.variants
	}
	m.varied = true
	e := d.guard.Engine()
	if e == nil {
		return nil
	}
	p, err := e.Current(noon)
	if err != nil {
		return nil
	}
	parts, all := p.Uses()
	looks := func(part, field string) bool {
		fields, ok := parts[part]
		return all || ok && (fields == nil || slices.Contains(fields, field))
	}
	var out []variant
	if looks("identity", "claims") {
		out = append(out, d.claimVariants(m)...)
	}
	out = append(out, d.bodyVariants(m, looks)...)
	out = append(out, d.paramVariants(m, looks)...)
	if _, risky := parts["risk"]; risky || all {
		for _, n := range append([]string{"0", "0.5", "1"}, d.literals.numbers...) {
			if f, err := strconv.ParseFloat(n, 64); err == nil && f >= 0 && f <= 1 {
				out = append(out, variant{"risk", func(x *exchange.Exchange) { x.Risk = f }})
			}
		}
	}
	out = append(out, d.contextVariants(looks)...)
	m.variants = out[:min(len(out), maxVariants)]
	return m.variants
}

func (d *Deriver) claimVariants(m *model) []variant {
	var out []variant
	for _, name := range d.literals.claims {
		if slices.Contains(m.claims, name) {
			continue
		}
		set := func(v any) variant {
			return variant{"claim " + name, func(x *exchange.Exchange) {
				if x.Identity.Claims == nil {
					return
				}
				if v == nil {
					delete(x.Identity.Claims, name)
				} else {
					x.Identity.Claims[name] = v
				}
			}}
		}
		for _, s := range d.literals.texts[:min(len(d.literals.texts), 4*maxValues)] {
			out = append(out, set(s), set([]any{s}))
		}
		for _, n := range d.literals.numbers[:min(len(d.literals.numbers), maxValues)] {
			f, err := strconv.ParseFloat(n, 64)
			if err == nil {
				out = append(out, set(f))
			}
		}
		out = append(out, set(true))
	}
	return out
}

// values are those that a schema takes of what policies name, and one more.
func (d *Deriver) values(s *schema.Schema, now *value.Value, name string) []value.Value {
	var out []value.Value
	add := func(v value.Value) {
		if len(out) < maxValues && (s == nil || s.Valid(&v, nil)) && (now == nil || !value.Equal(&v, now)) &&
			!slices.ContainsFunc(out, func(o value.Value) bool { return value.Equal(&o, &v) }) {
			out = append(out, v)
		}
	}
	for _, n := range d.literals.numbers {
		add(value.Value{Kind: value.Number, Text: n})
	}
	for _, t := range d.literals.texts {
		add(value.Value{Kind: value.String, Text: t})
	}
	add(value.Value{Kind: value.Bool, Text: "true"})
	add(value.Value{Kind: value.Bool, Text: "false"})
	if s != nil {
		if v, err := generate.Value(s, random(name+"again"), generate.Options{}); err == nil {
			add(v)
		}
	}
	return out
}

func (d *Deriver) bodyVariants(m *model, looks func(part, field string) bool) []variant {
	if m.body == nil {
		return nil
	}
	var out []variant
	leaves := 0
	var walk func(v *value.Value, pointer string, depth int)
	walk = func(v *value.Value, pointer string, depth int) {
		if v.Kind == value.Object && depth < 3 {
			for i := range v.Kids {
				if depth == 0 && !looks("body", v.Kids[i].Name) {
					continue
				}
				walk(&v.Kids[i], pointer+"/"+value.EscapeToken(v.Kids[i].Name), depth+1)
			}
			return
		}
		if pointer == "" || slices.ContainsFunc(m.owners, func(o bodyOwner) bool { return o.at == pointer }) || leaves >= maxLeaves {
			return
		}
		leaves++
		for _, other := range d.values(m.fieldSchema(pointer), v, m.op.ID+pointer) {
			out = append(out, variant{"body " + pointer, func(x *exchange.Exchange) {
				if at := x.Request.Body.Root.At(pointer); at != nil {
					at.Kind, at.Text, at.Kids = other.Kind, other.Text, other.Kids
				}
			}})
		}
	}
	walk(m.body, "", 0)
	return out
}

func (d *Deriver) paramVariants(m *model, looks func(part, field string) bool) []variant {
	var out []variant
	for _, p := range m.op.Parameters {
		if p.In == "path" || !looks("params", p.In) {
			continue
		}
		if slices.ContainsFunc(m.params, func(o modelParam) bool { return o.p == p && o.owner != "" }) {
			continue
		}
		for _, v := range d.values(p.Schema, nil, m.op.ID+p.In+p.Name) {
			out = append(out, variant{p.In + " " + p.Name, func(x *exchange.Exchange) {
				if have := x.Param(p.In, p.Name); have != nil {
					have.Value, have.Raw = v, v.Text
					return
				}
				x.Params = append(x.Params, exchange.Param{Spec: p, Raw: v.Text, Value: v})
			}})
		}
	}
	return out
}

func (d *Deriver) contextVariants(looks func(part, field string) bool) []variant {
	var out []variant
	if d.literals.timed || looks("context", "time") {
		for _, shift := range []time.Duration{-12 * time.Hour, 6 * time.Hour, 72 * time.Hour, 24 * 365 * time.Hour} {
			out = append(out, variant{"time", func(*exchange.Exchange) { d.now = noon.Add(shift) }})
		}
	}
	if looks("context", "client_ip") {
		for _, ip := range []string{"10.0.0.1", "192.168.1.1", "203.0.113.9", "2001:db8::1", "127.0.0.1"} {
			out = append(out, variant{"client_ip", func(x *exchange.Exchange) { x.Client = netip.MustParseAddr(ip) }})
		}
		for _, t := range d.literals.texts {
			prefix, err := netip.ParsePrefix(t)
			if err != nil {
				addr, err := netip.ParseAddr(t)
				if err != nil {
					continue
				}
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
			out = append(out, variant{"client_ip", func(x *exchange.Exchange) { x.Client = prefix.Addr() }})
		}
	}
	for _, t := range d.literals.texts[:min(len(d.literals.texts), maxValues)] {
		if looks("context", "host") {
			out = append(out, variant{"host", func(x *exchange.Exchange) { x.Request.Host = t }})
		}
		if looks("context", "user_agent") {
			out = append(out, variant{"user_agent", func(x *exchange.Exchange) { x.Request.Header.Set("User-Agent", t) }})
		}
	}
	return out
}
