// Package scan tests an API as an attacker with several accounts would, and
// proves every hole that it reports.
//
// In: a description of the API (source), the address of a target, and what the
// user knows of accounts. Out: findings with proof, coverage, statistics.
//
// A run goes from top to bottom through the rooms below it:
//
//	source    whatever describes the API → spec.API, with the repairs it took
//	graph     spec.API → resources, who makes and who takes which value, what each operation is for
//	target    the one way out: every request passes its scope, budget, rate and record
//	actor     people: their credentials, their sessions, whether those are alive
//	world     valid calls as each actor; objects made, with canaries in them; coverage
//	check     hypotheses: "this actor can read that one's order here"
//	scenario  steps that prove or refute one hypothesis from scratch, in controls and attacks
//	report    what a person, a pipeline or another tool reads
//
// A hypothesis becomes a finding only when its scenario, run again from the
// beginning with new objects and new canaries, proves it.
//
// It must never send anything outside the origins that the user named, never
// take a status code for a proof, never report what its controls do not tell
// from honest behaviour, never delete what it did not make, and never know
// anything of a particular API.
package scan
