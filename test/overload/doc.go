// Package overload attacks the running binary with what takes servers down
// (slowloris, ten thousand connections, rapid reset, bombs, heads of a megabyte)
// while honest callers go on at a fixed rate, and measures what they get and how
// much memory the gateway takes: make overload. It also holds three gateways that
// share a Redis to one rate: make shared-rate.
//
// In: the attacks' names and lengths (CRENEL_OVERLOAD, the seconds of each attack).
// Out: docs/overload.md (-update), and a failure where honest callers keep less
// than 90 % of their rate or the gateway takes 512 MB.
//
// Attackers run in a process of their own, held to one core. Honest callers never
// wait for one another: a slow answer does not lower the rate at which they ask.
package overload
