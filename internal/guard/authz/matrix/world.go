package matrix

import (
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/spec"
)

// world is the data that policies see: the real data, and over them what is made
// up of the call that is being asked about. It remembers what was read.
type world struct {
	mu    sync.Mutex
	real  ast.Object
	extra []entry
	reads map[string]storage.Path
	// rows are the places whose members are records, of sources that are not asked here;
	// fields are those that policies read of anything.
	rows   []storage.Path
	fields []string
}

// entry is a made-up value at a path of data.
type entry struct {
	path  storage.Path
	value ast.Value
}

// table is one member of data, given by the world.
type table struct {
	w   *world
	key string
}

var _ authz.Table = (*table)(nil)

// Read implements authz.Table.
func (t *table) Read(path storage.Path) (ast.Value, error) {
	full := append(storage.Path{t.key}, path...)
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if t.w.reads != nil {
		t.w.reads[strings.Join(full, "\x00")] = full
	}
	v := find(t.w.real, full)
	for _, e := range t.w.extra {
		switch {
		case full.HasPrefix(e.path):
			if made := find(e.value, full[len(e.path):]); made != nil {
				return made, nil
			}
			return nil, authz.NotFound(path)
		case e.path.HasPrefix(full):
			v = put(v, e.path[len(full):], e.value)
		}
	}
	if v == nil {
		return nil, authz.NotFound(path)
	}
	return v, nil
}

// find returns the value at a path, or nil.
func find(v ast.Value, path storage.Path) ast.Value {
	for _, step := range path {
		obj, ok := v.(ast.Object)
		if !ok {
			return nil
		}
		t := obj.Get(ast.StringTerm(step))
		if t == nil {
			return nil
		}
		v = t.Value
	}
	return v
}

// put returns v with another value at a path below it.
func put(v ast.Value, path storage.Path, with ast.Value) ast.Value {
	if len(path) == 0 {
		return with
	}
	out := ast.NewObject()
	if obj, ok := v.(ast.Object); ok {
		obj.Foreach(func(k, t *ast.Term) { out.Insert(k, t) })
	}
	key := ast.StringTerm(path[0])
	var below ast.Value
	if t := out.Get(key); t != nil {
		below = t.Value
	}
	out.Insert(key, ast.NewTerm(put(below, path[1:], with)))
	return out
}

// keyed is a place of data that policies look up by an id.
type keyed struct {
	path storage.Path // of what is looked into
	by   string       // "object", "subject" or "tenant"
	// fields are members of what is found there that policies read: what is known of
	// rows that a source gives when it is live.
	fields []string
}

// looked finds out by what ids data were looked up: those of the call's cast.
func (w *world) looked(c *cast) []keyed {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []keyed
	add := func(k keyed) {
		i := slices.IndexFunc(out, func(o keyed) bool { return o.by == k.by && o.path.Equal(k.path) })
		if i < 0 {
			out = append(out, k)
			return
		}
		for _, f := range k.fields {
			if !slices.Contains(out[i].fields, f) {
				out[i].fields = append(out[i].fields, f)
			}
		}
	}
	for _, path := range w.reads {
		named := false
		for i, step := range path {
			by := c.kind(step)
			if by == "" || i == 0 {
				continue
			}
			add(keyed{slices.Clone(path[:i]), by, slices.Clone(path[i+1 : min(i+2, len(path))])})
			named = true
			break
		}
		// A table handed to a function is read as a whole.
		if obj, ok := find(w.real, path).(ast.Object); !named && ok && looksLikeTable(path, obj) {
			add(keyed{path, "object", nil})
		}
	}
	slices.SortFunc(out, func(a, b keyed) int { return strings.Compare(a.by+a.path.String(), b.by+b.path.String()) })
	return out
}

// looksLikeTable: it is called after owners, and has scalars or lists by key.
func looksLikeTable(path storage.Path, obj ast.Object) bool {
	if _, ok := spec.NamesOwner(path[len(path)-1]); !ok {
		return false
	}
	scalars := true
	obj.Foreach(func(_, t *ast.Term) {
		switch t.Value.(type) {
		case ast.String, ast.Number:
		default:
			scalars = false
		}
	})
	return scalars
}

// sample is a value of a place, to make another of its kind.
func (w *world) sample(path storage.Path) ast.Value {
	obj, ok := find(w.real, path).(ast.Object)
	if !ok {
		return nil
	}
	keys := obj.Keys()
	if len(keys) == 0 {
		return nil
	}
	return obj.Get(keys[0]).Value
}

// row is a record of a place of which no real one is known: with the members that
// policies read of it; where they take it whole, those that they read of anything
// and that name an owner. Nil where its members are no records.
func (w *world) row(k keyed) ast.Value {
	fields := k.fields
	if len(fields) == 0 && slices.ContainsFunc(w.rows, k.path.HasPrefix) {
		fields = w.fields
	}
	if len(fields) == 0 {
		return nil
	}
	out := ast.NewObject()
	for _, f := range fields {
		out.Insert(ast.StringTerm(f), ast.StringTerm(""))
	}
	return out
}

// set makes up the data of a relation.
func (w *world) set(places []keyed, c *cast, relation string, roles []string) {
	var extra []entry
	add := func(path storage.Path, id string, v ast.Value) {
		if v != nil {
			extra = append(extra, entry{append(slices.Clone(path), id), v})
		}
	}
	for _, k := range places {
		like := w.sample(k.path)
		if like == nil {
			like = w.row(k)
		}
		name := k.path[len(k.path)-1]
		switch k.by {
		case "object":
			if relation == None {
				continue
			}
			for _, id := range c.objects {
				add(k.path, id, c.owned(name, like, relation))
			}
		case "subject":
			add(k.path, c.subject, c.belongings(name, like, relation == Own, roles))
		case "tenant":
			add(k.path, c.tenant, c.belongings(name, like, relation == Own || relation == Tenant, roles))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.extra = extra
}
