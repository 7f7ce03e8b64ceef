// Package listener is where a target that can be made to call out is heard: an
// HTTP server, on loopback unless the user says otherwise, at which each attempt
// has an address of its own.
//
// In: requests from the target. Out: who called which address, with what; and,
// to callers, an answer that a check may choose (a redirect, hostile content).
//
// It must never answer with anything that it was not told, never keep more than
// a bounded amount, and never serve anything of this machine.
package listener
