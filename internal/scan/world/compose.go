package world

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// fullness is how much of what is optional a call holds.
type fullness int

const (
	withTexts   fullness = iota // what is required, and texts that can carry canaries
	onlyNeeded                  // what is required
	everything                  // all that may be written
	likeExample                 // the description's example, where there is one
)

// plan says how a call is to be made.
type plan struct {
	fullness fullness
	skip     int               // so many of the best combinations of identifiers are passed over
	media    int               // which of the media types that can be written
	means    int               // so many other ways to pay were tried
	alt      int               // which alternative of oneOf and anyOf
	sober    bool              // no canaries but in free text: examples and plain values
	over     map[string]string // values that are given, by Input.Where
	force    bool              // an account may be changed in what it may do: whoever sends it knows
}

// errStanding is why Build leaves an operation alone that could cost an actor its account.
var errStanding = errors.New("it changes nothing of an account but what that may do, or whether it lives")

// maker makes one call.
type maker struct {
	w      *World
	op     *graph.Op
	as     *actor.Actor
	plan   plan
	c      *Call
	ids    map[string]choice
	taught *lessons
	inputs map[string]*graph.Input // by Where
	now    map[string]string       // fields as last seen, where the call rewrites what it did not make
	// switches are the fields of a setting as last seen, of which those that are true or false are kept.
	switches map[string]string
	example  *value.Value // of the body as a whole
	gentle   bool         // the call changes an account: what that may do, and whether it lives, stays
	depth    int
}

// compose makes a call. w.mu is held.
func (w *World) compose(op *graph.Op, as *actor.Actor, p plan) (c *Call, err error) {
	defer w.survive(op)
	err = fmt.Errorf("making a call of %s as %s: %w", op.ID, who(as), errBroke) //nolint:wastedassign // what a panic leaves it at
	m := &maker{w: w, op: op, as: as, plan: p, taught: w.taughtOf(op), inputs: map[string]*graph.Input{},
		c: &Call{Op: op, As: as, Values: map[string]string{}, Uses: map[string]*Object{}, Fresh: map[string]string{}, tokens: map[string]string{}, Files: map[string]File{}}}
	for _, in := range op.Inputs {
		m.inputs[in.Where()] = in
	}
	m.ids = w.assign(op, as, p)
	m.c.combo = comboOf(m.ids)
	m.current()
	m.gentle = !p.force && w.changesAccount(op)
	if err := m.parameters(); err != nil {
		return nil, fmt.Errorf("making a call of %s as %s: %w", op.ID, who(as), err)
	}
	m.body()
	m.c.pairs()
	if m.gentle && (!m.holds("body.") || m.c.Values["body."] == "{}") && len(medias(op)) > 0 && op.Body.Required {
		return nil, fmt.Errorf("making a call of %s as %s: %w", op.ID, who(as), errStanding)
	}
	return m.c, nil
}

// changesAccount reports whether an operation changes an account of a person.
func (w *World) changesAccount(op *graph.Op) bool {
	if op.Reads() || op.Kind == graph.Create || op.Has(graph.Register) {
		return false
	}
	if op.About != nil && op.About.IsPerson && op.Kind == graph.Update {
		return true
	}
	return slices.ContainsFunc(w.g.At(op.Path), func(other *graph.Op) bool { return other.Has(graph.WhoAmI) })
}

// standing are words of members that say what an account may do, or whether it lives.
var standing = []string{"role", "roles", "status", "state", "active", "enabled", "disabled", "blocked", "banned", "suspended", "locked", "deleted", "permissions", "permission", "scopes", "groups", "admin", "verified", "plan", "tier", "type", "level", "access"}

// current finds what an Update should write back: values of things that the run did not make.
func (m *maker) current() {
	m.standing()
	if m.op.Kind != graph.Update {
		return
	}
	for _, ch := range m.ids {
		if o := ch.object; o != nil && o.Resource == m.op.About && !o.Made {
			m.now = map[string]string{}
			for name, text := range o.fields {
				m.now["/"+value.EscapeToken(name)] = text
			}
			return
		}
	}
	if len(m.op.PathParams) == 0 && m.as != nil && !m.as.Made {
		if p := m.w.seen[m.as.Name+" "+m.op.Path]; p != nil {
			m.now = p.fields
		}
	}
}

