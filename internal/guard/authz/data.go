package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// Table is data at one path, held in its source's own way: compact, indexed, or
// made on demand. It is immutable and safe for concurrent use; a source that has
// news hands in another Table.
type Table interface {
	// Read returns the value at a path below the table's own ("" has none): an
	// ast.Value, or NotFound. Reading the whole of it (an empty path) may be refused
	// with an error when it would be too large to hand out.
	Read(path storage.Path) (ast.Value, error)
}

// NotFound is what a Table's Read returns for a path at which nothing is.
func NotFound(path storage.Path) error {
	return &storage.Error{Code: storage.NotFoundErr, Message: "no data at " + path.String()}
}

// documents are what a policy reads as data: a tree of OPA's values, with tables
// mounted in it. They are immutable; as a storage.Store they can only be read,
// outside of any transaction, so that an old set lives as long as an evaluation
// that has begun with it and is then collected.
type documents struct {
	storage.TriggersNotSupported
	storage.PolicyNotSupported
	storage.WritesNotSupported
	tree   ast.Object
	top    map[string]ast.Value // the tree's members: the first step of nearly all paths
	tables []mounted            // sorted by path
}

type mounted struct {
	path  storage.Path
	table Table
}

var _ storage.Store = (*documents)(nil)

// moment is the one transaction of documents that never change.
type moment struct{}

func (moment) ID() uint64 { return 0 }

// newDocuments joins a tree and tables. A table may not lie where the tree or
// another table has a value.
func newDocuments(tree ast.Object, tables map[string]Table) (*documents, error) {
	if tree == nil {
		tree = ast.NewObject()
	}
	d := &documents{tree: tree, top: make(map[string]ast.Value, tree.Len())}
	tree.Foreach(func(k, v *ast.Term) {
		if name, ok := k.Value.(ast.String); ok {
			d.top[string(name)] = v.Value
		}
	})
	for at, t := range tables {
		path, err := parseRoot(at)
		if err != nil || len(path) == 0 {
			return nil, fmt.Errorf("a table cannot lie at %q: write its path as relations/users", at)
		}
		d.tables = append(d.tables, mounted{path, t})
	}
	slices.SortFunc(d.tables, func(a, b mounted) int { return a.path.Compare(b.path) })
	for i := range d.tables {
		p := d.tables[i].path
		if i > 0 && p.HasPrefix(d.tables[i-1].path) {
			return nil, fmt.Errorf("data at %s is given by two tables", p)
		}
		if taken(tree, p) {
			return nil, fmt.Errorf("data at %s is given twice: by a table, and by a file or bundle", p)
		}
	}
	return d, nil
}

// taken reports whether a tree has a value at a path or, on the way, one that is no object.
func taken(tree ast.Value, path storage.Path) bool {
	for _, step := range path {
		obj, ok := tree.(ast.Object)
		if !ok {
			return true
		}
		t := obj.Get(ast.StringTerm(step))
		if t == nil {
			return false
		}
		tree = t.Value
	}
	return true
}

// parseRoot reads a path as bundles write their roots: "a/b"; "" is all data.
func parseRoot(s string) (storage.Path, error) {
	s = strings.Trim(s, "/")
	if s == "" {
		return storage.Path{}, nil
	}
	path := storage.Path(strings.Split(s, "/"))
	if slices.Contains(path, "") {
		return nil, fmt.Errorf("%q has an empty step", s)
	}
	return path, nil
}

// NewTransaction returns the only one there is.
func (d *documents) NewTransaction(_ context.Context, params ...storage.TransactionParams) (storage.Transaction, error) {
	if len(params) > 0 && params[0].Write {
		return nil, errors.New("a policy's data is never written to: a new set of it is activated")
	}
	return moment{}, nil
}

// Commit has nothing to do.
func (*documents) Commit(context.Context, storage.Transaction) error { return nil }

// Abort has nothing to do.
func (*documents) Abort(context.Context, storage.Transaction) {}

// Truncate is a way of writing.
func (d *documents) Truncate(context.Context, storage.Transaction, storage.TransactionParams, storage.Iterator) error {
	return errors.New("a policy's data is never written to")
}

