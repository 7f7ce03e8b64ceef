package matrix

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const document = `
openapi: 3.0.3
info: {title: Shop, version: "1"}
components:
  securitySchemes:
    login: {type: http, scheme: bearer}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: https://id.test, scopes: {read: r, write: w}}}}
  schemas:
    Order: {type: object, properties: {id: {type: integer}, customer_id: {type: integer}, weight: {type: integer, minimum: 0, maximum: 100}, courier_id: {type: integer}}}
security: [{login: []}]
paths:
  /health: {get: {operationId: health, security: [], responses: {"200": {description: ok}}}}
  /orders:
    get: {operationId: listOrders, responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Order"}}}}}}}
    post:
      operationId: createOrder
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
      responses: {"201": {description: ok}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {operationId: getOrder, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}}}
    delete: {operationId: deleteOrder, security: [{oauth: [write]}], responses: {"204": {description: ok}}}
  /customers/{customerId}:
    parameters: [{name: customerId, in: path, required: true, schema: {type: string, format: uuid}}]
    get: {operationId: getCustomer, responses: {"200": {description: ok}}}
  /companies/{companyId}:
    parameters: [{name: companyId, in: path, required: true, schema: {type: string}}]
    get: {operationId: getCompany, responses: {"200": {description: ok}}}
  /runs/{runId}:
    parameters: [{name: runId, in: path, required: true, schema: {type: integer}}, {name: courier_id, in: query, schema: {type: integer}}]
    get: {operationId: getRun, responses: {"200": {description: ok}}}
`

