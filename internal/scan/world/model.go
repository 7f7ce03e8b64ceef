package world

import (
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Object is something that exists at the target.
type Object struct {
	Resource *graph.Resource
	Owner    *actor.Actor // who made it, or who was found to own it
	Made     bool         // this run made it
	Deleted  bool
	// IDs are the values that identify it, by the name of the field that held
	// them ("id", "uuid", "order_number"); ID is the one that paths take.
	ID  string
	IDs map[string]string
	// Tenant is the tenant that one of its fields names, where it is that of an
	// actor: those of the same tenant may see it, as far as anybody knows.
	Tenant string
	// Parents are the objects that it lies under, the nearest first.
	Parents []*Object
	// Canaries are unique texts that the run put into it and that its owner was
	// seen to read back, by JSON pointer of the answer that Reader gives.
	Canaries map[string]string
	// Reader is an operation by which its owner reads it (a Read, else a List), nil when none answered.
	Reader *graph.Op
	// MadeBy is the call that made it; nil when it was found.
	MadeBy *Call
	// Fields are its scalar members as last seen, by name: JSON texts.
	Fields map[string]string
	// SeenBy are the names of the actors whose List or Read showed it.
	SeenBy map[string]bool

	stray   bool              // made by a scenario: there to be cleaned up, and for nothing else
	spare   bool              // made to be changed and deleted: others are looked at
	sources map[string]source // where the answer of MadeBy holds each of IDs
	tokens  map[string]string // what Canaries are made of, by the input that took it
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

	of map[*Object]*Recipe // what it makes: the object that it was written after and those that it lies under
}
