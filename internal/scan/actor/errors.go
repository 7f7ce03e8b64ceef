package actor

import (
	"context"
	"errors"
	"fmt"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// What may go wrong with people.
var (
	// ErrCannotRegister: the run cannot make accounts here; the error says why.
	ErrCannotRegister = errors.New("no account can be registered")
	// errTooMany: others were registered before; it is a matter of time.
	errTooMany = errors.New("too many were registered already")
	// ErrSessionEnded: the session is answered as nobody is.
	ErrSessionEnded = errors.New("the session has ended")
	// ErrCannotLogin: no session came of it; the error says why.
	ErrCannotLogin = errors.New("logging in does not work")
	// ErrNoWitness: no call is known that answers this actor otherwise than nobody.
	ErrNoWitness = errors.New("nothing tells this session from none")
	// ErrCannotRenew: the credentials are fixed, so a session that has ended stays so.
	ErrCannotRenew = errors.New("the session cannot be renewed")
)

// blocked says what stands in the way of an account.
type blocked struct {
	err  error
	stop obstacle
	last *target.Exchange
	why  string
}

func (b *blocked) Error() string {
	text := b.err.Error() + ": "
	if b.stop != obstacleNone {
		text += string(b.stop)
	} else {
		text += b.why
	}
	if b.last != nil && b.last.Status > 0 {
		text += fmt.Sprintf(" (last answer: %d to %s %s)", b.last.Status, b.last.Request.Method, b.last.Request.Path)
	}
	return text
}

func (b *blocked) Unwrap() error { return b.err }

// stops: the error ends the run or the actor's part in it, and trying something else would not help.
func stops(err error) bool {
	return target.IsDown(err) || errors.Is(err, target.ErrBudget) || errors.Is(err, target.ErrTime) || errors.Is(err, target.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
