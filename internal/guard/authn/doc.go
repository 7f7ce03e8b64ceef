// Package authn is the guard that finds out who is calling.
//
// In: a request's head, the API's security requirements and the config's
// methods: JSON Web Tokens (RFC 7519, verified as RFC 8725 says) from header or
// cookie, API keys of Crenel's own, and credentials that the API issues itself
// and only presence is asked of. Out: the Identity on the Exchange, the places
// where credentials stood, or a 401 with its challenges.
//
// Every credential that is present is checked; the operation's alternatives must
// then be met by those that held. One that did not hold is never believed and is
// marked, so that the upstream does not believe it either.
//
// It must never let a token choose how it is verified (its key, its algorithm,
// its issuer's keys), never fetch what a token names, never write a credential
// to a log, an error or a record, and never let anyone in because keys are not
// to be had.
package authn
