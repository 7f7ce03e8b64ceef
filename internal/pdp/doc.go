// Package pdp is the decision point: services behind the gateway ask the policies
// that the gateway decides by.
//
// In: OPA's Data API (GET and POST /v1/data/…) and the OpenID AuthZEN
// Authorization API 1.0 (/access/v1/evaluation, /evaluations, /search/…), each with
// a key whose holder may ask it. Out: what the active policy of an API says, and for
// each question a Decision and a Completion in the trail, written as those of calls.
//
// A question goes: room in the trail → key → may its holder ask this → body within
// its bounds, decoded strictly → evaluation → record → answer.
//
// It must never decide without a key, never answer "allowed" when a policy is
// undefined, fails, takes too long or is not there, and never show the reason of a
// decision to a client that may not see it.
package pdp
