package config

import "time"

// DecisionPoint answers services that ask the policies themselves: OPA's Data API
// and the OpenID AuthZEN Authorization API.
type DecisionPoint struct {
	// Listen is an address of its own, "admin" for the admin listener's, or off.
	Listen string `yaml:"listen" default:"off" example:"127.0.0.1:9902"`
	// TLS is the certificate of an address of its own. Required beyond this machine.
	TLS *Certificate `yaml:"tls"`
	// Keys is the file of the clients' keys, hashed. Made by crenel keys create --file.
	Keys string `yaml:"keys" kind:"file" example:"decision-keys.yaml"`
	// URL is where clients reach it, for the AuthZEN metadata.
	URL string `yaml:"url" kind:"url" example:"https://pdp.example" unset:"as the client wrote it"`
	// Clients are those who may ask. A key whose subject is not among them may ask nothing.
	Clients []DecisionClient `yaml:"clients"`
	// Body is the largest question.
	Body Bytes `yaml:"body" default:"1MiB" min:"1KiB" max:"64MiB"`
	// Depth is the deepest nesting of a question.
	Depth int `yaml:"depth" default:"64" min:"1" max:"1000"`
	// Batch is the most evaluations in one question.
	Batch int `yaml:"batch" default:"100" min:"1" max:"10000"`
	// Concurrent is how many questions may be answered at once; beyond it clients get 503.
	Concurrent int `yaml:"concurrent" default:"64" min:"1" max:"100000"`
	// Timeout of a whole question; each evaluation has its API's guards.authz.timeout.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"10ms" max:"1m"`
}

// DecisionClient is a service that may ask.
type DecisionClient struct {
	// Subject of its keys.
	Subject string `yaml:"subject" required:"true" example:"orders"`
	// APIs whose policies it may ask. The first is asked where the path names none.
	APIs []string `yaml:"apis" required:"true" example:"[petshop]"`
	// Data are the documents below data that it may ask for through /v1/data, with all
	// that is below them; "/" is all data.
	Data []string `yaml:"data" example:"[petshop/orders]" unset:"none"`
	// AuthZEN lets it ask for decisions through /access/v1.
	AuthZEN bool `yaml:"authzen"`
	// Explain lets it see reasons and traces, which may tell what the policies and data are.
	Explain bool `yaml:"explain"`
}