func load(t testing.TB, files map[string]string) *authz.Part {
	t.Helper()
	dir := t.TempDir()
	var policies, data []string
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".rego") {
			policies = append(policies, path)
		} else {
			data = append(data, path)
		}
	}
	p, err := authz.LoadFiles(policies, data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func derive(t testing.TB, part *authz.Part, change func(*Options)) (*Deriver, *Matrix) {
	t.Helper()
	api, err := spec.Parse([]byte(document), "shop.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{API: api, Name: "shop", Authenticates: true, Part: part}
	if change != nil {
		change(&o)
	}
	d, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	m, err := d.Matrix(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d, m
}

// cell is a cell as the file has it.
func cell(t testing.TB, m *Matrix, operation, actor string) string {
	t.Helper()
	for _, op := range m.Operations {
		if op.ID == operation {
			if op.Cells[actor] == nil {
				t.Fatalf("%s has no actor %q: %v", operation, actor, m.Actors)
			}
			return cellText(op.Cells[actor])
		}
	}
	t.Fatalf("no operation %s", operation)
	return ""
}

const ownOnly = "{own: allow, tenant: deny, other: deny, none: deny}"

// Each way in which a policy can tell whose an object is.
func TestRelations(t *testing.T) {
	const pre = "package crenel.authz\nimport data.crenel.lib\ndefault decision := false\n"
	for name, c := range map[string]struct {
		policy, data, operation, actor, want string
	}{
		"owner table":            {"decision if lib.owns_object_in(data.owners)", `{"owners": {"1": "alice"}}`, "getOrder", "user", ownOnly},
		"owners as numbers":      {"decision if lib.owns_object_in(data.owners)", `{"owners": {"1": 7}}`, "getOrder", "user", ownOnly},
		"table without data":     {"decision if lib.owns_object_in(data.owners)", `{}`, "getOrder", "user", ownOnly},
		"table of lists":         {"decision if input.identity.subject in data.members[input.object.id]", `{"members": {"1": ["a"]}}`, "getOrder", "user", ownOnly},
		"table of records":       {"decision if data.orders[input.object.id].customer_id == input.identity.subject", `{"orders": {"1": {"customer_id": "a", "total": 5}}}`, "getOrder", "user", ownOnly},
		"tenant in records":      {"decision if data.orders[input.object.id].company == input.identity.tenant", `{"orders": {"1": {"company": "a"}}}`, "getOrder", "user", "{own: allow, tenant: allow, other: deny, none: deny}"},
		"tenant table":           {"decision if lib.object_in_tenant(data.tenants)", `{"tenants": {"1": "a"}}`, "getOrder", "user", "{own: allow, tenant: allow, other: deny, none: deny}"},
		"list by caller":         {"decision if input.object.id in data.parcels_of[input.identity.subject]", `{"parcels_of": {"alice": ["1"]}}`, "getOrder", "user", ownOnly},
		"nested table":           {"decision if data.shop.eu.owners[input.object.id] == input.identity.subject", `{"shop": {"eu": {"owners": {"1": "a"}}}}`, "getOrder", "user", ownOnly},
		"handed on whole":        {"own(t) if t[input.object.id] == input.identity.subject\ndecision if { some x in [data.owners]; own(x) }", `{"owners": {"1": "a"}}`, "getOrder", "user", ownOnly},
		"walked":                 {"decision if { some id, who in data.owners; id == input.object.id; who == input.identity.subject }", `{"owners": {"1": "a"}}`, "getOrder", "user", ownOnly},
		"claim":                  {`decision if lib.claim_lists_object("orders")`, `{}`, "getOrder", "user", ownOnly},
		"claim by reference":     {`decision if input.object.id in input.identity.claims.orders`, `{}`, "getOrder", "user", ownOnly},
		"path is the caller":     {"decision if lib.is_subject(input.params.path.customerId)", `{}`, "getCustomer", "user", ownOnly},
		"path is the tenant":     {"decision if lib.in_tenant(input.params.path.companyId)", `{}`, "getCompany", "user", "{own: allow, tenant: allow, other: deny, none: deny}"},
		"object is the caller":   {"decision if lib.is_subject(input.object.id)", `{}`, "getCustomer", "user", ownOnly},
		"body names the owner":   {"decision if lib.is_subject(input.body.customer_id)", `{}`, "createOrder", "user", ownOnly},
		"query names a courier":  {"decision if lib.is_subject(input.params.query.courier_id)", `{}`, "getRun", "user", ownOnly},
		"answer":                 {`decision := {"allow": true, "obligations": {"answer": [{"at": "/customer_id", "in": [input.identity.subject]}]}}`, `{}`, "getOrder", "user", "{own: allow, tenant: deny by the answer, other: deny by the answer, none: deny by the answer}"},
		"answer of the tenant":   {`decision := {"allow": true, "obligations": {"answer": [{"at": "/company_id", "in": [input.identity.tenant]}]}}`, `{}`, "getOrder", "user", "{own: allow, tenant: allow, other: deny by the answer, none: deny by the answer}"},
		"answer says more":       {`decision := {"allow": true, "obligations": {"answer": [{"at": "/status", "in": ["open"]}]}}`, `{}`, "getOrder", "user", "'depends on the answer''s /status'"},
		"no relation":            {"decision := true", `{}`, "getOrder", "user", "allow"},
		"the document denies":    {"decision := true", `{}`, "getOrder", "anonymous", "deny"},
		"the document's scope":   {"decision := true", `{}`, "deleteOrder", "user", "deny scope"},
		"a scope that is enough": {"decision := true", `{}`, "deleteOrder", "scope write", "allow"},
		"public":                 {"decision := true", `{}`, "health", "anonymous", "allow"},
		"a role by the library":  {`decision if lib.has_any_role(["clerk", "boss"])`, `{}`, "getOrder", "role clerk", "allow"},
		"a role by iteration":    {"decision if { some r in input.identity.roles; r in {\"auditor\", \"x\"} }", `{}`, "getOrder", "role auditor", "allow"},
		"a role in data":         {"decision if { some r in input.identity.roles; input.operation.id in data.grants[r] }", `{"grants": {"packer": ["getOrder"]}}`, "getOrder", "role packer", "allow"},
		"scope in a policy":      {`decision if lib.has_scope("special")`, `{}`, "getOrder", "scope special", "allow"},
		"weight":                 {"decision if input.body.weight <= 10", `{}`, "createOrder", "user", "depends on body /weight"},
		"two of the body":        {"decision if { input.body.weight <= 10; input.body.courier_id != 5 }", `{}`, "createOrder", "user", "'depends on body /courier_id, body /weight'"},
		"risk":                   {"decision if input.risk < 0.7", `{}`, "getOrder", "user", "depends on risk"},
		"time":                   {"decision if time.clock(time.now_ns())[0] < 18", `{}`, "getOrder", "user", "depends on time"},
		"address":                {`decision if net.cidr_contains("192.0.2.0/24", input.context.client_ip)`, `{}`, "getOrder", "user", "depends on client_ip"},
		"authentication":         {`decision if input.identity.claims.acr == "phr"`, `{}`, "getOrder", "user", "depends on claim acr"},
		"step up":                {`decision := {"allow": true, "obligations": {"step_up": {"acr_values": ["phr"]}}}`, `{}`, "getOrder", "user", "step up"},
		"an error":               {`decision := {"alow": true}`, `{}`, "getOrder", "user", "error authz.error"},
		"what is allowed less":   {`decision := {"allow": true, "obligations": {"strip": ["/total"], "headers": {"X-Who": input.identity.subject}, "keep": lib.keep_own("subject")}}`, `{}`, "listOrders", "user", "'allow, of the list only customer_id IN (''caller'', caller), header X-Who: caller, without /total'"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := pre + c.policy
			if strings.HasPrefix(c.policy, "decision := ") {
				policy = strings.Replace(policy, "default decision := false\n", "", 1)
			}
			_, m := derive(t, load(t, map[string]string{"p.rego": policy, "d.json": c.data}), nil)
			if d := cmp.Diff(c.want, cell(t, m, c.operation, c.actor)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWithoutPolicies(t *testing.T) {
	d, m := derive(t, nil, func(o *Options) {
		o.Overrides = []config.OperationOverride{{Operation: "GET /orders*", Roles: []string{"clerk"}}}
	})
	for _, c := range [][3]string{
		{"getOrder", "user", "deny"}, {"getOrder", "role clerk", "allow"}, {"getCustomer", "user", "allow"}, {"deleteOrder", "scope write", "allow"},
		{"deleteOrder", "user", "deny scope"}, {"health", "anonymous", "allow"},
	} {
		if got := cell(t, m, c[0], c[1]); got != c[2] {
			t.Errorf("%s, %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
	if got := d.Rules(t.Context(), "getOrder", "user", ""); !cmp.Equal(got, []string{"the document"}) {
		t.Error(got)
	}
}

const shop = `package crenel.authz
import data.crenel.lib

default decision := false

decision if lib.has_role("staff")

decision if {
	lib.has_role("customer")
	lib.owns_object_in(data.owners)
}
`

// The file is the same each time, comes back as it was, and names what changed.
func TestFile(t *testing.T) {
	data := `{"owners": {"1": "alice"}}`
	_, m := derive(t, load(t, map[string]string{"p.rego": shop, "d.json": data}), nil)
	written := string(m.Bytes())
	for _, line := range []string{
		"  getOrder: # GET /orders/{id}\n", "    anonymous: deny\n", "    role customer: {own: allow, tenant: deny, other: deny, none: deny}\n", "    role staff: allow\n", "version: 1\napi: shop\n",
	} {
		if !strings.Contains(written, line) {
			t.Errorf("no line %q in\n%s", line, written)
		}
	}
	_, again := derive(t, load(t, map[string]string{"p.rego": shop, "d.json": data}), nil)
	if d := cmp.Diff(written, string(again.Bytes())); d != "" {
		t.Fatalf("the second time it is\n%s", d)
	}
	f, err := Parse([]byte(written))
	if err != nil {
		t.Fatal(err)
	}
	if changes := m.Compare(f); len(changes) != 0 {
		t.Fatalf("%+v", changes)
	}
	wide := strings.Replace(shop, `	lib.owns_object_in(data.owners)`, `	input.operation.method == "GET"`, 1)
	d, m := derive(t, load(t, map[string]string{"p.rego": wide, "d.json": data}), nil)
	var got []Change
	for _, c := range m.Compare(f) {
		if c.Operation == "getOrder" {
			got = append(got, c)
		}
	}
	want := []Change{
		{Operation: "getOrder", Actor: "role customer", Relation: Tenant, Was: "deny", Is: "allow"},
		{Operation: "getOrder", Actor: "role customer", Relation: Other, Was: "deny", Is: "allow"},
		{Operation: "getOrder", Actor: "role customer", Relation: None, Was: "deny", Is: "allow"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got[0].Wider() {
		t.Error("deny to allow is not wider")
	}
	rules := d.Rules(t.Context(), "getOrder", "role customer", Other)
	if len(rules) == 0 || !strings.HasSuffix(rules[len(rules)-1], "p.rego:8") {
		t.Errorf("rules %v", rules)
	}
	if rules := d.Rules(t.Context(), "getOrder", "user", Other); len(rules) != 1 || !strings.HasSuffix(rules[0], "p.rego:4 (default)") {
		t.Errorf("rules %v", rules)
	}
}

func TestCompareShapes(t *testing.T) {
	_, m := derive(t, nil, nil)
	f, err := Parse(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	delete(f.Operations, "health")
	f.Operations["gone"] = map[string]map[string]string{"user": {Own: "allow", Tenant: "allow", Other: "allow", None: "deny"}}
	delete(f.Operations["getOrder"], "user")
	f.Operations["getOrder"]["role old"] = map[string]string{Own: "allow", Tenant: "allow", Other: "allow", None: "allow"}
	var got []string
	for _, c := range m.Compare(f) {
		if c.Operation != "health" {
			got = append(got, strings.Join([]string{c.Operation, c.Actor, c.Relation, c.Was, c.Is}, "|"))
		}
	}
	want := []string{"getOrder|user|||allow", "getOrder|role old||allow|", "gone|user|own|allow|", "gone|user|tenant|allow|", "gone|user|other|allow|", "gone|user|none|deny|"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseRefuses(t *testing.T) {
	for src, want := range map[string]string{
		"version: 2\napi: x\n":                                   "its version is 2",
		"version: 1\noperations: {a: {user: {mine: allow}}}":     "has the relations",
		"version: 1\noperations: {a: {user: [allow]}}":           "neither a text nor",
		"version: 1\noperations: {a: {user: {own: {x: allow}}}}": "has the relations",
		"version: 1\nrows: 5":                                    "reading the matrix",
		"a: [":                                                   "reading the matrix",
	} {
		if _, err := Parse([]byte(src)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", src, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("version: 1\napi: a\nactors: {user: x}\noperations: {op: {user: allow, x: {own: deny}}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		file, err := Parse(data)
		if err != nil {
			return
		}
		for _, actors := range file.Operations {
			for _, cells := range actors {
				for r := range cells {
					if r != Own && r != Tenant && r != Other && r != None {
						t.Fatalf("the relation %q was read", r)
					}
				}
			}
		}
	})
}
