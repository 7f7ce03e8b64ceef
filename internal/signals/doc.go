// Package signals is a receiver of the OpenID Shared Signals Framework 1.0: it
// hears from those who know that a session ended, an account was disabled, a
// credential was stolen or a device is no longer compliant.
//
// In: security event tokens (RFC 8417), pushed to an endpoint of the gateway (RFC
// 8935) or polled for (RFC 8936), with CAEP's and RISC's events and the subject
// identifiers of RFC 9493. Out: entries of the shared sets "revoked" and
// "device", by which every gateway refuses from then on; a record of each token;
// and answers to the transmitter.
//
// It must never act on a token that was not verified, nor on one for a subject of
// an issuer that the transmitter may not speak for. It must never acknowledge
// what it has not carried out, and never let an event that comes late or twice
// lift what a later one did.
package signals
