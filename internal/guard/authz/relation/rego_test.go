package relation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/relation"
)

// queries are ways in which policies read data. Each is the body of a rule whose
// value is result.
var queries = []string{
	`result := data.rel.x[input.a]`,
	`result := data.rel.x[input.a][input.b]`,
	`result := data.rel.x[input.a][input.b][input.c]`,
	`result := data.rel.x`,
	`result := data.rel`,
	`result := data.rel[input.top]`,
	`result := data.rel[input.top][input.a]`,
	`result := [k | data.rel.x[k]]`,
	`result := [[k, v] | some k, v in data.rel.x]`,
	`result := {j | some i; data.rel.x[i][j]}`,
	`result := {[i, j, v] | v := data.rel.x[i][j]}`,
	`result := [v | v := data.rel.x[_][input.b]]`,
	`result := count(data.rel.x)`,
	`result := count(data.rel.x[input.a])`,
	`result := object.get(data.rel.x, [input.a, input.b], "none")`,
	`result := object.get(data.rel.x, input.a, {})`,
	`result := input.a in data.rel.x`,
	`result := "admin" in data.rel.x[input.a].roles`,
	`not data.rel.x[input.a]
	result := true`,
	`not data.rel.x[input.a][input.b]
	result := [input.b]`,
	`result := [p | walk(data.rel.x[input.a], [p, _])]`,
	`d := data.rel.x
	result := d[input.a]`,
	`result := data.rel.x[input.a] with data.rel.x as {"k": 1}`,
	`result := data.rel.x[input.a] with data.rel.x.k1 as "replaced"`,
	`every k, v in data.rel.x { k != input.a; v != input.b }
	result := true`,
	`result := json.marshal(data.rel.x[input.a])`,
	`result := data.rel.x[input.a] == data.rel.x[input.b]`,
	`result := data.rel.x == data.rel.x`,
	`result := union({data.rel.x[input.a]} | {data.rel.x[input.b]})`,
	`result := data.rel.x.k1.roles[0]`,
	`result := data.rel.x.k1.roles["0"]`,
	`result := data.rel.x["k1"][input.b]`,
	`result := {role: n | role := data.rel.x[_].roles[_]; n := count([1 | data.rel.x[_].roles[_] == role])}`,
	`result := sort([v.n | v := data.rel.x[_]])`,
	`result := object.union(object.get(data.rel.x, "k1", {}), {"z": 1})`,
	`result := y.k
	y := data.rel.y`,
}

func document(t *rapid.T) any {
	out := map[string]any{}
	for i := range rapid.SampledFrom([]int{0, 1, 5, 40, 90}).Draw(t, "members") {
		key := fmt.Sprint("k", i)
		if i%7 == 6 {
			key = strconv.Itoa(i)
		}
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			out[key] = rapid.SampledFrom([]any{nil, true, false, json.Number("1.0"), json.Number("7"), "admin", ""}).Draw(t, "scalar")
		case 1:
			list := []any{}
			for j := range rapid.SampledFrom([]int{0, 2, 80}).Draw(t, "length") {
				list = append(list, fmt.Sprint("e", j%5))
			}
			out[key] = list
		case 2:
			many := map[string]any{}
			for j := range 50 {
				many[fmt.Sprint("k", j)] = json.Number(strconv.Itoa(j % 3))
			}
			out[key] = many
		default:
			roles := []any{}
			for range rapid.IntRange(0, 3).Draw(t, "roles") {
				roles = append(roles, rapid.SampledFrom([]string{"admin", "viewer", "editor"}).Draw(t, "role"))
			}
			out[key] = map[string]any{"roles": roles, "n": json.Number(strconv.Itoa(i % 4)), "0": "zero"}
		}
	}
	return out
}

