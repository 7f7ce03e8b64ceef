package relation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"pgregory.net/rapid"
)

func read(t testing.TB, text string) *Document {
	t.Helper()
	d, err := readJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readJSON(text string) (*Document, error) {
	b := NewBuilder(Limits{})
	if err := NewJSON(strings.NewReader(text), b).Document(); err != nil {
		return nil, err
	}
	return b.Finish()
}

// texts that occur again and again, as roles do, and keys that look like indices.
var someText = rapid.OneOf(
	rapid.SampledFrom([]string{"admin", "viewer", "editor", "0", "1", "007", "-", "", "a/b", "ü", "\x00", "tenant-1"}),
	rapid.StringN(0, 40, 60),
)

func anyValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		if depth == 0 && kind > 6 {
			kind = 3
		}
		switch kind {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return json.Number(strconv.FormatInt(rapid.Int64().Draw(t, "int"), 10))
		case 3:
			return json.Number(rapid.SampledFrom([]string{"0", "-0", "1.0", "1e3", "12345678901234567890", "0.1", "-7"}).Draw(t, "number"))
		case 4, 5, 6:
			return someText.Draw(t, "text")
		case 7:
			out := []any{}
			for range rapid.SampledFrom([]int{0, 1, 2, 70}).Draw(t, "length") {
				out = append(out, anyValue(depth-1).Draw(t, "element"))
			}
			return out
		}
		out := map[string]any{}
		for i := range rapid.SampledFrom([]int{0, 1, 2, 40}).Draw(t, "members") {
			key := someText.Draw(t, "key")
			if i > 12 {
				key += strconv.Itoa(i)
			}
			out[key] = anyValue(depth-1).Draw(t, "member")
		}
		return out
	})
}

// paths lists the path of every value, and some that lead nowhere.
func paths(v any, at []string, out [][]string) [][]string {
	out = append(out, slices.Clone(at), append(slices.Clone(at), "nowhere"), append(slices.Clone(at), "0"), append(slices.Clone(at), "01"))
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			out = paths(m, append(slices.Clone(at), k), out)
		}
	case []any:
		for i, m := range v {
			out = paths(m, append(slices.Clone(at), strconv.Itoa(i)), out)
		}
	}
	return out
}

// TestSameAsOPA: any document, read at any path, gives what OPA's store gives.
func TestSameAsOPA(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue(3).Draw(t, "document")
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		d, err := readJSON(string(text))
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		b := NewBuilder(Limits{})
		b.Any(v)
		d2, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		rebuilt, err := d.Rebuild(Limits{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, v, d, d2, rebuilt)
	})
}

func same(t *rapid.T, v any, docs ...*Document) {
	ctx := context.Background()
	oracle := inmem.NewFromObjectWithOpts(map[string]any{"x": v}, inmem.OptReturnASTValuesOnRead(true))
	txn := storage.NewTransactionOrDie(ctx, oracle)
	for _, p := range paths(v, nil, nil) {
		want, err := oracle.Read(ctx, txn, append(storage.Path{"x"}, p...))
		if err != nil && !storage.IsNotFound(err) {
			t.Fatal(err)
		}
		for i, d := range docs {
			got, gotErr := d.Value(p, 1<<30)
			if gotErr != nil {
				t.Fatal(gotErr)
			}
			if d.Has(p) != (err == nil) {
				t.Fatalf("document %d: Has(%q) = %t, OPA says %v", i, p, d.Has(p), err)
			}
			if err != nil {
				if got != nil {
					t.Fatalf("document %d: %q is %v, OPA has nothing", i, p, got)
				}
				continue
			}
			if w := want.(ast.Value); got == nil || got.Compare(w) != 0 || got.String() != w.String() || got.Hash() != w.Hash() {
				t.Fatalf("document %d: %q is %v, OPA has %v", i, p, got, w)
			}
		}
	}
}

