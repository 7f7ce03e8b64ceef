package scan

import (
	"context"
	"fmt"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
)

// changes are the operations that differ from an older description, and those
// that a world for them needs.
type changes struct {
	ops, needed map[*graph.Op]bool
}

// compare finds what differs from the older description, where one is given.
func (r *run) compare(ctx context.Context) error {
	if r.o.ChangedSince == "" {
		return nil
	}
	old := *r.o
	old.Spec = r.o.ChangedSince
	_, was, err := Understand(ctx, &old)
	if err != nil {
		return fmt.Errorf("the older description: %w", err)
	}
	r.changes = &changes{ops: map[*graph.Op]bool{}}
	r.report.Changes = graph.Changes(was, r.graph)
	var list []*graph.Op
	for _, c := range r.report.Changes {
		if c.Op != nil {
			r.changes.ops[c.Op] = true
			list = append(list, c.Op)
		}
	}
	r.changes.needed = r.graph.Needs(list)
	r.tell(actor.Point{
		Name: "changes", State: actor.Well,
		Text: fmt.Sprintf("%d of %d operations differ from %s and are attacked; %d are called for their sake", len(list), len(r.graph.Ops), r.o.ChangedSince, len(r.changes.needed)-len(list)),
	})
	return nil
}
