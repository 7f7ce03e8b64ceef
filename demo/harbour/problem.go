package harbour

import (
	"encoding/json"
	"errors"
	"net/http"
	"runtime/debug"
)

// Problem is an RFC 9457 problem document and the error that handlers return;
// ServeHTTP renders it in one place. Anything else a handler returns is a 500.
type Problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Code      string       `json:"code"`
	Detail    string       `json:"detail,omitempty"`
	RequestID string       `json:"request_id"`
	Errors    []FieldError `json:"errors,omitempty"`
	Debug     *debugInfo   `json:"debug,omitempty"`

	cause      error
	retryAfter string
}

// FieldError places one mistake in the request.
type FieldError struct {
	At  string `json:"at"` // JSON pointer, or the parameter's name
	Why string `json:"why"`
}

type debugInfo struct {
	Error    string `json:"error"`
	Database string `json:"database"`
	Stack    string `json:"stack"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }
func (p *Problem) Unwrap() error { return p.cause }

func problem(status int, code, detail string) *Problem {
	return &Problem{
		Type: "https://harbour.example/problems/" + code, Title: http.StatusText(status),
		Status: status, Code: code, Detail: detail,
	}
}

func badRequest(detail string, cause error) *Problem {
	p := problem(http.StatusBadRequest, "malformed_request", detail)
	p.cause = cause
	return p
}

func invalid(at, why string) *Problem {
	p := problem(http.StatusUnprocessableEntity, "invalid_request", "The request is not what this operation takes.")
	p.Errors = []FieldError{{at, why}}
	return p
}

// notFound is also the answer for objects of somebody else: whether they exist
// is not the caller's business.
func notFound(what string) *Problem {
	return problem(http.StatusNotFound, "not_found", "There is no such "+what+".")
}

func forbidden() *Problem {
	return problem(http.StatusForbidden, "forbidden", "Your account may not do this.")
}

func unauthenticated() *Problem {
	return problem(http.StatusUnauthorized, "unauthenticated", "A valid access token is needed.")
}

func conflict(code, detail string) *Problem { return problem(http.StatusConflict, code, detail) }

func tooMany(retryAfter string) *Problem {
	p := problem(http.StatusTooManyRequests, "too_many_requests", "Too many tries; wait and try again.")
	p.retryAfter = retryAfter
	return p
}

// fail renders err, and is the only place that does.
func (s *Server) fail(c *call, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		s.log.Error("request failed", "request_id", c.id, "method", c.r.Method, "path", c.r.URL.Path, "error", err.Error())
		p = problem(http.StatusInternalServerError, "internal_error", "Something went wrong on our side.")
		p.cause = err
	}
	out := *p
	out.RequestID = c.id
	if s.open("verbose-errors") {
		// The inner error, the driver and the stack tell an attacker what to aim at.
		out.Debug = &debugInfo{Error: causes(err), Database: "sqlite (modernc.org/sqlite) " + s.dataSource(), Stack: string(debug.Stack())}
	}
	// Fixed: the code and the request id; the operator finds the rest in the log.
	h := c.w.Header()
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="harbour"`)
	}
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	h.Set("Content-Type", "application/problem+json")
	c.w.WriteHeader(p.Status)
	_ = json.NewEncoder(c.w).Encode(out) // the client is gone if this fails
}

func causes(err error) string {
	text := err.Error()
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		text += " <- " + inner.Error()
	}
	return text
}
