package world

import (
	"context"
	"net/http"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
)

// security finds out which operations ask for credentials, where the description
// does not say: many declare none at all. What turns nobody away, and answers
// those who have logged in, does.
func (b *builder) security(ctx context.Context) error {
	w := b.w
	var batch []*Call
	w.mu.Lock()
	for _, op := range w.g.Ops {
		if op.SecurityDeclared || op.Secured || w.skip(op) != "" {
			continue
		}
		if w.turnsAway(op) {
			continue
		}
		c := w.anybodysCall(op)
		if c == nil || w.asksNobody(op) || op.Method != http.MethodGet && (w.o.Safe || session(op) || c.harm() != "") {
			continue
		}
		d := c.By(nil)
		d.tokens = nil
		if d.harm() == "" {
			batch = append(batch, d)
		}
	}
	w.mu.Unlock()
	if err := b.send(ctx, batch); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, op := range w.g.Ops {
		if !op.SecurityDeclared && !op.Secured && w.turnsAway(op) {
			op.Secured, op.SecuredWhy = true, "it turns away who has not logged in"
		}
	}
	return nil
}

// asksNobody: the operation is how people come by credentials.
func (w *World) asksNobody(op *graph.Op) bool {
	return op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.PasswordForgot) || op.Has(graph.PasswordReset) || op.Has(graph.Health)
}

// turnsAway reports whether nobody was refused for who they are not. w.mu is held.
func (w *World) turnsAway(op *graph.Op) bool {
	if w.asksNobody(op) {
		return false
	}
	t := w.tallyOf(op)
	nobody := t.by[nameOf(nil)]
	if slices.Contains(t.as, nameOf(nil)) {
		return false
	}
	if slices.Contains(nobody, http.StatusUnauthorized) || slices.Contains(nobody, http.StatusForbidden) {
		return true
	}
	// Some hide what there is, or send the browser to the login page.
	return len(t.as) > 0 && op.Method == http.MethodGet && slices.ContainsFunc(nobody, func(s int) bool { return s == http.StatusNotFound || s == http.StatusFound || s == http.StatusSeeOther })
}

// anybodysCall is a call that worked for somebody, nil when none did. w.mu is held.
func (w *World) anybodysCall(op *graph.Op) *Call {
	for _, a := range w.actors() {
		if c := w.calls[callKey{op, a.Name}]; c != nil && a.Name != actor.Admin {
			return c
		}
	}
	return nil
}
