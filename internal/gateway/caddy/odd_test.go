package caddy_test

import (
	"net/http"
	"strings"
	"testing"
)

// declaring is a gateway whose APIs declare odd header names.
type declaring struct {
	passing
	names []string
}

func (d *declaring) OddHeaders() []string { return d.names }

// A field with an underscore or a dot reaches the upstream when an API declares
// it, and no other does.
func TestOddHeaders(t *testing.T) {
	up := echo(t)
	cfg := plain(t, up.URL)
	start(t, cfg, &declaring{names: []string{"api_key", "x.trace"}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+cfg.Server.Listen[0]+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Api_key", "X.trace", "Other_name", "Other.name"} {
		req.Header[name] = []string{"kept-" + name}
	}
	res, err := http.DefaultClient.Do(req)
	got := body(t, res, err)
	for name, want := range map[string]bool{"Api_key": true, "X.trace": true, "Other_name": false, "Other.name": false} {
		if strings.Contains(strings.ToLower(got), strings.ToLower("kept-"+name)) != want {
			t.Errorf("%s reached the upstream: %v, want %v\n%s", name, !want, want, got)
		}
	}
}
