package config

import "time"

// Signals is the Shared Signals receiver: who may tell this gateway that sessions
// ended, accounts were disabled and devices are no longer compliant.
type Signals struct {
	// Transmitters of security events.
	Transmitters []Transmitter `yaml:"transmitters"`
	// DeviceClaim is the claim of a token that names the caller's device; dots descend.
	DeviceClaim string `yaml:"device_claim" default:"device_id" example:"deviceid"`
	// Keep is for how long a revocation is kept: not less than the longest-lived token.
	Keep time.Duration `yaml:"keep" default:"720h" min:"1m" max:"87600h"`
}

// Transmitter is one who sends security events.
type Transmitter struct {
	// Name of the transmitter in records, messages and commands.
	Name string `yaml:"name" required:"true" example:"okta"`
	// Issuer is the iss of its security event tokens.
	Issuer string `yaml:"issuer" required:"true" kind:"url" example:"https://id.example.com"`
	// JWKS is the URL of its keys.
	JWKS string `yaml:"jwks" kind:"url" unset:"found by its metadata, /.well-known/ssf-configuration"`
	// Audience of which one must be in aud.
	Audience []string `yaml:"audience" required:"true" example:"[https://api.example.com/signals]"`
	// Algorithms allowed.
	Algorithms []string `yaml:"algorithms" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA" noun:"algorithm" unset:"RS256, PS256, ES256, EdDSA"`
	// Issuers for whose subjects it may speak.
	Issuers []string `yaml:"issuers" unset:"its own"`
	// Subjects says which claim of a token an identifier of a format names.
	Subjects map[string]string `yaml:"subjects" enum:"sub,email,phone_number" example:"{account: email}" unset:"email and account: email; phone_number: phone_number; opaque, uri and did: sub"`
	// Events says what comes of single types of events: revoke what was issued before, or only record.
	Events map[string]string `yaml:"events" enum:"revoke,record" example:"{credential-change: record}" unset:"see docs/signals.md"`
	// Push has the events delivered to the gateway (RFC 8935).
	Push *SignalsPush `yaml:"push"`
	// Poll fetches the events from the transmitter (RFC 8936).
	Poll *SignalsPoll `yaml:"poll"`
	// Token is the bearer token for the transmitter's stream management, for crenel signals.
	Token Secret `yaml:"token" example:"${OKTA_SSF_TOKEN}"`
}

// SignalsPush has events delivered to the gateway (RFC 8935).
type SignalsPush struct {
	// Path at which the gateway takes them.
	Path string `yaml:"path" required:"true" kind:"path" example:"/signals/okta"`
	// Hosts at which it does.
	Hosts []string `yaml:"hosts" kind:"host" unset:"every host"`
	// Token is the bearer token that the transmitter must show; at least 16 bytes.
	Token Secret `yaml:"token" required:"true" example:"${SIGNALS_TOKEN}"`
}

// SignalsPoll fetches events from the transmitter (RFC 8936).
type SignalsPoll struct {
	// URL of the transmitter's polling endpoint.
	URL string `yaml:"url" required:"true" kind:"url" example:"https://id.example.com/ssf/poll"`
	// Token is the bearer token for it.
	Token Secret `yaml:"token" example:"${SIGNALS_POLL_TOKEN}"`
	// Wait is for how long one request may be held until there are events.
	Wait time.Duration `yaml:"wait" default:"60s" min:"1s" max:"10m"`
	// Most is how many events one answer may hold.
	Most int `yaml:"most" default:"50" min:"1" max:"1000"`
}
