package traffic

import (
	"net/http"
	"time"
)

// Residents is how many residents (harbour.Options.Residents) a day needs.
const Residents = 200

// Call is one request of the day, and what a Harbour, with whatever holes, answers.
type Call struct {
	At     time.Duration // since midnight
	Actor  string        // account, program, or visitor
	Kind   string        // web, mobile, scanner, office, system, anonymous
	Remote string        // the caller's address, host:port
	Method string
	Path   string            // with query; may hold ${name}
	Header http.Header       // without Authorization
	Body   string            // may hold ${name}
	Token  string            // "session" (the actor's), "oauth:CLIENT:SCOPES", or nothing
	Want   []int             // statuses, one of which is right
	Save   map[string]string // name: JSON pointer into the answer
}

// Honest mistakes are calls that are rightly answered with 4xx.
func (c Call) Mistake() bool { return len(c.Want) > 0 && c.Want[0] >= 400 }
