package graph

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec"
)

// TestHazards: what turns a service off for all is left alone, and what somebody turns
// off for themselves is not.
func TestHazards(t *testing.T) {
	for op, want := range map[string]bool{
		"POST /v3/auth/disable":                    true,
		"POST /v3/maintenance/defragment":          true,
		"POST /v3/maintenance/transfer-leadership": true,
		"POST /v3/cluster/member/add":              true,
		"PUT /sys/seal":                            true,
		"POST /v3/cluster/member/list":             false,
		"POST /auth/2fa/disable":                   false,
		"POST /me/notifications/off":               false,
		"POST /features/{id}/disable":              false,
		"POST /auth/login":                         false,
		"GET /cluster/nodes":                       false,
		"POST /v3/kv/put":                          false,
		"POST /v3/auth/user/add":                   false,
	} {
		method, path, _ := strings.Cut(op, " ")
		doc := "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n  " + path + ": {" + strings.ToLower(method) + ": {responses: {'200': {description: ok}}}}\n"
		api, err := spec.Parse([]byte(doc), "x.yaml", spec.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		g := Build(api)
		if got := g.Op(method, path).Has(Hazard); got != want {
			t.Errorf("%s: a hazard %v, want %v (%s)", op, got, want, g.Op(method, path).Purposes[Hazard].Why)
		}
	}
}
