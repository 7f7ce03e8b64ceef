package world

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// known is a value that an answer held.
type known struct {
	as   string
	text string // JSON
	with []*Object
	list bool // it stood in a list: somebody's, perhaps everybody's
}

// source says where the answer of the call that made an object holds an identifier.
type source struct {
	at      string // JSON pointer
	header  string
	pattern string
	// list is a call whose answer lists the object, where the one that made it
	// does not name it; key is the member's name there, token the input whose
	// canary stands beside it, before (after false: behind) the identifier.
	list  *Call
	key   string
	token string
	after bool
	// input is the input of that call which named the object, where its maker does.
	input string
}

// profile is what a singular answer held.
type profile struct {
	fields map[string]string // scalars by pointer: JSON
}

// Bounds of what is remembered.
const (
	maxLeaves = 400
	maxItems  = 20 // of one list
	maxKnown  = 40 // values of one kind
)

// decode reads an answer as JSON, strictly first: nil when it is none.
func decode(x *target.Exchange) *value.Value {
	if x.Truncated {
		return nil
	}
	return decodeBytes(x.Body)
}

func decodeBytes(body []byte) *value.Value {
	text := bytes.TrimSpace(body)
	if len(text) == 0 {
		return nil
	}
	v, err := value.JSON(text, value.Limits{})
	if err == nil {
		return v
	}
	var a any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&a) != nil {
		return nil
	}
	made := value.FromAny(a)
	return &made
}

func success(x *target.Exchange) bool { return x != nil && x.Status >= 200 && x.Status < 300 }

// reached reports whether an answer shows that a call works: a 2xx, or the
// redirect that the description promises where it promises no 2xx.
func (c *Call) reached(x *target.Exchange) bool {
	if success(x) {
		return !refusedSoftly(x)
	}
	if x == nil || x.Status < 300 || x.Status >= 400 || x.Status == 304 {
		return false
	}
	promised := false
	for _, r := range c.Op.Responses {
		if strings.HasPrefix(r.Status, "2") {
			return false
		}
		promised = promised || r.Status == strconv.Itoa(x.Status) || strings.EqualFold(r.Status, "3XX")
	}
	return promised
}

// refusedSoftly reports whether a 2xx says in its body that nothing was done:
// {"success": false}, {"status": "error"}, {"error": "…"} and nothing else of weight.
func refusedSoftly(x *target.Exchange) bool {
	v := decode(x)
	if v == nil || v.Kind != value.Object {
		return false
	}
	for i := range v.Kids {
		k := &v.Kids[i]
		switch name := squeezed(k.Name); {
		case (name == "success" || name == "ok" || name == "successful") && k.Kind == value.Bool && k.Text == "false":
			return true
		case (name == "status" || name == "result") && k.Kind == value.String && slices.Contains([]string{"error", "fail", "failed", "failure"}, strings.ToLower(k.Text)) && len(v.Kids) <= 5:
			return true
		case (name == "error" || name == "errors" || name == "errormessage") && len(v.Kids) <= 3 && (k.Kind == value.String && k.Text != "" || (k.Kind == value.Array || k.Kind == value.Object) && len(k.Kids) > 0):
			return true
		case (name == "statuscode" || name == "code") && k.Kind == value.Number && len(k.Text) == 3 && (k.Text[0] == '4' || k.Text[0] == '5') && len(v.Kids) <= 5:
			return true
		}
	}
	return false
}

// learn takes from an answer what later calls can use. w.mu is held.
func (w *World) learn(c *Call, x *target.Exchange) {
	defer w.survive(c.Op)
	w.count(c, x)
	if !c.reached(x) {
		return
	}
	c.Last = x
	w.calls[callKey{c.Op, nameOf(c.As)}] = c
	body := decode(x)
	if body != nil {
		w.g.Observe(c.Op, body, x.Header)
	} else {
		w.g.Observe(c.Op, nil, x.Header)
	}
	w.keepOrigin(c, x)
	with := c.used()
	var made *Object
	w.answered(c.Op, body)
	if c.Op.Kind == graph.Create && c.Op.About != nil {
		made = w.created(c, x, body)
		if made != nil {
			with = append(with, made)
		}
	}
	switch {
	case c.Op.Kind == graph.Delete:
		w.deleted(c)
	case alters(c.Op):
		c.overwrite()
	case body != nil && c.Op.About != nil && made == nil:
		w.found(c, x, body)
	}
	if body != nil {
		n := 0
		w.leaves(c, body, "", with, false, &n)
		if c.Op.Method == http.MethodGet && len(c.Uses) == 0 && body.Kind == value.Object {
			p := &profile{fields: map[string]string{}}
			scalars(body, "", p.fields)
			w.seen[nameOf(c.As)+" "+c.Op.Path] = p
		}
	}
	for name := range x.Header {
		k := &known{as: nameOf(c.As), text: quoted(x.Header.Get(name)), with: with}
		w.remember(headerKey(c.Op, name), k)
		if name == "Location" {
			w.links(x.Header.Get(name), k)
		}
	}
}

