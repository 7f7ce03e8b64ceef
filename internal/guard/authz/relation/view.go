package relation

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// view is an object that is too large to be made: what a policy gets that hands
// all of data.owners to a function, which then looks one member up. It answers
// what one look-up can answer (a member, how many there are); whatever would need
// all members panics with a *TooManyValuesError, which ends the evaluation with
// that error.
//
// OPA's Object interface has a method that only its own types have. The embedded
// interface, which is nil, stands for it; it is never called by OPA on any object.
// One thing cannot be answered right: OPA compares an object of its own with a
// view by == without asking the view, and takes them for different.
type view struct {
	ast.Object
	table *Table
	at    cursor
}

var _ ast.Object = (*view)(nil)

func (v *view) whole() error { return &TooManyValuesError{Path: v.table.at, Most: v.table.most} }

// same reports whether another value is a view of the same members.
func (v *view) same(o ast.Value) bool {
	w, ok := o.(*view)
	return ok && v.at.doc.key(v.at) == w.at.doc.key(w.at)
}

// Get returns the value of a member, nil when there is none.
func (v *view) Get(k *ast.Term) *ast.Term {
	s, ok := k.Value.(ast.String)
	if !ok {
		return nil
	}
	c, ok := v.at.member(string(s))
	if !ok {
		return nil
	}
	made, err := v.table.value(c)
	if err != nil {
		panic(err)
	}
	return ast.NewTerm(made)
}

// Find descends a path.
func (v *view) Find(path ast.Ref) (ast.Value, error) {
	if len(path) == 0 {
		return v, nil
	}
	t := v.Get(path[0])
	if t == nil {
		return nil, errNotFound
	}
	if len(path) == 1 {
		return t.Value, nil
	}
	return t.Value.Find(path[1:])
}

// Len is how many members there are.
func (v *view) Len() int { return v.at.count() }

// IsGround is true of all data.
func (v *view) IsGround() bool { return true }

// Copy returns the view, which never changes.
func (v *view) Copy() ast.Object { return v }

// Hash tells views of different data apart. It is not the hash of an equal object.
func (v *view) Hash() int { return int(hashKey(v.at.doc.key(v.at))) }

// String names the data.
func (v *view) String() string { return "data." + v.table.at }

// StringLength is the length of String.
func (v *view) StringLength() int { return len(v.String()) }

// Compare knows a view of the same data.
func (v *view) Compare(o ast.Value) int {
	if v.same(o) {
		return 0
	}
	if _, object := o.(ast.Object); object {
		panic(v.whole())
	}
	// What is of another type is before or after all objects.
	return ast.Compare(ast.NewObject(), o)
}

// Iter needs all members.
func (v *view) Iter(func(*ast.Term, *ast.Term) error) error { return v.whole() }

// Until needs all members.
func (v *view) Until(func(*ast.Term, *ast.Term) bool) bool { panic(v.whole()) }

// Foreach needs all members.
func (v *view) Foreach(func(*ast.Term, *ast.Term)) { panic(v.whole()) }

// Map needs all members.
func (v *view) Map(func(*ast.Term, *ast.Term) (*ast.Term, *ast.Term, error)) (ast.Object, error) {
	return nil, v.whole()
}

// Diff needs all members.
func (v *view) Diff(ast.Object) ast.Object { panic(v.whole()) }

// Intersect needs all members.
func (v *view) Intersect(ast.Object) [][3]*ast.Term { panic(v.whole()) }

// Merge needs all members.
func (v *view) Merge(ast.Object) (ast.Object, bool) { panic(v.whole()) }

// MergeWith needs all members.
func (v *view) MergeWith(ast.Object, func(v1, v2 *ast.Term) (*ast.Term, bool)) (ast.Object, bool) {
	panic(v.whole())
}

// Filter needs all members.
func (v *view) Filter(ast.Object) (ast.Object, error) { return nil, v.whole() }

// Keys needs all members.
func (v *view) Keys() []*ast.Term { panic(v.whole()) }

// KeysIterator needs all members.
func (v *view) KeysIterator() ast.ObjectKeysIterator { panic(v.whole()) }

// Insert is for objects of an evaluation's own.
func (v *view) Insert(*ast.Term, *ast.Term) { panic(v.whole()) }
