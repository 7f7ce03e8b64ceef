package world

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// rounds is how often the operations that were not reached are tried again
// after others were.
const rounds = 4

// Build walks the graph as each actor: looks, makes, reads, changes, deletes.
// It returns early, with what there is, when the context ends.
func (w *World) Build(ctx context.Context) error {
	actors := w.actors()
	w.mu.Lock()
	w.building = true
	w.persons(actors)
	if len(actors) > 0 {
		w.self = actors[0]
	}
	for _, op := range w.g.Ops {
		if why := w.skip(op); why != "" {
			w.leave(op, why)
		}
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.building = false
		w.mu.Unlock()
	}()
	if w.o.Single && len(actors) > 0 {
		if a, err := w.people.Fresh(ctx); err == nil && a != nil {
			w.mu.Lock()
			w.visitor = a
			w.mu.Unlock()
		}
	}
	b := &builder{w: w, actors: actors}
	began := w.o.Now()
	for _, phase := range []struct {
		what  string
		run   func(context.Context) error
		share float64 // of the time that there is, with those before it
	}{{"looking around", b.look, 0.3}, {"making objects", b.work, 0.75}, {"reading as everybody", b.visit, 0.88}, {"asking as nobody", b.security, 0.92}, {"deleting spare objects", b.remove, 0.97}, {"sessions", b.sessions, 1}} {
		b.phase = phase.what
		if !w.o.Until.IsZero() {
			w.mu.Lock()
			w.until = began.Add(time.Duration(phase.share * float64(w.o.Until.Sub(began))))
			w.mu.Unlock()
		}
		if err := phase.run(ctx); err != nil {
			return fmt.Errorf("building the world, %s: %w", phase.what, err)
		}
	}
	return nil
}

type builder struct {
	w      *World
	actors []*actor.Actor
	phase  string
}

func (b *builder) progress() {
	if b.w.o.Progress == nil {
		return
	}
	b.w.mu.Lock()
	done := b.w.settled
	b.w.mu.Unlock()
	b.w.o.Progress(done, len(b.w.g.Ops), b.phase)
}

// persons puts the actors themselves into the world, as objects of the resources
// that are people.
func (w *World) persons(actors []*actor.Actor) {
	for _, r := range w.g.Resources {
		if !r.IsPerson {
			continue
		}
		for _, a := range actors {
			id := a.Facts["id"]
			if id == "" {
				continue
			}
			o := &Object{Resource: r, mu: &w.mu, owner: a, ids: map[string]string{}, fields: map[string]string{}, canaries: map[string]string{}, seenBy: map[string]bool{a.Name: true}, sources: map[string]source{}}
			field := "id"
			if len(r.IDs) > 0 {
				field = r.IDs[0]
			}
			o.ids[field], o.ID = id, id
			for _, fact := range []string{"email", "username"} {
				if v := a.Facts[fact]; v != "" {
					o.fields[fact] = quoted(v)
				}
			}
			w.objects = append(w.objects, o)
		}
	}
}

// first lists who tries an operation: those who may, the owner of things first.
func (b *builder) first(op *graph.Op) []*actor.Actor {
	if len(b.actors) == 0 || op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.PasswordForgot) || op.Has(graph.PasswordReset) {
		return []*actor.Actor{nil}
	}
	switch {
	case op.Secured:
		return b.actors
	case op.SecurityDeclared:
		return []*actor.Actor{b.actors[0], nil} // the description asks nobody who they are
	}
	return append(slices.Clone(b.actors), nil) // it does not say
}

// looks reports whether an operation only looks, and needs nothing to do so.
func (b *builder) looks(op *graph.Op) bool {
	if op.Method != http.MethodGet || session(op) || op.Has(graph.Verify) || streams(op) {
		return false
	}
	for _, in := range op.Inputs {
		if in.In == "path" || in.Required && linked(in) {
			return false
		}
	}
	return true
}

// look calls what only looks, as everybody: what there is already is learnt first.
func (b *builder) look(ctx context.Context) error {
	var batch []*Call
	b.w.mu.Lock()
	for _, op := range b.w.g.Ops {
		if b.w.skip(op) != "" || !b.looks(op) {
			continue
		}
		for _, a := range b.first(op) {
			if b.over(ctx, op, a) {
				continue
			}
			if c, err := b.w.compose(op, a, plan{}); err == nil {
				batch = append(batch, c)
			}
		}
	}
	b.w.mu.Unlock()
	if err := b.send(ctx, batch); err != nil {
		return err
	}
	b.w.keepRolls(batch)
	return nil
}

