package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/internal/spec"
)

// rules tells what comes from the document from what a person wrote.
func (t *tour) rules(ctx context.Context) error {
	t.section("Which rules are generated, and which a person wrote")
	doc, err := spec.Parse(harbour.Spec(), "openapi.yaml", spec.LoadOptions{})
	if err != nil {
		return fmt.Errorf("reading Harbour's document: %w", err)
	}
	params, bodies, answers, roles, scopes := 0, 0, 0, 0, 0
	for _, op := range doc.Operations {
		params += len(op.Parameters)
		if op.Body != nil {
			bodies += len(op.Body.Content)
		}
		for _, r := range op.Responses {
			answers += len(r.Content)
		}
		if op.Extensions["x-roles"] != nil {
			roles++
		}
		for _, alternative := range op.Security {
			for _, use := range alternative {
				scopes += len(use.Scopes)
			}
		}
	}
	generated, err := t.generated(ctx)
	if err != nil {
		return err
	}
	config := string(embedded("crenel.yaml"))
	policy := string(embedded("policies/authz.rego"))
	tests := string(embedded("policies/authz_test.rego"))
	owners := string(embedded("policies/owners.yaml"))
	t.linef("  from Harbour's OpenAPI document, without a line of config:")
	t.table([][]cell{
		{plainCell(strconv.Itoa(len(doc.Operations))), plainCell("operations; everything else is refused")},
		{plainCell(strconv.Itoa(params)), plainCell("parameters and " + strconv.Itoa(bodies) + " request bodies, typed and bounded, with nothing undeclared in them")},
		{plainCell(strconv.Itoa(answers)), plainCell("answer bodies, out of which what is not declared is taken")},
		{plainCell(strconv.Itoa(scopes)), plainCell("OAuth2 scopes demanded; x-roles of " + strconv.Itoa(roles) + " operations, read by the policy below")},
	})
	t.linef("  crenel.yaml, %d lines that are not comments or blank:", len(code(config)))
	added := without(code(config), code(generated))
	t.table([][]cell{
		{plainCell(strconv.Itoa(len(code(config)) - len(added))), plainCell("written by crenel init")},
		{plainCell(strconv.Itoa(len(added))), plainCell("written by a person: how tokens are verified and what ends them, the app's origin, the payout's rate, fields of free text")},
	})
	t.linef("  policies/, all written by a person:")
	t.table([][]cell{
		{plainCell(strconv.Itoa(len(code(policy)))), plainCell("lines of Rego: roles, and that whoever names an owner is that owner")},
		{plainCell(strconv.Itoa(len(code(owners)))), plainCell("lines of data: which answers name their owner, and where")},
		{plainCell(strconv.Itoa(len(code(tests)))), plainCell("lines of tests, without whose passing the policy is never used")},
	})
	t.linef("  the OWASP Core Rule Set, as it is published.")
	return nil
}

// generated is what crenel init writes for Harbour's document.
func (t *tour) generated(ctx context.Context) (string, error) {
	out := filepath.Join(t.dir, "generated.yaml")
	_, err := t.gateway.run(ctx, "init", "--spec", filepath.Join("harbour", "openapi.yaml"), "--upstream", t.harbour.url(), "--out", out)
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		return "", fmt.Errorf("reading what init wrote: %w", err)
	}
	err = os.Remove(out)
	if err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("removing what init wrote: %w", err)
	}
	return string(raw), nil
}

// code are the lines that are neither blank nor comments, without comments behind them.
func code(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if i := strings.Index(line, " #"); i >= 0 {
			line = line[:i]
		}
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// without are the lines that a text has and another has not, each as often as it is there.
func without(lines, other []string) []string {
	have := map[string]int{}
	for _, l := range other {
		have[l]++
	}
	var out []string
	for _, l := range lines {
		if have[l]--; have[l] < 0 {
			out = append(out, l)
		}
	}
	return out
}

// embedded reads a file of the demo.
func embedded(name string) []byte {
	b, err := fs.ReadFile(files, name)
	if err != nil {
		panic(err) // it is compiled in
	}
	return b
}
