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
	// Parents are the objects that it lies under, the nearest first.
	Parents []*Object
	// Canaries are unique texts that the run put into it and that its owner was
	// seen to read back, by JSON pointer of the answer that Reader gives.
	Canaries map[string]string
	// Reader is an operation by which its owner reads it (a Read, else a List), nil when none answered.
	Reader *graph.Op
	// MadeBy is the call that made it; nil when it was found.
	MadeBy *Call
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
}

// Coverage is what became of one operation.
type Coverage struct {
	Op       *graph.Op `json:"-"`
	Method   string    `json:"method"`
	Path     string    `json:"path"`
	Requests int       `json:"requests"`
	Reached  bool      `json:"reached"`            // a 2xx was seen
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
}
