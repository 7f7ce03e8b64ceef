package exchange

import (
	"io"
	"sync"
)

// ContentCheck compares a body, as it was sent and before any decoding, with
// what its sender vouched for. It is safe for concurrent use: the upstream's
// transport may still read a body whose exchange has ended.
type ContentCheck struct {
	mu    sync.Mutex
	sum   ContentSum
	done  bool
	fault error
}

// ContentSum takes content piece by piece, without failing, and says at its end
// what is wrong with it.
type ContentSum interface {
	io.Writer
	End() error
}

// NewContentCheck makes a check of a sum that has seen nothing yet.
func NewContentCheck(sum ContentSum) *ContentCheck { return &ContentCheck{sum: sum} }

// Write takes a piece of the body. It never fails.
func (c *ContentCheck) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.sum.Write(p)
	return len(p), nil
}

// End says that all of the body was seen, and returns what is wrong with it.
func (c *ContentCheck) End() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		c.done, c.fault = true, c.sum.End()
	}
	return c.fault
}

// Ended reports whether all of the body was seen, and what is wrong with it.
func (c *ContentCheck) Ended() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done, c.fault
}