// standing finds how a setting that all share stands now, where what is called
// names nothing: what is switched on or off for everybody stays as it is.
func (m *maker) standing() {
	if m.op.Reads() || len(m.op.PathParams) > 0 || !slices.ContainsFunc(m.w.g.At(m.op.Path), func(o *graph.Op) bool {
		return o.Kind == graph.Read
	}) {
		return
	}
	if p := m.w.seen[nameOf(m.as)+" "+m.op.Path]; p != nil {
		m.switches = p.fields
	}
}

func (m *maker) parameters() error {
	for _, p := range m.op.Parameters {
		where := p.In + "." + p.Name
		if p.In == "header" && (strings.EqualFold(p.Name, "Authorization") || strings.EqualFold(p.Name, "Accept") || strings.EqualFold(p.Name, "Content-Type")) {
			continue // the session's, and the body's
		}
		in := m.inputs[where]
		t := m.taught.of(where)
		if t != nil && t.ban {
			continue
		}
		must := p.Required || p.In == "path" || t != nil && (t.need || t.text != "" || t.fresh != "")
		if in != nil && in.Meaning == graph.MeansCSRF && m.as != nil {
			continue // goes along with the session
		}
		if !must {
			continue
		}
		if !m.leaf(&spot{where: where, name: p.Name, schema: p.Schema, example: p.Example, in: in, kind: p.In, required: true}) && p.In == "path" {
			return fmt.Errorf("nothing is known to put into the path for %s", p.Name)
		}
	}
	for _, p := range m.op.PathParams {
		if _, ok := m.c.Values["path."+p.Name]; !ok {
			if !m.leaf(&spot{where: "path." + p.Name, name: p.Name, schema: p.Schema, in: m.inputs["path."+p.Name], kind: "path", required: true}) {
				return fmt.Errorf("nothing is known to put into the path for %s", p.Name)
			}
		}
	}
	for _, where := range m.taught.added() {
		if in, name, _ := strings.Cut(where, "."); in == "query" || in == "header" {
			if _, ok := m.c.Values[where]; !ok {
				m.leaf(&spot{where: where, name: name, kind: in, in: m.inputs[where], required: true})
			}
		}
	}
	return nil
}

// medias lists the media types of an operation's body that can be written, the likeliest first.
func medias(op *graph.Op) []*spec.MediaType {
	if op.Body == nil {
		return nil
	}
	var out []*spec.MediaType
	for _, fits := range []func(string) bool{isJSON, func(t string) bool { return t == formType }, func(t string) bool { return t == multipartType },
		func(t string) bool { return strings.HasPrefix(t, "text/") && !isXML(t) }, isXML, func(string) bool { return true }} {
		for _, mt := range op.Body.Content {
			if fits(concrete(mt.Type)) && !slices.Contains(out, mt) {
				out = append(out, mt)
			}
		}
	}
	return out
}

func (m *maker) body() {
	list := medias(m.op)
	if len(list) == 0 {
		m.undescribed()
		return
	}
	mt := list[m.plan.media%len(list)]
	m.c.Media = concrete(mt.Type)
	if mt.Schema == nil || mt.Schema.Anything() {
		m.openBody(mt)
		return
	}
	if m.plan.fullness == likeExample && len(mt.Examples) > 0 {
		m.fromExample(mt.Examples[0])
		return
	}
	if mt.Schema.Format() == "binary" || !isJSON(m.c.Media) && !isXML(m.c.Media) && m.c.Media != formType && !strings.HasPrefix(m.c.Media, "multipart/") && mt.Schema.Type() != "object" {
		m.rawBody(mt)
		return
	}
	if len(mt.Examples) > 0 {
		m.example = mt.Examples[0]
	}
	n := m.build(mt.Schema, "", "", mt, true)
	if n == nil {
		if m.op.Body.Required {
			n = &node{kind: value.Object}
		} else {
			return
		}
	}
	for _, where := range m.taught.added() {
		if pointer, ok := strings.CutPrefix(where, "body."); ok && m.c.Values[where] == "" {
			if _, known := m.inputs["body."+pattern(pointer)]; !known && !m.holds(where) && len(within(m.op, where)) == 0 {
				path := tokens(pointer)
				m.leaf(&spot{where: where, name: path[len(path)-1], kind: "body", required: true})
			}
		}
	}
	flat := map[string]string{}
	n.flatten("", flat)
	for pointer, text := range flat {
		where := "body." + pointer
		if _, ok := m.c.Files[where]; ok {
			continue
		}
		if _, ok := m.c.Values[where]; !ok {
			if text == "{}" && pointer == "" && len(m.c.Values) > 0 && m.holds("body.") {
				continue
			}
			m.c.Values[where] = text
		}
	}
}

