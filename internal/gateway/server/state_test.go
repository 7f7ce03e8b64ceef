package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
)

// What the config names is what is asked, with the secrets of its files; and what
// cannot be used is an error, not a state of the gateway's own.
func TestOpenState(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("the-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte("openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ state, asks string }{
		"its own":    {"{}", ""},
		"one server": {`{redis: "redis://127.0.0.1:1/2", password: "file:password"}`, "Redis at 127.0.0.1:1,"},
		"sentinels": {`{sentinel: {master: crenel, addresses: ["redis://127.0.0.1:1", "redis://127.0.0.1:2"], password: "file:password", database: 3}, password: "file:password"}`,
			"Redis at crenel by 127.0.0.1:1, 127.0.0.1:2,"},
		"a cluster with TLS": {`{cluster: {addresses: ["rediss://127.0.0.1:1"]}, username: u, password: "file:password", tls: {name: redis.test}}`, "Redis at 127.0.0.1:1,"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "crenel.yaml")
			text := "version: 1\nstate: " + c.state + "\napis: [{name: a, spec: openapi.yaml, upstream: {urls: ['http://127.0.0.1:1']}, guards: {authn: {mode: 'off'}}}]\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			store, err := openState(cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			err = store.Ready()
			switch {
			case c.asks == "" && err != nil:
				t.Errorf("its own state is not ready: %v", err)
			case c.asks != "" && (err == nil || !strings.Contains(err.Error(), c.asks) || strings.Contains(err.Error(), "the-password")):
				t.Errorf("Ready says %v, want %q", err, c.asks)
			}
		})
	}
}
