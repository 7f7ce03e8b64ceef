package filter

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	_ "modernc.org/sqlite"
	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/value"
)

const caller = `{"identity": {"verified": true, "subject": "101", "tenant": "north", "roles": ["admin", "user"], "claims": {"parcels": [1, "2"]}}, "operation": {"owner_fields": [{"field": "customer_id"}]}}`

// policy is a compiled policy with the library that ships.
type policy struct {
	c     *ast.Compiler
	query ast.Body
	q     ast.QueryCompiler
}

func compiled(t testing.TB, rules string) *policy {
	t.Helper()
	modules := map[string]*ast.Module{}
	add := func(name, text string) {
		m, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		modules[name] = m
	}
	add("p.rego", "package p\nimport data.crenel.lib\n"+rules)
	dir := "../../../../policies/lib/"
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), "_test.rego") {
			continue
		}
		b, err := os.ReadFile(dir + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		add(f.Name(), string(b))
	}
	p := &policy{c: ast.NewCompiler()}
	if p.c.Compile(modules); p.c.Failed() {
		t.Fatal(p.c.Errors)
	}
	p.q = p.c.QueryCompiler()
	if p.query, err = p.q.Compile(ast.MustParseBody("data.p.filter")); err != nil {
		t.Fatal(err)
	}
	return p
}

var tables = map[string]any{"owners": map[string]any{"p1": "101", "p2": "bob", "p3": "101"}}

func (p *policy) run(input ast.Value) *topdown.Query {
	store := inmem.NewFromObject(tables)
	txn, err := store.NewTransaction(context.Background())
	if err != nil {
		panic(err)
	}
	return topdown.NewQuery(p.query).WithQueryCompiler(p.q).WithCompiler(p.c).WithStore(store).WithTransaction(txn).
		WithInput(ast.NewTerm(input)).WithStrictBuiltinErrors(true)
}

var row = ast.MustParseRef("input.row")

func (p *policy) cond(input ast.Value) (Cond, error) {
	queries, support, err := p.run(input).WithUnknowns([]*ast.Term{ast.NewTerm(row)}).PartialRun(context.Background())
	if err != nil {
		return Cond{}, err
	}
	return Translate(queries, support, []ast.Ref{row})
}