// TestQueriesSameAsOPA: whatever policies ask, they are told what OPA's store tells them.
func TestQueriesSameAsOPA(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		x, query := document(t), rapid.SampledFrom(queries).Draw(t, "query")
		b := relation.NewBuilder(relation.Limits{})
		b.Any(x)
		d, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		name := rapid.SampledFrom([]string{"k0", "k1", "k3", "k50", "6", "roles", "n", "0", "x", "nowhere", "admin", "e1"})
		input := map[string]any{"top": rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "top"), "a": name.Draw(t, "a"), "b": name.Draw(t, "b"), "c": name.Draw(t, "c")}
		if rapid.Bool().Draw(t, "number") {
			input["b"] = json.Number("1")
		}
		module := "package test\nanswer := result if {\n\t" + strings.Replace(query, "\n\ty := data.rel.y", "", 1) + "\n}\n"
		if strings.Contains(query, "y := data.rel.y") {
			module += "y := data.rel.y\n"
		}
		beside := map[string]any{"k": "beside"}

		store := inmem.NewFromObjectWithOpts(map[string]any{"rel": map[string]any{"x": x, "y": beside}}, inmem.OptReturnASTValuesOnRead(true))
		rs, wantErr := rego.New(rego.Query("data.test.answer"), rego.Module("p.rego", module), rego.Store(store), rego.Input(input), rego.StrictBuiltinErrors(true)).Eval(ctx)
		var want ast.Value
		if len(rs) == 1 {
			want = ast.MustInterfaceToValue(rs[0].Expressions[0].Value)
		}
		got, err := ask(t, module, map[string]authz.Table{"rel/x": relation.NewTable(d, "rel/x", 0)}, beside, input)
		switch {
		case wantErr != nil:
			if err == nil {
				t.Fatalf("OPA fails with %v, and here it is %v", wantErr, got)
			}
		case want == nil:
			if !authz.Undefined(err) {
				t.Fatalf("OPA has nothing, and here it is %v (%v)", got, err)
			}
		case err != nil:
			t.Fatalf("OPA has %v, and here it fails: %v", want, err)
		default:
			if plain := ast.MustInterfaceToValue(ast.MustJSON(got)); plain.Compare(want) != 0 {
				t.Fatalf("%s with %v: %v, OPA has %v", query, input, got, want)
			}
		}
	})
}

