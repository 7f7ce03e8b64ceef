// Package filter turns what a policy leaves open about a row into a condition
// that others can apply.
//
// In: the outcome of OPA's partial evaluation with the rows unknown, or a
// condition written as UCAST (the JSON form of OPA's compile API). Out: a Cond,
// and its text for an upstream: SQL, UCAST, OData, RSQL, or plain fields. A Cond
// also rules on rows of an answer by itself.
//
// It must never widen what the policy said. What cannot be translated exactly,
// or only to something narrower, is an error, and the caller denies.
package filter
