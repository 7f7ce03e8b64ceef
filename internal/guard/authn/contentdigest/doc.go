// Package contentdigest checks that a message's content is what its
// Content-Digest field says (RFC 9530).
//
// In: the field, then the content as it was sent, before any decoding, piece by
// piece. Out: at its end, whether every digest that can be checked is that of
// what was seen. A digest protects nothing by itself: it must be covered by a
// signature.
//
// It must never take a field with no digest that it can check, nor one that
// names an algorithm twice, and never believe an algorithm that is broken.
package contentdigest
