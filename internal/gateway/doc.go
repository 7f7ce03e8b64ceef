// Package gateway drives an API's guards over real HTTP exchanges.
//
// In: a net/http request and, for each API, the handler that calls its upstream.
// Out: the upstream's answer as the guards let it through, or a problem document
// (RFC 9457); and for each exchange a Decision before the first byte of the
// answer and a Completion after the last.
//
// The request is normalised once, its body read once, within its limit, and only
// when a step needs it. It must never send upstream what it did not understand
// the way that the guards did, never hold a stream whole, and never answer
// before the record of the decision has a place in the queue.
package gateway
