// Package control is how a running gateway is told what to do, and asked what
// it does: HTTP over a unix socket in its data directory.
//
// In: status, reload, the verbs that a Handler adds, and a feed of events. Out: JSON. Who asks is known by the
// connection itself (the peer's user id, from the kernel): that is the actor
// whom the audit trail names. Only the gateway's own user and root are heard.
//
// It changes nothing by itself: a Handler does. It must never be reachable
// beyond this machine, never let a slow reader of events hold the gateway up,
// and never leave a socket that another user can open, not even for a moment.
package control
