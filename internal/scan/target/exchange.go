package target

import (
	"net/http"
	"time"
)

// Request is one request, as it is sent. The Client adds nothing but what HTTP
// demands (Host, Content-Length, a User-Agent where there is none).
type Request struct {
	Method string
	Path   string  // escaped, as sent, with the leading slash: "/a%2Fb", "/x/..;/y"
	Query  string  // raw, without the question mark
	Header []Field // in order; a name may come twice
	Body   []byte  // nil: none
	Host   string  // "" the target's own
	// Timeout bounds this request; 0: the Client's.
	Timeout time.Duration
}

// Field is one header field.
type Field struct{ Name, Value string }

// Exchange is a request and what came of it.
type Exchange struct {
	Seq       int64  // in order of sending, from 1, over the whole run
	As        string // name of the actor whose credentials it carries; "" for nobody's
	Request   *Request
	Sent      time.Time
	Duration  time.Duration // from sending to the last byte read
	FirstByte time.Duration // from sending to the head of the answer
	Proto     string
	Status    int // 0: no answer
	Header    http.Header
	Body      []byte // up to the Client's bound
	Truncated bool   // the body was longer
	Err       error  // why there is no answer
}
