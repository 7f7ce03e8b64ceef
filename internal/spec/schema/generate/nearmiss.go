package generate

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// NearMiss is a value that would fit but for one keyword at one place.
type NearMiss struct {
	Keyword string // as in schema.Fault
	Pointer string // where the value was changed
	Value   value.Value
}

// NearMisses makes values that break exactly one keyword each: every kind of
// mistake that it knows, at every place of a fitting value. Each is checked: the
// schema refuses it, and for no other keyword than the one it is labelled with
// (oneOf and anyOf around it may join in).
func NearMisses(s *schema.Schema, rng *rand.Rand, o Options) ([]NearMiss, error) {
	g := newMaker(rng, o)
	if o.Optional == 0 {
		g.o.Optional = 1
	}
	base, err := g.fitting(s)
	if err != nil {
		return nil, fmt.Errorf("generating near misses for %s: %w", s.Pointer(), err)
	}
	m := &misser{maker: g, root: s, base: &base, seen: map[string]bool{}}
	g.left = work
	m.walk(&base, []*schema.Schema{s}, nil, 0)
	return m.out, nil
}

type misser struct {
	*maker
	root *schema.Schema
	base *value.Value
	out  []NearMiss
	seen map[string]bool
}

// most bounds the near misses of one value.
const most = 400

// walk makes the near misses at v and below.
func (m *misser) walk(v *value.Value, set []*schema.Schema, path []int, depth int) {
	if len(m.out) >= most || depth > 12 {
		return
	}
	n := m.applying(v, set)
	at := func(keyword string, to value.Value) { m.offer(keyword, path, to) }
	m.ofType(v, n, at)
	switch v.Kind {
	case value.Number:
		m.ofNumber(v, n, at)
	case value.String:
		m.ofText(v, n, at)
	case value.Array:
		m.ofArray(v, n, at)
		for i := range min(len(v.Kids), 3) {
			m.walk(&v.Kids[i], n.itemsOf(i), append(slices.Clone(path), i), depth+1)
		}
	case value.Object:
		m.ofObject(v, n, at)
		for i := range v.Kids {
			sub, _ := n.saysOf(v.Kids[i].Name)
			m.walk(&v.Kids[i], sub, append(slices.Clone(path), i), depth+1)
		}
	}
}

// applying lists the rules of all schemas that apply to v.
func (m *misser) applying(v *value.Value, set []*schema.Schema) *need {
	n := &need{schemas: slices.Clone(set)}
	add := func(s *schema.Schema) {
		if s != nil && !slices.Contains(n.schemas, s) {
			n.schemas = append(n.schemas, s)
		}
	}
	for i := 0; i < len(n.schemas) && i < 500; i++ {
		r := m.of(n.schemas[i])
		n.rules = append(n.rules, r)
		for _, s := range r.Applied {
			add(s)
		}
		for _, list := range [][]*schema.Schema{r.AnyOf, r.OneOf} {
			for _, s := range list {
				if s.Valid(v, m.loose()) {
					add(s)
				}
			}
		}
		for _, c := range r.Choices {
			if v.Get(c.Property).Str() == c.Value {
				add(c.Schema)
			}
		}
		if r.If != nil {
			if r.If.Valid(v, nil) {
				add(r.Then)
			} else {
				add(r.Else)
			}
		}
		for name, s := range r.DependentSchemas {
			if v.Get(name) != nil {
				add(s)
			}
		}
	}
	return n
}

// offer keeps a changed value if it breaks what it should, and that alone.
func (m *misser) offer(keyword string, path []int, to value.Value) {
	if len(m.out) >= most {
		return
	}
	changed := replace(m.base, path, to)
	pointer := pointerOf(m.base, path)
	if key := keyword + " " + pointer; m.seen[key] {
		return
	}
	faults := m.root.Validate(&changed, m.check)
	if faults == nil {
		return
	}
	found := false
	for _, f := range faults {
		switch f.Keyword {
		case keyword:
			found = true
		case "oneOf", "anyOf":
			found = found || len(faults) == 1
		default:
			return
		}
	}
	if found {
		m.seen[keyword+" "+pointer] = true
		m.out = append(m.out, NearMiss{Keyword: keyword, Pointer: pointer, Value: changed})
	}
}

