package spec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Scopes that are lost are scopes that nobody is asked for.
func TestScopesAreNeverLost(t *testing.T) {
	for security, want := range map[string][]string{
		`[{o: [pets:read]}]`:                 {"pets:read"},
		`[{o: [pets:read, "a:b", c]}]`:       {"pets:read", "a:b", "c"},
		`[{o: ["pets:read"]}]`:               {"pets:read"},
		`[{o: [a:1]}]`:                       {"a:1"},
		"\n  - o: [pets:read]":               {"pets:read"},
		"\n  - o:\n    - pets:read\n    - x": {"pets:read", "x"},
		`[{o: }]`:                            {},
		`[{o: []}]`:                          {},
	} {
		op := loadSecurity(t, security)
		if op.Public || len(op.Security) != 1 {
			t.Fatalf("%s: %+v", security, op.Security)
		}
		if diff := cmp.Diff(want, append([]string{}, op.Security[0][0].Scopes...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", security, diff)
		}
		if op.Security[0][0].Scheme.Type != "oauth2" {
			t.Errorf("%s: the scheme is lost", security)
		}
	}
	for _, security := range []string{`[{o: [{pets: read}]}]`, `[{o: [5]}]`, `[{o: pets}]`, `[{o: {pets: read}}]`, `[{o: [[pets]]}]`} {
		op := loadSecurity(t, security)
		if op.Public || len(op.Security) != 1 || op.Security[0][0].Scheme.Type != "" {
			t.Errorf("%s should be a requirement that nobody meets: %+v", security, op.Security)
		}
	}
}

func loadSecurity(t *testing.T, security string) *Operation {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.yaml")
	doc := `openapi: 3.1.0
info: {title: t, version: "1"}
paths: {/a: {get: {responses: {"200": {description: ok}}}}}
components: {securitySchemes: {o: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://i.test", scopes: {}}}}}}
security: ` + security + "\n"
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	api, err := Load(t.Context(), path, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return api.Operations[0]
}
