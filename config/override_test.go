package config_test

import (
	"testing"

	"github.com/crenel-project/crenel/config"
)

func TestOverrideMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, id, method, path string
		want                      bool
	}{
		{"getPet", "getPet", "GET", "/pets/{id}", true},
		{"getPet", "getPets", "GET", "/pets", false},
		{"getPe*", "getPet", "GET", "/pets/{id}", false},
		{"GET /pets/{id}", "getPet", "GET", "/pets/{id}", true},
		{"GET /pets/{id}", "x", "PUT", "/pets/{id}", false},
		{"* /pets/{id}", "x", "PUT", "/pets/{id}", true},
		{"GET /admin/*", "x", "GET", "/admin/users/{id}", true},
		{"GET /admin/*", "x", "GET", "/admin", false},
		{"GET */users/*", "x", "GET", "/admin/users/{id}", true},
		{"GET /a*a", "x", "GET", "/a", false},
		{"GET *", "x", "GET", "/", true},
		{"GET /pets", "GET /pets", "GET", "/pets", true},
	} {
		o := config.OperationOverride{Operation: c.pattern}
		if got := o.Matches(c.id, c.method, c.path); got != c.want {
			t.Errorf("%q on %s %s (%s): %v, want %v", c.pattern, c.method, c.path, c.id, got, c.want)
		}
	}
}
