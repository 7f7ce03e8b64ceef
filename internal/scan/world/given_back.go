package world

import (
	"regexp"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// reOpaque is a text that nobody can read, such as a state that a client is to give back.
var reOpaque = regexp.MustCompile(`^"[A-Za-z0-9+/_=.~:-]{24,}"$`)

// givenBack is an opaque text that an answer about the same resource held by the same
// name as a required member of a body: what was given out there is taken back here.
func (m *maker) givenBack(s *spot) string {
	if s.kind != "body" || !s.required || s.typ() != "string" || m.op.About == nil || m.op.Kind == graph.Create || m.op.Reads() {
		return ""
	}
	for _, op := range m.op.About.Ops {
		if op == m.op || !op.Reads() {
			continue
		}
		for _, out := range op.Outputs {
			if out.Name != s.name || out.Header != "" {
				continue
			}
			for _, k := range m.w.pool[bodyKey(op, out.Pointer)] {
				if k.as == nameOf(m.as) && reOpaque.MatchString(k.text) {
					return k.text
				}
			}
		}
	}
	return ""
}
