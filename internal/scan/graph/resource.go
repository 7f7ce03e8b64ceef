package graph

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// groupKey tells resources apart that paths call the same: the comments of an
// issue and those of a page.
type groupKey struct{ noun, parent string }

type group struct {
	key      groupKey
	ops      []*Op
	types    map[string]bool
	resource *Resource
	direct   bool // some path addresses it without a parent
}

// resources finds what the operations are about.
func (b *builder) resources() {
	for _, op := range b.g.Ops {
		b.about(op)
		if op.object != "" {
			b.groupOf(op)
		}
	}
	byNoun := map[string][]*group{}
	for _, gr := range b.groups {
		byNoun[gr.key.noun] = append(byNoun[gr.key.noun], gr)
	}
	for _, noun := range slices.Sorted(maps.Keys(byNoun)) {
		list := byNoun[noun]
		slices.SortFunc(list, func(x, y *group) int {
			return cmp.Or(len(y.ops)-len(x.ops), strings.Compare(x.key.parent, y.key.parent))
		})
		b.join(noun, list)
	}
	for _, op := range b.g.Ops {
		if op.object != "" {
			op.About = b.groups[groupKey{op.object, op.under}].resource
			op.About.Ops = append(op.About.Ops, op)
			op.About.called = op.About.called || op.route.calls()
			for t := range b.groups[groupKey{op.object, op.under}].types {
				op.About.types[t] = true
			}
		}
	}
	b.aliases()
	b.parents()
	// In the order in which the document comes to speak of them.
	seen := map[*Resource]bool{}
	for _, op := range b.g.Ops {
		for _, r := range append(slices.Clone(op.Objects), op.About) {
			if r != nil && !seen[r] {
				seen[r], r.spoken = true, true
				b.g.Resources = append(b.g.Resources, r)
			}
		}
	}
}

// aliases gives what only reads another resource's objects under a name of its
// own ("/articles/feed", "/dashboard") to that resource.
func (b *builder) aliases() {
	for _, op := range b.g.Ops {
		r := op.About
		if r == nil || op.leaves == nil || op.Method != http.MethodGet || op.OnObject || b.addressed(r) || r.types[r.Name] {
			continue
		}
		if slices.ContainsFunc(r.Ops, func(o *Op) bool { return o.Method != http.MethodGet }) {
			continue
		}
		t := b.g.byName[op.leaves.rootType]
		if t == nil || t == r || vagueTypes[t.Name] {
			continue
		}
		r.Ops = slices.DeleteFunc(r.Ops, func(o *Op) bool { return o == op })
		op.About = t
		t.Ops = append(t.Ops, op)
	}
	for _, r := range b.g.byName {
		slices.SortStableFunc(r.Ops, func(x, y *Op) int { return x.Index - y.Index })
	}
}

// addressed reports whether some path names one object of a resource.
func (b *builder) addressed(r *Resource) bool {
	return slices.ContainsFunc(r.Ops, func(o *Op) bool { return o.OnObject })
}

func (b *builder) groupOf(op *Op) {
	key := groupKey{op.object, op.under}
	gr := b.groups[key]
	if gr == nil {
		gr = &group{key: key, types: map[string]bool{}}
		b.groups[key] = gr
	}
	gr.ops = append(gr.ops, op)
	gr.direct = gr.direct || op.under == ""
	if op.leaves != nil && op.leaves.rootType != "" {
		gr.types[op.leaves.rootType] = true
	}
	if m := pickMedia(bodyContent(op)); m != nil && m.Schema != nil {
		if t := typeName(m.Schema); t != "" && (op.Method == http.MethodPost || op.Method == http.MethodPut || op.Method == http.MethodPatch) {
			gr.types[t] = true
		}
	}
}

// join makes one resource of the groups of a noun that are the same thing:
// those that share a schema, and those of which nobody says what they are.
func (b *builder) join(noun string, list []*group) {
	var made []*group // the first group of each resource
	for _, gr := range list {
		var same *group
		for _, m := range made {
			if len(gr.types) == 0 || len(m.types) == 0 || gr.types[noun] && m.types[noun] || shares(gr.types, m.types) {
				same = m
				break
			}
		}
		if same != nil {
			gr.resource = same.resource
			maps.Copy(same.types, gr.types)
			continue
		}
		name := noun
		if len(made) > 0 && gr.key.parent != "" {
			name = gr.key.parent + "_" + noun
		}
		r := b.g.byName[name]
		if r == nil {
			r = &Resource{Name: name, types: map[string]bool{}, vars: map[string]int{}}
			b.g.byName[name] = r
		}
		gr.resource = r
		made = append(made, gr)
	}
}

func shares(a, b map[string]bool) bool {
	for t := range a {
		if b[t] && !vagueTypes[t] {
			return true
		}
	}
	return false
}

// vagueTypes are schemas that many resources have.
var vagueTypes = set(`message error success status any empty void id response result page link api http simple generic basic default ok object map string`)

