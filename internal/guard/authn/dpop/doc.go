// Package dpop verifies proofs of possession as RFC 9449 has them: that whoever
// sends an access token also holds the key that the token is bound to.
//
// In: the proof from the DPoP field, and the call that it must be for: method,
// address as the client sees it, access token. Out: the thumbprint of the key
// that made it and the mark by which a second use is known, or why it does not
// hold. Nonces are stateless: a keyed digest over a time, with keys that rotate
// and that all gateways share.
//
// It must never take a proof made for another call, by a key that it did not
// show, outside its window of time, or with a symmetric or private key; and it
// never believes that a key is the caller's: that is for the token to say.
package dpop
