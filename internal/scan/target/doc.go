// Package target is the scanner's one way out. Every request of a run passes
// through a Client, which holds it to the origins that the user named, to the
// budgets and the rate, records it, and notices when the target dies.
//
// In: requests as exact bytes where it matters (an escaped path stays as it was
// written, a header may come twice). Out: Exchanges, with bodies up to a bound.
//
// Two things about answers are the same for all that send, and are settled here: a
// refusal whose status says success has the status that its envelope names (soft.go;
// Exchange.Wire keeps what was sent), and a limit on everything is waited for (ease.go).
//
// It must never follow a redirect by itself, never send to another origin,
// never decode or clean up what an attacker would send raw, and never keep a
// credential in a log or an error.
package target
