package graph

import (
	"cmp"
	"slices"
	"strings"
)

// identify finds the fields of each resource that identify it and that name owners.
func (b *builder) identify() {
	type tally struct {
		ids, owners map[string]int
		fields      map[string]bool
	}
	counts := map[*Resource]*tally{}
	at := func(r *Resource) *tally {
		t := counts[r]
		if t == nil {
			t = &tally{map[string]int{}, map[string]int{}, map[string]bool{}}
			counts[r] = t
		}
		return t
	}
	for _, r := range b.g.byName {
		for v, n := range r.vars {
			at(r).ids[v] += n
		}
	}
	for _, op := range b.g.Ops {
		for _, in := range op.Inputs {
			if r := op.About; r != nil && op.route.calls() && op.Kind != Create && in.Meaning == MeansID && in.Object != nil && in.Object.Resource == r.Name {
				at(r).ids[in.Name]++
			}
		}
		for _, o := range op.Outputs {
			if o.Header != "" {
				continue
			}
			if o.holder != nil {
				at(o.holder).fields[o.Name] = true
			}
			if o.holder != nil && o.Meaning == MeansID && o.Object != nil && o.Object.Resource == o.holder.Name {
				at(o.holder).ids[o.Name] += 2
			}
			if o.holder != nil && o.holder.vars[o.Name] > 0 && o.Meaning != MeansID {
				at(o.holder).ids[o.Name] += 2
			}
			if o.Owner {
				r, name := b.owned(op, o)
				if r != nil && name != "" {
					at(r).owners[name]++
				}
			}
		}
	}
	for r, t := range counts {
		r.IDs = ranked(t.ids, func(n string) int {
			rank := idRank(keyOf(n, r))
			if !t.fields[n] {
				rank += 10 // a path calls it so, and no answer does
			}
			return rank
		})
		r.Owners = ranked(t.owners, ownerRank)
	}
}

// owned is the resource whose owner an output names, and the name relative to it.
func (b *builder) owned(op *Op, o *Output) (*Resource, string) {
	if o.Meaning == MeansID && o.Object != nil && o.holder != nil && o.Object.Resource == o.holder.Name {
		// A person's own id, or that of a person hung on something else.
		under, last := cutLast(o.under)
		if last == "" || last == "*" || wrappers[strings.ToLower(last)] || op.About == o.holder {
			return o.holder, o.Name
		}
		if r := b.holderAt(op, under); r != nil && r != o.holder {
			return r, last + "/" + o.Name
		}
		return o.holder, o.Name
	}
	under, last := cutLast(o.under)
	if _, phrase := ownerPhrases[strings.ToLower(last)]; last != "" && last != "*" && o.Meaning != MeansOwner && o.Meaning != MeansTenant && (phrase || !wrappers[strings.ToLower(last)]) {
		if r := b.holderAt(op, under); r != nil {
			return r, last + "/" + o.Name
		}
	}
	return o.holder, o.Name
}

// holderAt is the resource of the object at a pointer of an answer.
func (b *builder) holderAt(op *Op, pointer string) *Resource {
	for _, o := range op.Outputs {
		if o.Header == "" && o.under == pointer {
			return o.holder
		}
	}
	return op.About
}

func cutLast(pointer string) (head, last string) {
	for strings.HasSuffix(pointer, "/*") {
		pointer = strings.TrimSuffix(pointer, "/*")
	}
	i := strings.LastIndexByte(pointer, '/')
	if i < 0 {
		return "", ""
	}
	return pointer[:i], pointer[i+1:]
}

func ranked(counts map[string]int, rank func(string) int) []string {
	var out []string
	for n := range counts {
		out = append(out, n)
	}
	slices.SortFunc(out, func(x, y string) int {
		return cmp.Or(rank(x)-rank(y), counts[y]-counts[x], strings.Compare(x, y))
	})
	return out
}

// idRank puts the names of identifiers in the order in which paths want them.
func idRank(key string) int {
	switch key {
	case "id", "":
		return 0
	case "uuid":
		return 1
	case "slug", "key", "code", "handle", "username", "login":
		return 2
	case "number", "no", "ref", "reference", "sku":
		return 3
	}
	return 4
}

func ownerRank(name string) int {
	switch {
	case strings.Contains(name, "owner") && !strings.Contains(name, "/"):
		return 0
	case strings.Contains(name, "/"):
		return 2
	}
	return 1
}

var (
	strongPeople = set(`user customer member subscriber patient account_user app_user end_user`)
	softPeople   = set(`account profile person people client employee student teacher player driver guest admin administrator agent seller buyer vendor doctor author owner contact_user operator staff identity principal player passenger tenant_user team_member worker candidate applicant`)
	softTenants  = set(`tenant company organization organisation org workspace account team group project shop store merchant school clinic hospital club business customer_account site institution agency realm partner enterprise household family`)
	firmTenants  = set(`tenant company organization organisation org workspace realm enterprise`)
)

// people marks the resources that are callers, and those that are houses of callers.
func (b *builder) people() {
	evidence := map[*Resource]int{}
	for _, op := range b.g.Ops {
		for _, p := range []Purpose{Login, Register, WhoAmI} {
			if !op.Has(p) {
				continue
			}
			r := op.About
			if r == nil || !strongPeople[r.Name] && !softPeople[r.Name] {
				if op.leaves != nil {
					if t := b.g.byName[op.leaves.rootType]; t != nil {
						r = t
					}
				}
			}
			if r != nil && (strongPeople[r.Name] || softPeople[r.Name] || p == WhoAmI && b.looksPerson(r)) {
				evidence[r] += 2
			}
		}
	}
	for _, r := range b.g.byName {
		switch {
		case strongPeople[r.Name] || strongPeople[lastWord(r.Name)] && r.Parent == nil:
			r.IsPerson = true
		case softPeople[r.Name] && (evidence[r] > 0 || b.looksPerson(r)):
			r.IsPerson = true
		case evidence[r] > 0:
			r.IsPerson = true
		}
	}
	for _, r := range b.g.byName {
		if r.IsPerson {
			continue
		}
		if firmTenants[r.Name] {
			r.IsTenant = true
			continue
		}
		if !softTenants[r.Name] {
			continue
		}
		for _, p := range b.g.byName {
			if p.IsPerson && p.Parent == r {
				r.IsTenant = true
			}
		}
	}
}

// looksPerson reports whether a resource has what accounts have: a password
// that is set, or an e-mail address together with a name to log in by.
func (b *builder) looksPerson(r *Resource) bool {
	has := map[Meaning]bool{}
	for _, op := range r.Ops {
		for _, in := range op.Inputs {
			if in.In == "body" && (in.holder == r || in.holder == nil) {
				has[in.Meaning] = true
			}
		}
		for _, o := range op.Outputs {
			if o.holder == r {
				has[o.Meaning] = true
			}
		}
	}
	return has[MeansPassword] && (has[MeansEmail] || has[MeansUsername]) || has[MeansEmail] && has[MeansUsername] || has[MeansEmail] && has[MeansRole]
}
