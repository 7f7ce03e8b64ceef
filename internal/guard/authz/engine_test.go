package authz

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func parse(t *testing.T, files map[string]string) map[string]*ast.Module {
	t.Helper()
	out := map[string]*ast.Module{}
	for name, text := range files {
		m, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		out[name] = m
	}
	return out
}

func object(t *testing.T, m map[string]any) ast.Object {
	t.Helper()
	o, err := Object(m)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// rows is the plainest table.
type rows map[string]string

func (r rows) Read(path storage.Path) (ast.Value, error) {
	switch len(path) {
	case 0:
		o := ast.NewObject()
		for k, v := range r {
			o.Insert(ast.StringTerm(k), ast.StringTerm(v))
		}
		return o, nil
	case 1:
		if v, ok := r[path[0]]; ok {
			return ast.String(v), nil
		}
	}
	return nil, NotFound(path)
}

func newTestEngine(t *testing.T, c *clock, list ...Source) *Engine {
	t.Helper()
	e, err := NewEngine("", list, slog.New(slog.DiscardHandler), c.now)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ask evaluates what decides; "" when the policy says true.
func ask(t *testing.T, e *Engine, c *clock, input map[string]any) string {
	t.Helper()
	p, err := e.Current(c.at)
	if err != nil {
		return err.Error()
	}
	v, err := p.Evaluate(context.Background(), &Evaluation{Input: ast.MustInterfaceToValue(input), Now: c.at, Limit: time.Second})
	if err != nil {
		return err.Error()
	}
	if v.Compare(ast.Boolean(true)) == 0 {
		return ""
	}
	return v.String()
}

const tablePolicy = `package crenel.authz
default decision := false
decision if data.relations.owners[input.id] == input.who
`

func TestTablesChangeWithoutCompiling(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	e := newTestEngine(t, c, Source{Name: "files"}, Source{Name: "owners", MaxAge: time.Minute})
	if err := e.Update(t.Context(), map[string]*Part{"files": {Modules: parse(t, map[string]string{"p.rego": tablePolicy})}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, e, c, nil); !strings.Contains(got, "owners has given nothing yet") {
		t.Fatalf("without a table: %s", got)
	}
	give := func(r rows) {
		t.Helper()
		if err := e.Update(t.Context(), map[string]*Part{"owners": {Tables: map[string]Table{"relations/owners": r}}}); err != nil {
			t.Fatal(err)
		}
	}
	var told []uint64
	stop := e.Subscribe(func(_, current *Policy) { told = append(told, current.Serial()) })
	question := map[string]any{"id": "p1", "who": "alice"}
	give(rows{"p1": "alice"})
	first, _ := e.Current(c.at)
	if got := ask(t, e, c, question); got != "" {
		t.Fatalf("alice: %s", got)
	}
	give(rows{"p1": "bob"})
	second, _ := e.Current(c.at)
	if got := ask(t, e, c, question); got != "false" {
		t.Fatalf("alice after the change: %s", got)
	}
	if first.code != second.code {
		t.Error("a new table had the rules compiled anew")
	}
	stop()
	give(rows{"p1": "alice"})
	if len(told) != 2 || told[0] != 1 || told[1] != 2 {
		t.Errorf("subscribers were told of %v, want 1 and 2", told)
	}
	// Whole documents above and at the table.
	for path, want := range map[string]string{"": `{"relations": {"owners": {"p1": "alice"}}}`, "relations": `{"owners": {"p1": "alice"}}`, "relations/owners/p1": `"alice"`} {
		p, _ := e.Current(c.at)
		steps, _ := parseRoot(path)
		v, err := p.data.Read(t.Context(), moment{}, steps)
		if err != nil || v.(ast.Value).String() != want {
			t.Errorf("data at %q: %v, %v; want %s", path, v, err, want)
		}
	}
	c.at = c.at.Add(time.Minute + 1)
	if got := ask(t, e, c, question); !strings.Contains(got, "more than 1m0s") {
		t.Errorf("after a minute of silence: %q", got)
	}
	e.Confirm("owners", c.at)
	if got := ask(t, e, c, question); got != "" {
		t.Errorf("after it was heard of: %q", got)
	}
	e.Fail("owners", errors.New("connection refused"))
	if err := e.Ready(); err == nil || !strings.Contains(err.Error(), "owners: connection refused") {
		t.Errorf("ready: %v", err)
	}
	if got := ask(t, e, c, question); got != "" {
		t.Errorf("while it fails: %q", got)
	}
}

func TestCandidatesKeptOut(t *testing.T) {
	good := map[string]string{"a.rego": "package crenel.authz\ndecision if data.app.level == 3"}
	level := func(n int) map[string]any { return map[string]any{"app": map[string]any{"level": n}} }
	for name, c := range map[string]struct {
		part *Part
		want string
	}{
		"does not compile":   {&Part{Modules: parse(t, map[string]string{"b.rego": "package b\np if q"})}, "var q is unsafe"},
		"fails its tests":    {&Part{Modules: parse(t, map[string]string{"b_test.rego": "package b_test\ntest_level if data.app.level == 4"})}, "test_level: failed"},
		"overlapping roots":  {&Part{Roots: []string{"app/level"}}, `root "app/level" overlaps root "app" of data`},
		"another's root":     {&Part{Data: object(t, map[string]any{"app": map[string]any{"more": 1}})}, `data lies under root "app", which is data's alone`},
		"package in a root":  {&Part{Modules: parse(t, map[string]string{"b.rego": "package app.x\np := 1"})}, `b.rego lies under root "app"`},
		"table in a root":    {&Part{Tables: map[string]Table{"app/owners": rows{}}}, `table app/owners lies under root "app"`},
		"the library's name": {&Part{Modules: parse(t, map[string]string{"b.rego": "package crenel.lib\np := 1"})}, "is Crenel's own"},
		"refused by a gate":  {&Part{Revision: "gate"}, "too many would be refused"},
	} {
		t.Run(name, func(t *testing.T) {
			clk := &clock{time.Unix(1_800_000_000, 0)}
			e := newTestEngine(t, clk, Source{Name: "files"}, Source{Name: "data"}, Source{Name: "more"})
			if err := e.Update(t.Context(), map[string]*Part{
				"files": {Modules: parse(t, good)}, "data": {Data: object(t, level(3)), Roots: []string{"app"}}, "more": {},
			}); err != nil {
				t.Fatal(err)
			}
			e.Gate(func(_ context.Context, a *Activation) error {
				if a.Candidate.Revisions()["more"] == "gate" {
					return errors.New("too many would be refused")
				}
				return nil
			})
			before, _ := e.Current(clk.at)
			err := e.Update(t.Context(), map[string]*Part{"more": c.part})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %s", err, c.want)
			}
			if now, _ := e.Current(clk.at); now != before {
				t.Error("the candidate decides")
			}
			if err := e.Ready(); err == nil || !strings.Contains(err.Error(), "more: ") {
				t.Errorf("ready: %v", err)
			}
			if err := e.Update(t.Context(), map[string]*Part{"more": {}}); err != nil {
				t.Fatal(err)
			}
			if err := e.Ready(); err != nil {
				t.Errorf("ready after it was mended: %v", err)
			}
		})
	}
}

// Two bundles that need each other's news: neither goes alone, both go together,
// and in between the old ones decide.
func TestPartsActivatedTogether(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	e := newTestEngine(t, c, Source{Name: "lib"}, Source{Name: "policy"})
	lib := func(fn string) *Part {
		return &Part{Roots: []string{"lib"}, Modules: parse(t, map[string]string{"lib.rego": "package lib\n" + fn + "(x) if x == 1"})}
	}
	policy := func(fn string) *Part {
		return &Part{Roots: []string{"crenel"}, Modules: parse(t, map[string]string{"p.rego": "package crenel.authz\ndecision if data.lib." + fn + "(input.x)"})}
	}
	if err := e.Update(t.Context(), map[string]*Part{"lib": lib("old"), "policy": policy("old")}); err != nil {
		t.Fatal(err)
	}
	if err := e.Update(t.Context(), map[string]*Part{"lib": lib("fresh")}); err == nil {
		t.Fatal("the library lost a function that the policy calls, and was activated")
	}
	if got := ask(t, e, c, map[string]any{"x": 1}); got != "" {
		t.Fatalf("in between: %s", got)
	}
	if err := e.Update(t.Context(), map[string]*Part{"policy": policy("fresh")}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, e, c, map[string]any{"x": 1}); got != "" {
		t.Fatalf("together: %s", got)
	}
	if err := e.Ready(); err != nil {
		t.Error(err)
	}
	if p, _ := e.Current(c.at); p.Serial() != 2 {
		t.Errorf("serial %d, want 2", p.Serial())
	}
}

// New data beside the packages may not be taken for undefined by rules that were
// specialised when it was not there.
func TestNewDataIsSeen(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	e := newTestEngine(t, c, Source{Name: "files"}, Source{Name: "table"})
	files := &Part{Modules: parse(t, map[string]string{"p.rego": "package crenel.authz\ndefault decision := false\ndecision if data.fresh.x == \"1\""})}
	if err := e.Update(t.Context(), map[string]*Part{"files": files, "table": {}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, e, c, nil); got != "false" {
		t.Fatal(got)
	}
	if err := e.Update(t.Context(), map[string]*Part{"table": {Tables: map[string]Table{"fresh": rows{"x": "1"}}}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, e, c, nil); got != "" {
		t.Fatal(got)
	}
}
