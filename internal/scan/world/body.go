package world

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
)

const maxDepth = 7

// build makes a tree for a schema; nil when nothing can stand there. Leaves are
// put into the call by place, so that they keep where they came from.
func (m *maker) build(s *schema.Schema, pointer, name string, mt *spec.MediaType, must bool) *node {
	if m.depth > maxDepth+6 || m.depth > maxDepth && !must || s.Nothing() {
		return nil
	}
	m.depth++
	defer func() { m.depth-- }()
	where := "body." + pattern(pointer)
	in := m.inputs[where]
	t := m.taught.of(where)
	if t != nil && t.ban {
		return nil
	}
	if t != nil && t.text != "" {
		m.c.Values["body."+pointer] = t.text
		return leaf(t.text)
	}
	if s.Format() == "binary" && strings.HasPrefix(m.c.Media, "multipart/") {
		m.file(pointer, name, mt)
		return leaf(`""`)
	}
	alternatives := s.Alternatives()
	switch typ := s.Type(); {
	case len(s.Enum()) > 0:
	case typ == "object" || typ == "" && (len(s.Properties()) > 0 || len(alternatives) > 0 && anyObject(alternatives)):
		return m.object(s, pointer, mt, must)
	case typ == "array" || typ == "" && s.Items() != nil:
		return m.array(s, pointer, name, mt, must)
	case len(alternatives) > 0:
		list := alternatives[0]
		return m.build(m.alternative(list), pointer, name, mt, must)
	}
	if m.leaf(&spot{where: "body." + pointer, name: name, schema: s, in: in, kind: "body", required: must}) {
		return leaf(m.c.Values["body."+pointer])
	}
	return nil
}

func anyObject(lists [][]*schema.Schema) bool {
	for _, list := range lists {
		for _, s := range list {
			if s.Type() == "object" || len(s.Properties()) > 0 {
				return true
			}
		}
	}
	return false
}

