package caddy

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	caddycore "github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/crenel-project/crenel/config"
)

func init() {
	caddycore.RegisterModule(&handler{})
	caddycore.RegisterModule(&refusal{})
}

// pending are the generations that a Caddy config names by id and that its
// handler module has yet to collect: JSON cannot carry a Gateway.
var pending sync.Map // string → *birth

type birth struct {
	gen   *generation
	cfg   *config.Config
	plane *Plane
}

// handler is the Caddy module that hands requests to the current generation.
type handler struct {
	Generation string `json:"generation"`

	ctx     caddycore.Context
	plane   *Plane
	current atomic.Pointer[generation]
}

var (
	_ caddycore.Provisioner       = (*handler)(nil)
	_ caddycore.CleanerUpper      = (*handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*handler)(nil)
)

// CaddyModule names the module.
func (*handler) CaddyModule() caddycore.ModuleInfo {
	return caddycore.ModuleInfo{ID: "http.handlers.crenel", New: func() caddycore.Module { return new(handler) }}
}

// Provision collects the generation and builds its upstream handlers.
func (h *handler) Provision(ctx caddycore.Context) error {
	v, ok := pending.LoadAndDelete(h.Generation)
	if !ok {
		return fmt.Errorf("crenel: no generation %q waits to be started", h.Generation)
	}
	b := v.(*birth)
	h.ctx, h.plane = ctx, b.plane
	if err := b.gen.provision(ctx, b.cfg); err != nil {
		return err
	}
	h.current.Store(b.gen)
	b.plane.newest.Store(h)
	return nil
}

// Cleanup ends the generation of a config that Caddy drops because it could not
// be started. One that ran goes on until the Plane has made another current: the
// old servers may still be handed a connection.
func (h *handler) Cleanup() error {
	if g := h.current.Load(); g != nil && !g.adopted.Load() {
		g.retire(h.plane.linger)
	}
	return nil
}

// swap makes gen current under the running listeners.
func (h *handler) swap(gen *generation) {
	if old := h.current.Swap(gen); old != nil {
		old.retire(h.plane.linger)
	}
}

// ServeHTTP runs one exchange in the current generation.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	delete(w.Header(), "Server")
	// Neither may reach any API: CONNECT asks for a tunnel to anywhere, TRACE
	// echoes credentials (CWE-693).
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		writeProblem(w, http.StatusMethodNotAllowed, "contract.unknown_method")
		return nil
	}
	// HTTP/2 and HTTP/3 let through what package wire stops in HTTP/1.
	if cl := r.Header["Content-Length"]; len(cl) > 1 || len(cl) == 1 && strconv.FormatInt(r.ContentLength, 10) != trimZeros(cl[0]) ||
		r.URL.Path == "" || r.URL.Path[0] != '/' {
		writeProblem(w, http.StatusBadRequest, "gateway.bad_request")
		return nil
	}
	g := h.enter()
	if g == nil { // stopped for good
		w.Header().Set("Connection", "close")
		writeProblem(w, http.StatusServiceUnavailable, "gateway.overloaded")
		return nil
	}
	defer g.leave()
	if newest := h.plane.newest.Load(); newest != h && newest != nil && r.ProtoMajor < 3 && r.Header["Upgrade"] == nil {
		w.Header().Set("Connection", "close") // this connection's server is about to end
	}
	g.handler.ServeHTTP(w, r)
	return nil
}

// enter counts an exchange into the current generation: the handler's own, or,
// where that has ended since its config was replaced, the plane's. Nil: there is none.
func (h *handler) enter() *generation {
	for {
		own, plane := h.current.Load(), h.plane.current.Load()
		for _, g := range []*generation{own, plane} {
			if g != nil && g.enter() {
				return g
			}
		}
		if own == h.current.Load() && plane == h.plane.current.Load() {
			return nil
		}
	}
}

// trimZeros removes zeros that mean nothing from a Content-Length.
func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

// refusal renders what Caddy refuses before any handler of ours sees it.
type refusal struct{}

var _ caddyhttp.MiddlewareHandler = (*refusal)(nil)

// CaddyModule names the module.
func (*refusal) CaddyModule() caddycore.ModuleInfo {
	return caddycore.ModuleInfo{ID: "http.handlers.crenel_refusal", New: func() caddycore.Module { return new(refusal) }}
}

// ServeHTTP writes the problem document of the error that Caddy found.
func (*refusal) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	delete(w.Header(), "Server")
	status := http.StatusInternalServerError
	if e, ok := r.Context().Value(caddyhttp.ErrorCtxKey).(caddyhttp.HandlerError); ok && e.StatusCode >= 400 {
		status = e.StatusCode
	}
	code := "gateway.internal"
	switch {
	case status == http.StatusMisdirectedRequest:
		code = "gateway.unknown_host"
	case status == http.StatusMethodNotAllowed:
		code = "contract.unknown_method"
	case status < 500:
		code = "gateway.bad_request"
	}
	writeProblem(w, status, code)
	return nil
}
