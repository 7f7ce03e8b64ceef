// Package listener is where a target that can be made to call out is heard: an
// HTTP server, on loopback unless the user says otherwise, at which each attempt
// has an address of its own; LDAP and JRMP at the same port; and, where the user gives it
// an address, a DNS server at which each attempt has a name of its own.
//
// In: requests and lookups of the target. Out: who called which address, with what; and,
// to callers, an answer that a check may choose (a redirect, hostile content).
//
// It must never answer with anything that it was not told, never keep more than
// a bounded amount, and never serve anything of this machine.
package listener
