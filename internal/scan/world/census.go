package world

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// What a call makes is not always what its answer names: a nested member makes another
// thing, a PUT makes what was not there, an answer says nothing. So the lists that the run
// may see are read before it makes anything and when it has taken away what it knows of:
// what is new in them is taken away if it is the run's for certain, and told if it may be.

// roll is what a list showed before the run made anything.
type roll struct {
	call  *Call
	items map[string]bool // by identifier
}

// The bounds of a census: lists that are read again, and rows that one of them gives.
const (
	maxRolls    = 120
	maxNew      = 100
	maxAnswered = 20000
	leastToken  = 12 // of a text that nobody writes twice

	longestCensus = 10 * time.Second
)

// keepRolls keeps what lists showed in calls that were made before all others.
func (w *World) keepRolls(batch []*Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.actors() {
		for _, fact := range a.Facts {
			w.old[fact] = true
		}
	}
	for _, c := range batch {
		r := c.Op.About
		if c.Last == nil || c.As == nil || r == nil || c.Op.Kind != graph.List || c.Op.Method != http.MethodGet || len(w.rolls) >= maxRolls || !makes(r) {
			continue
		}
		items, whole := itemsOf(c, c.Last)
		if !whole {
			continue
		}
		for _, item := range items {
			w.remembers(item, 0)
		}
		seen := &roll{call: c, items: map[string]bool{}}
		for id := range items {
			seen.items[id] = true
		}
		w.rolls = append(w.rolls, seen)
	}
}

// makes reports whether what a resource's operations make can be told from what a service
// writes by itself: its logs and sessions are new with every call.
func makes(r *graph.Resource) bool {
	return slices.ContainsFunc(r.Ops, func(op *graph.Op) bool {
		return (op.Kind == graph.Create || op.Kind == graph.Delete || op.Method == http.MethodPut) && !session(op)
	})
}

// itemsOf are the things that a list shows, by their identifiers. whole: it is a list, and
// each of its things has one.
func itemsOf(c *Call, x *target.Exchange) (items map[string]*value.Value, whole bool) {
	body := decode(x)
	if body == nil {
		return nil, false
	}
	list := listIn(body, c.Op)
	if list == nil {
		return nil, false
	}
	items = map[string]*value.Value{}
	for i := range list.Kids {
		ids := idsOf(&list.Kids[i], c.Op.About)
		if len(ids) == 0 {
			return nil, false
		}
		items[ids[0].Text] = &list.Kids[i]
	}
	return items, true
}

// answered remembers, of each thing in the answer of a call that made something, its
// identifier beside each text of it that nobody writes twice. w.mu is held.
func (w *World) answered(op *graph.Op, body *value.Value) {
	if body == nil || op.Kind != graph.Create && !op.Has(graph.Upload) || op.Reads() || len(w.namings) > maxAnswered {
		return
	}
	about := op.About
	if about == nil {
		about = &graph.Resource{} // whatever it is, its identifier has a usual name
	}
	var walk func(v *value.Value, depth int)
	walk = func(v *value.Value, depth int) {
		for _, pair := range w.pairs(v, about) {
			w.namings[pair] = true
		}
		for i := range v.Kids {
			if depth < 6 {
				walk(&v.Kids[i], depth+1)
			}
		}
	}
	walk(body, 0)
}

// pairs are the identifier of a thing with each of its texts that look drawn and were not
// there before the run. w.mu is held.
func (w *World) pairs(v *value.Value, r *graph.Resource) []string {
	if v.Kind != value.Object {
		return nil
	}
	ids := idsOf(v, r)
	if len(ids) == 0 {
		return nil
	}
	var out []string
	for i := range v.Kids {
		if k := &v.Kids[i]; drawn(k) && !w.old[k.Text] {
			out = append(out, ids[0].Text+" "+k.Text)
		}
	}
	return out
}

// drawn reports whether a text looks as if it were drawn for one thing: long, and of letters
// and digits both.
func drawn(v *value.Value) bool {
	return v.Kind == value.String && len(v.Text) >= leastToken && len(v.Text) < 200 && !strings.ContainsAny(v.Text, " \t\n") && !reWhen.MatchString(v.Text) &&
		strings.ContainsAny(v.Text, "0123456789") && strings.ContainsAny(strings.ToLower(v.Text), "abcdefghijklmnopqrstuvwxyz")
}

// reWhen is a date, which two things have alike.
var reWhen = regexp.MustCompile(`^\d{4}-\d\d-\d\d`)

