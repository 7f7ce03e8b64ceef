package straight_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/guard/authz/straight"
)

// tree is data; what lies at "dark" cannot be read.
type tree map[string]any

func (d tree) Find(path []string) (ast.Value, bool, bool) {
	if path[0] == "dark" {
		return nil, false, false
	}
	var v any = map[string]any(d)
	for _, step := range path {
		m, _ := v.(map[string]any)
		next, ok := m[step]
		if !ok {
			return nil, false, true
		}
		v = next
	}
	return ast.MustInterfaceToValue(v), true, true
}

func compile(t *testing.T, text string) (*straight.Program, error) {
	t.Helper()
	c := ast.NewCompiler().WithDefaultRegoVersion(ast.RegoV1)
	if c.Compile(map[string]*ast.Module{"p.rego": ast.MustParseModuleWithOpts("package p\n"+text, ast.ParserOptions{RegoVersion: ast.RegoV1})}); c.Failed() {
		t.Fatal(c.Errors)
	}
	return straight.Compile(c, ast.MustParseRef("data.p.decision"))
}

var (
	data  = tree{"owners": map[string]any{"p1": "alice", "p2": "bob"}, "list": []any{"x", "y"}}
	input = ast.MustInterfaceToValue(map[string]any{"who": "alice", "id": "p1", "roles": []any{"user", "clerk"}, "n": 3, "no": false})
)

func TestRun(t *testing.T) {
	const unsure = "unsure"
	for text, want := range map[string]string{
		`decision if data.owners[input.id] == input.who`:                                        "true",
		`decision if data.owners.p2 == input.who`:                                               "undefined",
		`default decision := false` + "\n" + `decision if "admin" in input.roles`:               "false",
		`decision if input.no`:                                                                  "undefined",
		`decision if not input.no`:                                                              "true",
		`decision if not input.absent`:                                                          "true",
		`decision if input.roles[_] == "clerk"`:                                                 "true",
		`decision := r if { some i, r in input.roles; i == 1 }`:                                 `"clerk"`,
		`decision if { some id, who in data.owners; who == "bob"; id == "p2" }`:                 "true",
		`decision := {"allow": true, "who": w} if w := input.who`:                               `{"allow": true, "who": "alice"}`,
		`decision if h` + "\n" + `h if input.n > 2`:                                             "true",
		`decision := 1 if input.absent else := 2 if input.n == 3 else := 4`:                     "2",
		`decision if count(input.roles) == 2`:                                                   "true",
		`decision := input`:                                                                     input.String(),
		`decision := true if input.n == 3` + "\n" + `decision := false if input.who == "alice"`: unsure,
		`decision := r if some r in input.roles`:                                                unsure,
		`decision if count(input.n) == 2`:                                                       unsure,
		`decision if data.dark.x`:                                                               unsure,
		`decision if data.owners[input.n]`:                                                      unsure,
		`decision if input.n == 3` + "\n" + `decision if h` + "\n" + `h := 1 if input.n` + "\n" + `h := 2 if input.n`: unsure,
	} {
		p, err := compile(t, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for range 2 { // what one evaluation leaves behind is not seen by the next
			v, sure := p.Run(input, data)
			got := fmt.Sprint(v)
			switch {
			case !sure:
				got = unsure
			case v == nil:
				got = "undefined"
			}
			if got != want {
				t.Errorf("%s: got %s, want %s", text, got, want)
			}
		}
	}
}

func TestLeft(t *testing.T) {
	for _, text := range []string{
		`decision if h with input.n as 1` + "\n" + `h if input.n == 1`,
		`decision if count([x | x := input.roles[_]]) > 1`,
		`decision if every r in input.roles { r != "admin" }`,
		`f(x) if x == 1` + "\n" + `decision if f(input.n)`,
		`deny contains "x" if input.n == 1` + "\n" + `decision if count(deny) == 0`,
		`decision if time.now_ns() > 0`,
		`decision if walk(input, [_, "alice"])`,
		`decision if regex.match("a.*", input.who)`,
	} {
		if _, err := compile(t, text); !errors.Is(err, straight.ErrLeft) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The value that a decision gave stays what it was while others are decided.
func TestRunSideBySide(t *testing.T) {
	p, err := compile(t, `decision := {"who": input.who, "all": [input, input.roles]}`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 300 {
				in := ast.MustInterfaceToValue(map[string]any{"who": fmt.Sprint(i, n), "roles": []any{}})
				v, sure := p.Run(in, data)
				_, _ = p.Run(input, data)
				want := fmt.Sprintf(`{"all": [%v, []], "who": "%d %d"}`, in, i, n)
				if !sure || v.String() != want {
					t.Errorf("got %v, want %s", v, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// What a person wrote decides nothing when the evaluation breaks.
type broken struct{}

func (broken) Find([]string) (ast.Value, bool, bool) { panic("the disk is gone") }

func TestRunBreaks(t *testing.T) {
	p, err := compile(t, `decision if not data.x`)
	if err != nil {
		t.Fatal(err)
	}
	if v, sure := p.Run(input, broken{}); sure {
		t.Errorf("said %v", v)
	}
	if v, sure := p.Run(input, tree{}); !sure || v == nil {
		t.Errorf("afterwards: %v %v", v, sure)
	}
}

// What looks at much is left to OPA, which looks at the clock, however few steps it is.
func TestRunLeavesWhatCosts(t *testing.T) {
	p, err := compile(t, `decision if { some a in input.l; a in input.m }`)
	if err != nil {
		t.Fatal(err)
	}
	l, m := make([]any, 200), make([]any, 10_000)
	for i := range m {
		m[i] = i
	}
	for i := range l {
		l[i] = -1
	}
	if v, sure := p.Run(ast.MustInterfaceToValue(map[string]any{"l": l, "m": m}), data); sure {
		t.Errorf("said %v", v)
	}
}
