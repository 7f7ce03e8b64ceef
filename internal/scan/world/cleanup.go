package world

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// Leftover is something that the run made and could not delete.
type Leftover struct {
	Resource string `json:"resource"`
	ID       string `json:"id"`
	Owner    string `json:"owner,omitempty"`
	Why      string `json:"why"`
}

// Cleanup deletes what the run made, the newest first, and lists what it could
// not delete and why. It never touches anything else.
func (w *World) Cleanup(ctx context.Context) []Leftover {
	w.mu.Lock()
	objects := slices.Clone(w.objects)
	w.mu.Unlock()
	var out []Leftover
	for _, o := range slices.Backward(objects) {
		if !o.Made || o.Deleted {
			continue
		}
		if why := w.unmake(ctx, o); why != "" {
			out = append(out, Leftover{Resource: o.Resource.Name, ID: o.ID, Owner: nameOf(o.Owner), Why: why})
		}
	}
	return out
}

// unmake deletes one object, as its owner: "" or why it could not.
func (w *World) unmake(ctx context.Context, o *Object) string {
	for _, p := range o.Parents {
		if p.Deleted {
			return "" // it went with what it lay under
		}
	}
	ops := o.Resource.Of(graph.Delete)
	if len(ops) == 0 {
		return "the description has no operation that deletes it"
	}
	why := ""
	for _, op := range ops {
		if s := w.skip(op); s != "" {
			why = s
			continue
		}
		if ctx.Err() != nil {
			return "the run was stopped"
		}
		w.mu.Lock()
		c := w.reading(op, o)
		w.mu.Unlock()
		if c == nil || c.subject() != o {
			why = op.Method + " " + op.Path + " could not be filled in for it"
			continue
		}
		x, err := w.send(ctx, c)
		if err != nil {
			return err.Error()
		}
		w.mu.Lock()
		w.learn(c, x)
		gone := o.Deleted || x.Status == 404 || x.Status == 410
		w.mu.Unlock()
		if gone {
			return ""
		}
		why = fmt.Sprintf("%s %s answered %s", op.Method, op.Path, what(x, readComplaints(x.Body)))
	}
	return why
}

// isFatal reports whether an error of Make ends the run: one of the client, and
// not that no operation makes such an object.
func isFatal(err error) bool { return !errors.Is(err, ErrNotMade) && !isRefusal(err) }
