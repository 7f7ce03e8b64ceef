package lint

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/policies"
)

const document = `
openapi: 3.0.3
info: {title: Shop, version: "1"}
components: {securitySchemes: {oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: https://id.test, scopes: {"orders:read": r}}}}}}
security: [{oauth: []}]
paths:
  /orders: {get: {operationId: listOrders, x-roles: [clerk], responses: {"200": {description: ok}}}}
`

func run(t testing.TB, policy, tests, data string, o Options) []Problem {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if text == "" {
			return
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("p.rego", policy)
	write("p_test.rego", tests)
	var dataFiles []string
	if data != "" {
		write("d.json", data)
		dataFiles = []string{filepath.Join(dir, "d.json")}
	}
	part, err := authz.LoadFiles([]string{dir}, dataFiles)
	if err != nil {
		t.Fatal(err)
	}
	o.Part = part
	out, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const someTest = "package crenel.authz_test\nimport data.crenel.authz\ntest_one if not authz.decision with input as {}\n"

const pre = "package crenel.authz\nimport data.crenel.lib\ndefault decision := false\n"

func TestRules(t *testing.T) {
	api, err := spec.Parse([]byte(document), "shop.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		policy string
		want   []string // code:line
	}{
		"nothing":                  {pre + `decision if lib.has_role("clerk")`, nil},
		"unused import":            {"package crenel.authz\nimport data.crenel.lib\nimport data.crenel.lib as other\ndefault decision := false\ndecision if lib.authenticated", []string{"policy.unused:3"}},
		"unused variable":          {pre + "decision if {\n\tlib.authenticated\n\tx := 5\n}", []string{"policy.unused:6"}},
		"misspelt field":           {pre + "decision if {\n\tlib.authenticated\n\tinput.identity.subjekt == \"x\"\n}", []string{"policy.unknown_field:6"}},
		"misspelt part":            {pre + "decision if {\n\tlib.authenticated\n\tinput.idenity.subject == \"x\"\n}", []string{"policy.unknown_field:6"}},
		"claims are open":          {pre + "decision if {\n\tlib.authenticated\n\tinput.identity.claims.anything.at.all == 5\n\tinput.body.x.y == 1\n\tinput.params.query.q\n\tinput.row.x\n}", nil},
		"does not compile":         {pre + "decision if lib.authenticated\ndecision if nothing(1)", []string{"policy.compile:5"}},
		"default true":             {"package crenel.authz\nimport data.crenel.lib\ndefault decision := true\ndecision := false if lib.authenticated", []string{"policy.default_allow:3"}},
		"default object":           {"package crenel.authz\nimport data.crenel.lib\ndefault decision := {\"allow\": true}\ndecision := {\"allow\": false} if lib.authenticated", []string{"policy.default_allow:3"}},
		"always":                   {"package crenel.authz\ndefault decision := false\ndecision := true", []string{"policy.always_allows:3"}},
		"no default":               {"package crenel.authz\nimport data.crenel.lib\ndecision if lib.authenticated", []string{"policy.no_default:3"}},
		"a value for all":          {"package crenel.authz\nimport data.crenel.lib\ndecision := {\"allow\": ok}\ndefault ok := false\nok if lib.authenticated", nil},
		"unverified":               {pre + "decision if {\n\tlib.is_read\n\t\"clerk\" in input.identity.roles\n}", []string{"policy.unverified:4"}},
		"unverified, further away": {pre + "decision if clerk\nclerk if \"clerk\" in input.identity.roles\nx if lib.is_read", []string{"policy.unreachable:6", "policy.unverified:4"}},
		"verified by hand":         {"package crenel.authz\ndefault decision := false\ndecision if {\n\tinput.identity.verified\n\t\"clerk\" in input.identity.roles\n}", nil},
		"only negated":             {pre + "decision if not lib.has_role(\"clerk\")", []string{"policy.only_negated:4"}},
		"contradiction":            {pre + "decision := true if lib.has_role(\"clerk\")\ndecision := false if {\n\tlib.has_role(\"clerk\")\n\tinput.risk > 0.5\n}", []string{"policy.contradicts:5"}},
		"contradiction of always":  {"package crenel.authz\ndefault decision := false\ndecision if h == \"low\"\nh := \"high\" if input.risk > 0.5\nh := \"low\"", []string{"policy.contradicts:4"}},
		"one excludes the other":   {pre + "decision := true if lib.has_role(\"clerk\")\ndecision := false if {\n\tlib.is_write\n\tnot lib.has_role(\"clerk\")\n}", nil},
		"else is no contradiction": {pre + "decision := false if {\n\tlib.has_role(\"clerk\")\n\tinput.risk > 0.5\n} else := true if lib.has_role(\"clerk\")", nil},
		"deny is not asked":        {pre + "decision if lib.has_role(\"clerk\")\ndeny if input.risk > 0.5", []string{"policy.deny_ignored:5"}},
		"unreachable":              {pre + "decision if lib.has_role(\"clerk\")\nhelper if input.risk > 0.5", []string{"policy.unreachable:5"}},
		"unknown scope":            {pre + `decision if lib.has_scope("order:read")`, []string{"policy.unknown_scope:4"}},
		"known scope":              {pre + `decision if lib.has_scope("orders:read")`, nil},
		"unknown role":             {pre + `decision if lib.has_role("clark")`, []string{"policy.unknown_role:4"}},
		"no data":                  {pre + `decision if lib.owns_object_in(data.ownres)`, []string{"policy.no_data:4"}},
		"data":                     {pre + `decision if lib.owns_object_in(data.owners)`, nil},
		"data from a source":       {pre + `decision if lib.owns_object_in(data.relations.orders)`, nil},
		"random":                   {pre + "decision if {\n\tlib.authenticated\n\trand.intn(\"x\", 2) == 1\n}", []string{"policy.nondeterministic:6"}},
		"pattern":                  {pre + "decision if {\n\tlib.authenticated\n\tregex.match(\"adm.*\", input.operation.id)\n}", []string{"policy.unanchored:6"}},
		"anchored":                 {pre + "decision if {\n\tlib.authenticated\n\tregex.match(\"^adm.*$\", input.operation.id)\n}", nil},
		"raw path":                 {pre + "decision if {\n\tlib.authenticated\n\tstartswith(input.context.path, \"/public\")\n}", []string{"policy.raw_path:6"}},
		"a filter's rule is asked": {pre + "decision if lib.has_role(\"clerk\")\nfilter if lib.is_subject(input.row.owner)", nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{API: api, Config: config.Authz{Sources: []config.Source{{At: "relations/orders"}}}}
			if strings.Contains(c.policy, "filter if") {
				o.Config.Filters = []config.AuthzFilter{{Rule: "data.crenel.authz.filter"}}
			}
			var got []string
			for _, p := range run(t, c.policy, someTest, `{"owners": {}}`, o) {
				got = append(got, fmt.Sprintf("%s:%d", p.Code, p.Line))
				if p.Why == "" || p.Fix == "" || !strings.HasSuffix(p.File, "p.rego") {
					t.Errorf("%+v", p)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestUntested(t *testing.T) {
	got := run(t, pre+`decision if lib.has_role("clerk")`, "", "", Options{})
	if len(got) != 1 || got[0].Code != "policy.untested" || got[0].Line != 1 {
		t.Errorf("%+v", got)
	}
}

func TestMisspeltNamesWhatThereIs(t *testing.T) {
	got := run(t, pre+"decision if {\n\tlib.authenticated\n\tinput.object.idd == \"x\"\n}", someTest, "", Options{})
	if len(got) != 1 || !strings.Contains(got[0].What, "there are id, resource") {
		t.Errorf("%+v", got)
	}
}

// The library that ships has nothing that its own rules would find.
func TestLibraryIsClean(t *testing.T) {
	lib, err := policies.Lib()
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for name, s := range lib {
		if !strings.HasSuffix(name, "_test.rego") {
			text += s
		}
	}
	if strings.Contains(text, "rand.") {
		t.Error("the library is not deterministic")
	}
	part := &authz.Part{}
	for _, strict := range []bool{true, false} {
		c, err := authz.NewLinter(t.Context(), part, strict, !strict)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c.Errors {
			t.Error(e)
		}
	}
}

// Each code is described, and the schema is JSON that lists every part of the input.
func TestCodesAndSchema(t *testing.T) {
	for _, c := range Codes() {
		if !strings.HasPrefix(c[0], "policy.") || c[1] == "" || kinds[c[0]].fix == "" {
			t.Errorf("%v", c)
		}
	}
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(policies.InputSchema, &schema); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"identity", "operation", "object", "objects", "params", "body", "context", "risk", "row"} {
		if schema.Properties[part] == nil {
			t.Errorf("the schema lacks %s", part)
		}
	}
}
