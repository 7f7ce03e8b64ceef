package world

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// An account that the run was given is somebody's: what it says of itself is kept as
// it was first read, and what calls and checks changed of it is put back at the end.
// Accounts that the run registered need not be what they were.

// origin is what an operation showed of an account before the run changed anything.
type origin struct {
	as     *actor.Actor
	read   *graph.Op
	update *graph.Op
	fields map[string]json.RawMessage // of the object that holds what update takes
	at     string                     // the member in which that object lies; "" at the top
}

// keepOrigin keeps what a read showed first, where there is an operation that
// changes the same. w.mu is held.
func (w *World) keepOrigin(c *Call, x *target.Exchange) {
	if !w.building || c.As == nil || c.As.Made || c.Op.Method != http.MethodGet || x.Truncated {
		return
	}
	list := c.Op.Kind == graph.List || c.Op.Answered == "list"
	if slices.ContainsFunc(w.origins, func(o *origin) bool { return o.as == c.As && o.read == c.Op }) {
		return
	}
	for _, p := range c.Op.PathParams {
		if id := c.As.Facts["id"]; id == "" || len(c.Op.PathParams) > 1 || c.Op.About == nil || !c.Op.About.IsPerson || scalarText(c.Values["path."+p.Name]) != id {
			return
		}
	}
	for _, op := range w.g.Ops {
		if op.Path != c.Op.Path || op.Method != http.MethodPut && op.Method != http.MethodPatch || op.Kind == graph.Delete || w.skip(op) != "" {
			continue
		}
		at, fields := takenBy(op, x.Body)
		if list && plainly(fields) < 2 {
			continue // it is nobody's: what others add to it changes it, and what sets it at once sets theirs
		}
		if len(fields) > 0 {
			w.origins = append(w.origins, &origin{as: c.As, read: c.Op, update: op, fields: fields, at: at})
			if op.Method == http.MethodPatch {
				return // it needs to say no more than what differs
			}
		}
	}
}

// plainly counts the members that are no lists and no objects: what holds several of those
// that a change takes is one thing (the settings of a service), whatever it is called.
func plainly(fields map[string]json.RawMessage) int {
	n := 0
	for _, v := range fields {
		if t := bytes.TrimSpace(v); len(t) > 0 && t[0] != '[' && t[0] != '{' {
			n++
		}
	}
	return n
}

// readFirst reads what an account that the run was given is about to change at an address
// that names nothing, so that it can be put back as it was.
func (w *World) readFirst(ctx context.Context, op *graph.Op, as *actor.Actor) error {
	if as == nil || as.Made || op.Reads() || len(op.PathParams) > 0 || !slices.ContainsFunc(w.g.At(op.Path), func(o *graph.Op) bool {
		return o.Method == http.MethodPut || o.Method == http.MethodPatch
	}) {
		return nil
	}
	for _, read := range w.g.At(op.Path) {
		if read.Method != http.MethodGet || !read.Reads() || w.skip(read) != "" {
			continue
		}
		w.mu.Lock()
		_, looked := w.calls[callKey{read, nameOf(as)}]
		c, err := w.compose(read, as, plan{fullness: onlyNeeded})
		w.mu.Unlock()
		if looked || err != nil {
			continue // what cannot be read cannot be kept
		}
		x, err := w.send(ctx, c)
		if err != nil {
			return fmt.Errorf("reading what %s %s changes: %w", op.Method, op.Path, err)
		}
		w.mu.Lock()
		if w.count(c, x); success(x) {
			w.keepOrigin(c, x)
		}
		w.mu.Unlock()
	}
	return nil
}

// takenBy are the members of an answer that an operation takes in its body, and the
// member that holds them: most of all those of the top, or of an object below it.
func takenBy(op *graph.Op, body []byte) (at string, fields map[string]json.RawMessage) {
	var top map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return "", nil
	}
	takes := map[string]bool{}
	for _, in := range op.Inputs {
		name, ok := strings.CutPrefix(in.Pointer, "/")
		if in.In != "body" || !ok || in.ReadOnly || in.Meaning == graph.MeansPassword || in.Meaning == graph.MeansOTP || in.Meaning == graph.MeansToken || in.Meaning == graph.MeansCSRF {
			continue
		}
		name, _, _ = strings.Cut(name, "/")
		takes[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)] = true
	}
	pick := func(from map[string]json.RawMessage) map[string]json.RawMessage {
		out := map[string]json.RawMessage{}
		for name, v := range from {
			if takes[name] {
				out[name] = v
			}
		}
		return out
	}
	fields = pick(top)
	for _, name := range sortedKeys(top) {
		var below map[string]json.RawMessage
		if json.Unmarshal(top[name], &below) != nil {
			continue
		}
		if more := pick(below); len(more) > len(fields) {
			at, fields = name, more
		}
	}
	return at, fields
}

