package config

import "time"

// IssuerKeys says how an issuer's keys are had and for how long they are believed.
type IssuerKeys struct {
	// Discovery is the URL of the issuer's discovery document. Its issuer must be the
	// configured one all the same.
	Discovery string `yaml:"discovery" kind:"url" example:"https://id.example.com/.well-known/oauth-authorization-server" unset:"/.well-known/openid-configuration below issuer, else RFC 8414's place"`
	// Tenants let in where issuer holds {tenantid}, as Entra ID's for many tenants does.
	// Reported by config check when empty: then every tenant of the provider is.
	Tenants []string `yaml:"tenants" example:"[8eaef023-2b34-4da1-9baa-8bc8c9d6a490]"`
	// CA is a PEM file of the authorities that the issuer's server is verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// Refresh is how often keys are fetched anew, give or take a fifth. An unknown key
	// or a wrong signature has them fetched at once, but not more than every 2 seconds.
	Refresh time.Duration `yaml:"refresh" default:"5m" min:"10s" max:"24h"`
	// MaxAge is for how long the last good keys are believed while the issuer cannot be
	// asked; then its tokens are refused with 503.
	MaxAge time.Duration `yaml:"max_age" default:"1h" min:"1m" max:"168h"`
	// KeepKeys keeps the last good keys in DataDir, so that a gateway that starts while the
	// issuer is down goes on with them, until they are older than MaxAge.
	KeepKeys bool `yaml:"keep_keys"`
}
