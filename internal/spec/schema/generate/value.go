package generate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// Options say what kind of values are made. The zero value makes small plain ones.
type Options struct {
	// Direction leaves out readOnly properties of a Request, writeOnly ones of a Response.
	Direction schema.Direction
	// Strict makes no member that schema.Options.Strict would refuse.
	Strict bool
	// MayWrite, when set, leaves out the properties that it does not allow.
	MayWrite func(roles []string) bool
	// Examples takes example, examples and default first, where they fit.
	Examples bool
	// Optional is the chance of an optional property, 0 to 1; 0 means one half.
	// Below 0 makes none, 1 makes all.
	Optional float64
	// Depth is how deep values nest before only what is required is made; 0 means 5.
	Depth int
}

func (o *Options) validation() *schema.Options {
	return &schema.Options{Direction: o.Direction, Strict: o.Strict, MayWrite: o.MayWrite, MaxFaults: 20}
}

// ErrNoValue is returned when no fitting value was found.
var ErrNoValue = errors.New("no fitting value was found")

const (
	attempts = 40     // whole values tried
	work     = 20_000 // nodes made in one call
)

// Value makes a value that fits s, in the direction and strictness asked for.
func Value(s *schema.Schema, rng *rand.Rand, o Options) (value.Value, error) {
	g := newMaker(rng, o)
	v, err := g.fitting(s)
	if err != nil {
		return value.Value{}, fmt.Errorf("generating a value for %s: %w", s.Pointer(), err)
	}
	return v, nil
}

type maker struct {
	rng     *rand.Rand
	o       Options
	left    int // of work
	try     int
	rules   map[*schema.Schema]*schema.Rules
	heights map[*schema.Schema]int
	check   *schema.Options
}

func newMaker(rng *rand.Rand, o Options) *maker {
	if o.Depth <= 0 {
		o.Depth = 5
	}
	if o.Optional == 0 {
		o.Optional = 0.5
	}
	return &maker{rng: rng, o: o, rules: map[*schema.Schema]*schema.Rules{}, heights: map[*schema.Schema]int{}, check: o.validation()}
}

func (g *maker) of(s *schema.Schema) *schema.Rules {
	r := g.rules[s]
	if r == nil {
		own := s.Rules()
		r = &own
		g.rules[s] = r
	}
	return r
}

func (g *maker) fitting(s *schema.Schema) (value.Value, error) {
	g.left = work
	for g.try = range attempts {
		v, err := g.make([]*schema.Schema{s}, 0)
		if err == nil && s.Valid(&v, g.check) {
			return v, nil
		}
		if g.left <= 0 {
			break
		}
	}
	return value.Value{}, ErrNoValue
}

// need is all that the schemas for one place say together, alternatives picked.
type need struct {
	schemas []*schema.Schema // apply, after picking
	rules   []*schema.Rules
	kinds   map[string]bool
	fixed   map[string]string // properties that a discriminator gives a value
	absent  map[string]bool   // properties left out because of what they would bring
}

