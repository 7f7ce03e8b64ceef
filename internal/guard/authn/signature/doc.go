// Package signature reads and verifies HTTP message signatures (RFC 9421).
//
// In: a message's head as its sender wrote it (method, target, fields), and the
// keys of those who may sign. Out: the signatures on it with what each of them
// covers, the exact text that was signed, whether a key made it, and whether a
// policy finds that it covers enough and is of this time.
//
// It must never take a component for covered that it could not read in exactly
// one way (a field that is not there, a query parameter that stands twice, a
// label or a name that is repeated), never let a signature choose its algorithm
// (the key does), and never look at what a signature does not cover.
package signature
