// Package caddy is the embedded data plane: it listens, terminates TLS, hands
// each request to the gateway's handler and calls upstreams, all with Caddy.
//
// In: a validated config and a compiled Gateway. Out: a running server; Load
// swaps in another config and Gateway wholly, or returns an error and leaves
// everything as it was.
//
// What all APIs share (addresses, TLS, limits) is the frame. When a new config
// has the same frame, only the generation (Gateway and upstream handlers) is
// swapped, under the running listeners: no connection is closed. When the frame
// differs, Caddy loads a new config. A generation is closed when its last
// exchange has ended.
//
// It must never start Caddy's admin API, install a root certificate, save a
// config, accept 0-RTT, or let through a request head that net/http would
// silently repair (see package wire). Caddy is one per process, so a Plane is too.
package caddy
