// Package limit bounds how much: how many calls an address, a network, an
// identity, a key, a plan, the holder of a claim or an API as a whole may make.
//
// In: the client's address (AddressStep, before anything of the request is looked
// at), then identity and operation (IdentityStep), and at the end how large the
// answer was. Out: a Verdict limit.rate or limit.quota with Retry-After, and what
// is left as Allowances for the answer's RateLimit fields.
//
// Each rate is one number a caller (meter.go): a pure function of law, clock,
// state and cost, in memory as in Redis. All limits of a call are charged together
// or not at all, so a refused call costs its caller nothing. With shared state that
// is one script and one round trip; AddressStep then only looks at what Redis said
// last, so a flood of refused calls costs Redis nothing either (Envoy's ratelimit
// and Kong charge each limit by itself, and count what they refuse).
//
// Memory is of fixed size and outlives reloads. It must never grow with the number
// of callers, never forget a bucket that is not full again (else a flood of new
// callers would reset one's own), and never admit more than burst + rate × time
// for any caller, whatever the number of callers. While Redis is away each gateway
// admits its stated share, from what it knew was left: never without limit.
package limit
