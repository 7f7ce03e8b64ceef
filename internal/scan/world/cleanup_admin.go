package world

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// unmakeByAdmin deletes, as the administrator that the run was given, what whoever made it
// may not delete. An administrator may delete everything, and the same identifier may mean
// another thing to them: what they are shown by it must be what the run made, or nothing
// is deleted. It returns "" when the object is gone, else why it is still there.
func (w *World) unmakeByAdmin(ctx context.Context, o *Object, why string) string {
	admin := w.administrator()
	if w.vanished(ctx, o, o.owner) && !w.readBySomebody(ctx, o) || admin != nil && w.vanished(ctx, o, admin) {
		w.mu.Lock()
		o.deleted = true
		w.mu.Unlock()
		return ""
	}
	if admin == nil || nameOf(o.owner) == admin.Name || !w.sameToBoth(ctx, o, admin) {
		return why
	}
	for _, op := range o.Resource.Of(graph.Delete) {
		if w.skip(op) != "" || ctx.Err() != nil {
			continue
		}
		w.mu.Lock()
		c := w.reading(op, o)
		w.mu.Unlock()
		if c == nil || c.subject() != o {
			continue
		}
		c = c.By(admin)
		x, err := w.send(ctx, c)
		if err == nil && x.Status >= 400 && c.insist(x) {
			x, err = w.send(ctx, c)
		}
		if err != nil {
			return err.Error()
		}
		if c.reached(x) || x.Status == http.StatusNotFound || x.Status == http.StatusGone {
			w.mu.Lock()
			o.deleted = true
			w.mu.Unlock()
			return ""
		}
		why = fmt.Sprintf("%s; as %s: %s", why, admin.Name, what(x, readComplaints(x.Body)))
	}
	return why
}

// administrator is the account of an administrator with a session, nil when none was given.
func (w *World) administrator() *actor.Actor {
	for _, a := range w.people.All() {
		if a.Name == actor.Admin && a.Session != nil {
			return a
		}
	}
	return nil
}

// sameToBoth reports whether an identifier means to somebody else what it means to the
// object's owner: what it shows them holds a text that the run wrote into it, or is to the
// letter what its owner is shown.
func (w *World) sameToBoth(ctx context.Context, o *Object, other *actor.Actor) bool {
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
		theirs, err := w.send(ctx, c.By(other))
		if err != nil || !success(theirs) {
			continue
		}
		if w.holdsRun(o, theirs) {
			return true
		}
		own, err := w.send(ctx, c)
		if err == nil && success(own) && !theirs.Truncated && len(own.Body) > 0 && bytes.Equal(own.Body, theirs.Body) {
			return true
		}
	}
	return false
}

// holdsRun reports whether an answer holds a text that the run wrote into an object.
func (w *World) holdsRun(o *Object, x *target.Exchange) bool {
	body := bytes.ToLower(x.Body)
	if w.o.Run != "" && o.marked && bytes.Contains(body, []byte(strings.ToLower(w.o.Run))) {
		return true
	}
	for _, text := range o.Canaries() {
		if bytes.Contains(body, []byte(strings.ToLower(text))) {
			return true
		}
	}
	return false
}
