package world

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// Why an operation's turn did not come: what Untried counts by.
const (
	ReasonBudget = "the request budget was spent before its turn"
	ReasonTime   = "the time for making objects was over before its turn"
)

// exhausted says why nothing more is tried while the world is built, "" while
// there is something left of its share. w.mu is held.
func (w *World) exhausted() string {
	switch {
	case w.spent >= w.o.MaxRequests:
		return ReasonBudget
	case !w.until.IsZero() && w.o.Now().After(w.until):
		return ReasonTime
	}
	return ""
}

// leftOut notes that an operation's turn did not come. w.mu is held.
func (w *World) leftOut(op *graph.Op, as string) {
	if t := w.tallyOf(op); t.requests == 0 {
		t.reasons[as] = cmp.Or(w.exhausted(), ReasonBudget)
	}
}

// Untried counts the operations whose turn did not come, by why.
func (w *World) Untried() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for _, op := range w.g.Ops {
		t := w.tallyOf(op)
		if t.requests > 0 || t.left != "" {
			continue
		}
		for _, why := range []string{ReasonBudget, ReasonTime} {
			if slices.Contains(slices.Collect(maps.Values(t.reasons)), why) {
				out[why]++
				break
			}
		}
	}
	return out
}

// tries bounds the attempts at an operation: those that could look like guessing get few.
func (w *World) tries(op *graph.Op) int {
	if guessable(op) && !op.Has(graph.Register) {
		return min(2, w.o.Tries)
	}
	return w.o.Tries
}

// guessable reports whether an operation's limit is there against guessing:
// then it is left alone at once.
func guessable(op *graph.Op) bool {
	return op.Has(graph.Login) || op.Has(graph.PasswordReset) || op.Has(graph.PasswordForgot) || op.Has(graph.SecondFactor) || op.Has(graph.Verify) || op.Has(graph.Register)
}

// harm says why a call must not be made: it would delete what the run did not make.
func (c *Call) harm() string {
	if c.Op.Method != http.MethodDelete && c.Op.Kind != graph.Delete {
		return ""
	}
	o := c.subject()
	switch {
	case o == nil && c.names() != "":
		return "it would delete what " + c.names() + " names, and that is nothing that the run made"
	case o == nil && c.As != nil && c.As.Made && len(c.Op.PathParams) == 0:
		return "" // something of an account that the run made
	case o == nil:
		return "it would delete something, and what is not known"
	case !o.Made || !owns(c.As, o):
		return "there is no " + o.Resource.Name + " that the run made and may delete"
	}
	return ""
}

// names is an input outside the path that names something which the world does
// not know: the ids of a list of what is to be deleted.
func (c *Call) names() string {
	for _, where := range sortedKeys(c.Values) {
		in := inputOf(c.Op, pattern(where))
		if in == nil || in.In == "path" || in.In == "header" || c.Uses[where] != nil {
			continue
		}
		if in.Meaning == graph.MeansID || in.Object != nil {
			return in.Name
		}
	}
	return ""
}

// fuller is the next plan for a body that was refused without a reason.
func (p *plan) fuller(n int) bool {
	switch n {
	case 1:
		p.sober = true
	case 2:
		p.fullness = likeExample
	case 3:
		p.fullness = onlyNeeded
	case 4:
		p.fullness, p.alt = everything, p.alt+1
	default:
		return false
	}
	return true
}

// hasOther reports whether there are other identifiers to try than those of key.
func (w *World) hasOther(op *graph.Op, as *actor.Actor, key string) bool {
	next := comboOf(w.assign(op, as, plan{}))
	return next != "" && next != key && w.failed[callKey{op, nameOf(as)}][next] == 0
}

// cannotSend reports whether an error means that the run cannot go on, and not
// that one call could not be written.
func (w *World) cannotSend(err error) bool {
	return !isRefusal(err)
}

// maxVain is how often in a row a target is waited for that is busy or in
// maintenance: one that stays so would cost the run all its time.
const maxVain = 5