// used lists the objects that a call names.
func (c *Call) used() []*Object {
	var out []*Object
	for _, where := range sortedKeys(c.Uses) {
		if !slices.Contains(out, c.Uses[where]) {
			out = append(out, c.Uses[where])
		}
	}
	return out
}

func bodyKey(op *graph.Op, pointer string) string { return op.ID + " " + pattern(pointer) }
func headerKey(op *graph.Op, name string) string  { return op.ID + " header " + strings.ToLower(name) }
func nameKey(name string) string                  { return "name " + squeezed(name) }

func (w *World) remember(key string, k *known) {
	list := w.pool[key]
	if i := slices.IndexFunc(list, func(o *known) bool { return o.as == k.as && o.text == k.text }); i >= 0 {
		list = slices.Delete(list, i, i+1) // it is the newest now
	} else if len(list) >= maxKnown {
		list = slices.Delete(list, 0, 1)
	}
	w.pool[key] = append(list, k)
}

// leaves remembers every scalar of an answer.
func (w *World) leaves(c *Call, v *value.Value, pointer string, with []*Object, list bool, n *int) {
	if *n > maxLeaves || strings.Count(pointer, "/") > 12 {
		return
	}
	switch v.Kind {
	case value.Object:
		if o := w.objectAt(v); o != nil && !slices.Contains(with, o) {
			with = append(slices.Clip(with), o)
		}
		for i := range v.Kids {
			w.leaves(c, &v.Kids[i], pointer+"/"+value.EscapeToken(v.Kids[i].Name), with, list, n)
		}
	case value.Array:
		for i := range min(len(v.Kids), maxItems) {
			w.leaves(c, &v.Kids[i], pointer+"/*", with, true, n)
		}
	case value.Null:
	default:
		*n++
		k := &known{as: nameOf(c.As), text: string(value.Append(nil, v)), with: with, list: list}
		w.remember(bodyKey(c.Op, pointer), k)
		if v.Name != "" {
			w.remember(nameKey(v.Name), k)
		}
		if v.Kind == value.String {
			w.links(v.Text, k)
		}
	}
}

// objectAt finds the object of the world that a node shows, by its identifier and two more members.
func (w *World) objectAt(v *value.Value) *Object {
	for _, o := range slices.Backward(w.objects) {
		field := o.idField()
		if id := v.Get(field); id == nil || id.Text != o.ID {
			continue
		}
		same := 0
		for name, text := range o.fields {
			if k := cmp.Or(v.Get(name), attributesOf(v).Get(name)); k != nil && string(value.Append(nil, k)) == text {
				same++
			}
		}
		if same >= min(3, len(o.fields)) {
			return o
		}
	}
	return nil
}

func scalars(v *value.Value, pointer string, to map[string]string) {
	if len(to) > maxLeaves || strings.Count(pointer, "/") > 6 {
		return
	}
	switch v.Kind {
	case value.Object:
		for i := range v.Kids {
			scalars(&v.Kids[i], pointer+"/"+value.EscapeToken(v.Kids[i].Name), to)
		}
	case value.Array, value.Null:
	default:
		to[pointer] = string(value.Append(nil, v))
	}
}

// created makes an object of the answer of a Create.
func (w *World) created(c *Call, x *target.Exchange, body *value.Value) *Object {
	r := c.Op.About
	o := &Object{Resource: r, mu: &w.mu, owner: c.As, Made: true, MadeBy: c, ids: map[string]string{}, fields: map[string]string{},
		canaries: map[string]string{}, seenBy: map[string]bool{}, sources: map[string]source{}, tokens: c.tokens}
	if body != nil {
		if node, at := objectIn(body, r); node != nil {
			w.identify(o, node, at)
			o.locks = lockSources(node, at)
		}
		if len(o.ids) == 0 && (body.Kind == value.String || body.Kind == value.Number) && body.Text != "" {
			o.ids["id"], o.sources["id"] = body.Text, source{at: ""}
		}
	}
	if len(o.ids) == 0 {
		if id, pattern := lastSegment(x.Header.Get("Location")); id != "" {
			o.ids["id"], o.sources["id"] = id, source{header: "Location", pattern: pattern}
		}
	}
	if len(o.ids) == 0 {
		w.namedBy(o, c)
	}
	if o.ID = o.ids[o.idField()]; o.ID == "" {
		return nil
	}
	o.tagged(x)
	o.Parents = w.parents(c, o)
	o.marked = x.Request != nil && bytes.Contains(bytes.ToLower(x.Request.Body), []byte(strings.ToLower(w.o.Run)))
	added := w.add(o)
	if added == o && w.o.Made != nil {
		w.o.Made(making(o))
	}
	return added
}

