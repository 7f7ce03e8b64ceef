// Package traffic is a day of honest traffic for Harbour: what customers on the
// web and on phones, couriers, depots' machines, the finance system, the office
// and anonymous followers of parcels send from midnight to midnight.
//
// In: a seed. Out: calls in the order of time, the same for the same seed. A
// call may speak of what an earlier one was answered (${name}); a [Player] puts
// the values in, drives the clock, and checks every answer.
//
// It must never hold an attack: people here mistype, forget, click twice, and
// are called O'Brien, so that whatever a guard refuses of this is a false alarm.
package traffic
