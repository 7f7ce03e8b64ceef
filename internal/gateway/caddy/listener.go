package caddy

import (
	"net"

	caddycore "github.com/caddyserver/caddy/v2"

	"github.com/crenel-project/crenel/internal/gateway/wire"
)

func init() { caddycore.RegisterModule(&wireWrapper{}) }

// wireWrapper is the Caddy module that puts package wire's inspection under the
// HTTP server.
type wireWrapper struct {
	Plane string `json:"plane"`

	plane *Plane
}

var (
	_ caddycore.ListenerWrapper = (*wireWrapper)(nil)
	_ caddycore.Provisioner     = (*wireWrapper)(nil)
)

// CaddyModule names the module.
func (*wireWrapper) CaddyModule() caddycore.ModuleInfo {
	return caddycore.ModuleInfo{ID: "caddy.listeners.crenel_wire", New: func() caddycore.Module { return new(wireWrapper) }}
}

// Provision finds the Plane.
func (w *wireWrapper) Provision(caddycore.Context) (err error) {
	w.plane, err = planeOf(w.Plane)
	return err
}

// WrapListener inspects what the listener's connections bring.
func (w *wireWrapper) WrapListener(ln net.Listener) net.Listener {
	return w.plane.conns.Listener(ln, wire.Options{Problem: problem, OnRefused: w.plane.onRefused, Limits: w.plane.limits, OnTurnedAway: w.plane.onTurnedAway})
}
