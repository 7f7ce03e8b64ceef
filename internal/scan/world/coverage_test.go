package world

import (
	"net/http"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec"
)

// TestDemand: what a description says of who may call an operation is told to
// whoever has no account that may.
func TestDemand(t *testing.T) {
	scoped := []spec.Requirement{{{Scheme: &spec.SecurityScheme{Type: "oauth2"}, Scopes: []string{"books:write"}}}}
	for _, c := range []struct {
		name string
		op   spec.Operation
		want string
	}{
		{"scopes", spec.Operation{Security: scoped, Description: "Needs the role librarian."}, "scope books:write"},
		{"an extension", spec.Operation{Extensions: map[string]any{"x-required-roles": []any{"librarian", "curator"}}}, "x-required-roles librarian, curator"},
		{"a sentence", spec.Operation{Description: "Withdraws a book for good. Requires the `librarian` role.\nNothing is left."}, "\"Requires the `librarian` role\""},
		{"the summary", spec.Operation{Summary: "Withdraw a book (staff only)"}, `"Withdraw a book (staff only)"`},
		{"nothing said", spec.Operation{Description: "Withdraws a book. The book must exist.", Extensions: map[string]any{"x-internal": true}}, ""},
		{"a role as an object", spec.Operation{Description: "Lists the roles of a library."}, ""},
	} {
		if got := demand(&c.op); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestWhichRole: who was refused is named, and so is the place for who is missing.
func TestWhichRole(t *testing.T) {
	const doc = `openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /books/{id}/loans: {post: {summary: Lend a book, parameters: [{name: id, in: path, required: true, schema: {type: string}}], responses: {'204': {description: ok}}}}
`
	reader := bearer("user", "t1", nil)
	reader.Role = "reader"
	w, _, g := stage(t, http.NotFoundHandler(), doc, Options{}, reader)
	text := w.role(g.Ops[0], []string{"user", "peer"})
	for _, want := range []string{"another role than that of user (reader), peer", "under actors.accounts as admin"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

// TestRefusedValue: a 403 that speaks of what was sent asks for no other role.
func TestRefusedValue(t *testing.T) {
	const doc = `openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /moorings: {post: {summary: Moor a boat, requestBody: {content: {application/json: {schema: {type: object, properties: {boat_length: {type: string}, note: {type: string}}}}}}, responses: {'201': {description: ok}}}}
`
	w, _, g := stage(t, http.NotFoundHandler(), doc, Options{}, bearer("user", "t1", nil))
	op := g.Ops[0]
	for _, c := range []struct {
		reason string
		value  bool
	}{
		{"403 (boat length is not accepted here)", true},
		{"403 (must be one of: short, long)", true},
		{"403 (Forbidden)", false},
		{"403 (boat length may be set by administrators only)", false},
		{"403 (You do not have permission to moor)", false},
		{"403", false},
	} {
		said := w.explain(op, &tally{requests: 1, statuses: []int{403}, by: map[string][]int{"user": {403}}, reasons: map[string]string{"user": c.reason}})
		if got := strings.Contains(said, "refuses a value"); got != c.value || got == strings.Contains(said, "another role") {
			t.Errorf("%s: %q", c.reason, said)
		}
	}
}
