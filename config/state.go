package config

import "time"

// State is where revocations, replay marks and the posture of devices are kept.
// Without Redis it is this gateway's own, in DataDir.
type State struct {
	// Redis is the server (Redis 6.2 or later, or Valkey) that all gateways share:
	// redis://HOST:PORT/DB, rediss:// with TLS, or unix:///PATH.
	Redis string `yaml:"redis" example:"rediss://redis.internal:6379/0" unset:"none: the state is this gateway's own"`
	// Username at the server.
	Username string `yaml:"username"`
	// Password at the server.
	Password Secret `yaml:"password" example:"${REDIS_PASSWORD}"`
	// Prefix of every key: gateways with the same one share.
	Prefix string `yaml:"prefix" default:"crenel"`
	// MaxAge is for how long a gateway that has lost touch with the server goes on by
	// what it last knew. After it every call that needs to know is refused.
	MaxAge time.Duration `yaml:"max_age" default:"30s" min:"1s" max:"1h"`
	// Timeout of one command.
	Timeout time.Duration `yaml:"timeout" default:"500ms" min:"10ms" max:"10s"`
	// TLS is TLS towards the server, for rediss://.
	TLS StateTLS `yaml:"tls"`
}

// StateTLS is TLS towards the server of the shared state.
type StateTLS struct {
	// CA is a PEM file of authorities that the server is verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// Cert is the client certificate, a PEM file.
	Cert string `yaml:"cert" kind:"file"`
	// Key is the client certificate's key, a PEM file.
	Key string `yaml:"key" kind:"file"`
	// Name is the server name to verify.
	Name string `yaml:"name" unset:"the URL's host"`
}