// pause waits as long as an answer asks, a few seconds at most.
func pause(ctx context.Context, x *target.Exchange) {
	d := time.Second
	if asked := x.RetryAfter(); asked > 0 {
		d = min(asked, 5*time.Second)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func errText(err error) string {
	if err == nil {
		return "the connection ended"
	}
	return err.Error()
}

// awaited remembers a Create whose answer did not name what it made. w.mu is held.
func (w *World) awaited(c *Call) {
	for _, o := range slices.Backward(w.objects) {
		if o.MadeBy == c {
			return
		}
	}
	if len(c.tokens) > 0 && !slices.Contains(w.pending, c) {
		w.pending = append(w.pending, c)
	}
}

// confirm looks for the canaries of what a Create made, as its owner reads it.
func (w *World) confirm(ctx context.Context, c *Call) error {
	if c.Op.Kind != graph.Create || c.Op.About == nil {
		return nil
	}
	for _, reader := range w.readersFor(c) {
		w.mu.Lock()
		o := w.madeBy(c)
		var r *Call
		if o != nil {
			r = w.reading(reader, o)
		} else if reader.Kind == graph.List {
			r = w.listing(reader, c)
		}
		w.mu.Unlock()
		if r == nil {
			continue
		}
		x, err := w.send(ctx, r)
		if err != nil {
			if w.cannotSend(err) {
				return err
			}
			continue
		}
		w.mu.Lock()
		w.learn(r, x)
		if o == nil {
			o = w.madeBy(c)
		}
		found := o != nil && success(x) && w.readBack(o, reader, x)
		w.mu.Unlock()
		if found {
			return nil
		}
	}
	return nil
}

func (w *World) madeBy(c *Call) *Object {
	for _, o := range slices.Backward(w.objects) {
		if o.MadeBy == c {
			return o
		}
	}
	return nil
}

// readersFor lists the operations that may show what a call made: the one that
// did before, then Reads, then Lists.
func (w *World) readersFor(c *Call) []*graph.Op {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := c.Op.About
	if op := w.readers[r]; op != nil {
		return []*graph.Op{op}
	}
	var out []*graph.Op
	for _, kind := range []graph.Kind{graph.Read, graph.List} {
		for _, op := range r.Of(kind) {
			if w.skip(op) == "" && !op.Has(graph.Admin) && len(out) < 3 {
				out = append(out, op)
			}
		}
	}
	return out
}

// readBack keeps the canaries that an owner's answer holds. w.mu is held.
func (w *World) readBack(o *Object, reader *graph.Op, x *target.Exchange) bool {
	body := decode(x)
	shown := false
	canaries := maps.Clone(o.canaries)
	if body != nil {
		texts := map[string]string{}
		allTexts(body, "", texts, 0)
		for _, pointer := range sortedKeys(texts) {
			for _, where := range sortedKeys(o.tokens) {
				if token := o.tokens[where]; token != "" && strings.Contains(texts[pointer], token) {
					if canaries[pattern(pointer)] == "" {
						canaries[pattern(pointer)] = token
					}
					shown = true
				}
			}
			if reader.Kind == graph.Read && texts[pointer] == o.ID {
				shown = true
			}
		}
	} else if strings.Contains(string(x.Body), o.ID) {
		shown = true
	}
	o.canaries = canaries
	if shown || reader.Kind == graph.Read {
		if o.reader == nil || len(o.canaries) > 0 {
			o.reader = reader
		}
		o.seenBy = merged(o.seenBy, map[string]bool{nameOf(o.owner): true})
		if len(o.canaries) > 0 || len(o.tokens) == 0 {
			w.readers[o.Resource] = reader
		}
	}
	return shown && (len(o.canaries) > 0 || len(o.tokens) == 0)
}

// firstMessage is what the first of the errors says that an answer lists:
// {"errors": [{"message": "…"}]}, {"error": {"message": "…"}}.
func firstMessage(v *value.Value) string {
	for _, holder := range []string{"errors", "error", "messages"} {
		e := v.Get(holder)
		if e != nil && e.Kind == value.Array {
			if len(e.Kids) == 0 {
				continue
			}
			e = &e.Kids[0]
		}
		if e == nil {
			continue
		}
		if text := e.Str(); text != "" {
			return text
		}
		for _, name := range []string{"detail", "message", "description", "msg", "reason", "title"} {
			if text := e.Get(name).Str(); text != "" {
				return text
			}
		}
	}
	return ""
}

// what says in a line what an answer said.
func what(x *target.Exchange, complaints []Complaint) string {
	if x.Status == 0 {
		return "no answer"
	}
	out := strconv.Itoa(x.Status)
	var parts []string
	for i := range complaints {
		k := &complaints[i]
		text := k.Text
		if k.Field != "" && !strings.Contains(strings.ToLower(text), strings.ToLower(k.Field)) {
			text = k.Field + ": " + text
		}
		parts = append(parts, cut(text, 160))
		if len(parts) == 3 {
			break
		}
	}
	if len(parts) == 0 {
		if v := decode(x); v != nil {
			for _, name := range []string{"detail", "message", "error_description", "msg", "error", "reason", "title"} {
				if text := v.Get(name).Str(); text != "" {
					parts = append(parts, cut(text, 160))
					break
				}
			}
			if text := firstMessage(v); len(parts) == 0 && text != "" {
				parts = append(parts, cut(text, 160))
			}
		}
	}
	if len(parts) == 0 {
		if text := strings.TrimSpace(stripTags(string(x.Body))); text != "" && len(text) < 400 {
			parts = append(parts, cut(strings.Join(strings.Fields(text), " "), 160))
		}
	}
	if len(parts) > 0 {
		out += fmt.Sprintf(" (%s)", strings.Join(parts, "; "))
	}
	return out
}
