// Package limit bounds how much: how many calls an address, an identity, or an
// API as a whole may make.
//
// In: the client's address (AddressStep, before the operation is known), later
// the identity and the operation (IdentityStep). Out: a Verdict limit.rate with
// Retry-After, or the RateLimit fields of the answer.
//
// Each rate is a token bucket kept as one number, the theoretical arrival time
// (GCRA): a pure function of clock, state and cost. All rates of a step are
// charged together or not at all, and a request that the second step refuses
// gets back what the first charged, so a refused request costs its caller nothing.
//
// The state is a Memory of fixed size that outlives reloads. It must never grow
// with the number of callers, never forget a bucket that is not full again (else
// a flood of new callers would reset one's own), and never admit more than burst
// + rate × time for any caller, whatever the number of callers.
package limit