// replace copies root with the value at path replaced.
func replace(root *value.Value, path []int, to value.Value) value.Value {
	if len(path) == 0 {
		to.Name = root.Name
		return to
	}
	out := *root
	out.Kids = slices.Clone(root.Kids)
	out.Kids[path[0]] = replace(&root.Kids[path[0]], path[1:], to)
	return out
}

func pointerOf(v *value.Value, path []int) string {
	var b strings.Builder
	for _, i := range path {
		b.WriteByte('/')
		if v.Kind == value.Array {
			b.WriteString(strconv.Itoa(i))
		} else {
			b.WriteString(value.EscapeToken(v.Kids[i].Name))
		}
		v = &v.Kids[i]
	}
	return b.String()
}

func text(s string) value.Value { return value.Value{Kind: value.String, Text: s} }

func number(s string) value.Value { return value.Value{Kind: value.Number, Text: s} }

// ofType offers values of other types, other listed values, and a fraction.
func (m *misser) ofType(v *value.Value, n *need, at func(string, value.Value)) {
	for _, other := range []value.Value{
		{Kind: value.Null}, text("x"), number("7"), {Kind: value.Bool, Text: "true"}, {Kind: value.Array}, {Kind: value.Object},
	} {
		if other.Kind != v.Kind {
			at("type", other)
		}
	}
	if v.Kind == value.Number {
		at("type", number("1.5"))
	}
	for _, keyword := range []string{"enum", "const"} {
		switch v.Kind {
		case value.String:
			at(keyword, text(v.Text+"x"))
		case value.Number:
			at(keyword, number(v.Text+"1"))
			at(keyword, number("0.5"))
		case value.Bool:
			at(keyword, value.Value{Kind: value.Bool, Text: map[string]string{"true": "false", "false": "true"}[v.Text]})
		}
	}
	for _, r := range n.rules {
		if r.Not != nil {
			if w, err := m.retried([]*schema.Schema{r.Not}, 1); err == nil {
				at("not", w)
			}
		}
	}
}

func (m *misser) ofNumber(v *value.Value, n *need, at func(string, value.Value)) {
	sent := rat(v.Text)
	if sent == nil {
		return
	}
	shift := func(keyword, bound string, by int64, step *big.Rat) {
		b := rat(bound)
		if bound == "" || b == nil {
			return
		}
		to := new(big.Rat).Add(b, new(big.Rat).Mul(big.NewRat(by, 1), step))
		if w, err := numberOf(to); err == nil {
			at(keyword, w)
		}
	}
	one := big.NewRat(1, 1)
	for _, r := range n.rules {
		step := one
		for _, o := range n.rules {
			for _, t := range o.Bounds.MultipleOf {
				if s := rat(t); s != nil {
					step = common(step, s)
				}
			}
		}
		b := &r.Bounds
		for _, format := range []bool{false, true} {
			low, high := "minimum", "maximum"
			if format {
				low, high = "format", "format"
			}
			shift(low, b.Minimum, -1, step)
			shift(high, b.Maximum, 1, step)
			shift(low, aligned(b.Minimum, step, true), -1, step)
			shift(high, aligned(b.Maximum, step, false), 1, step)
		}
		shift("exclusiveMinimum", b.ExclusiveMinimum, 0, step)
		shift("exclusiveMaximum", b.ExclusiveMaximum, 0, step)
		shift("exclusiveMinimum", b.ExclusiveMinimum, -1, step)
		shift("exclusiveMaximum", b.ExclusiveMaximum, 1, step)
		for _, t := range b.MultipleOf {
			if s := rat(t); s != nil {
				for _, part := range []int64{2, 10} {
					if w, err := numberOf(new(big.Rat).Add(sent, new(big.Rat).Mul(s, big.NewRat(1, part)))); err == nil {
						at("multipleOf", w)
					}
				}
				for d := int64(1); d < 8; d++ {
					if w, err := numberOf(new(big.Rat).Add(sent, big.NewRat(d, 1))); err == nil {
						at("multipleOf", w)
					}
				}
			}
		}
	}
}

