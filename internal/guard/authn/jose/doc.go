// Package jose has the few parts of JOSE that the ways of proving who is calling
// share: the algorithms that are taken, public keys as JWK, and the one strict
// spelling of base64url and JSON that tokens and proofs are read in.
//
// In: text from strangers and keys from whoever is trusted for them. Out: keys
// fit for one family of algorithms, thumbprints, and whether a signature holds.
//
// It must never let a key serve an algorithm of another family (a public key as
// an HMAC secret), never take a key that is too weak, and never read one text in
// two ways.
package jose