// parents gives operations their path's objects, and resources their parents.
func (b *builder) parents() {
	votes := map[*Resource]map[*Resource]int{}
	total := map[*Resource]int{}
	for _, op := range b.g.Ops {
		var above *Resource
		var chain string
		op.Objects = make([]*Resource, len(op.PathParams))
		next := 0
		for _, o := range op.route.objects {
			if o.noun == "" {
				continue
			}
			r := b.resourceFor(o.noun, chain)
			// Where a template is so odd that the two readings of it differ, names decide.
			for i := next; i < len(op.PathParams); i++ {
				if strings.Trim(op.PathParams[i].Name, "+*") == o.name {
					op.Objects[i], next = r, i+1
					break
				}
			}
			r.vars[o.name]++
			if above != nil && above != r {
				vote(votes, r, above)
			}
			total[r]++
			above, chain = r, o.noun
		}
		if op.About == nil {
			continue
		}
		for i := len(op.Objects) - 1; i >= 0; i-- {
			if r := op.Objects[i]; r != nil && (r != op.About || !op.OnObject || i < len(op.Objects)-1) && r != op.About {
				op.Parent = r
				break
			}
		}
		if op.Parent != nil && !op.OnObject {
			vote(votes, op.About, op.Parent)
		}
		if !op.OnObject {
			total[op.About]++
		}
	}
	for r, v := range votes {
		var best *Resource
		for p, n := range v {
			if best == nil || n > v[best] || n == v[best] && p.Name < best.Name {
				best = p
			}
		}
		if v[best]*2 >= total[r] && !descends(best, r) {
			r.Parent = best
		}
	}
	// Two that vote for each other: neither lies under the other.
	for r := range votes {
		for p, n := r.Parent, 0; p != nil; p, n = p.Parent, n+1 {
			if p == r || n > 20 {
				r.Parent = nil
				break
			}
		}
	}
}

func vote(votes map[*Resource]map[*Resource]int, r, parent *Resource) {
	if votes[r] == nil {
		votes[r] = map[*Resource]int{}
	}
	votes[r][parent]++
}

func descends(r, from *Resource) bool {
	for n := 0; r != nil && n < 20; r, n = r.Parent, n+1 {
		if r == from {
			return true
		}
	}
	return false
}

// resourceFor is the resource that a noun below another is, made when it is new.
func (b *builder) resourceFor(noun, above string) *Resource {
	if gr := b.groups[groupKey{noun, above}]; gr != nil && gr.resource != nil {
		return gr.resource
	}
	if r := b.g.byName[above+"_"+noun]; above != "" && r != nil {
		return r
	}
	if r := b.g.byName[noun]; r != nil {
		return r
	}
	r := &Resource{Name: noun, types: map[string]bool{}, vars: map[string]int{}}
	b.g.byName[noun] = r
	return r
}

// about finds the noun that an operation's path is about, and the one it lies under.
func (b *builder) about(op *Op) {
	r := op.route
	lastNoun := -1
	if len(r.nouns) > 0 {
		lastNoun = r.nouns[len(r.nouns)-1]
	}
	objects := make([]*objectVar, 0, len(r.objects))
	for _, o := range r.objects {
		if o.noun != "" {
			objects = append(objects, o)
		}
	}
	switch {
	case lastNoun > r.last && !b.isAction(op, lastNoun):
		op.object = r.steps[lastNoun].noun
		if len(objects) > 0 {
			op.under = objects[len(objects)-1].noun
		}
		if op.under == op.object {
			op.under = ""
			if len(objects) > 1 {
				op.under = objects[len(objects)-2].noun
			}
		}
	case len(objects) > 0:
		op.object, op.OnObject = objects[len(objects)-1].noun, true
		for i := len(objects) - 2; i >= 0; i-- {
			if objects[i].noun != op.object {
				op.under = objects[i].noun
				break
			}
		}
	case lastNoun >= 0:
		op.object = r.steps[lastNoun].noun
	case op.Resource != "" && len(r.objects) > 0:
		op.object = op.Resource
	}
}

// isAction reports whether the noun at the end of a path below an object is
// something done to the object ("/orders/{id}/payment"), and not a thing of its own:
// nothing but POST or PUT is there, and nothing lies below.
func (b *builder) isAction(op *Op, at int) bool {
	s := &op.route.steps[at]
	if s.many || op.route.last < 0 || at < op.route.last || op.Method != http.MethodPost && op.Method != http.MethodPut {
		return false
	}
	if b.busy == nil {
		b.busy = map[string]bool{}
		for _, other := range b.g.Ops {
			if other.Method == http.MethodGet || other.Method == http.MethodDelete {
				b.busy[other.Path] = true
			}
			for i := range len(other.Path) {
				if strings.HasPrefix(other.Path[i:], "/{") {
					b.busy[other.Path[:i]] = true
				}
			}
		}
	}
	if b.busy[op.Path] {
		return false
	}
	return true
}
