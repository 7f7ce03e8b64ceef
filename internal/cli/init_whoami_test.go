package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/crenel-project/crenel/internal/spec"
)

func TestWhoAmIIsProposed(t *testing.T) {
	answer := func(props string) string {
		return `responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {` + props + `}}}}}}`
	}
	for _, c := range []struct{ name, paths, want string }{
		{"me", `/users/me: {get: {` + answer(`id: {type: string}, role: {type: string}, org_id: {type: string}`) + `}}`,
			`who_am_i: {path: "/users/me", subject: "/id", roles: "/role", tenant: "/org_id"}`},
		{"one below", `/session: {get: {operationId: getCurrentUser, ` + answer(`data: {type: object, properties: {user_id: {type: integer}, roles: {type: array, items: {type: string}}}}`) + `}}`,
			`who_am_i: {path: "/session", subject: "/data/user_id", roles: "/data/roles"}`},
		{"the surest word", `/account: {get: {` + answer(`id: {type: string}`) + `}}
  /auth/whoami: {get: {` + answer(`sub: {type: string}`) + `}}`, `who_am_i: {path: "/auth/whoami", subject: "/sub"}`},
		{"names nobody", `/users/me: {get: {` + answer(`theme: {type: string}`) + `}}`, ""},
		{"needs more", `/users/me: {get: {parameters: [{name: x, in: query, required: true, schema: {type: string}}], ` + answer(`id: {type: string}`) + `}}`, ""},
		{"open to all", `/users/me: {get: {security: [], ` + answer(`id: {type: string}`) + `}}`, ""},
		{"of anybody", `/users/{me}: {get: {parameters: [{name: me, in: path, required: true, schema: {type: string}}], ` + answer(`id: {type: string}`) + `}}`, ""},
		{"another word", `/awesome: {get: {` + answer(`id: {type: string}`) + `}}`, ""},
		{"changes something", `/users/me: {put: {` + answer(`id: {type: string}`) + `}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "api.yaml")
			text := "openapi: 3.1.0\ninfo: {title: t, version: '1'}\ncomponents: {securitySchemes: {key: {type: apiKey, in: header, name: X-Token}}}\nsecurity: [{key: []}]\npaths:\n  " + c.paths + "\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			doc, err := spec.Load(t.Context(), file, spec.LoadOptions{BasePaths: []string{""}})
			if err != nil {
				t.Fatal(err)
			}
			if got := whoAmI(doc, []*spec.SecurityScheme{doc.SecuritySchemes["key"]}); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			p := &plan{}
			p.scheme(doc, doc.SecuritySchemes["key"])
			if has := slices.ContainsFunc(p.methods[0].active, func(l string) bool { return c.want != "" && l == "  # "+c.want }); has != (c.want != "") {
				t.Errorf("the file says %q", p.methods[0].active)
			}
		})
	}
}