// holds reports whether a value lies at or under a place.
func (m *maker) holds(top string) bool {
	for w := range m.c.Values {
		if under(w, top) {
			return true
		}
	}
	return false
}

// undescribed makes a body of what error messages asked for, where the
// description has none.
func (m *maker) undescribed() {
	if m.op.Method == http.MethodGet || m.op.Method == http.MethodHead || m.op.Method == http.MethodDelete && len(m.taught.added()) == 0 && !m.taught.hollow {
		return
	}
	m.addTaught()
	if !m.holds("body.") && (m.taught.hollow || m.op.Method != http.MethodDelete && m.plan.fullness == everything) {
		m.c.Media = jsonType
		m.c.Values["body."] = "{}"
	}
}

func (m *maker) addTaught() {
	for _, where := range m.taught.added() {
		pointer, ok := strings.CutPrefix(where, "body.")
		if !ok || pointer == "" || m.holds(where) || len(within(m.op, where)) > 0 {
			continue
		}
		path := tokens(pointer)
		if m.leaf(&spot{where: where, name: path[len(path)-1], kind: "body", in: m.inputs[where], required: true}) && m.c.Media == "" {
			m.c.Media = jsonType
		}
	}
}

// openBody fills a body of which the description says no more than that there is one.
func (m *maker) openBody(mt *spec.MediaType) {
	if len(mt.Examples) > 0 {
		m.fromExample(mt.Examples[0])
		return
	}
	if !isJSON(m.c.Media) && m.c.Media != formType && !strings.HasPrefix(m.c.Media, "multipart/") {
		m.rawBody(mt)
		return
	}
	m.addTaught()
	if !m.holds("body.") && m.op.Body.Required {
		m.c.Values["body."] = "{}"
	}
}

// rawBody is a body that is no tree: a text, or a file.
func (m *maker) rawBody(mt *spec.MediaType) {
	t := m.taught.of("body.")
	if strings.HasPrefix(m.c.Media, "text/") && !isXML(m.c.Media) {
		if m.leaf(&spot{where: "body.", name: "text", schema: mt.Schema, kind: "body", in: m.inputs["body."], required: true}) {
			return
		}
	}
	i := 0
	if t != nil {
		i = t.next
	}
	list := files([]string{m.c.Media}, m.op.ID+" "+m.op.Path)
	f := list[i%len(list)]
	if m.c.Media == "application/octet-stream" || strings.HasSuffix(m.c.Media, "*") {
		m.c.Media = cmp.Or(strings.TrimSuffix(m.c.Media, "/*"), f.Type)
		if m.c.Media != "application/octet-stream" {
			m.c.Media = f.Type
		}
	}
	m.c.Files["body."] = f
}

// fromExample takes the description's example, with the identifiers of this world.
func (m *maker) fromExample(example *value.Value) {
	root := example
	if root.Kind == value.String && (isJSON(m.c.Media)) {
		if v, err := value.JSON([]byte(root.Text), value.Limits{}); err == nil {
			root = v // an example written as a text
		}
	}
	flat := map[string]string{}
	n := nodeOf(root)
	n.flatten("", flat)
	for _, pointer := range sortedKeys(flat) {
		where := "body." + pattern(pointer)
		in := m.inputs[where]
		t := m.taught.of(where)
		if t != nil && t.ban || in != nil && in.ReadOnly {
			continue
		}
		path := tokens(pointer)
		name := ""
		for _, p := range path {
			if _, is := index(p); !is {
				name = p
			}
		}
		var s *schema.Schema
		if in != nil {
			s = in.Schema
		}
		v, err := value.JSON([]byte(flat[pointer]), value.Limits{})
		if err != nil {
			continue
		}
		if v.Kind == value.Array || v.Kind == value.Object || !m.leaf(&spot{where: "body." + pointer, name: name, schema: s, example: v, in: in, kind: "body", required: true, exact: true}) {
			m.c.Values["body."+pointer] = flat[pointer]
		}
	}
	m.addTaught()
}
