package gateway

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
)

// compiled makes a gateway of APIs without documents, one for each list of hosts
// (commas between them), named by its place.
func compiled(t *testing.T, apis ...string) (*Gateway, error) {
	t.Helper()
	text := "version: 1\napis:\n"
	for i, a := range apis {
		text += "- name: api" + string(rune('0'+i)) + "\n  upstream: {urls: [\"http://127.0.0.1:9\"]}\n  guards: {contract: {mode: \"off\"}, waf: {mode: \"off\"}}\n" + a
	}
	cfg, err := config.Parse([]byte(text), "crenel.yaml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(t.Context(), cfg, Deps{})
	if err == nil {
		t.Cleanup(func() {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return g, err
}

func TestFind(t *testing.T) {
	g, err := compiled(t,
		"  hosts: [\"*.example.com\"]\n",
		"  hosts: [\"*.eu.example.com\"]\n",
		"  hosts: [a.example.com]\n  base_path: /v1\n",
		"  hosts: [a.example.com]\n  base_path: /v1/admin\n",
		"  base_path: /any\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ host, path, want string }{
		{"x.example.com", "/", "api0"},
		{"x.eu.example.com", "/", "api1"}, // the wildcard that says more
		{"a.example.com", "/v1/pets", "api2"},
		{"a.example.com", "/v1/admin/pets", "api3"},
		{"a.example.com", "/v1/administrators", "api2"},
		{"a.example.com", "/v2", "api0"}, // not under its own: the wildcard's
		{"example.com", "/any/thing", "api4"},
		{"example.com", "/anything", ""},
	} {
		got := ""
		if at, _ := g.find(tt.host, tt.path); at.api != nil {
			got = at.api.cfg.Name
		}
		if got != tt.want {
			t.Errorf("%s%s is %q, want %q", tt.host, tt.path, got, tt.want)
		}
	}
}

// Of two APIs with the same host and base path only one would ever be called.
// That the documents' servers make it so only shows when they are loaded.
func TestCollidingAPIs(t *testing.T) {
	for name, apis := range map[string][]string{
		"every host": {"", ""},
		"one host":   {"  hosts: [a.test]\n", "  hosts: [b.test, a.test]\n"},
		"wildcards":  {"  hosts: [\"*.test\"]\n", "  hosts: [\"*.test\"]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := compiled(t, apis...); err == nil || !strings.Contains(err.Error(), "api1: api api0 answers to the same host") {
				t.Errorf("error %v", err)
			}
		})
	}
}