// TestEdits: after any edits a document is what a map is after the same, and
// earlier versions are what they were.
func TestEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := map[string]any{}
		for i := range rapid.SampledFrom([]int{0, 5, 100, 600}).Draw(t, "begins with") {
			model[fmt.Sprint("k", i)] = map[string]any{"roles": []any{"admin", fmt.Sprint("r", i%7)}, "n": json.Number(strconv.Itoa(i))}
		}
		b := NewBuilder(Limits{})
		b.Any(model)
		d, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		first, was := d, jsonOf(t, d)
		for range rapid.IntRange(1, 4).Draw(t, "versions") {
			e, err := d.Edit(Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for range rapid.IntRange(0, 60).Draw(t, "edits") {
				path := []string{fmt.Sprint("k", rapid.IntRange(0, 150).Draw(t, "row"))}
				if rapid.Bool().Draw(t, "deep") {
					path = append(path, rapid.SampledFrom([]string{"roles", "n", "x", "y"}).Draw(t, "column"))
				}
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					mayFail(t, e.Delete(path), remove(model, path))
					continue
				}
				v := anyValue(2).Draw(t, "value")
				mayFail(t, e.Set(path, func(b *Builder) { b.Any(v) }), put(model, path, v))
			}
			if d, err = e.Commit(); err != nil {
				t.Fatal(err)
			}
			want := ast.MustInterfaceToValue(model)
			got, err := d.Value(nil, 1<<30)
			if err != nil || got.Compare(want) != 0 {
				t.Fatalf("after edits: %v (%v), want %v", got, err, want)
			}
			if d.Count() != len(model) {
				t.Fatalf("count %d, want %d", d.Count(), len(model))
			}
		}
		if now := jsonOf(t, first); now != was {
			t.Fatalf("an edit changed the version before it: %s\nwas %s", now, was)
		}
		rebuilt, err := d.Rebuild(Limits{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, model, d, rebuilt)
	})
}

func mayFail(t *rapid.T, got error, want bool) {
	if (got == nil) != want {
		t.Fatalf("edit: %v, possible: %t", got, want)
	}
}

func put(m map[string]any, path []string, v any) bool {
	for _, k := range path[:len(path)-1] {
		next, ok := m[k].(map[string]any)
		if m[k] == nil {
			if _, null := m[k]; null {
				return false
			}
			next, ok = map[string]any{}, true
			m[k] = next
		}
		if !ok {
			return false
		}
		m = next
	}
	m[path[len(path)-1]] = v
	return true
}

func remove(m map[string]any, path []string) bool {
	if len(path) == 2 {
		below, ok := m[path[0]].(map[string]any)
		if _, there := m[path[0]]; there && !ok {
			return false
		}
		delete(below, path[1])
		if below != nil && len(below) == 0 {
			delete(m, path[0])
		}
		return true
	}
	delete(m, path[0])
	return true
}

func jsonOf(t *rapid.T, d *Document) string {
	v, err := d.Value(nil, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return v.String()
}

// TestEditPartsOnce: a table within a member that is changed and then removed in
// one edit is let go of once; else two members would come to share its place.
func TestEditPartsOnce(t *testing.T) {
	many := func(of string) map[string]any {
		m := map[string]any{}
		for i := range inlineMembers + 1 {
			m[fmt.Sprint(of, i)] = of
		}
		return m
	}
	b := NewBuilder(Limits{})
	b.Any(map[string]any{"a": map[string]any{"big": many("old"), "more": many("more")}})
	d, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e, err := d.Edit(Limits{})
		if err != nil {
			t.Fatal(err)
		}
		set := func(path []string, v any) {
			t.Helper()
			if err := e.Set(path, func(b *Builder) { b.Any(v) }); err != nil {
				t.Fatal(err)
			}
		}
		set([]string{"a", "big"}, many("new"))
		if err := e.Delete([]string{"a"}); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"b", "c", "d", "e"} {
			set([]string{k}, many(k))
		}
		set([]string{"a", "big"}, many("again"))
		if d, err = e.Commit(); err != nil {
			t.Fatal(err)
		}
		want := ast.MustInterfaceToValue(map[string]any{"a": map[string]any{"big": many("again")}, "b": many("b"), "c": many("c"), "d": many("d"), "e": many("e")})
		if got, err := d.Value(nil, 1<<20); err != nil || got.Compare(want) != 0 {
			t.Fatalf("%v (%v), want %v", got, err, want)
		}
		if n := len(d.parts) - len(d.unused); n != 7 { // the root, a, big and b to e
			t.Fatalf("%d parts are held, of which 7 are used", n)
		}
	}
}

