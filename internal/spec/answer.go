package spec

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// OwnerField is a value of an operation's successful answers that names whom the
// object around it belongs to.
type OwnerField struct {
	At     string // JSON pointer in the answer, * for any element: "/items/*/customer_id"
	InList bool   // the object is an element of a list
	List   string // JSON pointer of that list: "/items", "" when the answer is the list
	Field  string // JSON pointer below the object: "/customer_id"
	// Optional says that an answer may lack the list: it is not a required member, or lies deeper.
	Optional bool
	// Of is "tenant" when the name is one of a whole house (a tenant, company,
	// organisation or workspace), else "subject".
	Of   string
	Noun string // "customer", "company"; "owner" when the field says no more
}

// SensitiveField is a value of an operation's successful answers of a class of data.
type SensitiveField struct {
	At    string // JSON pointer, * for any element
	Class DataClass
}

// OwnerFields are where the operation's successful answers name owners, in order.
func (op *Operation) OwnerFields() []OwnerField {
	var out []OwnerField
	op.answerFields(func(m *MediaType, f *Field) {
		if !f.Owner || slices.ContainsFunc(out, func(o OwnerField) bool { return o.At == f.Pointer }) {
			return
		}
		o := OwnerField{At: f.Pointer, Field: f.Pointer, Of: "subject", Noun: "owner"}
		if i := strings.LastIndex(f.Pointer, "/*/"); i >= 0 {
			o.InList, o.List, o.Field = true, f.Pointer[:i], f.Pointer[i+2:]
			o.Optional = o.List != "" && (m.Schema == nil || !slices.Contains(m.Schema.Required(), value.UnescapeToken(o.List[1:])))
		}
		if f.Object != nil {
			o.Noun = f.Object.Resource
		} else if name := resourceName(lastToken(f.Pointer)); owners[name] {
			o.Noun = name
		}
		if tenants[o.Noun] {
			o.Of = "tenant"
		}
		out = append(out, o)
	})
	return out
}

// tenants are those of owners that are a house of many callers.
var tenants = map[string]bool{"tenant": true, "company": true, "org": true, "organization": true, "organisation": true, "workspace": true}

func lastToken(pointer string) string {
	return value.UnescapeToken(pointer[strings.LastIndexByte(pointer, '/')+1:])
}

// SensitiveFields are where the operation's successful answers hold data of a class.
func (op *Operation) SensitiveFields() []SensitiveField {
	var out []SensitiveField
	op.answerFields(func(_ *MediaType, f *Field) {
		if s := (SensitiveField{f.Pointer, f.Class}); f.Class != ClassNone && !slices.Contains(out, s) {
			out = append(out, s)
		}
	})
	return out
}

func (op *Operation) answerFields(each func(*MediaType, *Field)) {
	op.answers(func(m *MediaType) {
		for i := range m.Fields {
			each(m, &m.Fields[i])
		}
	})
}

// answers are the contents of successful answers that have a tree.
func (op *Operation) answers(each func(*MediaType)) {
	for _, r := range op.Responses {
		if !strings.HasPrefix(r.Status, "2") {
			continue
		}
		for _, m := range r.Content {
			each(m)
		}
	}
}

// Lists are the JSON pointers of the lists of objects in the operation's successful
// answers: the answer itself ("") or members of it. Deeper ones are known by the
// owners that they name.
func (op *Operation) Lists() []string {
	var out []string
	add := func(at string) {
		if !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	op.answers(func(m *MediaType) {
		s := m.Schema
		if s == nil {
			return
		}
		if s.Type() == "array" {
			if ofObjects(s) {
				add("")
			}
			return
		}
		for _, p := range s.Properties() {
			if p.Schema.Type() == "array" && ofObjects(p.Schema) {
				add("/" + value.EscapeToken(p.Name))
			}
		}
	})
	for _, o := range op.OwnerFields() {
		if o.InList {
			add(o.List)
		}
	}
	return out
}

func ofObjects(list *schema.Schema) bool {
	items := list.Items()
	return items != nil && items.Type() == "object"
}

// NamesOwner reports whether a noun ("customer", "companies", "owner_id" without
// its id) is one for whom objects belong to, and whether that is a "subject" or a "tenant".
func NamesOwner(noun string) (of string, ok bool) {
	w := words(noun)
	if len(w) == 0 {
		return "", false
	}
	last := singular(w[len(w)-1])
	switch {
	case tenants[last]:
		return "tenant", true
	case owners[last], principals[last], ownedBy[noun]:
		return "subject", true
	}
	return "", false
}
