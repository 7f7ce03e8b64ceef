// Package oauth is the gateway as a client of an authorization server: discovery,
// client authentication, and requests to its endpoints.
//
// In: a config.OAuthClient. Out: the server's metadata, tokens by any grant,
// pushed authorization requests, claims of the userinfo endpoint, revocation.
// Every request has a time-out, every answer a bound; none is redirected.
//
// It must never send a secret or a token to an address that is neither https nor
// this machine, never believe metadata of another issuer, and never put a
// secret, a token or what a server wrote beside its error code into an error.
package oauth