// over reports whether nothing more is to be thought of, which by itself takes its time
// where there are many operations. w.mu is held.
func (b *builder) over(ctx context.Context, op *graph.Op, a *actor.Actor) bool {
	spent := b.w.exhausted() != ""
	if spent {
		b.w.leftOut(op, nameOf(a))
	}
	return spent || ctx.Err() != nil
}

// send sends calls at once, and learns from the answers in the calls' order: so
// that a run is the same each time.
func (b *builder) send(ctx context.Context, batch []*Call) error {
	w := b.w
	for start := 0; start < len(batch); start += 4 * w.o.Workers {
		part := batch[start:min(len(batch), start+4*w.o.Workers)]
		w.mu.Lock()
		left := w.o.MaxRequests - w.spent
		if w.exhausted() != "" {
			left = 0
		}
		if left < len(part) {
			for _, c := range part[max(0, left):] {
				w.leftOut(c.Op, nameOf(c.As))
			}
			part = part[:max(0, left)]
		}
		w.mu.Unlock()
		answers := make([]*target.Exchange, len(part))
		errs := make([]error, len(part))
		slots := make(chan struct{}, w.o.Workers)
		var wg sync.WaitGroup
		for i, c := range part {
			slots <- struct{}{}
			wg.Go(func() {
				answers[i], errs[i] = w.send(ctx, c)
				<-slots
			})
		}
		wg.Wait()
		w.mu.Lock()
		for i, c := range part {
			if errs[i] != nil {
				if w.cannotSend(errs[i]) {
					w.mu.Unlock()
					return errs[i]
				}
				continue
			}
			w.learn(c, answers[i])
			if !c.reached(answers[i]) {
				w.tallyOf(c.Op).reasons[nameOf(c.As)] = what(answers[i], readComplaints(answers[i].Body))
			}
		}
		w.mu.Unlock()
		b.progress()
	}
	return nil
}

// depths says how much must be there before one of a resource can be made: what it
// lies under, and what it takes the identifiers of.
func depths(w *World) func(*graph.Resource) int {
	depth := map[*graph.Resource]int{}
	var of func(r *graph.Resource, seen []*graph.Resource) int
	of = func(r *graph.Resource, seen []*graph.Resource) int {
		if r == nil || slices.Contains(seen, r) || len(seen) > 8 {
			return 0
		}
		if d, ok := depth[r]; ok {
			return d
		}
		d := 0
		if r.Parent != nil {
			d = 1 + of(r.Parent, append(seen, r))
		}
		for _, op := range r.Of(graph.Create) {
			for _, in := range op.Inputs {
				if n := w.resourceOf(in); n != nil && n != r && (in.Required || in.In == "path") && !n.IsPerson {
					d = max(d, 1+of(n, append(seen, r)))
				}
			}
		}
		if len(seen) == 0 {
			depth[r] = d
		}
		return d
	}
	return func(r *graph.Resource) int { return of(r, nil) }
}

// tiers sorts operations so that what makes comes before what takes: those of one
// tier do not need each other.
func (b *builder) tiers() [][]*graph.Op {
	of := depths(b.w)
	rank := func(op *graph.Op) int {
		var n int
		switch {
		case op.Kind == graph.Create:
			n = 10 * of(op.About)
		case op.Kind == graph.List || op.Kind == graph.Read:
			n = 10*of(op.About) + 3
			if op.About == nil {
				n = 200
			}
		case op.Kind == graph.Update:
			n = 300
		default:
			n = 310
		}
		if op.Parent != nil && op.Kind != graph.Create {
			n += 5
		}
		return n
	}
	by := map[int][]*graph.Op{}
	for _, op := range b.w.g.Ops {
		n := rank(op)
		by[n] = append(by[n], op)
	}
	out := make([][]*graph.Op, 0, len(by))
	for _, n := range slices.Sorted(maps.Keys(by)) {
		out = append(out, by[n])
	}
	return out
}

