// Package graph works out what an API is about, from its description alone:
// which resources there are, which operation makes, lists, reads, changes or
// deletes which, where each value that an operation takes can come from, which
// fields name owners, and which operations serve a purpose that attackers know
// (login, registration, payment, upload, administration …).
//
// In: a spec.API; later, what answers really held (Observe). Out: a Graph.
//
// Everything is judged by shape (names, types, formats, paths, $refs, examples,
// links) with a score and a reason that a person can read. It must never key on
// a particular API's words, never panic on any description, and never cost more
// than a few seconds for a thousand operations.
package graph