// aligned is the multiple of step nearest to a bound, within it.
func aligned(bound string, step *big.Rat, up bool) string {
	b := rat(bound)
	if bound == "" || b == nil {
		return ""
	}
	q := new(big.Rat).Quo(b, step)
	k := floor(q)
	if up {
		k = ceil(q)
	}
	v, err := numberOf(new(big.Rat).Mul(new(big.Rat).SetInt(k), step))
	if err != nil {
		return ""
	}
	return v.Text
}

func (m *misser) ofText(v *value.Value, n *need, at func(string, value.Value)) {
	length := utf8.RuneCountInString(v.Text)
	for _, r := range n.rules {
		b := &r.Bounds
		if b.MinLength > 0 {
			short := string([]rune(v.Text)[:min(length, b.MinLength-1)])
			at("minLength", text(short))
			at("minLength", text(m.letters(b.MinLength-1)))
			at("minLength", text(m.digits(b.MinLength-1)))
		}
		if b.MaxLength >= 0 && b.MaxLength < 1<<16 {
			for _, fill := range []string{m.letters(1), "0", "A", lastRune(v.Text)} {
				at("maxLength", text(v.Text+strings.Repeat(fill, max(0, b.MaxLength+1-length))))
			}
			if r.Format != "" && formatTexts[r.Format] != nil {
				at("maxLength", text(m.formatted(r.Format, b.MaxLength+1)))
			}
			if r.Pattern != "" {
				if tree, err := schema.PatternTree(r.Pattern); err == nil {
					for try := range 20 {
						at("maxLength", text(m.matching(tree, try*8, b.MaxLength+1)))
					}
				}
			}
		}
		if r.Pattern != "" {
			for _, other := range []string{"!" + tail(v.Text), v.Text + "\n", "\x01" + v.Text, m.letters(length), m.digits(length),
				strings.Repeat(" ", length), strings.Repeat("é", length), ""} {
				at("pattern", text(other))
			}
		}
		if r.Format != "" {
			for _, other := range []string{"not-" + v.Text, "no " + tail(v.Text), v.Text + "\x00", strings.Repeat(" ", max(length, 1)), "="} {
				at("format", text(other))
			}
		}
	}
}

func lastRune(s string) string {
	_, n := utf8.DecodeLastRuneInString(s)
	return s[len(s)-n:]
}

// tail is s without its first character.
func tail(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[n:]
}

func (m *misser) ofArray(v *value.Value, n *need, at func(string, value.Value)) {
	resized := func(kids []value.Value) value.Value { return value.Value{Kind: value.Array, Kids: kids} }
	for _, r := range n.rules {
		b := &r.Bounds
		if b.MinItems > 0 && len(v.Kids) >= b.MinItems {
			at("minItems", resized(v.Kids[:b.MinItems-1]))
		}
		if b.MaxItems >= 0 && b.MaxItems < 2000 {
			kids := slices.Clone(v.Kids)
			for len(kids) <= b.MaxItems && m.left > 0 {
				w, err := m.element(n.itemsOf(len(kids)), b.UniqueItems, kids, 1)
				if err != nil {
					break
				}
				kids = append(kids, w)
			}
			if len(kids) > b.MaxItems {
				at("maxItems", resized(kids[:b.MaxItems+1]))
			}
		}
		if b.UniqueItems {
			kids := v.Kids
			if len(kids) == 0 {
				if w, err := m.retried(n.itemsOf(0), 1); err == nil {
					kids = []value.Value{w}
				}
			}
			if len(kids) > 0 {
				at("uniqueItems", resized(append(slices.Clone(kids), kids[len(kids)-1])))
				if len(kids) > 1 {
					same := slices.Clone(kids)
					same[len(same)-1] = same[0]
					at("uniqueItems", resized(same))
				}
			}
		}
		if r.Contains != nil && r.MinContains > 0 {
			var without []value.Value
			for i := range v.Kids {
				if !r.Contains.Valid(&v.Kids[i], nil) {
					without = append(without, v.Kids[i])
				}
			}
			at("contains", resized(without))
			at("contains", resized([]value.Value{{Kind: value.Null}}))
			at("contains", resized([]value.Value{text("x"), number("7")}))
		}
	}
	at("unevaluatedItems", resized(append(slices.Clone(v.Kids), text("x"))))
}