// remembers keeps the texts of what was there before the run: they tell nothing of what is new.
func (w *World) remembers(v *value.Value, depth int) {
	if drawn(v) {
		w.old[v.Text] = true
	}
	for i := range v.Kids {
		if depth < 6 {
			w.remembers(&v.Kids[i], depth+1)
		}
	}
}

// census compares what lists show with what they showed before the run. why holds what is
// told of by itself.
func (w *World) census(ctx context.Context, why map[*Object]string) []Leftover {
	short, cancel := context.WithTimeout(ctx, longestCensus)
	defer cancel()
	w.mu.Lock()
	rolls, known := w.widestRolls(), w.told(why)
	w.mu.Unlock()
	answers := make([]map[string]*value.Value, len(rolls))
	slots := make(chan struct{}, w.o.Workers)
	var wg sync.WaitGroup
	for i, r := range rolls {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			x, err := w.send(short, r.call.By(w.somebody(r.call.As)))
			if err != nil || !r.call.reached(x) {
				return
			}
			if items, whole := itemsOf(r.call, x); whole {
				answers[i] = items
			}
		})
	}
	wg.Wait()
	var out []Leftover
	for i, r := range rolls {
		rows, about := 0, r.call.Op.About
		for _, id := range slices.Sorted(maps.Keys(answers[i])) {
			key := about.Name + " " + id
			if r.items[id] || known[key] || rows >= maxNew || short.Err() != nil {
				continue
			}
			known[key] = true
			if why := w.isNew(short, r.call, id, answers[i][id]); why != "" {
				rows++
				out = append(out, Leftover{Resource: about.Name, ID: id, Why: why})
			}
		}
	}
	return out
}

// widestRolls are the lists to read again: an administrator's, who is shown most, else
// everybody's. w.mu is held.
func (w *World) widestRolls() []*roll {
	byAdmin := map[*graph.Op]bool{}
	for _, r := range w.rolls {
		byAdmin[r.call.Op] = byAdmin[r.call.Op] || r.call.As.Name == actor.Admin
	}
	return slices.DeleteFunc(slices.Clone(w.rolls), func(r *roll) bool {
		return byAdmin[r.call.Op] && r.call.As.Name != actor.Admin && r.call.Op.Has(graph.Admin)
	})
}

// told are the things that are told of by themselves: the run's own accounts, and what it
// knows that it made and could not take away, or that was ended by something that leaves it
// in lists. w.mu is held.
func (w *World) told(why map[*Object]string) map[string]bool {
	out := map[string]bool{}
	for _, o := range w.objects {
		if o.Resource.IsPerson && o.owner != nil || o.Made && (why[o] != "" || o.deleted) {
			for _, id := range o.ids {
				out[o.Resource.Name+" "+id] = true
			}
		}
	}
	return out
}

// isNew says why something that a list shows, and did not before the run, is there; "" when
// it is taken away, or is an account of the run's, whose name says so.
func (w *World) isNew(ctx context.Context, c *Call, id string, item *value.Value) string {
	text := strings.ToLower(string(value.Append(nil, item)))
	marked := w.o.Run != "" && strings.Contains(text, strings.ToLower(w.o.Run))
	if c.Op.About.IsPerson && marked {
		return ""
	}
	w.mu.Lock()
	own := marked || slices.ContainsFunc(w.pairs(item, c.Op.About), func(pair string) bool { return w.namings[pair] })
	o := &Object{Resource: c.Op.About, mu: &w.mu, owner: c.As, Made: true, ID: id, ids: map[string]string{}, fields: map[string]string{}, canaries: map[string]string{}, seenBy: map[string]bool{}, sources: map[string]source{}}
	if own {
		for _, known := range w.objects { // a list has shown it since, which did not say whose it is
			if known.Resource == o.Resource && known.called(id) {
				known.Made = true
			}
		}
		w.identify(o, item, "")
		o.marked = marked
		if o.ID == "" {
			o.ID = id
		}
	}
	w.mu.Unlock()
	switch {
	case !own && len(c.Op.About.Of(graph.Delete)) == 0:
		return fmt.Sprintf("%s %s did not list it before the run, and the description has no operation that deletes it", c.Op.Method, c.Op.Path)
	case !own:
		return fmt.Sprintf("%s %s did not list it before the run, and no answer of its own named it: what the run sent may have made it", c.Op.Method, c.Op.Path)
	}
	return w.unmake(ctx, o)
}
