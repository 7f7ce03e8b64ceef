package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Leftover is something that the run made and could not delete.
type Leftover struct {
	Resource string `json:"resource"`
	ID       string `json:"id"`
	Owner    string `json:"owner,omitempty"`
	Why      string `json:"why"`
}

// Cleanup deletes what the run made, the newest first, sets accounts that it was given
// to what they were, and lists what it could not and why. It never touches anything else.
func (w *World) Cleanup(ctx context.Context) []Leftover {
	w.mu.Lock()
	objects := slices.Clone(w.objects)
	for _, o := range objects {
		if o.before == "" && o.owner != nil && o.owner.Session == nil {
			o.owner = w.somebody(o.owner) // Follow knew a name alone
		}
	}
	w.mu.Unlock()
	var list []*Object
	for _, o := range slices.Backward(objects) {
		if o.Made && !o.deleted {
			list = append(list, o)
		}
	}
	why := make(map[*Object]string, len(list))
	for _, level := range w.levels(list) {
		w.takeAway(ctx, level, why)
	}
	// What was refused because something else was there still is tried once more, by
	// itself, now that the rest is gone.
	for _, o := range list {
		if why[o] != "" && o.refused {
			w.takeAway(ctx, []*Object{o}, why)
		}
	}
	out := append(w.putBack(ctx), w.census(ctx, why)...)
	for _, o := range list {
		switch {
		case why[o] != "":
			out = append(out, Leftover{Resource: o.Resource.Name, ID: o.ID, Owner: nameOf(o.owner), Why: why[o]})
		case w.o.Gone != nil:
			w.o.Gone(o.Resource.Name, o.ID)
		}
	}
	return out
}

// levels sorts objects so that those of one level can be taken away side by side:
// what lies under others, or was made of them, goes before them. The newest are
// first in each.
func (w *World) levels(list []*Object) [][]*Object {
	depth := depths(w)
	by := map[int][]*Object{}
	for _, o := range list {
		n := max(depth(o.Resource), len(o.Parents))
		by[n] = append(by[n], o)
	}
	var out [][]*Object
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(by))) {
		out = append(out, by[n])
	}
	return out
}

// takeAway deletes objects side by side, and keeps why it could not.
func (w *World) takeAway(ctx context.Context, list []*Object, why map[*Object]string) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, w.o.Workers)
	for _, o := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			text := w.changedHands(ctx, o)
			if text == "" && !o.Deleted() {
				text = w.unmake(ctx, o)
			}
			mu.Lock()
			why[o] = text
			mu.Unlock()
		})
	}
	wg.Wait()
}

// Owed counts what the run has made and can take away again.
func (w *World) Owed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, o := range w.objects {
		if o.Made && !o.deleted && len(o.Resource.Of(graph.Delete)) > 0 {
			n++
		}
	}
	return n
}

// somebody is the actor with a session that stands for an exchange's sender: the
// one of that name, the one whose second session it was ("again-user"), else whoever
// comes first, because a sender of a proof (fresh1) is gone with it. nil when
// everybody is nobody.
func (w *World) somebody(sender *actor.Actor) *actor.Actor {
	all := w.people.All()
	if sender == nil || len(all) == 0 {
		return nil
	}
	for _, name := range []string{sender.Name, strings.TrimPrefix(sender.Name, "again-")} {
		for _, a := range all {
			if a.Name == name {
				return a
			}
		}
	}
	return all[0]
}

// maxStrays bounds what is remembered of others' work.
const maxStrays = 5000