// work tries what was not reached, until a round reaches nothing new.
func (b *builder) work(ctx context.Context) error {
	w := b.w
	tiers := b.tiers()
	for round := range rounds {
		progress := false
		w.mu.Lock()
		clear(w.barren)
		w.mu.Unlock()
		for _, ops := range tiers {
			err := b.abreast(ctx, ops, func(ctx context.Context, op *graph.Op) error {
				if w.skip(op) != "" || session(op) || op.Kind == graph.Delete {
					return nil
				}
				reached, err := b.reachAs(ctx, op, round)
				progress = progress || reached
				b.progress()
				return err
			})
			if err != nil {
				return err
			}
		}
		if !progress && round > 0 {
			return nil
		}
	}
	return nil
}

// reachAs tries one operation as those who should reach it: each owner of things
// for what makes them, the first who can for the rest.
func (b *builder) reachAs(ctx context.Context, op *graph.Op, round int) (bool, error) {
	w := b.w
	progress := false
	everybody := op.Kind == graph.Create && op.About != nil && !op.About.IsPerson
	for _, a := range b.first(op) {
		name := nameOf(a)
		w.mu.Lock()
		t := w.tallyOf(op)
		reached := len(t.as) > 0
		mine := slices.Contains(t.as, name)
		tried := len(t.by[name])
		denied := slices.Contains(t.by[name], http.StatusForbidden) || slices.Contains(t.by[name], http.StatusUnauthorized) || slices.Contains(t.by[name], http.StatusMethodNotAllowed)
		denied = denied && op.Secured
		stale := tried > 0 && round > 0 && t.last[name] == w.outlook(op, a)
		spent := w.exhausted() != ""
		if spent {
			w.leftOut(op, name)
		}
		alike := b.alikeDenied(t, a)
		w.mu.Unlock()
		switch {
		case spent:
			return progress, nil
		case mine, reached && !everybody, denied && round > 0, alike:
			continue
		case everybody && reached && !owner(a):
			continue // the admin need not have one of each
		case stale, everybody && reached && round > 1:
			continue
		}
		if alters(op) {
			if err := b.spare(ctx, op, a); err != nil {
				return progress, err
			}
		}
		c, reason, err := w.reach(ctx, op, a)
		if err != nil {
			return progress, err
		}
		w.mu.Lock()
		t.last[name] = w.outlook(op, a)
		if c != nil {
			delete(t.reasons, name)
			progress = true
		} else {
			t.reasons[name] = reason
		}
		w.mu.Unlock()
	}
	return progress, nil
}

// spare makes an object that an operation may change or delete, where there is
// none: what others are to be read by keeps its canaries.
func (b *builder) spare(ctx context.Context, op *graph.Op, a *actor.Actor) error {
	w := b.w
	w.mu.Lock()
	have := op.About == nil || op.About.IsPerson || len(op.PathParams) == 0 && !op.Calls() || len(w.creators(op.About)) == 0 || slices.ContainsFunc(w.objects, func(o *Object) bool {
		return o.Resource == op.About && o.spare && !o.deleted && owns(a, o)
	})
	// Who could not make the first will not make another.
	first := have || !slices.ContainsFunc(w.objects, func(o *Object) bool { return o.Resource == op.About && o.Made && owns(a, o) })
	w.mu.Unlock()
	if have || first && op.Kind != graph.Delete {
		return nil
	}
	o, err := w.Make(ctx, op.About, a)
	if err != nil {
		if ctx.Err() != nil || isFatal(err) {
			return err
		}
		return nil
	}
	w.mu.Lock()
	o.spare = true
	w.mu.Unlock()
	return nil
}

// outlook is what a call would be made of now: another try is worth a request
// only when it has changed. w.mu is held.
func (w *World) outlook(op *graph.Op, as *actor.Actor) string {
	key := comboOf(w.assign(op, as, plan{}))
	t := w.taughtOf(op)
	for _, where := range sortedKeys(t.by) {
		l := t.by[where]
		key += fmt.Sprintln(where, l.need, l.ban, l.text, l.fresh, l.next)
	}
	return key
}

func owner(a *actor.Actor) bool {
	return a != nil && (a.Name == actor.User || a.Name == actor.Peer || a.Name == actor.Foreign)
}