func (m *misser) ofObject(v *value.Value, n *need, at func(string, value.Value)) {
	without := func(names ...string) value.Value {
		out := value.Value{Kind: value.Object}
		for i := range v.Kids {
			if !slices.Contains(names, v.Kids[i].Name) {
				out.Kids = append(out.Kids, v.Kids[i])
			}
		}
		return out
	}
	with := func(name string, w value.Value) value.Value {
		w.Name = name
		out := without(name)
		out.Kids = append(slices.Clone(out.Kids), w)
		return out
	}
	for i := range v.Kids {
		m.offerRequired(v, i, at, without)
	}
	for _, name := range []string{"x_undeclared", "is_admin"} {
		for _, keyword := range []string{"additionalProperties", "unevaluatedProperties", "unknownProperty", "propertyNames"} {
			at(keyword, with(name, text("x")))
		}
	}
	at("propertyNames", with(strings.Repeat("!", 70), text("x")))
	for _, r := range n.rules {
		m.ofProperties(r, at, with)
		if b := &r.Bounds; b.MinProperties > 0 {
			for i := range v.Kids {
				out := without()
				out.Kids = slices.Delete(slices.Clone(out.Kids), i, i+1)
				if cut := min(len(out.Kids), b.MinProperties-1); cut >= 0 {
					out.Kids = out.Kids[:cut]
				}
				at("minProperties", out)
			}
		}
		if b := &r.Bounds; b.MaxProperties >= 0 && b.MaxProperties < 1000 {
			out := without()
			add := func(name string, _ bool) error {
				set, _ := n.saysOf(name)
				w, err := m.retried(set, 1)
				if err != nil || out.Get(name) != nil {
					return ErrNoValue
				}
				w.Name = name
				out.Kids = append(slices.Clone(out.Kids), w)
				return nil
			}
			for _, o := range n.rules {
				for i := range o.Properties {
					if len(out.Kids) > b.MaxProperties {
						break
					}
					// A member that cannot be made is left out: others may do.
					_ = add(o.Properties[i].Name, false)
				}
			}
			m.extra(n, b.MaxProperties+1, &out, add)
			at("maxProperties", out)
		}
		for _, name := range sortedKeys(r.DependentRequired) {
			if v.Get(name) == nil {
				set, _ := n.saysOf(name)
				if w, err := m.retried(set, 1); err == nil {
					at("dependentRequired", with(name, w))
				}
			}
			for _, needed := range r.DependentRequired[name] {
				at("dependentRequired", without(needed))
			}
		}
	}
}

// offerRequired leaves out one member; the label says which, since all look alike.
func (m *misser) offerRequired(v *value.Value, i int, at func(string, value.Value), without func(...string) value.Value) {
	before := len(m.out)
	at("required", without(v.Kids[i].Name))
	if len(m.out) > before {
		last := &m.out[len(m.out)-1]
		delete(m.seen, "required "+last.Pointer)
		last.Pointer += "/" + value.EscapeToken(v.Kids[i].Name)
	}
}

// ofProperties adds the members that may not travel this way.
func (m *misser) ofProperties(r *schema.Rules, at func(string, value.Value), with func(string, value.Value) value.Value) {
	for i := range r.Properties {
		p := &r.Properties[i]
		keyword := ""
		switch {
		case m.o.Direction == schema.Request && p.Schema.ReadOnly():
			keyword = "readOnly"
		case m.o.Direction == schema.Response && p.Schema.WriteOnly():
			keyword = "writeOnly"
		case m.o.MayWrite != nil && len(p.Schema.WritableBy()) > 0:
			keyword = "writableBy"
		}
		if keyword == "" {
			continue
		}
		before := len(m.out)
		if w, err := m.retried([]*schema.Schema{p.Schema}, 1); err == nil {
			at(keyword, with(p.Name, w))
		}
		if len(m.out) > before {
			last := &m.out[len(m.out)-1]
			delete(m.seen, keyword+" "+last.Pointer)
			last.Pointer += "/" + value.EscapeToken(p.Name)
		}
	}
}
