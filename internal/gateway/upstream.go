package gateway

import (
	"fmt"
	"net/http"
)

// Upstream calls an API's upstream and writes its answer. When it returns an
// error nothing has been written, unless the answer broke off after its head.
type Upstream func(w http.ResponseWriter, r *http.Request) error

// Upstreams gives an API's Upstream by the API's name.
type Upstreams func(api string) Upstream

// UpstreamError is why an upstream could not be called. Code is one of
// "gateway.upstream_unreachable", "gateway.upstream_unavailable" and
// "gateway.upstream_timeout".
type UpstreamError struct {
	Code string
	Err  error
}

func (e *UpstreamError) Error() string { return fmt.Sprintf("%s: %v", e.Code, e.Err) }

func (e *UpstreamError) Unwrap() error { return e.Err }
