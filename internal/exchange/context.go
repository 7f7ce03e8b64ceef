package exchange

import "context"

type contextKey struct{}

// With returns a context that carries an exchange to a handler of the gateway's own.
func With(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, contextKey{}, x)
}

// Of returns the context's exchange, or nil.
func Of(ctx context.Context) *Exchange {
	x, _ := ctx.Value(contextKey{}).(*Exchange)
	return x
}
