package config

import (
	"net/url"
	"strings"
)

func (v *validator) state() {
	s := &v.c.State
	if v.broken("state") {
		return
	}
	if s.Redis == "" {
		if s.Username != "" || !s.Password.IsZero() || s.TLS != (StateTLS{}) {
			v.add("state.redis", "must be set", "the other settings of state are of a server: such as redis: redis://127.0.0.1:6379/0")
		}
		return
	}
	u, err := url.Parse(s.Redis)
	switch {
	case err != nil:
		v.add("state.redis", "is not a URL", "write redis://HOST:PORT/DB")
	case u.User != nil:
		v.add("state.redis", "the URL has credentials", "move them to state.username and state.password")
	case u.Scheme == "unix":
		if !strings.HasPrefix(u.Path, "/") {
			v.value("state.redis", s.Redis, "is not the path of a socket", "write unix:///run/redis/redis.sock")
		}
	case u.Scheme != "redis" && u.Scheme != "rediss" || u.Host == "":
		v.value("state.redis", s.Redis, "is not a server of Redis", "write redis://HOST:PORT/DB, rediss://… with TLS, or unix:///PATH")
	case u.Scheme == "redis" && !isLoopback(u.Hostname()):
		v.warn("state.redis", "the server is spoken to in the clear", "whoever is on the way can lift revocations: use rediss://")
	}
	if s.TLS != (StateTLS{}) && (u == nil || u.Scheme != "rediss") {
		v.add("state.tls", "has no effect", "write rediss:// in state.redis")
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		v.add("state.tls", "a client certificate needs both cert and key", "")
	}
	if strings.ContainsAny(s.Prefix, "{}") {
		v.value("state.prefix", s.Prefix, "has braces", "they choose the slot in a cluster: take them out")
	}
}
