package config

import "time"

// WhoAmI asks the API itself who the holder of one of its credentials is.
type WhoAmI struct {
	// Path of an operation that answers who the caller is, below the API's base path.
	// It is asked with GET and the caller's credential.
	Path string `yaml:"path" required:"true" kind:"path" example:"/users/me"`
	// Subject is the JSON pointer in the answer to what names the caller for good: an id.
	Subject string `yaml:"subject" default:"/id" example:"/data/id"`
	// Roles is the pointer to the caller's roles: a text, or a list of texts.
	Roles string `yaml:"roles" example:"/role"`
	// Scopes is the pointer to what the caller may do: a list, or one text with spaces.
	Scopes string `yaml:"scopes"`
	// Tenant is the pointer to the caller's tenant.
	Tenant string `yaml:"tenant" example:"/org_id"`
	// TTL is how long an answer is believed. A credential that the API refuses with
	// 401 meanwhile is asked about anew.
	TTL time.Duration `yaml:"ttl" default:"1m" min:"1s" max:"24h"`
	// RefusedTTL is how long a refusal is remembered.
	RefusedTTL time.Duration `yaml:"refused_ttl" default:"10s" min:"0s" max:"10m"`
	// MaxAge is how old an answer may be that is used while the API cannot be asked;
	// then calls are refused with 503. Never less than TTL.
	MaxAge time.Duration `yaml:"max_age" default:"5m" min:"1s" max:"24h"`
	// Timeout of one question.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"10ms" max:"1m"`
	// Concurrent is how many questions may be under way at once; a quarter is kept for
	// credentials that are known.
	Concurrent int `yaml:"concurrent" default:"32" min:"1" max:"10000"`
}