// putBack sets accounts that the run was given to what they were, and lists what it could not.
func (w *World) putBack(ctx context.Context) []Leftover {
	w.mu.Lock()
	origins := slices.Clone(w.origins)
	w.mu.Unlock()
	slices.SortStableFunc(origins, func(a, b *origin) int { return strings.Compare(a.update.Method, b.update.Method) }) // PATCH before PUT
	type row struct {
		as   *actor.Actor
		read *graph.Op
	}
	done := map[row]bool{}
	failed := map[row]Leftover{}
	var order []row
	for _, o := range origins {
		k := row{o.as, o.read}
		if done[k] {
			continue
		}
		if !slices.Contains(order, k) {
			order = append(order, k)
		}
		why, err := w.putBackOne(ctx, o)
		if err != nil {
			why = "it could not be looked at whether it is what it was: " + err.Error()
		}
		if why == "" {
			done[k] = true
			delete(failed, k)
			continue
		}
		if _, was := failed[k]; !was {
			failed[k] = Leftover{Resource: "account", ID: o.as.Name, Owner: o.as.Name, Why: why}
		}
	}
	var out []Leftover
	for _, k := range order {
		if l, ok := failed[k]; ok {
			out = append(out, l)
		}
	}
	return out
}

// putBackOne says why something is not what it was, "" when it is.
func (w *World) putBackOne(ctx context.Context, o *origin) (string, error) {
	differs, err := w.differs(ctx, o)
	if err != nil || len(differs) == 0 {
		return "", err
	}
	send := differs
	if o.update.Method == http.MethodPut {
		send = o.fields
	}
	body, err := json.Marshal(send)
	if err != nil {
		return "", fmt.Errorf("writing what was there before: %w", err)
	}
	names := strings.Join(slices.Sorted(maps.Keys(differs)), ", ")
	w.mu.Lock()
	c, err := w.compose(o.update, o.as, plan{fullness: onlyNeeded})
	w.mu.Unlock()
	if err == nil && !isJSON(concrete(c.Media)) {
		err = fmt.Errorf("it takes %s", c.Media)
	}
	var r *target.Request
	if err == nil {
		r, err = w.Request(c)
	}
	if err != nil {
		return fmt.Sprintf("%s %s shows another %s than before the run, and %s %s could not be written: %v", o.read.Method, o.read.Path, names, o.update.Method, o.update.Path, err), nil
	}
	r.Body = body
	x, err := w.people.Send(ctx, o.as, r)
	if err != nil {
		return "", fmt.Errorf("calling %s as %s: %w", o.update.ID, o.as.Name, err)
	}
	if differs, err = w.differs(ctx, o); err != nil || len(differs) == 0 {
		return "", err
	}
	return fmt.Sprintf("%s %s shows another %s than before the run, and %s %s answered %s", o.read.Method, o.read.Path, strings.Join(slices.Sorted(maps.Keys(differs)), ", "), o.update.Method, o.update.Path, what(x, readComplaints(x.Body))), nil
}

// differs are the members that are not what they were, as they were.
func (w *World) differs(ctx context.Context, o *origin) (map[string]json.RawMessage, error) {
	w.mu.Lock()
	c, err := w.compose(o.read, o.as, plan{})
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	x, err := w.send(ctx, c)
	if err != nil {
		return nil, err
	}
	if !success(x) {
		return nil, fmt.Errorf("%s %s answered %s", o.read.Method, o.read.Path, what(x, nil))
	}
	var top, now map[string]json.RawMessage
	err = json.Unmarshal(x.Body, &top)
	if now = top; err == nil && o.at != "" {
		now = nil
		err = json.Unmarshal(top[o.at], &now)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s answers in another form than before the run", o.read.Method, o.read.Path)
	}
	out := map[string]json.RawMessage{}
	for name, was := range o.fields {
		if !alikeJSON(was, now[name]) {
			out[name] = was
		}
	}
	return out, nil
}

func alikeJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
