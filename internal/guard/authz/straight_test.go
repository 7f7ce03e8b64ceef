package authz

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"pgregory.net/rapid"
)

// Policies made up of what programs know, right and wrong uses alike: what a
// program says for sure is what OPA says of the policy as it was written.
func TestStraightMeansTheSame(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data := write("data.json", shapeData[:len(shapeData)-1]+`, "list": ["p1", "p2", 1, null, {"id": "p1"}], "7": "alice", "n": 3}`)
	compiled, straight, said := 0, 0, 0

	rapid.Check(t, func(t *rapid.T) {
		text := drawPolicy(t)
		part, err := LoadFiles([]string{write("policy.rego", text)}, []string{data})
		if err != nil {
			return // what was made up is not Rego
		}
		src, err := join(map[string]*Part{filesSource: part})
		if err != nil {
			t.Fatal(err)
		}
		p, err := src.compile(t.Context(), "")
		if err != nil {
			return
		}
		compiled++
		if p.straight == nil {
			return
		}
		straight++
		for range 12 {
			input := drawInput(t)
			now := time.Unix(1_800_000_000, 0)
			got, sure := p.straight.Run(input, p.data)
			if !sure {
				continue
			}
			said++
			want, err := p.run(t.Context(), &p.evaluator, &Evaluation{Input: input, Now: now, Limit: time.Minute})
			if errors.Is(err, errUndefined) {
				err = nil
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("straight says %v, OPA %v (%v)\ninput %v\n%s", got, want, err, input, text)
			}
		}
	})
	t.Logf("%d policies, %d of them straight, %d decisions", compiled, straight, said)
	if straight < compiled/4 || said < 12*straight/4 {
		t.Errorf("of %d policies %d are straight, and %d decisions were sure: the test shows little", compiled, straight, said)
	}
}

// drawPolicy makes up a policy.
func drawPolicy(t *rapid.T) string {
	d := &drawing{t: t}
	helpers := rapid.IntRange(0, 3).Draw(t, "helpers")
	var b strings.Builder
	b.WriteString("package crenel.authz\n")
	for i := range helpers {
		d.rule(&b, fmt.Sprintf("h%d", i))
		d.helpers = i + 1
	}
	d.rule(&b, "decision")
	return b.String()
}

type drawing struct {
	t       *rapid.T
	helpers int
	vars    []string // of the body
	n       int
}

func (d *drawing) of(list ...string) string { return rapid.SampledFrom(list).Draw(d.t, "of") }
func (d *drawing) upTo(n int) int           { return rapid.IntRange(0, n).Draw(d.t, "upTo") }

func (d *drawing) rule(b *strings.Builder, name string) {
	if d.upTo(2) > 0 {
		fmt.Fprintf(b, "default %s := %s\n", name, d.of("false", `"none"`, `{"allow": false}`))
	}
	for range 1 + d.upTo(2) {
		d.vars = nil
		body := d.body()
		value := d.of("true", "true", "true", "false", `"x"`, "2", d.term(), `{"allow": true, "who": `+d.term()+"}", "["+d.term()+"]", "{"+d.term()+", 1}")
		fmt.Fprintf(b, "%s := %s if { %s }", name, value, body)
		if d.upTo(4) == 0 {
			d.vars = nil
			fmt.Fprintf(b, " else := %s if { %s }", d.of("true", `"else"`, "3"), d.body())
		}
		b.WriteString("\n")
	}
}

func (d *drawing) body() string {
	var list []string
	for range 1 + d.upTo(3) {
		list = append(list, d.expr())
	}
	return strings.Join(list, "; ")
}

