package world

import (
	"errors"
	"maps"
	"strconv"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// reading is the call by which an object's owner reads it: nil when what the
// path names is not known. w.mu is held.
func (w *World) reading(op *graph.Op, o *Object) *Call {
	if op.Kind == graph.List {
		c := w.listing(op, o.MadeBy)
		if c == nil {
			return nil
		}
		c.As = o.owner
		return c
	}
	over, uses := map[string]string{}, map[string]*Object{}
	put := false
	for _, in := range op.Inputs {
		where := in.Where()
		if in.In != "path" && !in.Required {
			continue
		}
		r := w.resourceOf(in)
		switch {
		case r == o.Resource:
			if text := w.shaped(in, w.idFor(in, o)); text != "" {
				over[where], uses[where] = text, o
				put = true
			}
		default:
			for _, p := range o.Parents {
				if p.Resource == r {
					if text := w.shaped(in, w.idFor(in, p)); text != "" {
						over[where], uses[where] = text, p
					}
					break
				}
			}
		}
	}
	c, err := w.compose(op, o.owner, plan{over: over})
	if err != nil {
		return nil
	}
	maps.Copy(c.Values, over) // also what error messages taught to leave out
	maps.Copy(c.Uses, uses)
	if !put {
		for _, u := range c.Uses { // a Read that names no object: the caller's own
			if u.Resource == o.Resource {
				return nil
			}
		}
		if len(op.PathParams) > 0 {
			return nil
		}
	}
	return c
}

// listing is a call of a List that should show what another call made. w.mu is held.
func (w *World) listing(op *graph.Op, made *Call) *Call {
	if made == nil {
		return nil
	}
	c, err := w.compose(op, made.As, plan{})
	if err != nil {
		return nil
	}
	for where, o := range made.Uses { // under the same parents
		for _, in := range op.Inputs {
			if w.resourceOf(in) == o.Resource && (in.In == "path" || in.Required) {
				if text := w.shaped(in, w.idFor(in, o)); text != "" {
					c.Values[in.Where()], c.Uses[in.Where()] = text, made.Uses[where]
				}
			}
		}
	}
	return c
}

func allTexts(v *value.Value, pointer string, to map[string]string, depth int) {
	if len(to) > 5000 || depth > 20 {
		return
	}
	switch v.Kind {
	case value.Object:
		for i := range v.Kids {
			allTexts(&v.Kids[i], pointer+"/"+value.EscapeToken(v.Kids[i].Name), to, depth+1)
		}
	case value.Array:
		for i := range v.Kids {
			allTexts(&v.Kids[i], pointer+"/"+strconv.Itoa(i), to, depth+1)
		}
	case value.String, value.Number:
		to[pointer] = v.Text
	}
}

// isRefusal reports whether an error is about one request and not about the run.
func isRefusal(err error) bool {
	return errors.Is(err, ErrUnwritable) || errors.Is(err, target.ErrScope) || errors.Is(err, target.ErrRequest) || errors.Is(err, target.ErrRefused)
}

// ErrUnwritable is a call whose values cannot be written as a request: it is about that
// call alone, and nothing was sent.
var ErrUnwritable = errors.New("the request cannot be written")
