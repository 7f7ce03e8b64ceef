package world

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
)

// Making says what a run has made, so that a later one can take it away.
type Making struct {
	Ref
	Owner  *actor.Actor // nil: nobody
	Under  []Ref        // what it lies under, the nearest first
	Own    bool         // the owner is an account that the run made itself
	Marked bool         // what made it held the run's id: it can be told from others' by it
}

// Ref names an object.
type Ref struct {
	Resource string            `json:"resource"`
	ID       string            `json:"id"`
	IDs      map[string]string `json:"ids,omitempty"` // by the field that held them
}

func making(o *Object) Making {
	m := Making{Ref: ref(o), Owner: o.owner, Own: o.owner != nil && o.owner.Made, Marked: o.marked}
	for _, p := range o.Parents {
		m.Under = append(m.Under, ref(p))
	}
	return m
}

func ref(o *Object) Ref { return Ref{o.Resource.Name, o.ID, maps.Clone(o.ids)} }

// Adopt takes over what an earlier run made, for Cleanup. False: the description
// has no such resource.
func (w *World) Adopt(run string, m Making) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.known(m.Ref)
	if o == nil {
		return false
	}
	o.Made, o.owner, o.marked, o.own, o.before = true, m.Owner, m.Marked, m.Own, run
	for _, r := range m.Under {
		p := w.known(r)
		if p == nil {
			return false
		}
		for _, there := range w.objects {
			if there.Resource == p.Resource && there.ID == p.ID {
				p = there
			}
		}
		o.Parents = append(o.Parents, p)
	}
	w.objects = append(w.objects, o)
	return true
}

func (w *World) known(r Ref) *Object {
	for _, res := range w.g.Resources {
		if res.Name == r.Resource && r.ID != "" {
			return &Object{Resource: res, ID: r.ID, mu: &w.mu, ids: maps.Clone(r.IDs), fields: map[string]string{}, canaries: map[string]string{}, seenBy: map[string]bool{}}
		}
	}
	return nil
}

// changedHands looks at what an earlier run made before it is deleted: a target
// that has forgotten it may have given its identifier to something else. "" when
// it is that run's, or gone; else why it is left alone.
func (w *World) changedHands(ctx context.Context, o *Object) string {
	if o.before == "" {
		return ""
	}
	if o.owner == nil || o.owner.Session == nil {
		return "whose it was does not get in any more"
	}
	for _, op := range o.Resource.Of(graph.Read) {
		if op.Method != http.MethodGet || w.skip(op) != "" {
			continue
		}
		w.mu.Lock()
		c := w.reading(op, o)
		w.mu.Unlock()
		if c == nil || c.subject() != o {
			continue
		}
		x, err := w.send(ctx, c)
		switch {
		case err != nil:
			return err.Error()
		case x.Status == http.StatusNotFound || x.Status == http.StatusGone:
			w.mu.Lock()
			o.deleted = true
			w.mu.Unlock()
			return ""
		case !success(x):
			return fmt.Sprintf("%s %s answered %d to whose it was", op.Method, op.Path, x.Status)
		case bytes.Contains(bytes.ToLower(x.Body), []byte(strings.ToLower(o.before))):
			return ""
		case o.marked:
			return "what has its identifier now does not hold what the run wrote into it"
		}
	}
	if !o.own {
		return "nothing tells it from what its owner made otherwise"
	}
	return "" // the account is the run's own: so is what it has
}
