package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

const changeSpec = `openapi: 3.0.3
info: {title: t, version: '1'}
servers: [{url: http://one.example}]
paths:
  /shops:
    get: {responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Shop'}}}}}}}
    post:
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Shop'}}}}
      responses: {'201': {description: ok}}
  /shops/{id}:
    get:
      summary: One shop
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}, {name: lang, in: query, schema: {type: string, enum: [de, en]}}]
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Shop'}}}}}
  /health:
    get: {responses: {'200': {description: ok}}}
components:
  securitySchemes: {k: {type: apiKey, in: header, name: X-K}}
  schemas:
    Shop: {type: object, properties: {name: {type: string, maxLength: 20}, owner: {$ref: '#/components/schemas/Person'}}}
    Person: {type: object, properties: {age: {type: integer}, boss: {$ref: '#/components/schemas/Person'}}}
`

func TestChanges(t *testing.T) {
	shops := []string{"GET /shops answers", "POST /shops body", "GET /shops/{id} answers"}
	for _, c := range []struct {
		name string
		edit [2]string
		want []string
	}{
		{"nothing", [2]string{"", ""}, nil},
		{"texts and servers", [2]string{"summary: One shop", "summary: A shop, and only one"}, nil},
		{"another server", [2]string{"http://one.example", "http://two.example/v2"}, nil},
		{"name of a path variable", [2]string{"/shops/{id}:\n    get:\n      summary: One shop\n      parameters: [{name: id", "/shops/{shopId}:\n    get:\n      summary: One shop\n      parameters: [{name: shopId"}, nil},
		{"a schema that a schema refers to", [2]string{"age: {type: integer}", "age: {type: integer, maximum: 120}"}, shops},
		{"a new member, deep in a cycle", [2]string{"boss: {", "nick: {type: string}, boss: {"}, shops},
		{"an enum", [2]string{"[de, en]", "[de, en, fr]"}, []string{"GET /shops/{id} parameters"}},
		{"type of a path variable", [2]string{"required: true, schema: {type: integer}", "required: true, schema: {type: string}"}, []string{"GET /shops/{id} parameters"}},
		{"security", [2]string{"  /health:\n    get: {", "  /health:\n    get: {security: [{k: []}], "}, []string{"GET /health security"}},
		{"where the key goes", [2]string{"name: X-K", "name: X-Key"}, nil}, // nobody uses it
		{"deprecation", [2]string{"  /health:\n    get: {", "  /health:\n    get: {deprecated: true, "}, []string{"GET /health deprecation"}},
		{"added and removed", [2]string{"/health:", "/status:"}, []string{"GET /status added", "GET /health removed"}},
		{"another answer", [2]string{"'201': {description: ok}", "'202': {description: ok}"}, []string{"POST /shops answers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(changeSpec, c.edit[0]) {
				t.Fatal("the edit edits nothing")
			}
			was := parse(t, changeSpec)
			is := parse(t, strings.Replace(changeSpec, c.edit[0], c.edit[1], 1))
			var got []string
			for _, ch := range graph.Changes(was, is) {
				got = append(got, fmt.Sprintf("%s %s %s", ch.Method, ch.Path, strings.Join(ch.What, ",")))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A world for one operation needs what makes its objects, and nothing of others.
func TestNeeds(t *testing.T) {
	g := parse(t, changeSpec)
	need := g.Needs([]*graph.Op{g.Op("GET", "/shops/{id}")})
	if !need[g.Op("POST", "/shops")] || !need[g.Op("GET", "/shops")] || need[g.Op("GET", "/health")] {
		t.Errorf("%v", need)
	}
	if need := g.Needs([]*graph.Op{g.Op("GET", "/health")}); len(need) != 1 {
		t.Errorf("%d operations for one that needs none", len(need))
	}
}
