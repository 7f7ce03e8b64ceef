package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// The examples in the docs are checks that run.
func TestExamples(t *testing.T) {
	list, err := ReadWritten("../../../docs/examples/checks")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 10 {
		t.Errorf("%d examples, want at least ten", len(list))
	}
	for _, c := range list {
		if !strings.HasPrefix(c.ID, "my-") {
			t.Errorf("%s: an example's id begins with my-", c.ID)
		}
	}
}

func TestWrittenRefuses(t *testing.T) {
	head := "id: x\ntitle: t\nowasp: API1:2023\ncwe: CWE-639\nwstg: WSTG-ATHZ-04\ncvss: CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N\nabout: a\nproof: p\nfix: f\n"
	attack := "steps: [{id: attack, as: user, send: {method: GET, path: /}, expect: [{status: 2xx}]}]\n"
	for name, c := range map[string]struct{ text, want string }{
		"no control":       {head + attack, "no step is a control"},
		"unknown field":    {head + "colour: red\n" + attack, "unknown field"},
		"mode":             {head + "mode: brutal\nno_control: x\n" + attack, "mode is \"brutal\""},
		"kind":             {head + "no_control: x\napplies_to: {kinds: [eat]}\n" + attack, "want create, list"},
		"input":            {head + "no_control: x\napplies_to: {input: '('}\n" + attack, "applies_to.input"},
		"nothing expected": {head + "no_control: x\nsteps: [{id: a, send: {method: GET, path: /}}]\n", "would prove everything"},
		"this of nothing":  {head + "no_control: x\nsteps: [{id: a, call: {operation: this}, expect: [{status: 2xx}]}]\n", "call.operation"},
		"object of whom":   {head + "no_control: x\nobject: {of: order}\n" + attack, "object: want of"},
		"two requests":     {head + "no_control: x\nsteps: [{id: a, send: {method: GET, path: /}, call: {operation: x}, expect: [{status: 2xx}]}]\n", "send and call"},
		"no owasp":         {strings.Replace(head, "API1:2023", "A1", 1) + "no_control: x\n" + attack, "owasp is"},
	} {
		_, err := ParseWritten([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q in it", name, err, c.want)
		}
	}
	if _, err := ParseWritten([]byte(head + "no_control: it needs none\n" + attack)); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func TestReadWritten(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadWritten(dir); err == nil {
		t.Error("an empty directory was read")
	}
	good, err := os.ReadFile("../../../docs/examples/checks/05-feature-flags.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a.yaml": string(good), "b.yaml": string(good), "c.yml": strings.Replace(string(good), "my-feature-flags", "bola-read", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = ReadWritten(dir)
	for _, want := range []string{"has the same id", "in Crenel already"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}

func TestChooses(t *testing.T) {
	op := &graph.Op{Operation: &spec.Operation{ID: "getOrder", Method: "GET", Path: "/orders/{id}"}, Kind: graph.Read, Secured: true}
	yes, no := true, false
	for name, c := range map[string]struct {
		a    Applies
		want bool
	}{
		"all":       {Applies{}, true},
		"method":    {Applies{Methods: []string{"post"}}, false},
		"path":      {Applies{Paths: []string{"/users/*", "/orders/*"}}, true},
		"kind":      {Applies{Kinds: []string{"read"}}, true},
		"other":     {Applies{Kinds: []string{"list"}}, false},
		"operation": {Applies{Operations: []string{"getOrder"}}, true},
		"secured":   {Applies{Secured: &yes}, true},
		"open":      {Applies{Secured: &no}, false},
		"resource":  {Applies{Resources: []string{"order"}}, false},
		"both":      {Applies{Methods: []string{"GET"}, Kinds: []string{"delete"}}, false},
	} {
		if _, got := c.a.chooses(op, nil); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
