package gateway

import (
	"context"
	"net/netip"
)

// Call is what the gateway has found out about an exchange and its upstream
// needs to be told beside the request itself. An Upstream makes X-Forwarded-For,
// X-Forwarded-Proto and X-Forwarded-Host and the signed header from it.
type Call struct {
	ID     string     // request id
	Client netip.Addr // true client address
	Scheme string     // "https" or "http", as the client sees it
	Host   string     // as the client sees it
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
