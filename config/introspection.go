package config

import "time"

// Introspection asks an authorization server about each token (RFC 7662): for
// opaque ones, and for JWTs that no other method of the place verifies.
type Introspection struct {
	// URL of the server's introspection endpoint.
	URL string `yaml:"url" kind:"url" example:"https://id.example.com/introspect" unset:"as the issuer's discovery document says"`
	// Issuer of the tokens: where an answer names one it must be this. Without URL its
	// discovery document is asked for the endpoint, and with Signed for the keys.
	Issuer string `yaml:"issuer" example:"https://id.example.com"`
	// CA is a PEM file of the authorities that the server is verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// Auth is how the gateway proves to the server who it is.
	Auth ClientAuth `yaml:"auth"`
	// Signed demands signed answers (RFC 9701), verified with the issuer's keys.
	Signed bool `yaml:"signed"`
	// Audience of which one must be in the answer's aud. Reported by config check when empty.
	Audience []string `yaml:"audience"`
	// Tokens that are asked about: all, or those that are no JWTs.
	Tokens string `yaml:"tokens" default:"any" enum:"any,opaque"`
	// Header that carries the token.
	Header string `yaml:"header" kind:"header" unset:"Authorization, unless cookie is set"`
	// Prefix is the word before the token.
	Prefix *string `yaml:"prefix" unset:"Bearer in Authorization, else none"`
	// Cookie that carries the token, instead of a header.
	Cookie string `yaml:"cookie" kind:"cookie"`
	// Claims names the members of the answer that an identity is read from.
	Claims Claims `yaml:"claims"`
	// DPoP says how tokens are taken that are bound to a key of the caller (RFC 9449).
	DPoP *DPoP `yaml:"dpop"`
	// TTL is how long an answer is believed, but never beyond the token's exp.
	TTL time.Duration `yaml:"ttl" default:"1m" min:"1s" max:"1h"`
	// RefusedTTL is how long a refusal is remembered.
	RefusedTTL time.Duration `yaml:"refused_ttl" default:"10s" min:"1s" max:"10m"`
	// MaxAge is how old an answer may be that is used while the server cannot be
	// asked; then calls are refused with 503.
	MaxAge time.Duration `yaml:"max_age" default:"5m" min:"1s" max:"24h"`
	// Timeout of one question.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"10ms" max:"1m"`
	// Concurrent is how many questions may be under way at once; a quarter is kept for
	// tokens that are known.
	Concurrent int `yaml:"concurrent" default:"32" min:"1" max:"10000"`
	// Remember is how many answers are remembered, and as many refusals.
	Remember int `yaml:"remember" default:"10000" min:"2" max:"10000000"`
}

// ClientAuth is how the gateway proves to an authorization server who it is.
type ClientAuth struct {
	// Method of the proof: client_secret_basic, client_secret_post, a client assertion
	// signed with Key (RFC 7523), a client certificate (RFC 8705), or a bearer token.
	Method string `yaml:"method" default:"basic" enum:"basic,post,private_key_jwt,tls,bearer"`
	// ClientID of the gateway at the server.
	ClientID string `yaml:"client_id" example:"crenel"`
	// ClientSecret, for basic and post.
	ClientSecret Secret `yaml:"client_secret" example:"${INTROSPECTION_SECRET}"`
	// Token, for bearer.
	Token Secret `yaml:"token"`
	// Key is a PEM file with the private key, for private_key_jwt and tls.
	Key string `yaml:"key" kind:"file"`
	// KeyID is the key's name at the server, for private_key_jwt.
	KeyID string `yaml:"key_id"`
	// Algorithm of the assertion, for private_key_jwt.
	Algorithm string `yaml:"algorithm" enum:"RS256,PS256,ES256,ES384,ES512,EdDSA" noun:"algorithm" unset:"PS256, ES256, ES384, ES512 or EdDSA, as the key is"`
	// Audience of the assertion, for private_key_jwt.
	Audience string `yaml:"audience" unset:"the issuer, else the endpoint's URL"`
	// Cert is a PEM file with the client certificate, for tls.
	Cert string `yaml:"cert" kind:"file"`
}
