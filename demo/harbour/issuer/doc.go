// Package issuer is a small OAuth2 authorization server for Harbour's partner
// area: tests, recorded days and the demo command use it when no real one is
// at hand.
//
// In: client credentials (RFC 6749, section 4.4) of the documented clients.
// Out: signed access tokens (RFC 9068) and the keys that verify them.
//
// It must never be trusted by anything but a sample: its clients' secrets are
// printed in the manual, and its key is made anew at each start.
package issuer
