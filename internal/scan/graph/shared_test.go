package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec"
)

// TestSharedHead: where most of an API lies below "admin", the word tells nothing of an
// operation there; where a part of it does, it does.
func TestSharedHead(t *testing.T) {
	for _, c := range []struct {
		admin, others int
		want          bool
	}{{9, 3, false}, {4, 12, true}, {3, 2, true}} {
		var doc strings.Builder
		doc.WriteString("openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n")
		for i := range c.admin {
			fmt.Fprintf(&doc, "  /api/admin/things%d: {get: {responses: {'200': {description: ok}}}}\n", i)
		}
		for i := range c.others {
			fmt.Fprintf(&doc, "  /api/client/things%d: {get: {responses: {'200': {description: ok}}}}\n", i)
		}
		doc.WriteString("  /api/admin/users/sysadmin: {get: {summary: Admins only, responses: {'200': {description: ok}}}}\n")
		api, err := spec.Parse([]byte(doc.String()), "x.yaml", spec.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		g := Build(api)
		if got := g.Op("GET", "/api/admin/things0").Has(Admin); got != c.want {
			t.Errorf("%d of %d below admin: for administrators %v, want %v", c.admin+1, len(g.Ops), got, c.want)
		}
		if !g.Op("GET", "/api/admin/users/sysadmin").Has(Admin) {
			t.Error("what says so itself is not for administrators")
		}
	}
}

// TestPasswordChange: what takes the present password and another one sets the caller's,
// whatever its path and method are like.
func TestPasswordChange(t *testing.T) {
	const doc = `openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /membership:
    get: {responses: {'200': {description: ok}}}
    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {old_password: {type: string}, password: {type: string}, password_again: {type: string}}}}}}, responses: {'200': {description: ok}}}
  /members:
    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {name: {type: string}, password: {type: string}, password_again: {type: string}}}}}}, responses: {'200': {description: ok}}}
`
	api, err := spec.Parse([]byte(doc), "x.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g := Build(api)
	if !g.Op("POST", "/membership").Has(PasswordChange) {
		t.Error("the change of a password was not seen")
	}
	if g.Op("POST", "/members").Has(PasswordChange) {
		t.Error("making a member is none")
	}
}
