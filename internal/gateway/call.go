package gateway

import (
	"context"
	"io"
	"net/netip"
	"sync"
)

// Call is what the gateway has found out about an exchange and its upstream
// needs to be told beside the request itself. An Upstream makes X-Forwarded-For,
// X-Forwarded-Proto and X-Forwarded-Host and the signed header from it.
type Call struct {
	ID     string     // request id
	Client netip.Addr // true client address
	Scheme string     // "https" or "http", as the client sees it
	Host   string     // as the client sees it

	mu     sync.Mutex
	ended  bool
	answer io.Closer
}

// Opened tells of the body of an answer that may take long, before it is read: it
// is closed when the exchange is cut.
func (c *Call) Opened(body io.Closer) {
	c.mu.Lock()
	c.answer = body
	ended := c.ended
	c.mu.Unlock()
	if ended {
		_ = body.Close()
	}
}

// end closes the answer's body.
func (c *Call) end() {
	c.mu.Lock()
	c.ended = true
	body := c.answer
	c.mu.Unlock()
	if body != nil {
		_ = body.Close()
	}
}

type callKey struct{}

// WithCall returns a context that carries c to the Upstream.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallOf returns the context's Call, or nil.
func CallOf(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}
