package caddy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
)

// object is a JSON object of a Caddy config.
type object map[string]any

// handOver is how long the servers of a replaced frame go on as before, without
// new connections: for requests that were on their way to them. After it,
// net/http drops what it reads.
const handOver = 100 * time.Millisecond

// document is the whole Caddy config: the frame that all APIs share, and in it
// the id of the generation that handles requests. odd are the header names with
// underscores or dots that the APIs declare.
func document(cfg *config.Config, log *slog.Logger, plane, generation string, odd []string) ([]byte, error) {
	srv := &cfg.Server
	grace := nanoseconds(or(srv.Timeouts.Shutdown, 30*time.Second))
	server := object{
		"listen":              sockets(cfg),
		"routes":              []object{{"handle": []object{{"handler": "crenel", "generation": generation}}}},
		"errors":              object{"routes": []object{{"handle": []object{{"handler": "crenel_refusal"}}}}},
		"automatic_https":     object{"disable": true}, // certificates are named by us; nothing listens on :80
		"protocols":           protocols(cfg),
		"strict_sni_host":     false, // one TLS policy serves all hosts: a differing name gains nothing
		"allow_0rtt":          false,
		"read_header_timeout": nanoseconds(or(srv.Timeouts.ReadHeader, 10*time.Second)),
		"read_idle_timeout":   nanoseconds(or(srv.Timeouts.ReadBody, time.Minute)),
		"write_timeout":       nanoseconds(srv.Timeouts.Write),
		"write_idle_timeout":  nanoseconds(or(srv.Timeouts.Idle, 2*time.Minute)),
		"idle_timeout":        nanoseconds(or(srv.Timeouts.Idle, 2*time.Minute)),
		"max_header_bytes":    or(srv.Limits.HeaderBytes, 64<<10) + or(srv.Limits.URI, 8<<10),
		"listener_wrappers":   []object{{"wrapper": "crenel_wire", "plane": plane}}, // behind TLS
	}
	underscores, dots := splitOdd(odd)
	if len(underscores) > 0 {
		server["expected_underscore_headers"] = underscores
	}
	if len(dots) > 0 {
		server["expected_dot_headers"] = dots
	}
	apps := object{"http": object{"grace_period": grace, "shutdown_delay": nanoseconds(handOver), "servers": object{"crenel": server}}}
	if !serving(cfg) {
		apps["tls"] = object{"disable_storage_clean": true, "disable_storage_check": true} // it keeps nothing
	} else {
		t, err := planTLS(cfg)
		if err != nil {
			return nil, err
		}
		server["tls_connection_policies"] = []object{t.policy}
		apps["tls"] = t.app
		apps["pki"] = object{"certificate_authorities": object{"local": object{
			"name": "Crenel local authority", "root_common_name": "Crenel local authority - root",
			"intermediate_common_name": "Crenel local authority - intermediate", "install_trust": false,
		}}}
		if !t.local {
			delete(apps, "pki")
		}
	}
	level := "WARN"
	if log.Enabled(context.Background(), slog.LevelDebug) {
		level = "INFO"
	}
	return json.Marshal(object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"storage": object{"module": "file_system", "root": storage(cfg)},
		"logging": object{"logs": object{"default": object{
			"writer": object{"output": "discard"}, "core": object{"module": "crenel", "plane": plane}, "level": level,
			"exclude": []string{"admin"}, // which warns that it is turned off
		}}},
		"apps": apps,
	})
}

// oddHeaders asks a gateway for the header names with underscores or dots that
// its APIs declare. Caddy drops all such fields unless told of them, since
// CGI-like servers read them as their hyphenated twins; of those that are
// declared it drops the twins.
func oddHeaders(gw Gateway) []string {
	if g, ok := gw.(interface{ OddHeaders() []string }); ok {
		return g.OddHeaders()
	}
	return nil
}

func splitOdd(names []string) (underscores, dots []string) {
	for _, n := range names {
		if strings.Contains(n, "_") {
			underscores = append(underscores, n)
		} else {
			dots = append(dots, n)
		}
	}
	return underscores, dots
}

// serving reports whether the server speaks TLS.
func serving(cfg *config.Config) bool { return cfg.Server.TLS.Mode != "off" }

func listen(cfg *config.Config) []string {
	if len(cfg.Server.Listen) == 0 {
		return []string{":8443"}
	}
	return cfg.Server.Listen
}

// sockets are the listen addresses as Caddy is told them.
func sockets(cfg *config.Config) []string {
	var out []string
	for _, a := range listen(cfg) {
		out = append(out, keptNetwork+"/"+a)
	}
	return out
}

// protocols are those of the config. Without TLS only HTTP/1.1 is left: Caddy
// would take unencrypted HTTP/2 where "h2" is listed.
func protocols(cfg *config.Config) []string {
	if !serving(cfg) {
		return []string{"h1"}
	}
	if len(cfg.Server.Protocols) == 0 {
		return []string{"h1", "h2", "h3"}
	}
	p := slices.Clone(cfg.Server.Protocols)
	if !slices.Contains(p, "h1") && slices.Contains(p, "h2") {
		p = append(p, "h1") // Caddy serves HTTP/2 beside HTTP/1.1 only
	}
	return p
}

// storage is where Caddy keeps certificates and keys.
func storage(cfg *config.Config) string { return filepath.Join(dataDir(cfg), "caddy") }

func dataDir(cfg *config.Config) string { return resolve(cfg, or(cfg.DataDir, "crenel-data")) }

// resolve makes a path of the config absolute: relative ones start at its file.
func resolve(cfg *config.Config, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	if cfg.Path() != "" {
		path = filepath.Join(filepath.Dir(cfg.Path()), path)
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// nanoseconds is a duration as Caddy's JSON takes it.
func nanoseconds(d time.Duration) int64 { return int64(d) }

// or is v, or def where v is its type's zero value.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// free reports why a TCP address cannot be listened on, before anything of a
// new config has been started.
func free(address string) error {
	ln, err := net.Listen("tcp", address) //nolint:noctx // it is closed at once
	if err != nil {
		return fmt.Errorf("listening on %s: %w", address, err)
	}
	return ln.Close()
}