// Follow looks at an exchange of the run, whoever sent it: what a scenario
// makes is the run's own, and is cleaned up with the rest. It can be a hook of
// the client's.
func (w *World) Follow(x *target.Exchange) {
	if !success(x) || x.Request == nil || x.Request.Method == http.MethodGet || x.Request.Method == http.MethodHead || x.Request.Root || x.Request.Origin != "" || refusedSoftly(x) {
		return
	}
	op, params := w.routed(x.Request)
	if op != nil && op.Has(graph.Upload) && op.Kind != graph.Create {
		w.mu.Lock()
		w.answered(op, decode(x))
		w.mu.Unlock()
	}
	if op == nil || op.About == nil || op.About.IsPerson || op.Kind != graph.Create && op.Kind != graph.Delete {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &Call{Op: op, As: &actor.Actor{Name: x.As}, Values: map[string]string{}, Uses: map[string]*Object{}}
	switch by := w.signer(x); {
	case x.As == actor.Nobody:
		c.As = nil
	case by != nil: // a scenario calls its new accounts by names of its own
		c.As = by
	}
	for i, p := range op.PathParams {
		if i >= len(params) {
			break
		}
		var r *graph.Resource
		if i < len(op.Objects) {
			r = op.Objects[i]
		}
		for _, o := range slices.Backward(w.objects) {
			if r != nil && o.Resource == r && o.ID == params[i] && !o.deleted {
				c.Uses["path."+p.Name] = o
				break
			}
		}
	}
	if op.Kind == graph.Delete {
		if o := c.subject(); o != nil && o.stray && owns(c.As, o) {
			o.deleted = true
		}
		return
	}
	body := decode(x)
	w.answered(op, body)
	if sent := decodeBytes(x.Request.Body); sent != nil {
		flat := map[string]string{}
		nodeOf(sent).flatten("", flat)
		for pointer, text := range flat {
			c.Values["body."+pointer] = text
		}
	}
	before := len(w.objects)
	if before > maxStrays {
		return
	}
	if o := w.created(c, x, body); o != nil && len(w.objects) > before {
		o.stray, o.MadeBy = true, nil
	}
}

// signer is the actor whose credentials a request carries; nil when nobody knows.
func (w *World) signer(x *target.Exchange) *actor.Actor {
	if w.people == nil {
		return nil
	}
	for _, a := range w.people.All() {
		if a.Session.Signs(x.Request) {
			return a
		}
	}
	return nil
}

// OpOf is the operation that a request is of, nil when it is none's.
func (w *World) OpOf(r *target.Request) *graph.Op {
	op, _ := w.routed(r)
	return op
}

// routed finds the operation of a request, and what stands for its path's variables.
func (w *World) routed(r *target.Request) (*graph.Op, []string) {
	path := r.Path
	if strings.Contains(path, "..") || strings.Contains(path, "//") || strings.Contains(path, "\\") {
		return nil, nil // an attack on the routing itself: what it reaches is not what it says
	}
	if w.o.BasePath != nil {
		path = strings.TrimPrefix(path, *w.o.BasePath)
	}
	bases := []string{""}
	for _, s := range w.g.API.Servers {
		bases = append(bases, s.BasePath)
	}
	for _, base := range bases {
		m := w.g.API.Route(r.Method, "", base+path)
		if m.Operation == nil {
			continue
		}
		for _, op := range w.g.Ops {
			if op.Operation == m.Operation {
				return op, m.Params
			}
		}
	}
	return nil, nil
}

// unmake deletes one object, as its owner: "" or why it could not.
func (w *World) unmake(ctx context.Context, o *Object) string {
	for _, p := range o.Parents {
		if p.Deleted() {
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
		if err == nil && x.Status >= 400 && c.insist(x) {
			x, err = w.send(ctx, c)
		}
		if err != nil {
			return err.Error()
		}
		w.mu.Lock()
		w.learn(c, x)
		gone := o.deleted || x.Status == 404 || x.Status == 410
		o.refused = !gone && x.Status >= 400
		w.mu.Unlock()
		if gone {
			return ""
		}
		why = fmt.Sprintf("%s %s answered %s", op.Method, op.Path, what(x, readComplaints(x.Body)))
	}
	if o.refused { // by a rule on who may, it may be
		return w.unmakeByAdmin(ctx, o, why)
	}
	return why
}

// insist sets what a refused deletion asks for by name: a switch of its own, such as the
// one by which an API is told to delete for good. It reports whether the call is another
// one than before. What is deleted is the run's own, whoever asks whether that is meant.
func (c *Call) insist(x *target.Exchange) bool {
	if len(x.Body) > maxFeedback {
		return false
	}
	said, changed := wordsIn(string(x.Body)), false
	for _, in := range c.Op.Inputs {
		if in.In == "query" && in.Type == "boolean" && c.Values[in.Where()] != "true" && strings.Contains(said, " "+strings.Join(wordsOf(in.Name), " ")+" ") {
			c.override(in.Where(), "true")
			changed = true
		}
	}
	return changed
}

// isFatal reports whether an error of Make ends the run: one of the client, and
// not that no operation makes such an object.
func isFatal(err error) bool { return !errors.Is(err, ErrNotMade) && !isRefusal(err) }
