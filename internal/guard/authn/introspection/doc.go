// Package introspection asks an authorization server whether a token holds
// (RFC 7662), and remembers what it said.
//
// In: a token that its holder cannot read, and how this gateway proves to the
// server who it is: basic, post, private_key_jwt (RFC 7523), a client certificate
// (RFC 8705) or a bearer token. Out: the server's claims about the token, strictly
// read, or that it does not hold; signed (RFC 9701) where that is demanded.
//
// Answers are remembered for a stated time and never beyond the token's own end;
// refusals apart from them, so that strangers cannot push callers out. Many that
// ask at once about one token cost one question, and only so many are under way.
//
// It must never send a token anywhere but to the server, never follow a redirect
// with it, never let anyone in because the server cannot be asked, and never
// believe an answer that is not exactly "active": true.
package introspection
