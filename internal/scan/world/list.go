package world

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/value"
)

// listIn finds the list of objects in an answer, nil when there is none.
func listIn(v *value.Value, op *graph.Op) *value.Value {
	if op.Answered == "list" {
		if l := v.At(op.ListAt); l != nil && l.Kind == value.Array {
			return l
		}
	}
	return anyList(v, op, 0)
}

func anyList(v *value.Value, op *graph.Op, depth int) *value.Value {
	if v.Kind == value.Array {
		return v
	}
	if v.Kind != value.Object || depth > 2 || op.Kind == graph.Read && depth == 0 && op.About != nil && len(idsOf(v, op.About)) > 0 {
		return nil
	}
	var best *value.Value
	rank := 0
	for i := range v.Kids {
		k := &v.Kids[i]
		score := 0
		l := anyList(k, op, depth+1)
		if l == nil || len(l.Kids) > 0 && l.Kids[0].Kind != value.Object {
			continue
		}
		name := strings.ToLower(k.Name)
		switch {
		case op.About != nil && squeezed(singular(name)) == squeezed(op.About.Name):
			score = 4
		case slices.Contains([]string{"data", "items", "results", "result", "content", "records", "list", "rows", "values", "entries", "value", "hits", "docs", "documents", "_embedded"}, name):
			score = 3
		case op.Kind == graph.List:
			score = 1
		}
		if score > rank {
			best, rank = l, score
		}
	}
	return best
}
