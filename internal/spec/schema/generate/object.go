package generate

import (
	"fmt"
	"maps"
	"slices"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// saysOf lists the schemas for a member, and whether anything declares it.
func (n *need) saysOf(name string) (set []*schema.Schema, declared bool) {
	add := func(s *schema.Schema) {
		if !slices.Contains(set, s) {
			set = append(set, s)
		}
	}
	for _, r := range n.rules {
		mine := false
		for i := range r.Properties {
			if r.Properties[i].Name == name {
				mine = true
				add(r.Properties[i].Schema)
			}
		}
		for i := range r.Patterns {
			if r.Patterns[i].Matches(name) {
				mine = true
				add(r.Patterns[i].Schema)
			}
		}
		if !mine && r.Additional != nil {
			mine = true
			add(r.Additional)
		}
		declared = declared || mine
	}
	if !declared {
		for _, r := range n.rules {
			if r.RestProperties != nil {
				add(r.RestProperties)
				declared = true
			}
		}
	}
	return set, declared
}

// barred reports whether a member with these schemas may not be there at all.
func (g *maker) barred(set []*schema.Schema) bool {
	for _, s := range set {
		if s.Nothing() || g.o.Direction == schema.Request && s.ReadOnly() || g.o.Direction == schema.Response && s.WriteOnly() {
			return true
		}
		if g.o.MayWrite != nil && g.o.Direction != schema.Response {
			for _, roles := range s.WritableBy() {
				if !g.o.MayWrite(roles) {
					return true
				}
			}
		}
	}
	return false
}

// closed reports whether a member that nothing declares would be refused.
func (g *maker) closed(n *need) bool {
	if !g.o.Strict {
		return false
	}
	for _, r := range n.rules {
		if r.Properties != nil || r.Patterns != nil {
			return true
		}
	}
	return false
}

// object makes an object: what is required, some of what is optional, and what
// minProperties asks for beyond.
func (g *maker) object(n *need, depth int) (value.Value, error) {
	least, most := 0, -1
	var required, optional []string
	needs := map[string][]string{}
	for _, r := range n.rules {
		least = max(least, r.Bounds.MinProperties)
		if m := r.Bounds.MaxProperties; m >= 0 && (most < 0 || m < most) {
			most = m
		}
		required = append(required, r.Required...)
		for i := range r.Properties {
			optional = append(optional, r.Properties[i].Name)
		}
		for name, list := range r.DependentRequired {
			needs[name] = append(needs[name], list...)
		}
	}
	required = append(required, sortedKeys(n.fixed)...)
	out := value.Value{Kind: value.Object}
	has := map[string]bool{}
	add := func(name string, must bool) error {
		if has[name] {
			return nil
		}
		set, _ := n.saysOf(name)
		if !g.allowedName(n, name) {
			return ErrNoValue
		}
		if g.barred(set) {
			if must && g.exempt(set) {
				return nil
			}
			return ErrNoValue
		}
		v, err := g.member(n, name, set, depth)
		if err != nil {
			return err
		}
		v.Name = name
		has[name] = true
		out.Kids = append(out.Kids, v)
		return nil
	}
	for queue := required; len(queue) > 0; queue = queue[1:] {
		if err := add(queue[0], true); err != nil {
			return value.Value{}, err
		}
		queue = append(queue, needs[queue[0]]...)
		delete(needs, queue[0])
	}
	g.rng.Shuffle(len(optional), func(i, j int) { optional[i], optional[j] = optional[j], optional[i] })
	for pass := range 2 { // the second only as far as minProperties asks
		for _, name := range optional {
			if n.absent[name] || most >= 0 && len(out.Kids) >= most {
				continue
			}
			if pass == 0 && !g.wanted(depth) || pass == 1 && len(out.Kids) >= least {
				continue
			}
			if most >= 0 && len(out.Kids)+1+len(needs[name]) > most {
				continue
			}
			if add(name, false) == nil {
				for _, more := range needs[name] {
					if err := add(more, true); err != nil {
						return value.Value{}, err
					}
				}
			}
		}
	}
	if len(optional) == 0 && least == 0 && most != 0 && !g.closed(n) && depth < g.o.Depth && g.rng.Float64() < g.o.Optional {
		least = 1 + g.rng.IntN(2) // a map, shown with something in it
		if most >= 0 {
			least = min(least, most)
		}
		g.extra(n, least, &out, add)
		return out, nil
	}
	g.extra(n, least, &out, add)
	if len(out.Kids) < least {
		return value.Value{}, ErrNoValue
	}
	return out, nil
}

// extra adds members of made-up names until there are enough.
func (g *maker) extra(n *need, least int, out *value.Value, add func(string, bool) error) {
	for try := 0; len(out.Kids) < least && try < 20*least && g.left > 0; try++ {
		name := g.name(n, try)
		set, declared := n.saysOf(name)
		if n.absent[name] || g.barred(set) || !declared && g.closed(n) {
			continue
		}
		// A name that does not fit costs a try and nothing else.
		if err := add(name, false); err != nil {
			continue
		}
	}
}

// name makes up a member's name: by a pattern where there is one.
func (g *maker) name(n *need, try int) string {
	var sources []string
	var from []*schema.Schema
	for _, r := range n.rules {
		for i := range r.Patterns {
			sources = append(sources, r.Patterns[i].Pattern)
		}
		if r.PropertyNames != nil {
			from = append(from, r.PropertyNames)
		}
	}
	if from != nil && try%2 == 0 {
		if v, err := g.make(from, 0); err == nil && v.Kind == value.String {
			return v.Text
		}
	}
	if sources != nil && try%3 != 2 {
		if tree, err := schema.PatternTree(sources[g.rng.IntN(len(sources))]); err == nil {
			return g.matching(tree, try, 0)
		}
	}
	return g.letters(3 + g.rng.IntN(5))
}

func (g *maker) allowedName(n *need, name string) bool {
	v := value.Value{Kind: value.String, Text: name}
	for _, r := range n.rules {
		if r.PropertyNames != nil && !r.PropertyNames.Valid(&v, nil) {
			return false
		}
	}
	return true
}

// exempt: OpenAPI does not require a property in the direction it never travels.
func (g *maker) exempt(set []*schema.Schema) bool {
	for _, s := range set {
		if g.o.Direction == schema.Request && s.ReadOnly() || g.o.Direction == schema.Response && s.WriteOnly() {
			return true
		}
	}
	return false
}

func (g *maker) member(n *need, name string, set []*schema.Schema, depth int) (value.Value, error) {
	if text := n.fixed[name]; text != "" {
		v := value.Value{Kind: value.String, Text: text}
		for _, s := range set {
			if !s.Valid(&v, g.check) {
				return value.Value{}, fmt.Errorf("%w: the discriminator's value does not fit its property", ErrNoValue)
			}
		}
		return v, nil
	}
	return g.retried(set, depth+1)
}

// retried makes a value that each schema of the set accepts alone, trying a few
// times where it is made, which is cheaper than starting over at the top.
func (g *maker) retried(set []*schema.Schema, depth int) (value.Value, error) {
next:
	for range 4 {
		v, err := g.make(set, depth)
		if err != nil {
			continue
		}
		for _, s := range set {
			if !s.Valid(&v, g.loose()) {
				continue next
			}
		}
		return v, nil
	}
	return value.Value{}, ErrNoValue
}

// loose is what one of several schemas for a place can be asked alone.
func (g *maker) loose() *schema.Options { return &schema.Options{Direction: g.o.Direction} }

// array makes an array.
func (g *maker) array(n *need, depth int) (value.Value, error) {
	least, most := 0, -1
	unique := false
	var contains []*schema.Rules
	longest := 0
	for _, r := range n.rules {
		least = max(least, r.Bounds.MinItems)
		if m := r.Bounds.MaxItems; m >= 0 && (most < 0 || m < most) {
			most = m
		}
		unique = unique || r.Bounds.UniqueItems
		if r.Contains != nil {
			contains = append(contains, r)
			least = max(least, r.MinContains)
		}
		longest = max(longest, len(r.Prefix))
	}
	count := least
	if depth < g.o.Depth {
		count += g.rng.IntN(3)
		if longest > count && g.rng.IntN(2) == 0 {
			count = longest
		}
		if count == 0 && g.o.Optional >= 1 {
			count = 1
		}
	}
	if most >= 0 {
		count = min(count, most)
	}
	if count < least || count > 10_000 {
		return value.Value{}, ErrNoValue
	}
	out := value.Value{Kind: value.Array}
	for len(out.Kids) < count {
		at := len(out.Kids)
		set := n.itemsOf(at)
		for _, r := range contains {
			if at < r.MinContains {
				set = append(set, r.Contains)
			}
		}
		v, err := g.element(set, unique, out.Kids, depth)
		if err != nil {
			if at >= least {
				break
			}
			return value.Value{}, err
		}
		out.Kids = append(out.Kids, v)
	}
	return out, nil
}

func (g *maker) element(set []*schema.Schema, unique bool, others []value.Value, depth int) (value.Value, error) {
next:
	for range 20 {
		v, err := g.retried(set, depth+1)
		if err != nil {
			return value.Value{}, err
		}
		for i := range others {
			if unique && value.Equal(&others[i], &v) {
				continue next
			}
		}
		return v, nil
	}
	return value.Value{}, ErrNoValue
}

// itemsOf lists the schemas for the element at i.
func (n *need) itemsOf(i int) []*schema.Schema {
	var set []*schema.Schema
	for _, r := range n.rules {
		switch {
		case i < len(r.Prefix):
			set = append(set, r.Prefix[i])
		case r.Items != nil:
			set = append(set, r.Items)
		}
	}
	if set == nil {
		for _, r := range n.rules {
			if r.RestItems != nil {
				set = append(set, r.RestItems)
			}
		}
	}
	return set
}
