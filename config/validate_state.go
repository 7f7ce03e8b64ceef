package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

func (v *validator) state() {
	s := &v.c.State
	if v.broken("state") {
		return
	}
	var ways []string
	if s.Redis != "" {
		ways = append(ways, "redis")
	}
	if s.Sentinel != nil {
		ways = append(ways, "sentinel")
	}
	if s.Cluster != nil {
		ways = append(ways, "cluster")
	}
	switch len(ways) {
	case 0:
		if s.Username != "" || !s.Password.IsZero() || s.TLS != (StateTLS{}) {
			v.add("state.redis", "must be set", "the other settings of state are of a server: such as redis: redis://127.0.0.1:6379/0")
		}
		return
	case 1:
	default:
		v.add("state."+ways[1], "the servers are named in two ways", "keep one of "+strings.Join(ways, " and "))
		return
	}
	encrypted := false
	switch ways[0] {
	case "redis":
		encrypted = v.stateURL(s.Redis)
	case "sentinel":
		encrypted = v.stateNodes("state.sentinel.addresses", s.Sentinel.Addresses, "26379")
	case "cluster":
		encrypted = v.stateNodes("state.cluster.addresses", s.Cluster.Addresses, "6379")
	}
	if s.TLS != (StateTLS{}) && !encrypted {
		v.add("state.tls", "has no effect", "write rediss:// in state."+ways[0])
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		v.add("state.tls", "a client certificate needs both cert and key", "")
	}
	if strings.ContainsAny(s.Prefix, "{}") {
		v.value("state.prefix", s.Prefix, "has braces", "they choose the slot in a cluster: take them out")
	}
}

// inTheClear is what is wrong with a server that is spoken to without TLS.
const inTheClear = "whoever is on the way can lift revocations: use rediss://"

// stateURL checks the URL of one server and reports whether it has TLS.
func (v *validator) stateURL(text string) bool {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		v.add("state.redis", "is not a URL", "write redis://HOST:PORT/DB")
		return false
	case u.User != nil:
		v.add("state.redis", "the URL has credentials", "move them to state.username and state.password")
	case u.Scheme == "unix":
		if !strings.HasPrefix(u.Path, "/") {
			v.value("state.redis", text, "is not the path of a socket", "write unix:///run/redis/redis.sock")
		}
	case u.Scheme != "redis" && u.Scheme != "rediss" || u.Host == "":
		v.value("state.redis", text, "is not a server of Redis", "write redis://HOST:PORT/DB, rediss://… with TLS, or unix:///PATH")
	case u.Scheme == "redis" && !isLoopback(u.Hostname()):
		v.warn("state.redis", "the server is spoken to in the clear", inTheClear)
	}
	return u.Scheme == "rediss"
}

// stateNodes checks the addresses of several servers and reports whether they have TLS.
func (v *validator) stateNodes(path string, addresses []string, port string) bool {
	if v.broken(path) {
		return false
	}
	if len(addresses) == 0 {
		v.add(path, "names no server", "such as redis://10.0.0.1:"+port)
		return false
	}
	var schemes []string
	inClear := false
	for i, text := range addresses {
		at := fmt.Sprintf("%s[%d]", path, i)
		u, err := url.Parse(text)
		switch {
		case err == nil && u.User != nil:
			v.add(at, "the URL has credentials", "move them to username and password")
			continue
		case err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Hostname() == "" || u.Port() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
			v.value(at, text, "is not the address of a server", "write redis://HOST:"+port+", or rediss://… with TLS")
			continue
		case slices.Contains(addresses[:i], text):
			v.value(at, text, "stands twice", "remove one")
		}
		if !slices.Contains(schemes, u.Scheme) {
			schemes = append(schemes, u.Scheme)
		}
		inClear = inClear || u.Scheme == "redis" && !isLoopback(u.Hostname())
	}
	switch {
	case len(schemes) > 1:
		v.add(path, "some have TLS and some have not", "write redis:// or rediss:// for all")
	case inClear:
		v.warn(path, "the servers are spoken to in the clear", inTheClear)
	}
	return slices.Contains(schemes, "rediss")
}
