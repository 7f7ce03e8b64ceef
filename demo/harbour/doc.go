// Package harbour is Harbour, a sample parcel-delivery API with documented
// security holes. Crenel's tour, tests and benchmarks attack and guard it.
//
// In: HTTP requests, a set of open holes ("none", "all" or ids), a clock, keys.
// Out: JSON answers as openapi.yaml promises them, and, through [RunAttack], a
// proof for each hole that it is open or closed.
//
// With no hole open Harbour is meant to be a sound API: each hole's fixed branch
// stands beside the vulnerable one, under the hole's id, so that the same attack
// measures misses and the same honest traffic measures false alarms.
//
// It must never listen beyond loopback with a hole open, never read or run
// anything outside its own temporary directory, and never be used for real data.
package harbour