// term is something that has a value, or perhaps not.
func (d *drawing) term() string {
	list := []string{
		"input.identity.subject", "input.identity.verified", "input.identity.roles", "input.identity.scopes[0]", "input.object.id", "input.weight", "input.table",
		"input.identity.roles[1]", "input.no.such", "data.owners[input.object.id]", "data.tables[input.table]", "data.tables.owners[input.object.id]",
		"data.weights[input.object.id]", "data.allowed", "data.list", "data.list[4].id", "data.list[input.weight]", "data.list[input.identity.subject]", "data.n",
		"data[input.identity.subject]", "data.owners[input.weight]", "data.tables[input.table][input.object.id]",
		`"alice"`, `"admin"`, `"p1"`, "1", "2", "true", "false", "null", `["user", "guest"]`, `{"user", "admin"}`, `{"a": input.weight}`, `{"user", input.identity.subject}`,
	}
	for i := range d.helpers {
		list = append(list, fmt.Sprintf("h%d", i), fmt.Sprintf("h%d", i), fmt.Sprintf("h%d.allow", i), fmt.Sprintf("h%d[input.table]", i))
	}
	list = append(list, d.vars...)
	list = append(list, d.vars...)
	return rapid.SampledFrom(list).Draw(d.t, "term")
}

func (d *drawing) fresh() string {
	d.n++
	v := fmt.Sprintf("v%d", d.n)
	d.vars = append(d.vars, v)
	return v
}

func (d *drawing) expr() string {
	switch d.upTo(13) {
	case 0, 1:
		return d.term()
	case 2, 3:
		return d.term() + d.of(" == ", " == ", " != ", " < ", " >= ", " = ") + d.term()
	case 4, 5:
		return d.term() + " in " + d.term()
	case 6:
		a := d.term()
		return d.fresh() + " := " + a
	case 7:
		from := d.of("input.identity.roles", "data.owners", "data.list", "data.tables", "data.allowed", d.term())
		switch d.upTo(2) {
		case 0:
			return "some " + d.fresh() + " in " + from
		case 1:
			return "some " + d.fresh() + ", " + d.fresh() + " in " + from
		}
		return d.of("data.owners", "data.tables.owners", "input.identity.roles", "data.weights") + "[_] == " + d.term()
	case 8:
		return "not " + d.term()
	case 9:
		return "not " + d.term() + d.of(" == ", " in ", " < ") + d.term()
	case 10:
		return d.of("count(", "is_number(", "is_string(", "to_number(", "lower(", "sum(", "max(") + d.term() + ")" + d.of("", " == ", " > ") + d.of("1", "2", `"admin"`)
	case 11:
		return d.of("startswith(", "contains(", "endswith(") + d.term() + ", " + d.term() + ")"
	case 12:
		a := d.of("count(", "lower(", "to_number(", "is_string(") + d.term() + ")"
		return d.fresh() + " := " + a
	}
	return "data.tables[_][" + d.term() + "] == " + d.term()
}

// A decision that is looked for among much is left to OPA, which looks at the clock.
func TestStraightLeavesWhatIsLong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.rego")
	if err := os.WriteFile(file, []byte("package crenel.authz\ndecision if { some a in input.l; some b in input.l; some c in input.l; a + b + c == -1 }"), 0o600); err != nil {
		t.Fatal(err)
	}
	part, err := LoadFiles([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := join(map[string]*Part{filesSource: part})
	if err != nil {
		t.Fatal(err)
	}
	p, err := src.compile(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if p.straight == nil {
		t.Fatal(p.notStraight)
	}
	list := make([]any, 400)
	for i := range list {
		list[i] = i
	}
	input := ast.MustInterfaceToValue(map[string]any{"l": list})
	if v, sure := p.straight.Run(input, p.data); sure {
		t.Errorf("said %v", v)
	}
	if _, err := p.Evaluate(t.Context(), &Evaluation{Input: input, Now: time.Now(), Limit: 20 * time.Millisecond}); !TimedOut(err) {
		t.Errorf("%v", err)
	}
	if v, sure := p.straight.Run(ast.MustInterfaceToValue(map[string]any{"l": []any{1, -3, 1}}), p.data); !sure || v == nil {
		t.Errorf("afterwards: %v, %v", v, sure)
	}
}
