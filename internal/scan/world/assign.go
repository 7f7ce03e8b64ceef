package world

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/value"
)

// choice is a value that names something of the world.
type choice struct {
	text   string // JSON; "" none
	object *Object
	with   []*Object // what it was seen together with
	score  float64
}

// linked reports whether an input names something that must exist.
func linked(in *graph.Input) bool {
	switch in.Meaning {
	case graph.MeansID, graph.MeansOwner, graph.MeansTenant:
		return true
	case graph.MeansPassword, graph.MeansEmail, graph.MeansText, graph.MeansName, graph.MeansPage, graph.MeansPageSize, graph.MeansSort, graph.MeansRole, graph.MeansDate, graph.MeansURL, graph.MeansCallback, graph.MeansFile, graph.MeansMoney, graph.MeansQuantity:
		return false
	}
	if in.Object != nil || in.In == "path" || in.Meaning == graph.MeansToken && in.Required {
		return true
	}
	if in.Required && in.Op != nil && (in.Meaning == graph.MeansCoupon || in.Op.Has(graph.Coupon) && in.Type == "string") {
		return true // the code: what no description leads to may stand in an answer by that name
	}
	return len(in.Producers) > 0 && in.Producers[0].Score >= 0.6
}

// honest reports whether a call that changes something may name an object: only
// what the run or its actors own is acted upon, and what nobody owns.
func (w *World) honest(in *graph.Input, o *Object) bool {
	switch {
	case in.Op == nil || in.Op.Reads() || o.Made || o.owner != nil || o.tenant != "":
		return true
	case o.Resource.IsPerson:
		return false
	case !subjectOf(in):
		return true
	case len(o.Resource.Owners) > 0:
		return false // somebody's, and none of the run
	}
	return in.Op.Kind != graph.Delete && !turnsOff(in.Op)
}

// turnsOff reports whether the last word of an operation's path takes away what it names
// from everybody who uses it: for what the run did not make that is no less than deleting it.
func turnsOff(op *graph.Op) bool {
	return op.Method != http.MethodGet && reTurnsOff.MatchString(op.Path[strings.LastIndexByte(op.Path, '/')+1:])
}

var reTurnsOff = regexp.MustCompile(`(?i)^(turn|switch|shut|power)?[-_]?(off|down)$|^(disable|deactivate|suspend|pause|stop|halt|terminate|archive|retire|decommission|delete|remove|purge|destroy|revoke|lock)$`)

// alters reports whether an operation changes what an object holds, or ends it.
func alters(op *graph.Op) bool {
	return op.Kind == graph.Update || op.Kind == graph.Delete || op.Kind == graph.Action && (op.Method == http.MethodPut || op.Method == http.MethodPatch)
}

// acts reports whether an operation acts on something without changing whether or
// how it is there for others, as far as its name tells.
func acts(op *graph.Op) bool {
	return op.Kind == graph.Action && op.Method == http.MethodPost && !op.Has(graph.Admin) && !op.Has(graph.Hazard) && !Ends(op)
}

// Ends reports whether an operation is called by what ends, hides or hands over what it
// acts on: cancel, close, approve, transfer.
func Ends(op *graph.Op) bool {
	return reEnds.MatchString(op.Path[strings.LastIndexByte(op.Path, '/')+1:])
}

var reEnds = regexp.MustCompile(`(?i)cancel|clos|delet|remov|archiv|approv|reject|refus|refund|ship|complet|finish|end|stop|disabl|enabl|reset|publish|lock|ban|accept|confirm|pay|return|terminat|expir|revok|withdraw|void|clear|purge|transfer|assign|merge|restor|suspend|activat`)

// subjectOf reports whether an input names what its operation acts on, rather
// than what it lies under or refers to.
func subjectOf(in *graph.Input) bool {
	if in.Op != nil && in.Op.Calls() && len(in.Op.PathParams) == 0 { // a procedure's body names it
		return in.In == "body" && in.Op.Kind != graph.Create && in.Object != nil && in.Op.About != nil && in.Object.Resource == in.Op.About.Name
	}
	if in.In != "path" || in.Op == nil || len(in.Op.PathParams) == 0 {
		return false
	}
	return in.Op.Kind != graph.Create && in.Op.PathParams[len(in.Op.PathParams)-1].Name == in.Name
}

// Bounds of the search for identifiers that go together.
const (
	maxChoices = 6
	maxCombos  = 3000
)