// namedBy finds the identifier of an object in what its maker sent: the path of
// an operation on one takes what the body of the Create calls the same.
func (w *World) namedBy(o *Object, c *Call) {
	for _, op := range o.Resource.Ops {
		if n := len(op.PathParams); n == 0 || op.Kind != graph.Read && op.Kind != graph.Update && op.Kind != graph.Delete {
			continue
		}
		want := squeezed(op.PathParams[len(op.PathParams)-1].Name)
		for _, where := range sortedKeys(c.Values) {
			name := where[strings.LastIndexAny(where, "./")+1:]
			if s := squeezed(name); !strings.HasPrefix(where, "body.") || s != want && squeezed(o.Resource.Name)+s != want {
				continue
			}
			v, err := value.JSON([]byte(c.Values[where]), value.Limits{})
			if err != nil || v.Kind != value.String && v.Kind != value.Number || v.Text == "" {
				continue
			}
			o.ids[name], o.fields[name], o.sources[name] = v.Text, c.Values[where], source{input: where}
			return
		}
	}
}

// lastSegment is the last part of an address, and the pattern that finds it.
func lastSegment(location string) (id, pattern string) {
	if location == "" {
		return "", ""
	}
	u, err := url.Parse(location)
	if err != nil {
		return "", ""
	}
	path := strings.TrimSuffix(u.Path, "/")
	i := strings.LastIndexByte(path, '/')
	if i < 0 || path[i+1:] == "" {
		return "", ""
	}
	return path[i+1:], addressPart
}

// add puts an object into the world, or what is new of it into the one that is there.
func (w *World) add(o *Object) *Object {
	for _, old := range w.objects {
		if old.Resource != o.Resource || old.ID != o.ID || old.deleted || !sameParents(old, o) {
			continue
		}
		if old.stray {
			w.objects = slices.DeleteFunc(w.objects, func(x *Object) bool { return x == old })
			break
		}
		// Others may be reading these: they are replaced, not changed.
		old.fields = merged(old.fields, o.fields)
		old.ids = merged(o.ids, old.ids)
		old.seenBy = merged(old.seenBy, o.seenBy)
		if old.owner == nil {
			old.owner = o.owner
		}
		old.tenant = cmp.Or(old.tenant, o.tenant)
		if o.Made && !old.Made && old.MadeBy == nil {
			// A Create that gave an object that was there before: it is not the run's.
			old.tokens = o.tokens
			return nil
		}
		return old
	}
	w.objects = append(w.objects, o)
	return o
}