func ask(t interface{ Fatal(...any) }, module string, tables map[string]authz.Table, beside map[string]any, input map[string]any) (ast.Value, error) {
	e, err := authz.NewEngine("data.test.answer", []authz.Source{{Name: "s"}}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ast.ParseModuleWithOpts("p.rego", module, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		t.Fatal(err)
	}
	y, err := authz.Object(map[string]any{"rel": map[string]any{"y": beside}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Update(context.Background(), map[string]*authz.Part{"s": {Modules: map[string]*ast.Module{"p.rego": m}, Data: y, Tables: tables}}); err != nil {
		t.Fatal(err)
	}
	p, err := e.Current(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return p.Evaluate(context.Background(), &authz.Evaluation{Input: ast.MustInterfaceToValue(input), Now: time.Now(), Limit: 10 * time.Second})
}

// TestLargeObjects: of an object that is too large to be handed out whole a policy
// may look up members, however it comes to it; what would need all members is an
// error, which denies.
func TestLargeObjects(t *testing.T) {
	table := func(at string) authz.Table {
		b := relation.NewBuilder(relation.Limits{})
		b.Object()
		for i := range 5000 {
			b.Key(strconv.Itoa(i))
			b.String("someone")
		}
		b.Key("list")
		b.Array()
		for i := range 2000 {
			b.Number(strconv.Itoa(i))
		}
		b.End()
		b.End()
		d, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		return relation.NewTable(d, at, 1000)
	}
	tables := map[string]authz.Table{"rel/x": table("rel/x"), "rel/z": table("rel/z")}
	for _, q := range []string{
		`[k | data.rel.x[k]]`, `data.rel.x.list`, `[v | walk(data.rel.x, [_, v])]`, `"someone" in data.rel.x`, `json.marshal(data.rel.x)`,
		`data.rel.x == data.rel.z`, `data.rel.x != data.rel.z`, `data.rel.x < data.rel.z`, `object.union(data.rel.x, {"a": 1})`, `object.keys(data.rel.x)`,
		`sprintf("%v", [data.rel.x.list])`, `{"a": 1} < data.rel.x`,
	} {
		v, err := ask(t, "package test\nanswer := "+q+"\n", tables, nil, map[string]any{})
		if err == nil || authz.Undefined(err) {
			t.Errorf("%s: %v (%v)", q, v, err)
		}
		var many *relation.TooManyValuesError
		if errors.As(err, &many) && (!strings.HasPrefix(many.Path, "rel/") || many.Most != 1000) {
			t.Errorf("%s: %v", q, err)
		}
	}
	const module = `package test
owner(all, id) := all[id]
kind(x) := "object" if is_object(x)
d := data.rel.x
not_there if not owner(data.rel.x, "5000")
answer := `
	for q, want := range map[string]string{
		`data.rel.x["4999"]`:                                                          `"someone"`,
		`data.rel.x.list[1999]`:                                                       `1999`,
		`object.get(data.rel.x, "4999", "none")`:                                      `"someone"`,
		`object.get(data.rel.x, "5000", "none")`:                                      `"none"`,
		`object.get(data.rel.x, ["4998"], "none")`:                                    `"someone"`,
		`owner(data.rel.x, input.id)`:                                                 `"someone"`,
		`[owner(data.rel.x, "17"), owner(data.rel.z, "17"), owner(data.rel.x, "17")]`: `["someone", "someone", "someone"]`,
		`count(data.rel.x)`:                                                           `5001`,
		`kind(data.rel.x)`:                                                            `"object"`,
		`d["3"]`:                                                                      `"someone"`,
		`data.rel.x == data.rel.x`:                                                    `true`,
		`data.rel.x == "text"`:                                                        `false`,
		`not_there`:                                                                   `true`,
		`{"a": data.rel.x}.a["7"]`:                                                    `"someone"`,
		`[y | y := [data.rel.x, data.rel.z][_]["9"]]`:                                 `["someone", "someone"]`,
		`data.rel[input.x]["9"]`:                                                      `"someone"`,
	} {
		v, err := ask(t, module+q, tables, nil, map[string]any{"id": "4999", "x": "z"})
		if err != nil || v.Compare(ast.MustParseTerm(want).Value) != 0 {
			t.Errorf("%s: %v (%v), want %s", q, v, err, want)
		}
	}
}

// TestReadWhileEdited: readers of one version are not disturbed by the making of the next.
func TestReadWhileEdited(t *testing.T) {
	b := relation.NewBuilder(relation.Limits{})
	b.Object()
	for i := range 3000 {
		b.Key(strconv.Itoa(i))
		b.Any(map[string]any{"roles": []any{"r" + strconv.Itoa(i%50), "viewer"}, "version": 0})
	}
	b.End()
	d, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	table := relation.NewTable(d, "x", 0)
	var mu sync.RWMutex
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.RLock()
				tab := table
				mu.RUnlock()
				i := r.IntN(3000)
				v, err := tab.Read(storage.Path{strconv.Itoa(i), "roles"})
				if err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
				if a, ok := v.(*ast.Array); !ok || a.Elem(1).Value.Compare(ast.String("viewer")) != 0 {
					t.Errorf("%d: %v", i, v)
					return
				}
			}
		})
	}
	for version := range 60 {
		e, err := table.Document().Edit(relation.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			key := strconv.Itoa((version*41 + i) % 3000)
			if err := e.Set([]string{key}, func(b *relation.Builder) {
				b.Any(map[string]any{"roles": []any{"s" + strconv.Itoa(version), "viewer"}, "version": version})
			}); err != nil {
				t.Fatal(err)
			}
		}
		next, err := e.Commit()
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		table = table.With(next)
		mu.Unlock()
	}
	close(stop)
	wg.Wait()
}

func owners(b *testing.B) *relation.Table {
	b.Helper()
	w := relation.NewBuilder(relation.Limits{})
	w.Object()
	for i := range 1_000_000 {
		w.Key(strconv.Itoa(i * 7))
		w.String("user-" + strconv.Itoa(i%50_000))
	}
	w.End()
	d, err := w.Finish()
	if err != nil {
		b.Fatal(err)
	}
	return relation.NewTable(d, "owners", 0)
}

// BenchmarkRead is one read among a million members: there, and not there.
func BenchmarkRead(b *testing.B) {
	table := owners(b)
	for name, offset := range map[string]int{"there": 0, "not there": 1} {
		b.Run(name, func(b *testing.B) {
			paths := make([]storage.Path, 4096)
			for i := range paths {
				paths[i] = storage.Path{strconv.Itoa(rand.IntN(1_000_000)*7 + offset)}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := table.Read(paths[i%len(paths)]); (err == nil) != (offset == 0) {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkEdit is a refresh of 100 changed members of a million.
func BenchmarkEdit(b *testing.B) {
	table := owners(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		e, err := table.Document().Edit(relation.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		for range 100 {
			n += 997
			if err := e.Set([]string{strconv.Itoa(n % 1_000_000 * 7)}, func(w *relation.Builder) { w.String("user-" + strconv.Itoa(n%50_000)) }); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := e.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}
