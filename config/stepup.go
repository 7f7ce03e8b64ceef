package config

import "time"

// StepUp is how the caller of an operation must have signed in. Who did not is
// asked to do so (RFC 9470), and gets 401 authn.step_up.
type StepUp struct {
	// ACR are the authentication context classes of which acr must be one.
	ACR []string `yaml:"acr" example:"[urn:mace:incommon:iap:silver]"`
	// AMR are the authentication methods (RFC 8176) of which amr must hold one.
	AMR []string `yaml:"amr" example:"[mfa, hwk]"`
	// MaxAge is for how long a sign-in (auth_time) counts.
	MaxAge time.Duration `yaml:"max_age" min:"1s" max:"8760h" unset:"any age"`
}

// Resource is how the API presents itself to clients that look for its
// authorization servers (RFC 9728).
type Resource struct {
	// URL of the API as clients know it: tokens are asked for with it (RFC 8707). Its
	// metadata is served below /.well-known/oauth-protected-resource on the same host.
	URL string `yaml:"url" required:"true" kind:"url" example:"https://api.example.com/v1"`
	// AuthorizationServers are issuers that give tokens for it.
	AuthorizationServers []string `yaml:"authorization_servers" kind:"url" unset:"the issuers of the methods"`
	// Scopes that clients may ask for.
	Scopes []string `yaml:"scopes" unset:"those of the document"`
	// Documentation is the URL of a page for developers.
	Documentation string `yaml:"documentation" kind:"url"`
}
