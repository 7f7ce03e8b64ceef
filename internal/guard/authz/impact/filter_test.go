package impact

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

const listDocument = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
security: [{oauth: ["pets:read"]}]
paths:
  /orders:
    get:
      operationId: listOrders
      responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object, properties: {owner: {type: string}, region: {type: string}}}}}}}}
  /export:
    get: {operationId: export, responses: {"200": {description: ok}}}
components:
  securitySchemes:
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://id.test/token", scopes: {"pets:read": read}}}}
`

// filters answers with conditions, that depend on who asks and on data.
const filters = `package crenel.authz

import data.crenel.lib

decision := true

filter if lib.has_role("staff")

filter if input.row.owner == input.identity.subject

filter if {
	some region in data.regions[input.identity.subject]
	input.row.region == region
}

masks := {"iban": "last4"} if not lib.has_role("staff")
`

// list makes one call of a list through the guard.
func (s *stand) list(id exchange.Identity, operation int) exchange.Obligations {
	s.n++
	op := s.api.Operations[operation]
	x := &exchange.Exchange{ID: fmt.Sprintf("call-%04d", s.n), API: "pets", Spec: s.api, Operation: op, Identity: id}
	x.Request.Method, x.Request.Header = http.MethodGet, http.Header{}
	for _, step := range s.guard.Steps() {
		if step.Phase == exchange.RequestBody && step.Applies(op) {
			step.Rule(context.Background(), x)
			return x.Obligations
		}
	}
	s.t.Fatal("no step applies")
	return exchange.Obligations{}
}

func newFilterStand(t *testing.T) *stand {
	t.Helper()
	return newStandOf(t, listDocument, filters, `{"regions": {"alice": ["north", "south"], "bob": []}}`, []config.AuthzFilter{
		{Operations: []string{"listOrders"}, Rule: "data.crenel.authz.filter", Unknowns: []string{"input.row"}, As: "answer", Masks: "data.crenel.authz.masks"},
		{Operations: []string{"export"}, Rule: "data.crenel.authz.filter", Unknowns: []string{"input.row"}, As: "header", Name: "X-Rows", Format: "sql", Dialect: "postgresql"},
	})
}

// Conditions that a policy answered with come out the same when they are made again
// by the policy and the data of then, though the data have changed meanwhile; and
// one that lets more or fewer rows through is a change.
func TestFiltersReplayTheSame(t *testing.T) {
	s := newFilterStand(t)
	kept, told := 0, 0
	for range 5 {
		for _, id := range []exchange.Identity{who("alice", "pets:read", "customer"), who("bob", "pets:read"), who("root", "pets:read", "staff"), who("carol", "")} {
			if len(s.list(id, 0).Keep) > 0 {
				kept++
			}
			if s.list(id, 1).Headers["X-Rows"] != "" {
				told++
			}
		}
	}
	if kept != 10 || told != 15 {
		t.Fatalf("%d answers were filtered, %d headers told of filters: the test shows nothing", kept, told)
	}
	reader, list := s.recorded()
	s.write("owners.json", `{"regions": {"alice": ["west"], "bob": ["east"]}}`)
	g := s.replayGuard()
	then := &Kept{Guard: g, From: reader}
	r := s.replay(Cases(list), then, &Kept{Guard: g, From: reader})
	if r.Compared != s.n || r.Same != s.n || r.Changed != 0 || r.Unfaithful != 0 || len(r.Skipped) > 0 {
		t.Errorf("%+v", r)
	}
	for c, err := range Cases(list) {
		if err != nil {
			t.Fatal(err)
		}
		for _, tracer := range []topdown.QueryTracer{nil, topdown.NewBufferTracer()} {
			again, err := then.Decide(t.Context(), c, tracer)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(AnswerOf(again).Obligations, c.Before.Obligations) {
				t.Fatalf("%s: %+v, then %+v", c.ID, AnswerOf(again).Obligations, c.Before.Obligations)
			}
		}
	}
	for name, next := range map[string]struct {
		from, to string
		changed  int
	}{
		"fewer rows":               {"filter if input.row.owner == input.identity.subject", "filter if { input.row.owner == input.identity.subject; input.row.state == \"open\" }", 20},
		"more rows":                {"filter if lib.has_role(\"staff\")", "filter if lib.authenticated", 20},
		"another mask":             {`"last4"`, `"null"`, 10},
		"the same, in another way": {"input.row.owner == input.identity.subject", "input.identity.subject == input.row.owner", 0},
	} {
		t.Run(name, func(t *testing.T) {
			part, err := Candidate([]string{s.write(filepath.Join("next", "p.rego"), strings.Replace(filters, next.from, next.to, 1))}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			r := s.replay(Cases(list), then, &Kept{Guard: g, From: reader, Rules: part})
			if r.Changed != next.changed || r.Kinds[NewObligations] != next.changed || r.Compared != s.n {
				t.Errorf("%d changed, %d by their obligations, want %d: %+v", r.Changed, r.Kinds[NewObligations], next.changed, r)
			}
		})
	}
	// A candidate without the rule has no condition to give: that is no permission.
	part, err := Candidate([]string{s.write(filepath.Join("next", "p.rego"), "package crenel.authz\n\ndecision := true\n")}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r = s.replay(Cases(list), then, &Kept{Guard: g, From: reader, Rules: part})
	if r.Changed != 30 || r.Kinds[NowAllowed] != 0 || r.Kinds[NewObligations] != 0 {
		t.Errorf("without a rule: %+v", r)
	}
}
