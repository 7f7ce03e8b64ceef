// Package impact says what another policy would change, before it decides.
//
// In: recorded decisions (of a decision log, or live ones), each with all that it
// was made on, and Deciders that make them again. Out: a Report: which decisions
// change, grouped by the rules that no longer hold or hold now and by caller, with
// examples, and how long both policies take; what of the scopes and roles that
// callers have none of their decisions needed (Unused); the trace of one decision.
//
// Shadow does it beside a running gateway: off the request's path, behind a
// bounded queue, within a share of one processor. Activation holds a Report
// against bounds and keeps a policy out.
//
// It must never change what is decided, never hold a call up, and never call a
// decision the same that it could not make again: those are counted apart.
package impact