// Read returns the value at a path.
func (d *documents) Read(_ context.Context, _ storage.Transaction, path storage.Path) (any, error) {
	for i := range d.tables {
		m := &d.tables[i]
		switch {
		case path.HasPrefix(m.path):
			v, err := m.table.Read(path[len(m.path):])
			if err != nil {
				return nil, err
			}
			return v, nil
		case m.path.HasPrefix(path):
			return d.above(path)
		}
	}
	v, err := at(d.tree, path)
	if err != nil {
		return nil, err // not a nil ast.Value in an interface
	}
	return v, nil
}

// NonEmpty reports what lies at a path, for the compiler, which asks at each rule:
// a value, or on the way to it one that has no members. Nothing is read out.
func (d *documents) NonEmpty(context.Context, storage.Transaction) func([]string) (bool, error) {
	return func(path []string) (bool, error) {
		for i := range d.tables {
			m := &d.tables[i]
			switch {
			case m.path.HasPrefix(path):
				return true, nil
			case storage.Path(path).HasPrefix(m.path):
				// A rule within a table's place would be merged with what the table has.
				return true, nil
			}
		}
		return taken(d.tree, path), nil
	}
}

// Find is Read for those who can leave a question to OPA: sure is false where OPA
// would go about it in its own way, and where reading failed.
func (d *documents) Find(path []string) (v ast.Value, found, sure bool) {
	for i := range d.tables {
		m := &d.tables[i]
		switch {
		case storage.Path(path).HasPrefix(m.path):
			v, err := m.table.Read(path[len(m.path):])
			if storage.IsNotFound(err) {
				return nil, false, true
			}
			return v, err == nil, err == nil
		case m.path.HasPrefix(path):
			return nil, false, false
		}
	}
	v = d.top[path[0]]
	if len(path) > 1 && v != nil {
		key := lookups.Get().(*ast.Term)
		defer lookups.Put(key)
		for _, step := range path[1:] {
			obj, ok := v.(ast.Object)
			if !ok {
				_, list := v.(*ast.Array) // a number written as a text is a step of one, at times
				return nil, false, !list
			}
			key.Value = ast.String(step)
			t := obj.Get(key)
			if t == nil {
				return nil, false, true
			}
			v = t.Value
		}
	}
	return v, v != nil, true
}

// above reads a path below which tables lie: all of it as one object.
func (d *documents) above(path storage.Path) (any, error) {
	out := ast.NewObject()
	if v, err := at(d.tree, path); err == nil {
		obj, ok := v.(ast.Object)
		if !ok {
			return nil, fmt.Errorf("data at %s is not an object", path)
		}
		out = obj
	}
	for i := range d.tables {
		m := &d.tables[i]
		if !m.path.HasPrefix(path) {
			continue
		}
		v, err := m.table.Read(nil)
		if err != nil {
			return nil, fmt.Errorf("reading all data at %s: %w", m.path, err)
		}
		merged, ok := out.Merge(nest(m.path[len(path):], v))
		if !ok {
			return nil, fmt.Errorf("data at %s is given twice", m.path)
		}
		out = merged
	}
	return out, nil
}

// nest returns {a: {b: v}} for a path a/b, which is not empty.
func nest(path storage.Path, v ast.Value) ast.Object {
	for i := len(path) - 1; i > 0; i-- {
		v = ast.NewObject([2]*ast.Term{ast.StringTerm(path[i]), ast.NewTerm(v)})
	}
	return ast.NewObject([2]*ast.Term{ast.StringTerm(path[0]), ast.NewTerm(v)})
}

// lookups are terms to look members up by; nobody keeps them.
var lookups = sync.Pool{New: func() any { return new(ast.Term) }}

// at descends a value by a path. As with OPA's own stores, numbers are steps of arrays.
func at(v ast.Value, path storage.Path) (ast.Value, error) {
	if len(path) == 0 {
		return v, nil
	}
	key := lookups.Get().(*ast.Term)
	defer lookups.Put(key)
	for _, step := range path {
		var next *ast.Term
		switch val := v.(type) {
		case ast.Object:
			key.Value = ast.String(step)
			next = val.Get(key)
		case *ast.Array:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < val.Len() && (step == "0" || step[0] != '0' && step[0] != '+') {
				next = val.Elem(i)
			}
		}
		if next == nil {
			return nil, NotFound(path)
		}
		v = next.Value
	}
	return v, nil
}
