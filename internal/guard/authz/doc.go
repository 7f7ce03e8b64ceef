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
// A policy that does not compile, or whose tests fail, is never activated.
// Undefined, an error and a time-out all deny. A policy must never reach the
// network or the process it runs in.
package authz