// alikeDenied: another of the same standing was refused for who they are.
func (b *builder) alikeDenied(t *tally, a *actor.Actor) bool {
	if !owner(a) || a.Name == actor.User {
		return false
	}
	for _, other := range []string{actor.User, actor.Peer} {
		if other != a.Name && slices.Contains(t.by[other], http.StatusForbidden) && !slices.Contains(t.as, other) && !slices.Contains(t.by[other], http.StatusNotFound) {
			return true
		}
	}
	return false
}

// visit reads as everybody what each may read: who sees what.
func (b *builder) visit(ctx context.Context) error {
	w := b.w
	for _, kind := range []graph.Kind{graph.List, graph.Read} {
		var batch []*Call
		w.mu.Lock()
		for _, op := range w.g.Ops {
			if op.Kind != kind || op.Method != http.MethodGet || w.skip(op) != "" || session(op) || streams(op) {
				continue
			}
			t := w.tallyOf(op)
			if len(t.as) == 0 {
				continue
			}
			for _, a := range b.actors {
				// Lists once more: they show now what the run has made.
				if b.over(ctx, op, a) || slices.Contains(t.as, a.Name) && kind != graph.List || slices.Contains(t.by[a.Name], http.StatusForbidden) {
					continue
				}
				if c, err := w.compose(op, a, plan{}); err == nil && b.honest(c) {
					batch = append(batch, c)
				}
			}
		}
		w.mu.Unlock()
		if err := b.send(ctx, batch); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inferOwners(b.actors)
	return nil
}

// honest reports whether a call names nothing but what its actor may see.
func (b *builder) honest(c *Call) bool {
	for _, o := range c.Uses {
		if o.owner != nil && !owns(c.As, o) && !o.seenBy[nameOf(c.As)] && nameOf(c.As) != actor.Admin {
			return false
		}
	}
	return true
}

// inferOwners: what only one of several equals was shown is that one's.
func (w *World) inferOwners(actors []*actor.Actor) {
	for _, o := range w.objects {
		if o.owner != nil || o.Resource.IsPerson {
			continue
		}
		var only *actor.Actor
		equals, others := 0, false
		for _, a := range actors {
			if !owner(a) {
				continue
			}
			looked := false
			for _, op := range o.Resource.Of(graph.List) {
				looked = looked || slices.Contains(w.tallyOf(op).as, a.Name)
			}
			if !looked {
				continue
			}
			equals++
			if o.seenBy[a.Name] {
				others = others || only != nil
				only = a
			}
		}
		if equals > 1 && only != nil && !others {
			o.owner = only
		}
	}
}

// sessions calls what ends or changes a session, with an account made for it.
func (b *builder) sessions(ctx context.Context) error {
	w := b.w
	var ops []*graph.Op
	for _, purpose := range []graph.Purpose{graph.Refresh, graph.PasswordChange, graph.Logout} {
		for _, op := range w.g.Ops {
			if op.Has(purpose) && session(op) && w.skip(op) == "" && !slices.Contains(ops, op) && !ownAccountEnd(op) {
				ops = append(ops, op)
			}
		}
	}
	for _, op := range w.g.Ops {
		if ownAccountEnd(op) && w.skip(op) == "" {
			w.mu.Lock()
			w.leave(op, "left out: it deletes an account, and the run deletes only what it made; the checks try it on accounts of their own")
			w.mu.Unlock()
		}
	}
	for _, op := range ops {
		w.mu.Lock()
		reached, spent := len(w.tallyOf(op).as) > 0, w.exhausted() != ""
		if !reached && spent {
			w.leftOut(op, actor.User)
		}
		w.mu.Unlock()
		if reached || spent {
			continue
		}
		a, err := w.people.Fresh(ctx)
		if err != nil || a == nil {
			w.mu.Lock()
			why := "left out: it ends or changes the session it is called with, and no account could be made for it"
			if err != nil {
				why += ": " + err.Error()
			}
			w.leave(op, why)
			w.mu.Unlock()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		c, reason, err := w.reach(ctx, op, a)
		if err != nil {
			return err
		}
		w.mu.Lock()
		if c == nil {
			w.tallyOf(op).reasons[a.Name] = reason
		}
		w.mu.Unlock()
	}
	return nil
}
