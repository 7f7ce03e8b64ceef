package world

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// lockNames are names of fields by which a change says which state of an object it
// was written after (optimistic locking): with another value it is refused.
var lockNames = []string{"version", "versionnumber", "versionno", "objectversion", "entityversion", "rev", "revision", "etag", "lockversion", "rowversion", "optlock", "lock", "concurrencystamp", "concurrencytoken", "changetoken"}

// entityTag is the name by which an object's fields hold the ETag that it was answered
// with: what If-Match wants to hear before it is changed (RFC 9110, sections 8.8.3 and 13.1.1).
const entityTag = "If-Match"

// locks reports whether a field says so, by its name.
func locks(name string) bool {
	return name == entityTag || slices.Contains(lockNames, squeezed(name))
}

// tagged notes the ETag of an answer that shows one object.
func (o *Object) tagged(x *target.Exchange) {
	tag := ""
	if x != nil {
		tag = x.Header.Get("ETag")
	}
	if tag == "" {
		return
	}
	o.fields[entityTag] = quoted(tag)
	if o.Made {
		o.locks = merged(o.locks, map[string]source{entityTag: {header: "ETag"}})
	}
}

// lockOf is the state of the object that a call changes, for an input that wants it:
// the object, and the state as last seen.
func (m *maker) lockOf(s *spot) (*Object, string) {
	name := s.name
	if s.kind == "header" && strings.EqualFold(name, entityTag) {
		name = entityTag
	} else if s.kind != "body" && s.kind != "query" {
		return nil, ""
	}
	if m.op.Kind == graph.Create || m.op.Reads() || !locks(name) || strings.Count(s.where, "/") > 1 {
		return nil, ""
	}
	for _, where := range sortedKeys(m.ids) {
		o := m.ids[where].object
		if o == nil || !strings.HasPrefix(where, "path.") || m.op.About != nil && o.Resource != m.op.About {
			continue
		}
		if text := o.lock(name); text != "" && (s.schema == nil || validText(text, s.schema)) {
			return o, text
		}
	}
	return nil, ""
}

// lock is what a field of an object held when it was last seen, where it is one
// that locks; "" where it is none. The world's lock is held.
func (o *Object) lock(name string) string {
	if !locks(name) {
		return ""
	}
	return o.fields[name]
}

// lockSources finds where an answer that made an object says its state.
func lockSources(node *value.Value, at string) map[string]source {
	var out map[string]source
	for i := range node.Kids {
		if k := &node.Kids[i]; locks(k.Name) && (k.Kind == value.Number || k.Kind == value.String) {
			if out == nil {
				out = map[string]source{}
			}
			out[k.Name] = source{at: at + "/" + value.EscapeToken(k.Name)}
		}
	}
	return out
}

// lockField is the name of the field of an object that an input of a call holds the
// state of; "" when it holds something else.
func lockField(o *Object, where string) string {
	in, name, _ := strings.Cut(where, ".")
	if in == "header" && strings.EqualFold(name, entityTag) {
		name = entityTag
	}
	name = value.UnescapeToken(strings.TrimPrefix(name, "/"))
	if o == nil || !locks(name) || strings.HasPrefix(where, "path.") {
		return ""
	}
	if _, there := o.Fields()[name]; !there {
		return ""
	}
	return name
}