// alternative picks one that is not null.
func (m *maker) alternative(list []*schema.Schema) *schema.Schema {
	var fit []*schema.Schema
	for _, s := range list {
		if s.Type() != "null" && !s.Nothing() {
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return list[0]
	}
	return fit[m.plan.alt%len(fit)]
}

func (m *maker) object(s *schema.Schema, pointer string, mt *spec.MediaType, must bool) *node {
	n := &node{kind: value.Object}
	props := s.Properties()
	required := s.Required()
	chosen := []*schema.Schema{s}
	fixed := map[string]string{}
	for _, list := range s.Alternatives() {
		a := m.alternative(list)
		chosen = append(chosen, a)
		for _, p := range a.Properties() {
			if !slices.ContainsFunc(props, func(q schema.Property) bool { return q.Name == p.Name }) {
				props = append(props, p)
			}
		}
		required = append(required, a.Required()...)
		for _, r := range s.Rules().Choices {
			if r.Schema == a {
				fixed[r.Property] = r.Value
			}
		}
	}
	loose := len(required) == 0 // sloppy, or a patch: then all of it
	for i := range props {
		p := &props[i]
		at := pointer + "/" + value.EscapeToken(p.Name)
		where := "body." + pattern(at)
		t := m.taught.of(where)
		if p.Schema.ReadOnly() || t != nil && t.ban {
			continue
		}
		needed := slices.Contains(required, p.Name) || t != nil && (t.need || t.text != "" || t.fresh != "") || m.taught.within(where)
		if m.gentle && m.now["/"+value.EscapeToken(p.Name)] == "" && m.plan.over["body."+at] == "" && m.risky(p.Name, where) {
			if text := m.asIs(p.Name, where); needed && text != "" && validText(text, p.Schema) {
				m.c.Values["body."+at] = text
				n.put(p.Name, leaf(text))
			}
			continue
		}
		if !needed && !m.wanted(p, where, loose, must) {
			continue
		}
		if text, ok := fixed[p.Name]; ok {
			m.c.Values["body."+at] = quoted(text)
			n.put(p.Name, leaf(quoted(text)))
			continue
		}
		if k := m.build(p.Schema, at, p.Name, mt, needed && must); k != nil {
			n.put(p.Name, k)
		}
	}
	for _, r := range required {
		if n.get(r) != nil || slices.ContainsFunc(props, func(p schema.Property) bool { return p.Name == r }) {
			continue
		}
		at := pointer + "/" + value.EscapeToken(r)
		sub, _ := s.Declared(r)
		if sub != nil {
			if k := m.build(sub, at, r, mt, must); k != nil {
				n.put(r, k)
			}
		} else if m.leaf(&spot{where: "body." + at, name: r, kind: "body", in: m.inputs["body."+pattern(at)], required: true}) {
			n.put(r, leaf(m.c.Values["body."+at]))
		}
	}
	if len(n.kids) == 0 && !must {
		return nil
	}
	if len(n.kids) == 0 && pointer == "" && len(props) == 0 && s.AllowsUnknown() {
		m.addTaught()
	}
	return m.mended(s, n, pointer)
}

// mended makes an object fit a schema that says more than what was looked at:
// counts, conditions, names by pattern.
func (m *maker) mended(s *schema.Schema, n *node, pointer string) *node {
	v, err := value.JSON(n.write(nil), value.Limits{})
	if err != nil || m.gentle || m.taught.beyond() || s.Valid(v, &schema.Options{Direction: schema.Request}) || pointer == "" && m.depth == 1 && m.hasFiles() {
		return n
	}
	for range 3 {
		g, err := m.w.drawn(s, generate.Options{Direction: schema.Request, Strict: true, Examples: true, Optional: -1})
		if err != nil {
			break
		}
		mix := nodeOf(&g)
		for _, k := range n.kids { // what was chosen with care stays, where it may
			old := mix.get(k.name)
			mix.put(k.name, k)
			if w, err := value.JSON(mix.write(nil), value.Limits{}); err != nil || !s.Valid(w, &schema.Options{Direction: schema.Request}) {
				if old != nil {
					mix.put(k.name, old)
				} else {
					mix.kids = slices.DeleteFunc(mix.kids, func(x *node) bool { return x == k })
				}
				m.c.override("body."+pointer+"/"+value.EscapeToken(k.name), "")
			}
		}
		if w, err := value.JSON(mix.write(nil), value.Limits{}); err == nil && s.Valid(w, &schema.Options{Direction: schema.Request}) {
			return mix
		}
	}
	return n
}

// risky reports whether a member of an account is one that the caller could
// lose the account by.
func (m *maker) risky(name, where string) bool {
	if in := m.inputs[where]; in != nil {
		switch in.Meaning {
		case graph.MeansRole, graph.MeansStatus, graph.MeansPassword, graph.MeansEmail, graph.MeansUsername, graph.MeansTenant, graph.MeansOwner, graph.MeansOTP:
			return true
		}
	}
	return has(wordsOf(name), standing...)
}

// asIs is what a member of the caller's own account is now: sent so, it stays.
func (m *maker) asIs(name, where string) string {
	if m.as == nil {
		return ""
	}
	if in := m.inputs[where]; in != nil {
		switch in.Meaning {
		case graph.MeansUsername:
			return quotedFact(m.as.Facts["username"])
		case graph.MeansEmail:
			return quotedFact(m.as.Facts["email"])
		case graph.MeansPassword, graph.MeansOTP:
			return ""
		}
	}
	for _, op := range m.w.g.Ops {
		if !op.Has(graph.WhoAmI) {
			continue
		}
		if p := m.w.seen[m.as.Name+" "+op.Path]; p != nil && p.fields["/"+value.EscapeToken(name)] != "" {
			return p.fields["/"+value.EscapeToken(name)]
		}
	}
	return ""
}

func quotedFact(fact string) string {
	if fact == "" {
		return ""
	}
	return quoted(fact)
}

// wanted decides on an optional member.
func (m *maker) wanted(p *schema.Property, where string, loose, must bool) bool {
	in := m.inputs[where]
	if m.op.Kind == graph.Update && in != nil && keepsOut(in) {
		return false // it would change who the caller is
	}
	if m.now["/"+value.EscapeToken(p.Name)] != "" && m.depth <= 1 && (in == nil || in.Meaning != graph.MeansPassword) {
		return true // what is written back as it was
	}
	if in != nil && (in.Meaning == graph.MeansRole || in.Meaning == graph.MeansOTP) && m.plan.fullness != everything {
		return false
	}
	switch m.plan.fullness {
	case onlyNeeded:
		return loose && m.depth <= 1 && m.op.Kind == graph.Update && len(m.c.Values) == 0
	case everything:
		return m.depth <= 4
	}
	if loose {
		if m.op.Kind == graph.Update && m.op.Method == http.MethodPatch || !must {
			return m.texty(p, where)
		}
		return in == nil || len(in.Producers) == 0 && in.Object == nil || m.ids[where].text != ""
	}
	return m.plan.fullness == withTexts && m.texty(p, where)
}

// texty reports whether a member can carry a canary, alone or somewhere below.
func (m *maker) texty(p *schema.Property, where string) bool {
	if p.Schema.Type() == "object" || p.Schema.Type() == "array" {
		return false
	}
	if p.Schema.WriteOnly() {
		return false
	}
	s := &spot{where: where, name: p.Name, schema: p.Schema, in: m.inputs[where], kind: "body"}
	return s.freeText() && m.canary(s) != ""
}

func (m *maker) array(s *schema.Schema, pointer, name string, mt *spec.MediaType, must bool) *node {
	n := &node{kind: value.Array}
	b := s.Bounds()
	count := max(1, b.MinItems)
	if b.MaxItems == 0 {
		count = 0
	}
	count = min(count, 20)
	prefix := s.PrefixItems()
	for i := range count {
		item := s.Items()
		if i < len(prefix) {
			item = prefix[i]
		}
		at := pointer + "/*"
		if i > 0 {
			at = fmt.Sprintf("%s/%d", pointer, i)
		}
		if item == nil {
			if !m.leaf(&spot{where: "body." + at, name: name, kind: "body", in: m.inputs["body."+pattern(at)], required: true}) {
				break
			}
			n.kids = append(n.kids, leaf(m.c.Values["body."+at]))
			continue
		}
		k := m.build(item, at, name, mt, must)
		if k == nil {
			break
		}
		if b.UniqueItems && i > 0 {
			k = m.distinct(item, n, k, "body."+at)
		}
		n.kids = append(n.kids, k)
	}
	if len(n.kids) == 0 && !must {
		return nil
	}
	return n
}

// distinct makes another element, where an equal one is there already.
func (m *maker) distinct(item *schema.Schema, n *node, k *node, where string) *node {
	taken := func(x *node) bool {
		return slices.ContainsFunc(n.kids, func(o *node) bool { return string(o.write(nil)) == string(x.write(nil)) })
	}
	for try := 0; taken(k) && try < 10; try++ {
		v, err := m.w.drawn(item, generate.Options{Direction: schema.Request, Strict: true})
		if err != nil {
			return k
		}
		m.c.override(where, "")
		k = nodeOf(&v)
	}
	return k
}