// assign chooses the identifiers of a call so that they go together: the item's
// order is the order in the path, the payment is that of the same order.
func (w *World) assign(op *graph.Op, as *actor.Actor, p plan) map[string]choice {
	taught := w.taughtOf(op)
	var inputs []*graph.Input
	var lists [][]choice
	for _, in := range op.Inputs {
		if in.ReadOnly || !linked(in) {
			continue
		}
		t := taught.of(in.Where())
		if t != nil && (t.ban || t.text != "") {
			continue
		}
		optional := !in.Required && in.In != "path" && (t == nil || !t.need)
		list := w.choices(in, as)
		if len(list) == 0 || optional && list[0].object == nil && list[0].score < 2 {
			continue
		}
		inputs, lists = append(inputs, in), append(lists, list)
	}
	out := map[string]choice{}
	if len(inputs) == 0 {
		return out
	}
	type combo struct {
		score float64
		at    []int
	}
	var combos []combo
	at := make([]int, len(inputs))
	failed := w.failed[callKey{op, nameOf(as)}]
	for {
		c := combo{at: slices.Clone(at)}
		var picked map[string]choice
		if len(failed) > 0 {
			picked = make(map[string]choice, len(at))
		}
		for i := range at {
			x := &lists[i][at[i]]
			c.score += x.score
			if picked != nil {
				picked[inputs[i].Where()] = *x
			}
			for j := range i {
				c.score += together(x, &lists[j][at[j]])
			}
		}
		if len(failed) > 0 {
			c.score -= 6 * float64(failed[comboOf(picked)])
		}
		combos = append(combos, c)
		i := 0
		for ; i < len(at); i++ {
			if at[i]++; at[i] < len(lists[i]) {
				break
			}
			at[i] = 0
		}
		if i == len(at) || len(combos) >= maxCombos {
			break
		}
	}
	slices.SortStableFunc(combos, func(a, b combo) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	best := combos[min(p.skip, len(combos)-1)]
	for i, in := range inputs {
		out[in.Where()] = lists[i][best.at[i]]
	}
	return out
}

// together is how well two choices go with each other.
func together(a, b *choice) float64 {
	switch {
	case a.object != nil && b.object != nil && a.object != b.object && a.object.Resource == b.object.Resource:
		return 0
	case a.object != nil && (a.object == b.object || slices.Contains(b.with, a.object)), b.object != nil && slices.Contains(a.with, b.object):
		return 3
	}
	// An object that lies under another one than that.
	for _, pair := range [][2]*choice{{a, b}, {b, a}} {
		x, y := pair[0], pair[1]
		if x.object == nil || y.object == nil {
			continue
		}
		for _, p := range x.object.Parents {
			if p.Resource == y.object.Resource && p != y.object {
				return -4
			}
		}
	}
	for _, o := range a.with {
		if slices.Contains(b.with, o) {
			return 1
		}
	}
	return 0
}

// comboOf names a combination of identifiers.
func comboOf(ids map[string]choice) string {
	key := ""
	for _, where := range sortedKeys(ids) {
		key += where + "=" + ids[where].text + "\n"
	}
	return key
}

// resourceOf is the resource that an input names an object of, or nil.
func (w *World) resourceOf(in *graph.Input) *graph.Resource {
	if r := w.g.Spoken(in); r != nil {
		return r
	}
	if in.In == "path" && in.Op != nil {
		for i, p := range in.Op.PathParams {
			if p.Name == in.Name && i < len(in.Op.Objects) && in.Op.Objects[i] != nil {
				return in.Op.Objects[i]
			}
		}
	}
	if in.Meaning == graph.MeansID && len(in.Producers) > 0 {
		if from := in.Producers[0].From; from.Op != nil && from.Op.About != nil && in.Producers[0].Score >= 0.5 {
			return from.Op.About
		}
	}
	if in.In == "path" && in.Op != nil {
		if n := len(in.Op.PathParams); n > 0 && in.Op.PathParams[n-1].Name == in.Name {
			if in.Op.About != nil && !(in.Op.Kind == graph.Create || in.Op.Kind == graph.List) {
				return in.Op.About
			}
			return in.Op.Parent
		}
	}
	return nil
}

// chooser gathers the values that one input may get from one actor, once each.
type chooser struct {
	w   *World
	in  *graph.Input
	as  *actor.Actor
	r   *graph.Resource
	out []choice
	// closed: what a call acts on is nothing that merely stood in some answer.
	closed bool
	// shown: users act on what only others make (a book, an event, a shop). Where an actor
	// has none of its own, an action that ends nothing may name what it was shown.
	shown bool
}

// choices lists what an input can hold, the best first.
func (w *World) choices(in *graph.Input, as *actor.Actor) []choice {
	c := &chooser{w: w, in: in, as: as, r: w.resourceOf(in)}
	others := w.ofOthers(in, c.r)
	remove := in.Op != nil && in.Op.Kind == graph.Delete && c.r != nil && in.Op.About == c.r
	c.objects(remove)
	if remove {
		return c.best()
	}
	if !others {
		c.facts()
	}
	c.closed = c.r != nil && (c.r.IsPerson || subjectOf(in)) && in.Op != nil && !in.Op.Reads()
	c.shown = c.closed && len(c.out) == 0 && !c.r.IsPerson && as != nil && as.Name != actor.Admin && acts(in.Op)
	c.produced()
	for _, ch := range w.linked(in, nameOf(as), c.closed) {
		c.add(ch)
	}
	if len(c.out) == 0 && !c.closed {
		for _, k := range slices.Backward(w.pool[nameKey(in.Name)]) {
			if k.as == nameOf(as) && !plainID(in.Name) {
				c.add(choice{text: k.text, with: k.with, score: 1})
			}
		}
	}
	if others {
		for i := range c.out {
			c.out[i].score = worthOfOthers(c.out[i].object, as, c.out[i].score)
		}
	}
	return c.best()
}

// add keeps a value; one that is there already gets the better of both scores.
func (c *chooser) add(ch choice) {
	if ch.text == "" {
		return
	}
	if ch.text = c.w.shaped(c.in, ch.text); ch.text == "" {
		return
	}
	i := slices.IndexFunc(c.out, func(o choice) bool { return o.text == ch.text })
	if i < 0 {
		c.out = append(c.out, ch)
		return
	}
	o := &c.out[i]
	o.score = max(o.score, ch.score)
	if o.object == nil {
		o.object = ch.object
	}
	for _, x := range ch.with {
		if !slices.Contains(o.with, x) {
			o.with = append(slices.Clip(o.with), x)
		}
	}
}

func (c *chooser) best() []choice {
	slices.SortStableFunc(c.out, byScore)
	return c.out[:min(len(c.out), maxChoices)]
}

// objects: the identifiers of what is known of the resource; what is deleted is the actor's own.
func (c *chooser) objects(remove bool) {
	w := c.w
	for n, o := range w.objects {
		if c.r == nil || o.Resource != c.r || o.deleted || o.stray || remove && !(o.Made && owns(c.as, o)) || !w.honest(c.in, o) {
			continue
		}
		c.add(choice{text: w.idFor(c.in, o), object: o, with: o.Parents, score: w.worth(o, c.as, c.in) + float64(n)/float64(len(w.objects)+1)/2})
	}
}

// facts: what is known of the actor.
func (c *chooser) facts() {
	if c.as == nil {
		return
	}
	for _, fact := range c.w.factFor(c.in, c.r) {
		if v := c.as.Facts[fact]; v != "" {
			c.add(choice{text: jsonOf(c.in, v), score: 4.5})
			return
		}
	}
}

// produced: what stood in answers of the operations that produce the input.
func (c *chooser) produced() {
	for _, e := range c.w.g.Producers(c.in) {
		key := bodyKey(e.From.Op, e.From.Pointer)
		if e.From.Header != "" {
			key = headerKey(e.From.Op, e.From.Header)
		}
		list := c.w.pool[key]
		for i, k := range list {
			score := 2.5 * e.Score
			switch {
			case k.as == nameOf(c.as):
			case c.in.Op != nil && e.From.Op.About == c.in.Op.About:
				score -= 0.3 // made by one for others: a coupon
			default:
				score -= 1.5
			}
			if k.list {
				score -= 0.4
			}
			ch := choice{text: k.text, with: withoutDeleted(k.with), score: score + float64(i)/float64(len(list)+1)/2}
			if len(ch.with) < len(k.with) {
				continue
			}
			if e.From.Header != "" {
				if id, _ := lastSegment(scalarText(k.text)); id != "" && c.in.Meaning != graph.MeansToken {
					ch.text = quoted(id)
				}
			}
			c.offer(ch, k.as)
		}
	}
}

// offer keeps a value of an answer, where one may be used that this actor was shown.
func (c *chooser) offer(ch choice, to string) {
	mine := to == nameOf(c.as)
	switch {
	case c.shown && (mine || to == actor.Nobody):
	case c.closed:
		text := c.w.shaped(c.in, ch.text)
		if !mine || !slices.ContainsFunc(c.out, func(o choice) bool { return o.text == text }) {
			return
		}
		ch.score += 3 // the actor was shown it
	}
	c.add(ch)
}

func plainID(name string) bool { return squeezed(name) == "id" || squeezed(name) == "uuid" }

func byScore(a, b choice) int {
	switch {
	case a.score > b.score:
		return -1
	case a.score < b.score:
		return 1
	}
	return 0
}

func withoutDeleted(list []*Object) []*Object {
	return slices.DeleteFunc(slices.Clone(list), func(o *Object) bool { return o.deleted })
}

// owns reports whether an object is an actor's. What the run made as nobody, where
// an API asks nobody who they are, is nobody's to delete.
func owns(a *actor.Actor, o *Object) bool {
	if o.owner == nil {
		return a == nil && o.Made
	}
	return o.owner.Name == nameOf(a)
}

// worth is how fit an object is for an actor's honest call.
func (w *World) worth(o *Object, as *actor.Actor, in *graph.Input) float64 {
	changes := in.Op != nil && in.Op.Method != http.MethodGet && in.Op.About == o.Resource
	switch {
	case owns(as, o) && o.Made && o.spare == (changes && subjectOf(in) && alters(in.Op)):
		return 5.6
	case owns(as, o) && o.Made:
		return 5
	case owns(as, o):
		if changes {
			return 3
		}
		return 4
	case o.seenBy[nameOf(as)]:
		if changes {
			return 2
		}
		return 3
	case as != nil && as.Name == actor.Admin && o.owner != nil:
		return 3.5 // what the run's users have, before what is other people's
	case as != nil && as.Name == actor.Admin:
		return 2.5
	case o.owner == nil:
		return 1.5
	}
	return 0.2
}

// factFor lists the facts of an actor that an input may want.
func (w *World) factFor(in *graph.Input, r *graph.Resource) []string {
	words := wordsOf(in.Name)
	switch {
	case in.Meaning == graph.MeansTenant || r != nil && r.IsTenant:
		return []string{"tenant"}
	case in.Meaning == graph.MeansOwner || r != nil && r.IsPerson:
		switch {
		case has(words, "email", "mail"):
			return []string{"email"}
		case has(words, "username", "login", "handle", "name") && in.Type != "integer":
			return []string{"username", "name", "email"}
		}
		return []string{"id"}
	}
	return nil
}

// jsonOf writes a fact as the input's type wants it.
func jsonOf(in *graph.Input, text string) string {
	if (in.Type == "integer" || in.Type == "number" || in.Type == "") && isNumber(text) {
		return text
	}
	return quoted(text)
}

func isNumber(text string) bool {
	v, err := value.JSON([]byte(text), value.Limits{})
	return err == nil && v.Kind == value.Number
}

// idFor is the identifier of an object that an input wants, as JSON.
func (w *World) idFor(in *graph.Input, o *Object) string {
	name := squeezed(in.Name)
	var names []string
	for _, e := range in.Producers {
		if e.From.Op != nil && e.From.Op.About == o.Resource && e.From.Pointer != "" {
			names = append(names, value.UnescapeToken(e.From.Pointer[strings.LastIndexByte(e.From.Pointer, '/')+1:]))
		}
	}
	if in.Object != nil {
		names = append(names, in.Object.Param)
	}
	names = append(names, in.Name)
	rest, _ := strings.CutPrefix(name, squeezed(o.Resource.Name))
	for _, n := range names {
		if text, ok := o.fields[n]; ok {
			return text
		}
		for f, text := range o.fields {
			if s := squeezed(f); s == squeezed(n) || rest != "" && s == rest && rest != "id" {
				return text
			}
		}
	}
	field := o.idField()
	if text, ok := o.fields[field]; ok {
		return text
	}
	return jsonOf(in, o.ID)
}

// shaped makes a value of the type that an input takes; "" when it cannot be.
func (w *World) shaped(in *graph.Input, text string) string {
	v, err := value.JSON([]byte(text), value.Limits{})
	if err != nil || v.Kind == value.Object || v.Kind == value.Array || v.Kind == value.Null {
		return ""
	}
	switch in.Type {
	case "integer", "number":
		if !isNumber(v.Text) {
			return ""
		}
		text = v.Text
	case "string":
		text = quoted(v.Text)
	}
	if in.In == "path" && (v.Text == "" || v.Text == "." || v.Text == "..") {
		return ""
	}
	if in.Schema != nil && !validText(text, in.Schema) {
		return ""
	}
	return text
}
