package mutation

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/matrix"
	"github.com/crenel-project/crenel/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const policy = `package crenel.authz

import data.crenel.lib

default decision := false

decision if lib.has_role("staff")

decision if {
	lib.has_role("customer")
	lib.owns_object_in(data.owners)
	input.body.weight <= 10
}

decision := {"allow": true, "obligations": {"mask": ["/price"]}} if {
	some r in input.identity.roles
	r in {"guest", "visitor"}
	input.operation.method == "GET"
}

why := sprintf("the weight is %v", [input.body.weight])
`

const tests = `package crenel.authz_test

import data.crenel.authz

call(role, weight) := {"identity": {"verified": true, "subject": "alice", "roles": [role]}, "operation": {"method": "GET"}, "object": {"id": "1"}, "body": {"weight": weight}}

test_staff if authz.decision with input as call("staff", 50)

test_owner if authz.decision with input as call("customer", 10) with data.owners as {"1": "alice"}

test_stranger if not authz.decision with input as call("customer", 10) with data.owners as {"1": "bob"}
`

func load(t testing.TB, files map[string]string) *authz.Part {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := authz.LoadFiles([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fate(t testing.TB, r *Result, what string) *Mutant {
	t.Helper()
	for i := range r.Mutants {
		if strings.Contains(r.Mutants[i].What, what) {
			return &r.Mutants[i]
		}
	}
	t.Fatalf("there is no change %q", what)
	return nil
}

func TestMutants(t *testing.T) {
	part := load(t, map[string]string{"p.rego": policy, "p_test.rego": tests})
	r, err := Run(t.Context(), Options{Part: part})
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		`dropped: lib.has_role("staff")`:                     ByTests,
		`"staff" became another text: lib.has_role("staff")`: ByTests,
		`dropped: lib.owns_object_in(data.owners)`:           ByTests,
		`negated: lib.owns_object_in(data.owners)`:           ByTests,
		`dropped: lib.has_role("customer")`:                  Survived,
		`<= became <: input.body.weight <= 10`:               ByTests,
		`10 became one more: input.body.weight <= 10`:        Survived,
		`dropped: input.body.weight <= 10`:                   Survived,
		`decision became true`:                               ByTests,
		`allow became false`:                                 Survived,
		`obligation "mask" removed`:                          Survived,
		`"guest" taken out: r in {"guest", "visitor"}`:       Survived,
		`dropped: some r in input.identity.roles`:            Invalid,
		`"GET" became another text: input.operation.method`:  Survived,
		`dropped: input.operation.method == "GET"`:           Survived,
		`rule decision removed`:                              ByTests,
	} {
		if m := fate(t, r, what); m.Fate != want {
			t.Errorf("%s: %s (%s), want %s", what, m.Fate, m.By, want)
		}
	}
	for i := range r.Mutants {
		m := &r.Mutants[i]
		if strings.Contains(m.What, "the weight is") && strings.Contains(m.What, "became") {
			t.Errorf("words for people are changed: %s", m.What)
		}
		if !strings.Contains(m.Place, "p.rego:") {
			t.Errorf("%s is at %s", m.What, m.Place)
		}
	}
	if m := fate(t, r, `dropped: lib.has_role("customer")`); !strings.HasSuffix(m.Place, "p.rego:10") {
		t.Errorf("at %s", m.Place)
	}
	if r.Score <= 0.2 || r.Score >= 0.9 || r.Counted != r.Killed+countOf(r, Survived) || r.Untried != 0 {
		t.Errorf("%+v", r)
	}
}

func countOf(r *Result, fate string) int {
	n := 0
	for i := range r.Mutants {
		if r.Mutants[i].Fate == fate {
			n++
		}
	}
	return n
}

const document = `
openapi: 3.0.3
info: {title: Shop, version: "1"}
components: {securitySchemes: {login: {type: http, scheme: bearer}}}
security: [{login: []}]
paths:
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    put:
      operationId: putOrder
      requestBody: {content: {application/json: {schema: {type: object, properties: {weight: {type: integer, minimum: 1, maximum: 5}}}}}}
      responses: {"200": {description: ok}}
    get: {operationId: getOrder, responses: {"200": {description: ok}}}
`

// What tests miss the matrix may tell; and it is told which call would.
func TestMatrixTells(t *testing.T) {
	api, err := spec.Parse([]byte(document), "shop.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part := load(t, map[string]string{"p.rego": policy, "p_test.rego": tests})
	o := &matrix.Options{API: api, Name: "shop", Authenticates: true}
	for kept, want := range map[bool]string{true: ByMatrix, false: Survived} {
		r, err := Run(t.Context(), Options{Part: part, Matrix: o, Kept: kept})
		if err != nil {
			t.Fatal(err)
		}
		m := fate(t, r, `dropped: lib.has_role("customer")`)
		if m.Fate != want || m.Tells == nil || m.Tells.Operation != "putOrder" || m.Tells.Relation != matrix.Own || m.Tells.Was != "deny" || m.Tells.Is != "allow" {
			t.Errorf("kept %v: %+v, tells %+v", kept, m, m.Tells)
		}
		if m := fate(t, r, `obligation "mask" removed`); m.Fate != want {
			t.Errorf("kept %v: %+v", kept, m)
		}
		// No call that the document allows is so heavy.
		if m := fate(t, r, `10 became one more`); m.Fate != Survived || m.Tells != nil {
			t.Errorf("%+v", m)
		}
	}
}

func TestRefusesFailingTests(t *testing.T) {
	part := load(t, map[string]string{"p.rego": policy, "p_test.rego": strings.Replace(tests, "not authz", "authz", 1)})
	if _, err := Run(t.Context(), Options{Part: part}); err == nil || !strings.Contains(err.Error(), "test_stranger") {
		t.Error(err)
	}
}

// When the time is up the rest is not tried, and counts as nothing.
func TestTimeUp(t *testing.T) {
	part := load(t, map[string]string{"p.rego": policy, "p_test.rego": tests})
	r, err := Run(t.Context(), Options{Part: part, Timeout: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Untried != len(r.Mutants) || r.Counted != 0 {
		t.Errorf("%d of %d not tried, %d counted", r.Untried, len(r.Mutants), r.Counted)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Part: part}); err == nil {
		t.Error("ran without time")
	}
}

// Every change makes another module, and none touches the module that it copies.
func TestPointsChangeACopy(t *testing.T) {
	m, err := ast.ParseModuleWithOpts("p.rego", policy, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		t.Fatal(err)
	}
	before := m.String()
	var seen []string
	for i, pt := range points(m.Copy()) {
		c := m.Copy()
		points(c)[i].apply()
		after := c.String()
		if after == before {
			t.Errorf("%s changes nothing", pt.what)
		}
		if slices.Contains(seen, after) {
			t.Errorf("%s makes what another change made", pt.what)
		}
		seen = append(seen, after)
		if m.String() != before {
			t.Fatalf("%s changed the original", pt.what)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d changes", len(seen))
	}
}
