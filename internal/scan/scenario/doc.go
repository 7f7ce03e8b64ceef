// Package scenario runs a short story against a target and says whether it
// proves what it claims: steps as named actors, values taken from one answer
// into the next request, and expectations. It is the one machinery behind every
// finding, every regression file and every check that a user writes.
//
// In: a Scenario (made by a check, or read from YAML) and a Stage (who the
// actors are, how to send, where to listen). Out: an Outcome: proven, refuted
// or inconclusive, by which step, with every exchange.
//
// A run starts from scratch: new objects, new canaries. Setup that fails makes
// it inconclusive; a control or an attack that does not show what it should
// refutes it. It must never let a value from outside change the structure of a
// request that a step did not mean (each placeholder is encoded for its place),
// and never write a credential into a file.
package scenario
