package matrix

import (
	"strings"
)

// Relations of the object that a call is about to its caller.
const (
	Own    = "own"    // it is the caller's
	Tenant = "tenant" // it is another's of the caller's tenant
	Other  = "other"  // it is another tenant's
	None   = "none"   // nobody is known to own it
)

// Relations in their order.
var Relations = []string{Own, Tenant, Other, None}

// Matrix is who may do what at one API.
type Matrix struct {
	API        string
	Actors     []Actor
	Operations []Operation // by id
}

// Actor is a kind of caller.
type Actor struct {
	Name  string // "anonymous", "user", "role admin", "scope orders:read"
	Means string
	roles []string
	// scopes that it was granted; a role has all of the API's, so that its cells
	// show the role.
	scopes    []string
	anonymous bool
}

// Operation is the cells of one operation.
type Operation struct {
	ID, Method, Path string
	Cells            map[string]map[string]Outcome // by actor and relation
}

// Outcome is what becomes of a call.
type Outcome struct {
	// Says is the cell's text, by which cells are compared: "allow", "deny", "deny
	// scope", "step up", "error authz.timeout", "depends on …", "unknown: …".
	Says string
	// Rules are the places of the policy's rules that led to it, the deciding one last;
	// "the document" where that alone denies. Not compared.
	Rules []string `json:",omitempty"`
}

// Allows reports whether the call passes, perhaps with less in its answer.
func (o Outcome) Allows() bool { return o.Says == "allow" || strings.HasPrefix(o.Says, "allow,") }
