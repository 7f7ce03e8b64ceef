package authz

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"pgregory.net/rapid"
)

// Policies of many shapes, over the input that drawInput makes.
var shapes = map[string]string{
	"default and rules": `default decision := false
decision if "admin" in input.identity.roles
decision if { input.identity.verified; data.owners[input.object.id] == input.identity.subject }`,
	"no default":      `decision if { input.identity.verified; some r in input.identity.roles; r in data.allowed }`,
	"library":         "import data.crenel.lib\ndefault decision := false\ndecision if lib.has_any_role([\"admin\", \"clerk\"])\ndecision if { lib.has_role(\"user\"); lib.owns_object_in(data.owners) }\ndecision if { lib.has_scope(\"all\"); lib.object_in_tenant(data.tenants) }",
	"owns all":        "import data.crenel.lib\ndecision := {\"allow\": lib.owns_all_in(\"parcel\", data.owners)}",
	"negation":        `decision if { not blocked; not guest }` + "\n" + `guest if input.identity.roles[_] == "guest"` + "\n" + `blocked if input.identity.subject in data.blocked`,
	"every":           `decision if { count(input.identity.roles) > 0; every r in input.identity.roles { r in data.allowed } }`,
	"else":            `decision := true if "admin" in input.identity.roles else := {"allow": false, "reason": "guest"} if "guest" in input.identity.roles else := false`,
	"function":        `level(r) := 3 if r == "admin"` + "\n" + `level(r) := 2 if r == "clerk"` + "\n" + `level(r) := 0 if not r in {"admin", "clerk"}` + "\n" + `decision if max([level(r) | some r in input.identity.roles]) >= input.weight`,
	"comprehension":   `mine := {id | some id, owner in data.owners; owner == input.identity.subject}` + "\n" + `decision := {"allow": count(mine) > 0, "obligations": {"query": {"ids": concat(",", mine)}}}`,
	"object":          `default decision := {"allow": false, "reason": "no rule"}` + "\n" + `decision := {"allow": true, "obligations": {"mask": ["/x"]}} if input.identity.verified`,
	"partial rule":    `deny contains "blocked" if input.identity.subject in data.blocked` + "\n" + `deny contains "guest" if "guest" in input.identity.roles` + "\n" + `decision := {"allow": count(deny) == 0, "reason": concat(",", deny)}`,
	"conflict":        `decision := true if input.identity.verified` + "\n" + `decision := false if "guest" in input.identity.roles`,
	"arithmetic":      `decision if 10 / input.weight > 2`,
	"error under not": `decision if not to_number(input.identity.subject) > 5`,
	"with":            `decision if inner with input.identity.verified as true` + "\n" + `inner if { input.identity.verified; "user" in input.identity.roles }`,
	"dynamic":         `decision if data.tables[input.table][input.object.id] == input.identity.subject`,
	"data as a whole": `decision if { some t; data.tables[t][input.object.id] == input.identity.subject }`,
	"virtual by name": `rules.admin if "admin" in input.identity.roles` + "\n" + `rules.user if "user" in input.identity.roles` + "\n" + `decision if rules[input.table]`,
	"walk":            `decision if { walk(input, [p, v]); v == "p1"; count(p) == 2 }`,
	"input whole":     `f(x) := x.identity.verified` + "\n" + `decision if f(input)`,
	"numbers as ids":  `decision if to_number(input.weight) == data.weights[input.object.id]`,
	"time":            `decision if time.now_ns() > 0`,
}

const shapeData = `{"owners": {"p1": "alice", "p2": "bob", "p3": 7}, "tenants": {"p1": "north"}, "allowed": ["user", "clerk"],
"blocked": ["bob"], "weights": {"p1": 1, "p2": 2}, "tables": {"owners": {"p1": "alice", "p2": "bob"}, "none": {}}, "crenel": {"settings": {"x": 1}}}`

func drawInput(t *rapid.T) ast.Value {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	in := map[string]any{}
	id := map[string]any{"roles": rapid.SliceOfN(rapid.SampledFrom([]any{"admin", "user", "guest", "clerk"}), 0, 3).Draw(t, "roles"), "scopes": []any{pick("scope", "all", "some")}}
	if rapid.Bool().Draw(t, "has subject") {
		id["subject"] = pick("subject", "alice", "bob", "7", "")
	}
	if rapid.Bool().Draw(t, "has verified") {
		id["verified"] = rapid.Bool().Draw(t, "verified")
	}
	id["tenant"] = pick("tenant", "north", "south")
	if rapid.IntRange(0, 9).Draw(t, "has identity") > 0 {
		in["identity"] = id
	}
	if rapid.Bool().Draw(t, "has object") {
		object := pick("object", "p1", "p2", "p3", "p4")
		in["object"] = map[string]any{"resource": "parcel", "id": object}
		in["objects"] = []any{map[string]any{"resource": "parcel", "id": object}}
	}
	if rapid.Bool().Draw(t, "has weight") {
		in["weight"] = rapid.IntRange(0, 4).Draw(t, "weight")
	}
	in["table"] = pick("table", "owners", "tenants", "admin", "user", "none", "crenel")
	return ast.MustInterfaceToValue(in)
}

// A specialised policy decides as the policy that was written, for whatever
// input; and so does the short cache of rules, against OPA's own.
func TestSpecializedMeansTheSame(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data := write("data.json", shapeData)
	specialised := 0
	for name, text := range shapes {
		part, err := LoadFiles([]string{write("policy.rego", "package crenel.authz\n"+text)}, []string{data})
		if err != nil {
			t.Fatal(err)
		}
		src, err := join(map[string]*Part{filesSource: part})
		if err != nil {
			t.Fatal(err)
		}
		p, err := src.compile(t.Context(), "")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.notSpecialized == nil {
			specialised++
		} else {
			t.Logf("%s: %v", name, p.notSpecialized)
		}
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			input := drawInput(t)
			now := time.Unix(1_800_000_000, 0)
			got, gotErr := p.run(context.Background(), &p.evaluator, &Evaluation{Input: input, Now: now, Limit: time.Minute})
			want, wantErr := reference(p, input, now)
			if fmt.Sprint(got) != fmt.Sprint(want) || class(gotErr) != class(wantErr) {
				t.Fatalf("specialised says %v (%v), as written %v (%v)\ninput %v", got, gotErr, want, wantErr, input)
			}
		}))
	}
	if specialised < len(shapes)/2 {
		t.Errorf("only %d of %d policies are specialised: the test shows little", specialised, len(shapes))
	}
}

// reference evaluates the policy as written, with OPA's own caches.
func reference(p *Policy, input ast.Value, now time.Time) (ast.Value, error) {
	var out ast.Value
	e := p.asWritten
	q := topdown.NewQuery(e.query).WithQueryCompiler(e.queries).WithCompiler(e.compiler).WithStore(p.data).WithTransaction(moment{}).
		WithInput(ast.NewTerm(input)).WithTime(now).WithStrictBuiltinErrors(true)
	err := q.Iter(context.Background(), func(r topdown.QueryResult) error {
		out = r[resultVar].Value
		return nil
	})
	if err != nil {
		return nil, err
	}
	if out == nil {
		return nil, errUndefined
	}
	return out, nil
}

func class(err error) string {
	var e *topdown.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errUndefined):
		return "undefined"
	case errors.As(err, &e):
		return e.Code
	}
	return "other"
}
