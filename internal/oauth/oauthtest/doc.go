// Package oauthtest is an OpenID provider for tests: small, strict where a client
// could cheat it (PKCE, redirect URI, codes and rotated refresh tokens used once),
// and able to misbehave in every way that a client must withstand.
package oauthtest
