package world

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// People are the actors of a run.
type People interface {
	// All lists the actors that have a session, in a fixed order; nobody is not among them.
	All() []*actor.Actor
	// Send puts the actor's credentials on r and sends it, renewing the session
	// where it has ended. as is never nil.
	Send(ctx context.Context, as *actor.Actor, r *target.Request) (*target.Exchange, error)
	// Fresh registers another account of the user's role.
	Fresh(ctx context.Context) (*actor.Actor, error)
}

// Sender sends requests without credentials. *target.Client is one.
type Sender interface {
	Do(ctx context.Context, as string, r *target.Request) (*target.Exchange, error)
}

// Options say how a world is built. The zero value is good.
type Options struct {
	Run  string // the run's id, letters and digits: canaries carry it. "" is "0"
	Seed uint64 // of everything that is drawn
	// BasePath goes before each operation's path; nil: the client knows it.
	BasePath *string
	// MaxRequests bounds Build; 0 means Enough.
	MaxRequests int
	// Tries bounds the attempts at one operation as one actor; 0 means 6.
	Tries int
	// Workers bounds the requests under way at once; 0 means 8.
	Workers int
	// Until is when Build tries nothing more; zero: it has as long as it takes.
	Until time.Time
	// Safe leaves out what moves money, calls other systems, or changes what the run did not make.
	Safe bool
	// Skip says why an operation is left alone, "" when it is not.
	Skip func(op *graph.Op) string
	// Progress is told what Build does, when set.
	Progress func(done, total int, what string)
	// Outside is an address of the run's own that answers with JSON, for what the
	// target fetches; "" when there is none.
	Outside string
	// Made is told of each object that the run makes, when set, and Gone of each
	// that it has deleted. They must not call the world.
	Made func(m Making)
	Gone func(resource, id string)
	// Single: each login of an account ends its session before, so that logins are called
	// with an account of their own, where one can be made.
	Single bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// World is what a run knows of its target, and has made there.
type World struct {
	g      *graph.Graph
	people People
	c      Sender
	o      Options

	mu       sync.Mutex // guards all below
	mint     mint
	rng      *rand.Rand
	objects  []*Object
	pool     map[string][]*known        // by producer: see pool.go
	seen     map[string]*profile        // what singular answers held, by actor and path
	lessons  map[*graph.Op]*lessons     // what error messages taught
	shared   map[string]*lesson         // the same by the field's name, for operations not tried yet
	calls    map[callKey]*Call          // the last that worked
	cover    map[*graph.Op]*tally       //
	steps    map[string]bool            // parts of the described paths
	usedUp   map[*Object]bool           // what was there before the run, and can be had no more
	clashed  map[*graph.Op]bool         // making one was refused because there is one like it
	broken   map[*graph.Op]string       // where the scanner itself broke down, and how
	failed   map[callKey]map[string]int // combinations of identifiers that did not work
	readers  map[*graph.Resource]*graph.Op
	barren   map[callKey]bool // resources' Create that failed as an actor
	origins  []*origin        // what given accounts were before the run
	rolls    []*roll          // what lists showed before the run
	old      map[string]bool  // texts of what was there before it
	namings  map[string]bool  // identifiers of what its calls made, each with a text beside it
	pending  []*Call          // Creates whose answer named no identifier
	spent    int
	settled  int                     // operations that were reached, or are not tried
	until    time.Time               // when the part of Build that runs tries nothing more; zero: never
	vain     int                     // waits for a busy target after which it was as busy
	hopeless map[*schema.Schema]bool // schemas for which no value is found at random
	building bool
	self     *actor.Actor // whose facts a login uses
	visitor  *actor.Actor // whose facts it uses instead, where a login ends the session before it; nil: nobody's

	deletesOtherwise bool // an operation deletes by another method than DELETE; never changed
}

type callKey struct {
	op *graph.Op
	as string
}

// Enough is how many requests Build may send where nobody bounds it.
func Enough(g *graph.Graph) int { return max(60, 8*len(g.Ops)) }

// New makes a world of which nothing is known yet. c sends what carries no credentials.
func New(g *graph.Graph, people People, c Sender, o Options) *World {
	if o.Run == "" {
		o.Run = "0"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tries <= 0 {
		o.Tries = 6
	}
	if o.Workers <= 0 {
		o.Workers = 8
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = Enough(g)
	}
	steps := map[string]bool{}
	for _, op := range g.Ops {
		for part := range strings.SplitSeq(op.Path, "/") {
			steps[part] = true
		}
	}
	return &World{
		g: g, steps: steps, people: people, c: c, o: o,
		mint: mint{run: o.Run, n: o.Seed << 20}, rng: rand.New(rand.NewPCG(o.Seed, 0x63726e6c)), //nolint:gosec // values must repeat with the seed; none is a secret
		old: map[string]bool{}, namings: map[string]bool{}, pool: map[string][]*known{}, seen: map[string]*profile{}, lessons: map[*graph.Op]*lessons{}, shared: map[string]*lesson{},
		calls: map[callKey]*Call{}, cover: map[*graph.Op]*tally{}, failed: map[callKey]map[string]int{}, clashed: map[*graph.Op]bool{}, usedUp: map[*Object]bool{}, broken: map[*graph.Op]string{},
		readers: map[*graph.Resource]*graph.Op{}, barren: map[callKey]bool{}, hopeless: map[*schema.Schema]bool{},
		deletesOtherwise: slices.ContainsFunc(g.Ops, func(op *graph.Op) bool { return op.Kind == graph.Delete && op.Method != http.MethodDelete }),
	}
}

func nameOf(a *actor.Actor) string {
	if a == nil {
		return actor.Nobody
	}
	return a.Name
}

// Call makes a valid call of an operation as an actor (nil is nobody). over
// gives values by Input.Where as JSON texts; "" leaves the input out. Nothing is
// sent: whoever sends a call that changes an account answers for it.
func (w *World) Call(_ context.Context, op *graph.Op, as *actor.Actor, over map[string]string) (*Call, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.worked(op, as)
	if c == nil {
		var err error
		if c, err = w.compose(op, as, plan{over: over}); errors.Is(err, errStanding) {
			c, err = w.compose(op, as, plan{over: over, force: true})
		}
		if err != nil {
			return nil, err
		}
	}
	w.sparing(c)
	for where, text := range over {
		c.override(where, text)
	}
	w.follow(c, over)
	return c, nil
}

// sparing keeps an administrator's call off the administrator's own account: who may
// take roles away or shut accounts, and was given to the run, must not lose theirs by a
// call that only fills in a member. It names an account that the run has made, if there
// is one. w.mu is held.
func (w *World) sparing(c *Call) {
	if c.As == nil || c.As.Made || c.As.Name != actor.Admin || c.Op.Reads() || c.As.Facts["id"] == "" {
		return
	}
	for _, in := range c.Op.Inputs {
		if r := w.resourceOf(in); r == nil || !r.IsPerson || in.In != "path" || scalarText(c.Values[in.Where()]) != c.As.Facts["id"] {
			continue
		}
		for _, a := range w.people.All() {
			if a != c.As && a.Name != actor.User && a.Name != actor.Peer && a.Made && a.Facts["id"] != "" {
				text := a.Facts["id"]
				if strings.HasPrefix(c.Values[in.Where()], `"`) {
					text = quoted(text)
				}
				c.override(in.Where(), text)
				return
			}
		}
	}
}

// follow makes a call consistent with identifiers that were put into it: an
// object that the world knows is reached by way of its own parents.
func (w *World) follow(c *Call, over map[string]string) {
	for _, where := range sortedKeys(over) {
		in := inputOf(c.Op, where)
		if in == nil || over[where] == "" {
			continue
		}
		r := w.resourceOf(in)
		for _, o := range slices.Backward(w.objects) {
			if r == nil || o.Resource != r || w.shaped(in, w.idFor(in, o)) != over[where] {
				continue
			}
			c.Uses[where] = o
			for _, other := range c.Op.Inputs {
				if _, given := over[other.Where()]; given || other.In != "path" {
					continue
				}
				for _, p := range o.Parents {
					if text := w.shaped(other, w.idFor(other, p)); w.resourceOf(other) == p.Resource && text != "" {
						c.Values[other.Where()], c.Uses[other.Where()] = text, p
					}
				}
			}
			break
		}
	}
}

// worked is a copy of the call that worked last, its fresh values made new; nil
// when there is none, or what it used is gone.
func (w *World) worked(op *graph.Op, as *actor.Actor) *Call {
	old := w.calls[callKey{op, nameOf(as)}]
	if old == nil {
		return nil
	}
	for _, o := range old.Uses {
		if o.deleted {
			return nil
		}
	}
	c := old.clone()
	w.renew(c)
	return c
}

// renew gives a call new fresh values.
func (w *World) renew(c *Call) {
	for _, where := range sortedKeys(c.Fresh) {
		w.putFresh(c, where, c.Fresh[where])
	}
	c.pairs()
}

func (w *World) putFresh(c *Call, where, fresh string) {
	text, token := w.mint.fill(fresh)
	c.Values[where], c.Fresh[where] = text, fresh
	delete(c.tokens, where)
	if token != "" {
		c.tokens[where] = token
	}
}

// Send sends a call with its actor's session. What it shows is not taken for
// honest work: a call may well be an attack.
func (w *World) Send(ctx context.Context, c *Call) (*target.Exchange, error) {
	x, err := w.send(ctx, c)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count(c, x)
	if !c.reached(x) {
		if o := c.subject(); o != nil && o.Made && owns(c.As, o) && c.Op.Reads() && (x.Status == http.StatusNotFound || x.Status == http.StatusGone) {
			o.deleted = true // by something that is not called a deletion: it was cancelled, or has run out
		}
		return x, nil
	}
	if body := decode(x); body != nil {
		w.g.Observe(c.Op, body, x.Header)
	}
	if o := c.subject(); o != nil && owns(c.As, o) {
		switch {
		case c.Op.Kind == graph.Delete:
			o.deleted = true
		case alters(c.Op):
			c.overwrite()
		}
	}
	return x, nil
}

func (w *World) send(ctx context.Context, c *Call) (*target.Exchange, error) {
	r, err := w.Request(c)
	if err != nil {
		return nil, err
	}
	var x *target.Exchange
	abroad(ctx, func() {
		if c.As == nil {
			x, err = w.c.Do(ctx, actor.Nobody, r)
		} else {
			x, err = w.people.Send(ctx, c.As, r)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("calling %s as %s: %w", c.Op.ID, who(c.As), err)
	}
	return x, nil
}

func who(a *actor.Actor) string {
	if a == nil {
		return "nobody"
	}
	return a.Name
}

// errBroke is a fault of the scanner's own.
var errBroke = errors.New("the scanner broke down at it")

// survive ends a fault of the scanner's own at the operation where it shows. What a
// target says must end no run: what the run has made would stay behind. w.mu is held.
func (w *World) survive(op *graph.Op) {
	if p := recover(); p != nil {
		w.broken[op] = fmt.Sprint(p)
	}
}

// Broken lists the operations at which the scanner broke down, with what broke.
func (w *World) Broken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for op, what := range w.broken {
		out = append(out, fmt.Sprintf("%s %s (%s)", op.Method, op.Path, what))
	}
	slices.Sort(out)
	return out
}

// Lost reports whether an actor made objects of a resource, and none is left.
func (w *World) Lost(r *graph.Resource, owner *actor.Actor) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := false
	for _, o := range w.objects {
		if o.Resource != r || !o.Made || o.owner == nil || o.owner.Name != owner.Name {
			continue
		}
		if !o.deleted {
			return false
		}
		lost = true
	}
	return lost
}

// Objects lists the objects of a resource that an actor owns (nil: of anybody),
// those that the run made first, the newest first.
func (w *World) Objects(r *graph.Resource, owner *actor.Actor) []*Object {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*Object
	for _, o := range slices.Backward(w.objects) {
		if o.Resource == r && !o.deleted && !o.stray && (owner == nil || o.owner != nil && o.owner.Name == owner.Name) {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b *Object) int {
		switch {
		case a.Made == b.Made && a.spare != b.spare:
			if b.spare {
				return -1
			}
			return 1
		case a.Made == b.Made:
			return 0
		case a.Made:
			return -1
		}
		return 1
	})
	return out
}

// Reader is how its owner reads an object: nil when no operation answered.
func (w *World) Reader(o *Object) *Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.reader == nil || o.owner == nil {
		return nil
	}
	return w.reading(o.reader, o)
}

// ErrNotMade is why Make gave no object.
var ErrNotMade = errors.New("no operation made such an object")

// Make makes a fresh object of a resource as an actor, with canaries where they fit.
func (w *World) Make(ctx context.Context, r *graph.Resource, as *actor.Actor) (*Object, error) {
	var why []string
	for _, op := range w.creators(r) {
		o, reason, err := w.make(ctx, op, as)
		if err != nil {
			return nil, fmt.Errorf("making a %s as %s: %w", r.Name, who(as), err)
		}
		if o != nil {
			return o, nil
		}
		why = append(why, op.Method+" "+op.Path+": "+reason)
	}
	if why == nil {
		return nil, fmt.Errorf("making a %s as %s: %w: the description has none that creates it", r.Name, who(as), ErrNotMade)
	}
	return nil, fmt.Errorf("making a %s as %s: %w: %s", r.Name, who(as), ErrNotMade, strings.Join(why, "; "))
}

// creators lists the operations that make a resource, without those that make people.
func (w *World) creators(r *graph.Resource) []*graph.Op {
	var out []*graph.Op
	for _, op := range r.Of(graph.Create) {
		if !op.Has(graph.Login) && !op.Has(graph.Hazard) && w.skip(op) == "" {
			out = append(out, op)
		}
	}
	return out
}

// make calls a Create until it gives an object, and looks for its canaries.
func (w *World) make(ctx context.Context, op *graph.Op, as *actor.Actor) (*Object, string, error) {
	key := callKey{op, nameOf(as)}
	w.mu.Lock()
	barren := w.barren[key]
	w.mu.Unlock()
	if barren {
		return nil, "it failed before", nil
	}
	made, reason, err := w.reach(ctx, op, as)
	if err != nil {
		return nil, "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if made == nil {
		w.barren[key] = reason != ReasonBudget && reason != ReasonTime
		return nil, reason, nil
	}
	for _, o := range slices.Backward(w.objects) {
		if o.MadeBy == made {
			return o, "", nil
		}
	}
	return nil, "its answer names no identifier", nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
