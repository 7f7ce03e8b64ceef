package target

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
	// Measures: a limit is what the request is looking for. It does not go slower for
	// one that covers the whole target if that is slow enough to protect what is asked.
	Measures bool

	// Root leaves the target's base path out: Path is from the root of the host.
	Root bool
	// Origin is another of the origins in scope to send to ("https://id.example.com");
	// "" is the target. Its base path is not used there.
	Origin string
}

// Get is the first value of a header field of the request, "" when there is none.
func (r *Request) Get(name string) string {
	for _, f := range r.Header {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Set puts one field in place of all of that name.
func (r *Request) Set(name, value string) {
	kept := make([]Field, 0, len(r.Header)+1)
	for _, f := range r.Header {
		if !strings.EqualFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	r.Header = append(kept, Field{Name: name, Value: value})
}

// Clone is a copy whose header and body can be changed.
func (r *Request) Clone() *Request {
	c := *r
	c.Header = slices.Clone(r.Header)
	c.Body = slices.Clone(r.Body)
	return &c
}

// Field is one header field.
type Field struct{ Name, Value string }

// purpose is what something is sent for, and how urgent that is.
type purpose struct {
	what    string
	urgency int
}

type purposeKey struct{}

// For is a context of what is sent for one purpose: Exchange.For of it, and its
// urgency among what waits for its turn.
func For(ctx context.Context, what string, urgency int) context.Context {
	return context.WithValue(ctx, purposeKey{}, purpose{what, urgency})
}

func purposeOf(ctx context.Context) purpose {
	p, _ := ctx.Value(purposeKey{}).(purpose)
	return p
}

// Exchange is a request and what came of it. Neither is changed once the Client has given it out.
type Exchange struct {
	Seq       int64  // in order of sending, from 1, over the whole run
	As        string // name of the actor whose credentials it carries; "" for nobody's
	For       string // what it was sent for, as its context says: a check's id; "" nobody said
	Request   *Request
	Sent      time.Time
	Duration  time.Duration // from sending to the last byte read
	FirstByte time.Duration // from sending to the head of the answer
	Proto     string
	Status    int // 0: no answer; of a refusal that calls itself a success: the status that it should have
	Wire      int // the status that was sent
	Header    http.Header
	Body      []byte // up to the Client's bound
	Truncated bool   // the body was longer
	Err       error  // why there is no answer
	// Raw is what came where bytes were sent as they are; nil: an ordinary exchange.
	Raw *RawAnswer
	// TLS is what a handshake showed, as Body has it in JSON; nil: no handshake was asked for.
	TLS *Handshake
}

// RetryAfter is how long an answer asks to wait (RFC 9110 section 10.2.3), a day at
// most; 0 when it does not say.
func (ex *Exchange) RetryAfter() time.Duration {
	const most = 24 * time.Hour
	text := ex.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Duration(min(n, int(most/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), most)
	}
	return 0
}
