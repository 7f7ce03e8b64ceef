package exchange

import (
	"time"

	"github.com/crenel-project/crenel/internal/value"
)

// Action is what a Verdict asks for.
type Action uint8

// Allow lets the exchange go on. Deny ends it with a denial. Unable means that
// the guard could not decide (a dependency is down, a limit of its own was hit):
// the chain denies unless the guard's config says fail: open.
const (
	Allow Action = iota
	Deny
	Unable
)

func (a Action) String() string {
	switch a {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Unable:
		return "unable"
	}
	return "invalid"
}

// Verdict is what one Step ruled. The zero Verdict allows.
type Verdict struct {
	Action Action
	// Code is the stable, documented code of a denial ("contract.unknown_property").
	// Its status comes from the one table in Codes.
	Code string
	// At is where in the request: a JSON pointer into the body ("/owner_id"), or
	// "query:limit", "header:x-id", "path:id", "cookie:sid".
	At string
	// Reason says why, for the operator: never sent to the client, never holds a secret.
	Reason string
	// Public is an optional sentence that the client may see. Empty: the code's own title.
	Public string
	// Header are extra header fields of the denial (WWW-Authenticate, Retry-After, Allow).
	Header map[string]string
	// More are further faults of the same step, for codes that collect several.
	More []Fault
	// Detail is evidence for the record, such as WAF rule ids and scores.
	Detail map[string]any
	// LoginHelps says that a browser which logs in would be let in.
	LoginHelps bool
	// StepUp is the fresher or stronger authentication that is demanded (RFC 9470), or nil.
	StepUp *StepUp
	// Login is where a browser can log in, "" where it cannot. With Redirect the
	// answer sends it there.
	Login    string
	Redirect bool
}

// StepUp is a demand on how and when the user authenticated.
type StepUp struct {
	ACR    []string // any of them; nil demands none
	MaxAge int64    // seconds; -1 demands none
}

// Fault is one of several faults that a step found.
type Fault struct {
	Code   string `json:"code"`
	At     string `json:"at,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Refuse returns a denying Verdict.
func Refuse(code, at, reason string) Verdict {
	return Verdict{Action: Deny, Code: code, At: at, Reason: reason}
}

// Undecided returns a Verdict that says the guard could not decide.
func Undecided(code, reason string) Verdict {
	return Verdict{Action: Unable, Code: code, Reason: reason}
}

// Ruling is a Verdict as recorded: which step, how long, and in which mode.
type Ruling struct {
	Guard    string
	Phase    Phase
	Mode     string // "monitor" or "enforce"
	Duration time.Duration
	Verdict  Verdict
	// Enforced is true for the one ruling that ended the exchange.
	Enforced bool
}

// Obligations are conditions that a policy puts on an allowed call.
type Obligations struct {
	Strip   []string          // JSON pointers (with *) to remove from the answer
	Mask    []string          // JSON pointers (with *) to mask in the answer
	Masks   []Mask            // the same, each in its own way
	Headers map[string]string // to add to the upstream request
	Query   map[string]string // filters to add to the upstream's query
	Answer  []AnswerRule      // what a successful answer must hold, else it is kept from the client
	Keep    []Keep            // which elements of the answer's lists stay in it
}

// Mask says how values of an answer are masked. Null stays null.
type Mask struct {
	At   string // JSON pointer; * stands for any element or member, ** for any depth
	Kind string // MaskNull, MaskFixed, MaskLast4 or MaskHash
	// Text is the JSON scalar that MaskFixed puts in place.
	Text string `json:",omitempty"`
}

// The kinds of a Mask.
const (
	MaskNull  = "null"
	MaskFixed = "fixed"
	MaskLast4 = "last4" // ****1234: the last four characters of a text or number of eight or more
	MaskHash  = "hash"  // a keyed hash: the same value has the same hash, and nobody without the key finds the value
)

// Keep says which elements of a list in a successful answer stay in it.
type Keep struct {
	At    string // JSON pointer of the list, "" for the answer itself; * stands for any element or member
	Where Condition
	// Optional says that the answer may lack the list. Else it is kept from the client then.
	Optional bool `json:",omitempty"`
}

// Condition rules on one element of a list.
type Condition interface{ Holds(row *value.Value) bool }

// AnswerRule says that a value of the answer must be one of a list: that an
// object is the caller's, when only the answer says whose it is (API1:2023).
type AnswerRule struct {
	At string   // JSON pointer; * stands for any element or member
	In []string // texts of strings, numbers or booleans
}

// Empty reports whether nothing is demanded.
func (o *Obligations) Empty() bool {
	return !o.Rewrites() && len(o.Headers) == 0 && len(o.Query) == 0 && len(o.Answer) == 0 && len(o.Keep) == 0
}

// Rewrites reports whether something of the answer is removed or masked as it passes.
func (o *Obligations) Rewrites() bool { return len(o.Strip) > 0 || len(o.Mask) > 0 || len(o.Masks) > 0 }

// Holds reports whether the answer must be held until all of it has been seen.
func (o *Obligations) Holds() bool { return len(o.Answer) > 0 || len(o.Keep) > 0 }
