// Package exchange is the vocabulary that all rooms share: one HTTP exchange as
// it walks through the gateway, who made the call, what each guard ruled and
// what is recorded of it.
//
// In: a request as the data plane received it, already normalised. Out: a
// Decision before the first byte of the answer and a Completion after the last.
// One *Exchange is made for a request, passed by pointer and filled from top to
// bottom by the guards in order; there is no other channel between guards.
//
// It must never hold a secret in a field that is recorded (Decision and
// Completion), and it must never be used by two goroutines at once.
package exchange
