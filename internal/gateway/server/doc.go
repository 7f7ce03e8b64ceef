// Package server is a running gateway: it puts the chain, the data plane, the
// event file, the operator's listener and the control socket together, and keeps
// them together over reloads until it is told to stop.
//
// In: a validated config, and a way to load it anew. Out: a gateway that serves,
// reloads whole on SIGHUP, on changed files and on demand, and stops gracefully.
//
// A new config either takes effect wholly or not at all: it must never replace
// one that works by one that does not. It must never leave a goroutine or a file
// behind when it has stopped, and never lose a record.
package server
