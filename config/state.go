package config

import "time"

// State is where revocations, replay marks and the posture of devices are kept.
// Without Redis it is this gateway's own, in DataDir.
type State struct {
	// Redis is the server (Redis 6.2 or later, or Valkey) that all gateways share:
	// redis://HOST:PORT/DB, rediss:// with TLS, or unix:///PATH.
	Redis string `yaml:"redis" example:"rediss://redis.internal:6379/0" unset:"none: the state is this gateway's own"`
	// Sentinel has the server found, and found again after a failover, by Redis Sentinel.
	Sentinel *StateSentinel `yaml:"sentinel"`
	// Cluster is a Redis Cluster that all gateways share.
	Cluster *StateCluster `yaml:"cluster"`
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
	// TLS is TLS towards the servers, for rediss://.
	TLS StateTLS `yaml:"tls"`
}

// Shared reports whether the state is on servers that several gateways may share.
func (s *State) Shared() bool { return s.Redis != "" || s.Sentinel != nil || s.Cluster != nil }

// StateSentinel is who says which of several servers is the primary.
type StateSentinel struct {
	// Master is the name by which the sentinels know the primary.
	Master string `yaml:"master" required:"true" example:"crenel"`
	// Addresses of sentinels, as redis://HOST:PORT, or rediss:// where they and the servers have TLS.
	Addresses []string `yaml:"addresses" required:"true" example:"[\"rediss://10.0.0.1:26379\", \"rediss://10.0.0.2:26379\", \"rediss://10.0.0.3:26379\"]"`
	// Username at the sentinels.
	Username string `yaml:"username"`
	// Password at the sentinels, which may be another one than at the servers.
	Password Secret `yaml:"password" example:"${SENTINEL_PASSWORD}"`
	// Database is the number of the database at the servers.
	Database int `yaml:"database" min:"0" max:"65535"`
}

// StateCluster is a Redis Cluster.
type StateCluster struct {
	// Addresses of some of its nodes, as redis://HOST:PORT or rediss:// with TLS. The others are learned from these.
	Addresses []string `yaml:"addresses" required:"true" example:"[\"rediss://10.0.0.1:6379\", \"rediss://10.0.0.2:6379\"]"`
}

// StateTLS is TLS towards the servers of the shared state.
type StateTLS struct {
	// CA is a PEM file of authorities that the servers are verified by.
	CA string `yaml:"ca" kind:"file" unset:"the system's"`
	// Cert is the client certificate, a PEM file.
	Cert string `yaml:"cert" kind:"file"`
	// Key is the client certificate's key, a PEM file.
	Key string `yaml:"key" kind:"file"`
	// Name is the server name to verify.
	Name string `yaml:"name" unset:"the URL's host"`
}