// merged is a new map of two; what b says holds.
func merged[V any](a, b map[string]V) map[string]V {
	out := make(map[string]V, len(a)+len(b))
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

// sameParents: what is numbered under each parent alone is the same only there.
func sameParents(a, b *Object) bool {
	if len(a.Parents) == 0 || len(b.Parents) == 0 || len(a.ID) > 12 {
		return true
	}
	return a.Parents[0] == b.Parents[0]
}

// parents are the objects that the path names above an object, the nearest first.
func (w *World) parents(c *Call, o *Object) []*Object {
	var out []*Object
	for _, p := range slices.Backward(c.Op.PathParams) {
		if u := c.Uses["path."+p.Name]; u != nil && u != o && u.Resource != o.Resource && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	return out
}

// wrappers are members that hold the object an answer is about.
var wrappers = []string{"data", "result", "item", "object", "payload", "response", "record", "content", "body", "attributes", "entity", "document"}

// found makes or refreshes the objects that a List or a Read shows.
func (w *World) found(c *Call, x *target.Exchange, body *value.Value) {
	r := c.Op.About
	show := func(node *value.Value, list *Call) {
		o := &Object{Resource: r, mu: &w.mu, ids: map[string]string{}, fields: map[string]string{}, canaries: map[string]string{},
			seenBy: map[string]bool{nameOf(c.As): true}, sources: map[string]source{}}
		w.identify(o, node, "")
		if o.ID == "" {
			return
		}
		o.sources = map[string]source{}
		o.Parents = w.parents(c, o)
		o.owner, o.tenant = w.ownerOf(o)
		if list != nil {
			w.claim(c, o, node)
		} else {
			o.tagged(x)
		}
		w.add(o)
	}
	if list := listIn(body, c.Op); list != nil {
		for i := range min(len(list.Kids), maxItems) {
			if list.Kids[i].Kind == value.Object {
				show(&list.Kids[i], c)
			}
		}
		// What the run made lies at a list's end as often as at its head.
		for i := max(maxItems, len(list.Kids)-maxItems); i < len(list.Kids); i++ {
			if list.Kids[i].Kind == value.Object {
				show(&list.Kids[i], c)
			}
		}
		return
	}
	if c.Op.Kind == graph.Action || c.Op.Kind == graph.Create {
		return // an answer of its own shape
	}
	if node, _ := objectIn(body, r); node != nil {
		show(node, nil)
	}
}

// claim takes an object in a list for the run's own when it holds the canary of
// a Create whose answer named nothing.
func (w *World) claim(list *Call, o *Object, node *value.Value) {
	text := string(value.Append(nil, node))
	for i, made := range w.pending {
		if made.Op.About != o.Resource || nameOf(made.As) != nameOf(list.As) {
			continue
		}
		for _, where := range sortedKeys(made.tokens) {
			token := made.tokens[where]
			at := strings.Index(text, token)
			if at < 0 {
				continue
			}
			field := o.idField()
			key := strings.Index(text, quoted(field)+":")
			o.Made, o.MadeBy, o.owner, o.tokens = true, made, made.As, made.tokens
			o.sources = map[string]source{field: {list: list, key: field, token: where, after: key > at}}
			if len(o.Parents) == 0 {
				o.Parents = w.parents(made, o)
			}
			w.pending = slices.Delete(w.pending, i, i+1)
			return
		}
	}
}

// ownerOf finds the actor whose identifier an object's owner fields hold, and
// the tenant, when it is that of an actor.
func (w *World) ownerOf(o *Object) (own *actor.Actor, tenant string) {
	actors := w.people.All()
	if o.Resource.IsPerson {
		for _, a := range actors {
			if id := a.Facts["id"]; id != "" && id == o.ID {
				return a, ""
			}
		}
		return nil, ""
	}
	for _, field := range o.Resource.Owners {
		text, ok := o.fields[field]
		if !ok {
			continue
		}
		text = scalarText(text)
		if of, _ := spec.NamesOwner(strings.TrimSuffix(strings.Join(wordsOf(field), "_"), "_id")); of == "tenant" {
			if slices.ContainsFunc(actors, func(a *actor.Actor) bool { return text != "" && a.Facts["tenant"] == text }) {
				tenant = text
			}
			continue
		}
		for _, a := range actors {
			for _, fact := range []string{"id", "email", "username"} {
				if v := a.Facts[fact]; own == nil && v != "" && v == text {
					own = a
				}
			}
		}
	}
	if own == nil && tenant != "" {
		for _, a := range actors {
			if a.Facts["tenant"] == tenant {
				if own != nil {
					return nil, tenant // several share it
				}
				own = a
			}
		}
	}
	return own, tenant
}

// overwrite takes the canaries from an object that a call has put others over.
func (c *Call) overwrite() {
	o := c.subject()
	if o == nil {
		return
	}
	kept := maps.Clone(o.canaries)
	for pointer := range o.canaries {
		name := squeezed(pointer[strings.LastIndexByte(pointer, '/')+1:])
		for where := range c.Values {
			if strings.HasPrefix(where, "body.") && squeezed(where[strings.LastIndexAny(where, "./")+1:]) == name {
				delete(kept, pointer)
			}
		}
	}
	o.canaries = kept
}

// deleted marks what a Delete took away.
func (w *World) deleted(c *Call) {
	if o := c.subject(); o != nil {
		o.deleted = true
	}
}

// subject is the object that a call is about: the last of its path.
func (c *Call) subject() *Object {
	for _, p := range slices.Backward(c.Op.PathParams) {
		if o := c.Uses["path."+p.Name]; o != nil {
			return o
		}
	}
	for _, where := range sortedKeys(c.Uses) {
		if c.Uses[where].Resource == c.Op.About {
			return c.Uses[where]
		}
	}
	return nil
}
