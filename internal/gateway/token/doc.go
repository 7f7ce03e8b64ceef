// Package token has the access tokens that the gateway sends to upstreams: the
// caller's own, traded for one of the upstream's audience (RFC 8693), one of the
// gateway's own (client credentials), or that of a browser's session.
//
// In: an exchange whose caller was verified. Out: the token to send, or why the
// call cannot be made. Tokens are kept until a margin before their end; however
// many calls want one, it is asked for once, and renewed beside a call while the
// last one still holds.
//
// It must never send the upstream a token that is not for it when it should be
// traded, never let a call through without its token, and never put a token into
// an error, a log or a key of its cache.
package token