// gather picks alternatives and lists everything that applies.
func (g *maker) gather(set []*schema.Schema, depth int) (*need, error) {
	n := &need{fixed: map[string]string{}, absent: map[string]bool{}}
	for _, s := range set {
		if !slices.Contains(n.schemas, s) {
			n.schemas = append(n.schemas, s)
		}
	}
	add := func(s *schema.Schema) {
		if s != nil && !slices.Contains(n.schemas, s) {
			n.schemas = append(n.schemas, s)
		}
	}
	for i := 0; i < len(n.schemas); i++ {
		if len(n.schemas) > 500 || n.schemas[i].Nothing() {
			return nil, ErrNoValue
		}
		r := g.of(n.schemas[i])
		n.rules = append(n.rules, r)
		for _, s := range r.Applied {
			add(s)
		}
		g.pick(n, r, depth, add)
		if r.If != nil {
			fits := g.rng.IntN(2) == 0
			if r.Then != nil && r.Then.Nothing() || r.If.Nothing() {
				fits = false
			} else if r.Else != nil && r.Else.Nothing() {
				fits = true
			}
			if fits {
				add(r.If)
				add(r.Then)
			} else {
				add(r.Else)
			}
		}
		for _, name := range sortedKeys(r.DependentSchemas) {
			if !r.DependentSchemas[name].Nothing() && g.wanted(depth) {
				n.fixed[name] = ""
				add(r.DependentSchemas[name])
			} else {
				n.absent[name] = true
			}
		}
	}
	n.kinds = map[string]bool{}
	for _, t := range []string{"null", "boolean", "integer", "number", "string", "array", "object"} {
		n.kinds[t] = true
		for _, r := range n.rules {
			if !slices.Contains(r.Types, t) && (t != "integer" || !slices.Contains(r.Types, "number")) {
				n.kinds[t] = false
			}
		}
	}
	return n, nil
}

// pick chooses of oneOf and anyOf, by the discriminator where there is one.
func (g *maker) pick(n *need, r *schema.Rules, depth int, add func(*schema.Schema)) {
	if len(r.Choices) > 0 {
		if _, chosen := n.fixed[r.Choices[0].Property]; !chosen && (r.OneOf != nil || r.AnyOf != nil || g.rng.IntN(2) == 0) {
			c := r.Choices[g.lowest(len(r.Choices), depth, func(i int) *schema.Schema { return r.Choices[i].Schema })]
			n.fixed[c.Property] = c.Value
			add(c.Schema)
			if r.OneOf == nil || r.AnyOf == nil {
				return
			}
		} else if chosen {
			return
		}
	}
	for _, list := range [][]*schema.Schema{r.OneOf, r.AnyOf} {
		if list != nil {
			add(list[g.lowest(len(list), depth, func(i int) *schema.Schema { return list[i] })])
		}
	}
}

// lowest picks at random; deep down, and in every third try, the alternative
// that nests least.
func (g *maker) lowest(n, depth int, at func(int) *schema.Schema) int {
	if depth < g.o.Depth && g.try%3 != 2 {
		return g.rng.IntN(n)
	}
	best := 0
	for i := range n {
		if g.height(at(i)) < g.height(at(best)) {
			best = i
		}
	}
	return best
}

const endless = 1 << 20

// height is how deep the smallest value of s nests, at least; endless in a loop.
func (g *maker) height(s *schema.Schema) int {
	if h, ok := g.heights[s]; ok {
		return h
	}
	g.heights[s] = endless // while it is being found: a loop
	h := 0
	r := g.of(s)
	if s.Nothing() {
		h = endless
	}
	for _, t := range r.Applied {
		h = max(h, g.height(t))
	}
	for _, list := range [][]*schema.Schema{r.OneOf, r.AnyOf} {
		low := endless
		for _, t := range list {
			low = min(low, g.height(t))
		}
		if list != nil {
			h = max(h, low)
		}
	}
	if len(r.Enum) == 0 && len(r.Types) > 0 && !slices.Contains(r.Types, "null") {
		if slices.Contains(r.Types, "object") {
			for _, p := range r.Properties {
				if p.Required {
					h = max(h, 1+g.height(p.Schema))
				}
			}
		}
		if r.Items != nil && r.Bounds.MinItems > 0 {
			h = max(h, 1+g.height(r.Items))
		}
	}
	h = min(h, endless)
	g.heights[s] = h
	return h
}

func (g *maker) wanted(depth int) bool {
	return depth < g.o.Depth && g.rng.Float64() < g.o.Optional
}