func TestTranslate(t *testing.T) {
	for name, c := range map[string]struct{ rules, want string }{
		"equals":          {`filter if input.row.owner == input.identity.subject`, `owner = '101'`},
		"turned":          {`filter if 5 > input.row.weight`, `weight < 5`},
		"library":         {`filter if lib.is_subject(input.row.owner)`, `(owner = '101' OR owner = 101)`},
		"same id":         {`filter if lib.same_id(input.row.owner, input.identity.subject)`, `(owner = '101' OR owner = 101)`},
		"default":         {"default filter := false\nfilter if lib.is_subject(input.row.owner)", `(owner = '101' OR owner = 101)`},
		"always":          {"default filter := false\nfilter if lib.is_subject(input.row.owner)\nfilter if lib.has_role(\"admin\")", `1=1`},
		"always, first":   {`filter if lib.has_role("admin")`, `1=1`},
		"alternatives":    {"filter if input.row.a == 1\nfilter if { input.row.b == 2; input.row.c != 3 }", `(a = 1 OR (b = 2 AND c <> 3))`},
		"not":             {`filter if not input.row.archived`, `NOT (archived <> 0)`},
		"not a rule":      {"filter if not blocked\nblocked if { input.row.x == 1; input.row.y == 2 }", `(NOT (x = 1) OR NOT (y = 2))`},
		"not the library": {`filter if not lib.is_subject(input.row.owner)`, ``},
		"has":             {`filter if "x" in input.row.tags`, ``},
		"list":            {`filter if input.row.owner in ["a", "b"]`, `owner IN ('a', 'b')`},
		"set":             {`filter if input.row.owner in {"a", "b"}`, `owner IN ('a', 'b')`},
		"claim":           {`filter if input.row.id in input.identity.claims.parcels`, `id IN (1, '2')`},
		"roles":           {`filter if { some r in input.identity.roles; r == input.row.role }`, `(role = 'admin' OR role = 'user')`},
		"data":            {`filter if data.owners[input.row.id] == input.identity.subject`, `(id = 'p1' OR id = 'p3')`},
		"named":           {`filter if { x := input.row.owner; x == input.identity.subject }`, `owner = '101'`},
		"two fields":      {`filter if input.row.owner == input.row.creator`, `owner = creator`},
		"field by name":   {`filter if { some f in input.operation.owner_fields; lib.is_subject(input.row[f.field]) }`, `(customer_id = '101' OR customer_id = 101)`},
		"deep":            {`filter if input.row.a.b == null`, `a.b IS NULL`},
		"starts":          {`filter if startswith(input.row.name, "A_")`, `substr(name, 1, 2) = 'A_'`},
		"quote":           {`filter if input.row.name == "O'Hara"`, `name = 'O''Hara'`},
		"odd column":      {`filter if input.row["a\"b"] == 1`, `"a""b" = 1`},
		"true":            {`filter if input.row.public`, `public <> 0`},
		"is true":         {`filter if input.row.public == true`, `public = 1`},
	} {
		t.Run(name, func(t *testing.T) {
			cond, err := compiled(t, c.rules).cond(ast.MustParseTerm(caller).Value)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cond.Write(SQL, SQLite)
			if c.want == "" && err == nil {
				t.Fatalf("written as %s", got)
			}
			if c.want != "" && (err != nil || got != c.want) {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestUntranslatable(t *testing.T) {
	for name, rules := range map[string]string{
		"else":         "filter if input.row.a == 1 else := false if input.row.b == 2 else := true",
		"every":        `filter if every x in input.row.tags { x == "a" }`,
		"function":     `filter if lower(input.row.owner) == "x"`,
		"a set":        `filter contains x if { x := input.row.a }`,
		"an object":    `filter if input.row.a == {"b": 1}`,
		"arithmetic":   `filter if input.row.a + 1 == 2`,
		"any element":  `filter if input.row.tags[_] == "x"`,
		"a key":        `filter if { some k; input.row[k] == "x" }`,
		"the row":      `filter if input.row == {"a": 1}`,
		"default true": "default filter := true\nfilter := false if input.row.a == 1",
		"with":         "filter if inner with input.x as 1\ninner if input.row.a == input.x",
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, rules)
			cond, err := p.cond(ast.MustParseTerm(caller).Value)
			if err == nil && name == "with" {
				return // OPA may evaluate it away
			}
			if !errors.Is(err, ErrUntranslatable) {
				b, _ := json.Marshal(&cond)
				t.Errorf("%v: %s", err, b)
			}
		})
	}
}

func TestFormats(t *testing.T) {
	for name, c := range map[string]struct {
		rules, format, dialect, want string // want "" is an error
	}{
		"ucast":           {`filter if input.row.owner == "Zoë"`, UCAST, "", `{"type":"field","operator":"eq","field":"owner","value":"Zo\u00eb"}`},
		"ucast compound":  {"filter if { input.row.a < 2; not input.row.b in [1, null] }", UCAST, "", `{"type":"compound","operator":"and","value":[{"type":"field","operator":"lt","field":"a","value":2},{"type":"compound","operator":"not","value":[{"type":"field","operator":"in","field":"b","value":[1,null]}]}]}`},
		"ucast fields":    {"filter if input.row.a == input.row.b", UCAST, "", `{"type":"field","operator":"eq","field":"a","value":{"field":"b"}}`},
		"ucast always":    {"filter := true", UCAST, "", `{}`},
		"odata":           {"filter if { input.row.owner == \"O'Hara\"; input.row.w >= 2.5 }", OData, "", `(owner eq 'O''Hara' and w ge 2.5)`},
		"odata in":        {`filter if input.row.a.b in ["x", 1]`, OData, "", `a/b in ('x',1)`},
		"odata not":       {`filter if not startswith(input.row.n, "x")`, OData, "", `not (startswith(n,'x'))`},
		"odata has":       {`filter if "x" in input.row.tags`, OData, "", `tags/any(e:e eq 'x')`},
		"odata column":    {`filter if input.row["a b"] == 1`, OData, "", ``},
		"odata null":      {`filter if input.row.a < null`, OData, "", ``},
		"rsql":            {"filter if { input.row.a == \"x\\\"y\"; input.row.b != 2 }\nfilter if input.row.c in [1, 2]", RSQL, "", `((a=="x\"y";b!="2"),c=in=("1","2"))`},
		"rsql not":        {"filter if { not input.row.a == 1; not input.row.b in [1, 2]; not input.row.c > 3 }", RSQL, "", `(a!="1";b=out=("1","2");c=le="3")`},
		"rsql wildcard":   {`filter if input.row.a == "x*"`, RSQL, "", ``},
		"rsql starts":     {`filter if startswith(input.row.a, "x")`, RSQL, "", ``},
		"rsql null":       {`filter if input.row.a == null`, RSQL, "", ``},
		"rsql column":     {`filter if input.row["a;b"] == 1`, RSQL, "", ``},
		"fields":          {"filter if { input.row.owner == \"a&b\"; input.row.tenant == 7 }", Fields, "", `owner=a%26b&tenant=7`},
		"fields, an id":   {`filter if lib.is_subject(input.row.owner)`, Fields, "", `owner=101`},
		"fields, other":   {`filter if input.row.owner != 7`, Fields, "", ``},
		"fields, either":  {`filter if input.row.owner in [7, 8]`, Fields, "", ``},
		"fields, or":      {"filter if input.row.a == 1\nfilter if input.row.b == 1", Fields, "", ``},
		"fields, twice":   {`filter if { input.row.a == input.row.b; input.row.a == 1 }`, Fields, "", ``},
		"mysql":           {`filter if { input.row.name == "O'H"; input.row["a b"] == true }`, SQL, MySQL, "(name = 'O''H' AND `a b` = TRUE)"},
		"mysql padding":   {`filter if input.row.name == "a "`, SQL, MySQL, ``},
		"mssql padding":   {`filter if input.row.name in ["b", "a "]`, SQL, SQLServer, ``},
		"pg padding":      {`filter if input.row.name == "a "`, SQL, PostgreSQL, `name = 'a '`},
		"mysql backslash": {`filter if input.row.name == "a\\"`, SQL, MySQL, ``},
		"pg backslash":    {`filter if input.row.name == "a\\"`, SQL, PostgreSQL, ``},
		"pg like":         {`filter if contains(input.row.name, "50%_[!")`, SQL, PostgreSQL, `name LIKE '%50!%!_![!!%' ESCAPE '!'`},
		"sqlserver":       {`filter if { input.row.name == "x"; input.row["a]b"] == true }`, SQL, SQLServer, "(name = N'x' AND [a]]b] = 1)"},
		"null in a list":  {`filter if input.row.a in [1, null]`, SQL, PostgreSQL, `(a IS NULL OR a IN (1))`},
		"a new line":      {`filter if input.row.a == "x\ny"`, SQL, PostgreSQL, ``},
		"no format":       {`filter if input.row.a == 1`, "csv", "", ``},
		"never":           {`filter if input.row.a in []`, UCAST, "", ``},
	} {
		t.Run(name, func(t *testing.T) {
			cond, err := compiled(t, c.rules).cond(ast.MustParseTerm(caller).Value)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cond.Write(c.format, c.dialect)
			if (err != nil) != (c.want == "") || err == nil && got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestTyped(t *testing.T) {
	p := compiled(t, `filter if lib.is_subject(input.row.owner)`)
	cond, err := p.cond(ast.MustParseTerm(caller).Value)
	if err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[string]string{"integer": "owner = 101", "string": "owner = '101'", "number": "owner = 101"} {
		typed := cond.Typed(map[string]string{"owner": typ})
		if got, err := typed.Write(SQL, PostgreSQL); err != nil || got != want {
			t.Errorf("%s: %s, %v", typ, got, err)
		}
	}
	if typed := cond.Typed(map[string]string{"owner": "boolean"}); !typed.Never() {
		t.Error("a text is a boolean")
	}
}

// rows of the property tests: fields that are there or not, of several types.
func drawRow(t *rapid.T) map[string]any {
	out := map[string]any{}
	for _, f := range []string{"owner", "a", "b"} {
		if v := rapid.SampledFrom([]any{"absent", "101", json.Number("101"), "x", "xy", "", true, false, nil, json.Number("5")}).Draw(t, f); v != "absent" {
			out[f] = v
		}
	}
	return out
}

var conditions = []string{
	`input.row.owner == input.identity.subject`, `lib.is_subject(input.row.owner)`, `input.row.a`, `not input.row.a`, `input.row.a != "x"`,
	`not input.row.a == input.row.b`, `input.row.a in ["x", 5, null]`, `not input.row.b in {"x", true}`, `input.row.a < 5`, `input.row.a >= "x"`,
	`not input.row.b > 4`, `is_string(input.row.a)`, `not is_null(input.row.a)`, `input.row.a == null`, `input.row.owner == input.row.a`,
	`is_number(input.row.owner)`, `json.marshal(input.row.a) == "5"`, `not lib.is_subject(input.row.owner)`, `lib.has_role("none")`, `lib.has_role("user")`,
}

func drawRules(t *rapid.T) string {
	body := rapid.SliceOfN(rapid.SampledFrom(conditions), 1, 3)
	var b strings.Builder
	if rapid.Bool().Draw(t, "default") {
		b.WriteString("default filter := false\n")
	}
	for _, lines := range rapid.SliceOfN(body, 1, 3).Draw(t, "rules") {
		b.WriteString("filter if {\n" + strings.Join(lines, "\n") + "\n}\n")
	}
	return b.String()
}

// A condition says of a row what OPA says when it sees the row; SQL never more.
func TestConditionMeansThePolicy(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE t (owner, a, b)`); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t)
		p := compiled(&fatal{TB: nil, t: t}, rules)
		input := ast.MustParseTerm(caller).Value.(ast.Object)
		cond, err := p.cond(input)
		if err != nil {
			t.Fatalf("%s: %v", rules, err)
		}
		r := drawRow(t)
		rowValue := value.FromAny(r)
		seen, _ := input.Merge(ast.MustInterfaceToValue(map[string]any{"row": r}).(ast.Object))
		want := false
		if err := p.run(seen).Iter(context.Background(), func(topdown.QueryResult) error { want = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if got := cond.Holds(&rowValue); got != want {
			b, _ := json.Marshal(&cond)
			t.Fatalf("%s\non %v: OPA %v, the condition %s %v", rules, r, want, b, got)
		}
		if !cond.Never() {
			b, err := json.Marshal(&cond)
			if err != nil {
				t.Fatal(err)
			}
			back, _ := value.JSON(b, value.Limits{})
			again, err := ParseUCAST(back)
			if err != nil {
				t.Fatalf("%s: %v", b, err)
			}
			if again.Holds(&rowValue) != want {
				t.Fatalf("%s read again means something else", b)
			}
		}
		where, err := cond.Write(SQL, SQLite)
		if err != nil {
			return
		}
		text := func(f string) any {
			switch v := r[f].(type) {
			case json.Number:
				n, _ := v.Int64()
				return n
			default:
				return v
			}
		}
		if _, err := db.Exec(`DELETE FROM t; INSERT INTO t VALUES (?, ?, ?)`, text("owner"), text("a"), text("b")); err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := db.QueryRow(`SELECT count(*) FROM t WHERE ` + where).Scan(&n); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		bools := false
		for _, v := range r {
			_, isBool := v.(bool)
			bools = bools || isBool // SQLite has no booleans: true is 1
		}
		if n > 0 && !want && !bools && !absent(r) {
			t.Fatalf("%s\non %v: SQL passes what OPA does not: %s", rules, r, where)
		}
	})
}

// absent: a row of a table has all its columns, so NULL stands for null.
func absent(r map[string]any) bool { return len(r) < 3 }

// fatal lets helpers that take testing.TB run in rapid.
type fatal struct {
	testing.TB
	t *rapid.T
}

func (f *fatal) Helper()           {}
func (f *fatal) Fatal(args ...any) { f.t.Fatal(args...) }

func TestParseUCAST(t *testing.T) {
	for src, want := range map[string]string{
		`{"type":"field","operator":"eq","field":"a","value":1}`: "",
		`{"operator":"nin","field":"/a~1b/c","value":[1]}`:       "",
		`{}`:                            "",
		`[]`:                            "is an object",
		`{"operator":"eq","field":"a"}`: "value is missing",
		`{"operator":"eq","value":1}`:   "of which field",
		`{"operator":"like","field":"a","value":"x"}`:                                       "is not known",
		`{"operator":"eq","fields":"a","value":"x"}`:                                        `member "fields"`,
		`{"operator":"in","field":"a","value":"x"}`:                                         "must be a list",
		`{"operator":"eq","field":"a","value":[1]}`:                                         "must be a list",
		`{"operator":"not","value":[]}`:                                                     "of one for not",
		`{"type":"field","operator":"and","value":[]}`:                                      "is of type",
		`{"operator":"startswith","field":"a","value":1}`:                                   "must be a string",
		`{"operator":"in","field":"a","value":{"field":"b"}}`:                               "must be a list",
		strings.Repeat(`{"operator":"not","value":[`, 70) + `{}` + strings.Repeat(`]}`, 70): "nested",
	} {
		v, err := value.JSON([]byte(src), value.Limits{Depth: 1000})
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseUCAST(v)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80s: %v, want %q", src, err, want)
		}
	}
}

func TestRename(t *testing.T) {
	p := compiled(t, "filter if { input.row.owner == input.row.creator; not input.row.x == 1 }")
	cond, err := p.cond(ast.MustParseTerm(caller).Value)
	if err != nil {
		t.Fatal(err)
	}
	renamed, err := cond.Rename(func(f Field) (Field, error) { return Field{"t", f[0]}, nil })
	if err != nil {
		t.Fatal(err)
	}
	got, err := renamed.Write(SQL, PostgreSQL)
	if d := cmp.Diff("(t.owner = t.creator AND NOT (t.x = 1))", got); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := cond.Rename(func(f Field) (Field, error) { return nil, fmt.Errorf("no column %s", f) }); err == nil {
		t.Error("an unknown column was taken")
	}
}
