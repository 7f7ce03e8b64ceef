// Package authz is the guard that decides whether the caller may make the call.
//
// In: the Exchange with its Identity, operation, parameters and body. Out: a
// verdict, and the obligations that a policy puts on an allowed call.
//
// Two things decide, and both must agree. The built-in policy is what the
// document and the config say (authenticated unless public, the scopes of the
// alternative that the caller met, the roles of an override), compiled to Go. A
// user's policy is Rego, evaluated in process by Open Policy Agent; its input is
// built as OPA's own values straight from the Exchange.
//
// # How a policy comes to decide
//
//	Source ──Part──► Engine.Update: join → compile → tests → gates → swap → subscribers
//
// A Part is what one source gives (files, a bundle, tables of relations): Rego,
// data, and Tables, which hold data in a way of their own and are read where a
// policy refers to them. An Engine joins the last part of each of its sources.
// Roots may not overlap. When rules or data of files and bundles differ they are
// compiled and their tests run; when only tables differ neither is needed.
// Then each Gate may refuse the candidate. What decides is one immutable *Policy
// behind an atomic pointer (rules, data and revisions of one moment): an
// evaluation that has begun ends with the one that it began with, and a swap
// waits for none. Subscribers are told after each swap.
//
//   - A source implements Feed: it delivers by Update, says Confirm when it was
//     heard of and has nothing new, Fail when it could not be heard.
//   - Parts that are refused are kept, and tried again with what another source
//     brings: two bundles that need each other's news are activated together.
//   - A candidate is evaluated beside the active policy with Policy.Evaluate; the
//     input comes from Decided, which Engine.Observe gives for every decision.
//   - Policy.Revisions and Policy.Serial go into records.
//
// A policy that does not compile, or whose tests fail, is never activated.
// Undefined, an error and a time-out all deny; so does a source that was unheard
// of for longer than its MaxAge, or that has not given anything yet. A policy
// must never reach the network or the process it runs in.
package authz