// make makes one value that all of set should accept.
func (g *maker) make(set []*schema.Schema, depth int) (value.Value, error) {
	g.left--
	if g.left <= 0 || depth > g.o.Depth+24 {
		return value.Value{}, ErrNoValue
	}
	n, err := g.gather(set, depth)
	if err != nil {
		return value.Value{}, err
	}
	if v, ok := g.listed(n, set); ok {
		return v, nil
	}
	for _, r := range n.rules {
		if r.Enum != nil {
			return value.Value{}, ErrNoValue
		}
	}
	switch kind := g.kind(n, depth); kind {
	case "null":
		return value.Value{Kind: value.Null}, nil
	case "boolean":
		return value.Value{Kind: value.Bool, Text: []string{"true", "false"}[g.rng.IntN(2)]}, nil
	case "integer", "number":
		return g.number(n, kind == "integer")
	case "string":
		return g.text(n)
	case "array":
		return g.array(n, depth)
	case "object":
		return g.object(n, depth)
	}
	return value.Value{}, ErrNoValue
}

// listed returns one of the values that the schemas list, if one fits them all.
func (g *maker) listed(n *need, set []*schema.Schema) (value.Value, bool) {
	var candidates []*value.Value
	for _, r := range n.rules {
		if r.Enum != nil {
			candidates = append([]*value.Value(nil), r.Enum...)
			g.rng.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
			break
		}
	}
	if candidates == nil && g.o.Examples && g.try < attempts/2 {
		for _, s := range n.schemas {
			candidates = append(candidates, s.Examples()...)
			if d := s.Default(); d != nil {
				candidates = append(candidates, d)
			}
		}
	}
next:
	for _, c := range candidates {
		v := Clone(c)
		v.Name = ""
		for _, s := range set {
			if !s.Valid(&v, g.check) {
				continue next
			}
		}
		return v, true
	}
	return value.Value{}, false
}

// kind picks the type of the value: of those allowed, one that the rules are about.
func (g *maker) kind(n *need, depth int) string {
	var can, about []string
	for _, t := range []string{"null", "boolean", "integer", "number", "string", "array", "object"} {
		if !n.kinds[t] || t == "integer" && n.kinds["number"] {
			continue
		}
		can = append(can, t)
		if n.about(t) {
			about = append(about, t)
		}
	}
	if depth > g.o.Depth && len(can) > 1 && slices.Contains([]string{"null", "boolean", "integer", "number", "string"}, can[0]) && len(can) < 7 {
		return can[0]
	}
	if about != nil && g.rng.IntN(8) != 0 {
		return about[g.rng.IntN(len(about))]
	}
	if len(can) > 1 && can[0] == "null" && g.rng.IntN(4) != 0 {
		can = can[1:]
	}
	if len(can) == 6 && about == nil { // anything at all
		can = []string{"boolean", "number", "string"}
	}
	if can == nil {
		return ""
	}
	return can[g.rng.IntN(len(can))]
}

// about reports whether some rule is about values of type t.
func (n *need) about(t string) bool {
	for _, r := range n.rules {
		b := &r.Bounds
		switch t {
		case "integer", "number":
			if b.Minimum != "" || b.Maximum != "" || b.ExclusiveMinimum != "" || b.ExclusiveMaximum != "" || b.MultipleOf != nil {
				return true
			}
		case "string":
			if r.Pattern != "" || r.Format != "" || b.MinLength > 0 || b.MaxLength >= 0 {
				return true
			}
		case "array":
			if r.Items != nil || r.Prefix != nil || r.Contains != nil || b.MinItems > 0 || b.MaxItems >= 0 {
				return true
			}
		case "object":
			if r.Properties != nil || r.Required != nil || r.Additional != nil || r.Patterns != nil || b.MinProperties > 0 {
				return true
			}
		}
	}
	return t == "object" && len(n.fixed) > 0
}

// Clone copies a tree, its offsets left out.
func Clone(v *value.Value) value.Value {
	out := value.Value{Name: v.Name, Text: v.Text, Kind: v.Kind}
	if v.Kids != nil {
		out.Kids = make([]value.Value, len(v.Kids))
		for i := range v.Kids {
			out.Kids[i] = Clone(&v.Kids[i])
		}
	}
	return out
}