// TestWholeTables: enough members that shards split and directories double.
func TestWholeTables(t *testing.T) {
	var text bytes.Buffer
	text.WriteByte('{')
	model := map[string]any{}
	for i := range 60_000 {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `"object-%d":"user-%d"`, i, i%5000)
		model[fmt.Sprintf("object-%d", i)] = fmt.Sprintf("user-%d", i%5000)
	}
	text.WriteByte('}')
	size := text.Len()
	d := read(t, text.String())
	check := func(d *Document) {
		t.Helper()
		if d.Count() != len(model) {
			t.Fatalf("count %d, want %d", d.Count(), len(model))
		}
		for k, want := range model {
			if v, err := d.Value([]string{k}, 1); err != nil || v == nil || v.Compare(ast.String(want.(string))) != 0 {
				t.Fatalf("%s is %v (%v), want %s", k, v, err, want)
			}
		}
		if d.Has([]string{"object-60000"}) {
			t.Fatal("a member that there is not")
		}
	}
	check(d)
	if d.Bytes() > int64(size) {
		t.Fatalf("%d bytes of memory for %d of JSON", d.Bytes(), size)
	}
	e, err := d.Edit(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		k := fmt.Sprintf("object-%d", 3*i)
		if i%2 == 0 {
			delete(model, k)
			err = e.Delete([]string{k})
		} else {
			k = fmt.Sprintf("new-%d", i)
			model[k] = strings.Repeat("x", i%300)
			err = e.Set([]string{k}, func(b *Builder) { b.String(strings.Repeat("x", i%300)) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	edited, err := e.Commit()
	if err != nil {
		t.Fatal(err)
	}
	check(edited)
}

func TestRefusals(t *testing.T) {
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for name, c := range map[string]struct{ text, want string }{
		"duplicate":        {`{"a":1,"a":2}`, `"a" stands twice`},
		"trailing":         {`{} x`, "after the document"},
		"invalid UTF-8":    {"\"\xff\"", "UTF-8"},
		"half a surrogate": {`"\ud800"`, "surrogate"},
		"control":          {"\"\n\"", "control character"},
		"leading zero":     {`01`, "not a number"},
		"no digits":        {`-`, "not a number"},
		"empty":            {``, "missing"},
		"cut":              {`{"a":[1,2`, "comma"},
		"cut string":       {`{"a":"b`, "does not end"},
		"word":             {`nul`, "null is expected"},
		"comma":            {`[1,]`, "begins no value"},
		"key":              {`{1:2}`, "key is expected"},
		"deep":             {deep, "nested deeper"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readJSON(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	var big bytes.Buffer
	big.WriteByte('{')
	for i := range 500 {
		fmt.Fprintf(&big, `"k%d":1,`, i)
	}
	big.WriteString(`"k7":2}`)
	var dup *DuplicateError
	if _, err := readJSON(big.String()); !errors.As(err, &dup) || dup.Key != "k7" {
		t.Fatalf("a key that stands twice in a large object: %v", err)
	}
	for name, l := range map[string]Limits{"values": {Values: 100}, "bytes": {Bytes: 1000}} {
		b := NewBuilder(l)
		if err := NewJSON(strings.NewReader(strings.Replace(big.String(), `"k7":2`, `"z":2`, 1)), b).Document(); !errors.Is(err, ErrTooLarge) {
			t.Errorf("more %s than the limit: %v", name, err)
		}
	}
	if _, err := read(t, `{"a":[1,2,3]}`).Value([]string{"a"}, 3); err == nil {
		t.Error("more values than an evaluation may make were made")
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,-3e4,"\u00e4\ud83d\ude00",null,true]}`, `[]`, `{"a":{"a":{}}}`, `"\\\/\b"`, `1`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := readJSON(text)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("what is not JSON was taken: %q", text)
		}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		v, err := d.Value(nil, 1<<20)
		if err != nil {
			return
		}
		if w := ast.MustInterfaceToValue(want); v.Compare(w) != 0 {
			t.Fatal(cmp.Diff(w.String(), v.String()))
		}
	})
}
