package config

import "time"

// DPoP says how access tokens are taken that are bound to a key of the caller
// (RFC 9449). A bound token is never taken without its proof, with this section or without.
type DPoP struct {
	// Required refuses tokens that are bound to no key.
	Required bool `yaml:"required"`
	// Algorithms that a proof may be signed with.
	Algorithms []string `yaml:"algorithms" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,Ed25519" noun:"algorithm" unset:"ES256, ES384, ES512, EdDSA, Ed25519, PS256, PS384, PS512, RS256"`
	// MaxAge is for how long after its making a proof is taken, once; clock_skew comes on top.
	MaxAge time.Duration `yaml:"max_age" default:"1m" min:"1s" max:"1h"`
	// Nonce makes every proof hold a nonce of the gateway's, so that none can be made ahead.
	Nonce string `yaml:"nonce" default:"off" enum:"off,required"`
	// NonceLife is for how long a nonce is good.
	NonceLife time.Duration `yaml:"nonce_life" default:"5m" min:"10s" max:"24h"`
	// NonceSecret makes the nonces of all gateways that have it; at least 32 bytes.
	NonceSecret Secret `yaml:"nonce_secret" example:"${DPOP_NONCE_SECRET}" unset:"keys that gateways share through their state"`
}
