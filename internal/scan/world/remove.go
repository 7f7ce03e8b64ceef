package world

import (
	"context"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// remove tries each Delete on an object made for it.
func (b *builder) remove(ctx context.Context) error {
	tiers := b.tiers()
	slices.Reverse(tiers) // what lies below others goes first
	for _, ops := range tiers {
		slices.Reverse(ops)
		if err := b.abreast(ctx, ops, b.removeBy); err != nil {
			return err
		}
	}
	return nil
}

// removeBy tries one Delete.
func (b *builder) removeBy(ctx context.Context, op *graph.Op) error {
	w := b.w
	if op.Kind != graph.Delete || op.About == nil || w.skip(op) != "" || session(op) {
		if op.Kind == graph.Delete && op.About == nil && w.skip(op) == "" && !session(op) {
			w.mu.Lock()
			w.leave(op, "left out: what it deletes is not known, and a run deletes only what it made")
			w.mu.Unlock()
		}
		return nil
	}
	for _, a := range b.first(op) {
		w.mu.Lock()
		t := w.tallyOf(op)
		done := len(t.as) > 0 || b.alikeDenied(t, a)
		if !done && w.exhausted() != "" {
			w.leftOut(op, nameOf(a))
			done = true
		}
		w.mu.Unlock()
		if done {
			continue
		}
		if err := b.spare(ctx, op, a); err != nil {
			return err
		}
		w.mu.Lock()
		over := w.exhausted() != ""
		if over { // there may be none to spare, and what is there is what the attack needs
			w.leftOut(op, nameOf(a))
		}
		w.mu.Unlock()
		if over {
			return nil
		}
		c, reason, err := w.reach(ctx, op, a)
		if err != nil {
			return err
		}
		w.mu.Lock()
		if c == nil {
			t.reasons[nameOf(a)] = reason
		}
		w.mu.Unlock()
	}
	b.progress()
	return nil
}
