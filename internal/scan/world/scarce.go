package world

import (
	"strings"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// maxUsedUp: of so many things that were there is it found out that they are used up.
const maxUsedUp = 8

// Scarce notes that a recipe's call was refused though its like had worked: what it takes
// of what was there before (the seats of somebody's train, the copies of a book) may be
// used up. Recipes take another in its place from then on. It reports whether they can.
func (w *World) Scarce(r *target.Request) bool {
	op := w.OpOf(r)
	if op == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := r.Path + "?" + r.Query + string(r.Body)
	other := false
	for _, o := range w.objects {
		if o.MadeBy == nil || o.MadeBy.Op != op {
			continue
		}
		for _, used := range o.MadeBy.Uses {
			now := used
			if in := w.standIn(o, used); in != nil {
				now = in
			}
			if standsAlone(now) && strings.Contains(sent, now.ID) && len(w.usedUp) < maxUsedUp {
				w.usedUp[now] = true
			}
			other = other || w.standIn(o, used) != nil
		}
	}
	return other
}

// standsAlone: it is a thing that nobody of the run made, and no person.
func standsAlone(o *Object) bool {
	return o != nil && !o.Made && o.MadeBy == nil && o.ID != "" && !o.Resource.IsPerson && !o.Resource.IsTenant
}

// standIn is what is taken in place of a thing that was there before the run and is used
// up, for what is made of it; nil: the thing itself. w.mu is held.
func (w *World) standIn(made, used *Object) *Object {
	if !w.usedUp[used] || made.owner == nil {
		return nil
	}
	for _, o := range w.objects {
		if o.Resource == used.Resource && !w.usedUp[o] && standsAlone(o) && !o.deleted && o.owner == nil && o.seenBy[made.owner.Name] {
			return o
		}
	}
	return nil
}

// insteadOf is the recipe's entry for what stands in for used; nil when nothing does.
func (b *recipeWriter) insteadOf(made, used *Object) *Recipe {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	in := b.w.standIn(made, used)
	if in == nil {
		return nil
	}
	r := &Recipe{is: in}
	b.of[used] = r
	return r
}

// standText is the identifier of what stands in for o, in the form of text, which is o's.
func standText(in, o *Object, text string) string {
	id := in.ID
	for f, v := range o.IDs() {
		if other := in.IDs()[f]; v == scalarText(text) && other != "" {
			id = other
		}
	}
	if strings.HasPrefix(text, `"`) {
		return quoted(id)
	}
	return id
}
