package world

import (
	"sync"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Object is something that exists at the target. What may still change while
// checks look at it is behind methods; a map that they give is never changed,
// but replaced.
type Object struct {
	Resource *graph.Resource
	Made     bool // this run made it
	// ID is what paths take to name it.
	ID string
	// Parents are the objects that it lies under, the nearest first.
	Parents []*Object
	// MadeBy is the call that made it; nil when it was found.
	MadeBy *Call

	// The world's lock is held for what follows.
	mu       *sync.Mutex // the world's; nil for an object that no world has
	owner    *actor.Actor
	deleted  bool
	ids      map[string]string
	tenant   string
	canaries map[string]string
	reader   *graph.Op // an operation by which its owner reads it (a Read, else a List), nil when none answered
	fields   map[string]string
	seenBy   map[string]bool

	refused bool              // taking it away was refused
	stray   bool              // made by a scenario: there to be cleaned up, and for nothing else
	marked  bool              // what made it held the run's id
	own     bool              // an earlier run made it by an account of its own
	before  string            // the id of the earlier run that made it; "" this one
	spare   bool              // made to be changed and deleted: others are looked at
	locks   map[string]source // where the answer of MadeBy says which state of it this is
	sources map[string]source // where the answer of MadeBy holds each of ids
	tokens  map[string]string // what canaries are made of, by the input that took it
}

// Known is an object that no answer showed: what an actor is known to be.
func Known(r *graph.Resource, owner *actor.Actor, id string, ids map[string]string) *Object {
	return &Object{Resource: r, ID: id, owner: owner, ids: ids}
}

// Owner is who made it, or who was found to own it; nil when nobody is known.
func (o *Object) Owner() *actor.Actor { return now(o, &o.owner) }

// Deleted reports whether the run deleted it.
func (o *Object) Deleted() bool { return now(o, &o.deleted) }

// IDs are the values that identify it, by the name of the field that held them
// ("id", "uuid", "order_number").
func (o *Object) IDs() map[string]string { return now(o, &o.ids) }

// Tenant is the tenant that one of its fields names, where it is that of an
// actor: those of the same tenant may see it, as far as anybody knows.
func (o *Object) Tenant() string { return now(o, &o.tenant) }

// Canaries are unique texts that the run put into it and that its owner was
// seen to read back, by JSON pointer of the answer that World.Reader's call gives.
func (o *Object) Canaries() map[string]string { return now(o, &o.canaries) }

// Fields are its scalar members as last seen, by name: JSON texts.
func (o *Object) Fields() map[string]string { return now(o, &o.fields) }

// SeenBy has the names of the actors whose List or Read showed it.
func (o *Object) SeenBy() map[string]bool { return now(o, &o.seenBy) }

// now is what a field of an object holds, read under its world's lock.
func now[T any](o *Object, field *T) T {
	if o.mu != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
	}
	return *field
}

// Call is a valid call of an operation as an actor, ready to be sent again or
// changed: the template of a request.
type Call struct {
	Op *graph.Op
	As *actor.Actor
	// Values are what the inputs hold, by Input.Where: JSON texts ("7", "\"a\"", "{…}").
	Values map[string]string
	// Uses are the objects whose identifiers Values hold, by Input.Where.
	Uses map[string]*Object
	// Last is the exchange that showed it to work, nil when it never was sent.
	Last *target.Exchange
	// Media is the body's media type, "" for none.
	Media string
	// Files are the contents of inputs that are files, by Input.Where.
	Files map[string]File
	// Fresh are the values that must be new each time, by Input.Where: JSON texts
	// with the placeholders ${canary}, ${number} and ${uuid}, unnamed.
	Fresh map[string]string
	combo string // the identifiers that were chosen for it
	// tokens are the canaries that this call's values hold, by Input.Where.
	tokens map[string]string
}

// File is the content of one file that a call uploads.
type File struct {
	Name    string
	Type    string
	Content []byte
}

// Coverage is what became of one operation.
type Coverage struct {
	Op       *graph.Op `json:"-"`
	Method   string    `json:"method"`
	Path     string    `json:"path"`
	Requests int       `json:"requests"`
	Reached  bool      `json:"reached"`            // a 2xx was seen, or the redirect that the description promises in its place
	As       []string  `json:"as,omitempty"`       // actors that got a 2xx
	Statuses []int     `json:"statuses,omitempty"` // distinct, ascending
	Reason   string    `json:"reason,omitempty"`   // why it was not reached: what was tried, what came back, what would help
}

// Recipe is how a scenario makes a fresh object: setup steps, and the names of
// the variables that the last of them saved.
type Recipe struct {
	Steps    []scenario.Step
	IDs      map[string]string // field name → variable
	ID       string            // variable of the identifier that paths take
	Canaries map[string]string // JSON pointer in the reader's answer → canary placeholder text

	locks map[string]string   // field that says which state of it this is → variable
	is    *Object             // found, not made: it stands in for another that is used up
	of    map[*Object]*Recipe // what it makes: the object that it was written after and those that it lies under
}
