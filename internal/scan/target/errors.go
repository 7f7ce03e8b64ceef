package target

import (
	"errors"
	"fmt"
	"time"
)

// Why a request was not sent.
var (
	// ErrScope: it would have gone to an origin that the user did not name.
	ErrScope = errors.New("outside the scope that was given")
	// ErrBudget: Options.MaxRequests have been sent.
	ErrBudget = errors.New("the budget of requests is used up")
	// ErrTime: Options.MaxTime has passed.
	ErrTime = errors.New("the time for the run is over")
	// ErrRequest: it cannot be written as an HTTP request.
	ErrRequest = errors.New("not a request that can be sent")
	// ErrRefused: Options.Allow said no.
	ErrRefused = errors.New("not sent")
	// ErrClosed: the Client was closed.
	ErrClosed = errors.New("the client is closed")
)

// DownError says that the target went away and did not come back in time.
type DownError struct {
	Origin string
	Since  time.Time
	Waited time.Duration
	Last   error // what the last probe met
}

func (e *DownError) Error() string {
	return fmt.Sprintf("the target %s has not answered since %s (waited %s; last: %v)",
		e.Origin, e.Since.Format(time.TimeOnly), e.Waited.Round(time.Second), e.Last)
}

// Unwrap gives what the last probe met.
func (e *DownError) Unwrap() error { return e.Last }
