// Package contract is the guard that lets only calls through that the API's
// OpenAPI document describes, and notices answers that it does not.
//
// In: the request's normalised target, header, decoded parameters and decoded
// body; the upstream's status, header and decoded body. Out: the operation and
// the typed parameters on the Exchange, and a verdict that names each fault with
// its place.
//
// Positive security: what is not declared is refused. Unknown operations are
// shadow calls (API9:2023), unknown properties are mass assignment (API3:2023,
// CWE-915), unknown parameters and duplicates are parameter pollution (CWE-235).
//
// It must never read a body itself, never change a request, and never let a
// value pass that it could not check while it is enforced. A fault that is only
// monitored leaves x.Unvalidated set, so that no later guard leans on the contract.
package contract
