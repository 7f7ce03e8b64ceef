package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

const silent = `
openapi: 3.0.0
info: {title: Silent, version: '1'}
paths:
  /things:
    get: {responses: {'200': {description: ok}}}
    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {name: {type: string}}}}}}, responses: {'200': {description: ok}}}
  /things/{id}:
    get: {parameters: [{name: id, in: path, required: true, schema: {type: integer}}], responses: {'200': {description: ok}}}
  /whois:
    get: {parameters: [{name: vin, in: query, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}
  /account:
    get: {responses: {'200': {description: ok}}}
  /signin:
    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {user: {type: string}, pass: {type: string}}}}}}, responses: {'200': {description: ok}}}
`

func parse(t testing.TB, doc string) *graph.Graph {
	t.Helper()
	api, err := spec.Parse([]byte(doc), "api.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return graph.Build(api)
}

func jsonValue(t testing.TB, s string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestObserve: an API that says nothing of its answers is learned from them.
func TestObserve(t *testing.T) {
	g := parse(t, silent)
	list, create, read, whois := g.Op("GET", "/things"), g.Op("POST", "/things"), g.Op("GET", "/things/{id}"), g.Op("GET", "/whois")
	id, vin := read.Input("path.id"), whois.Input("query.vin")
	if len(g.Producers(id)) != 0 || len(g.Unfed()) == 0 {
		t.Fatal("something feeds the id before anything was seen")
	}
	g.Observe(create, jsonValue(t, `{"id": 7, "name": "x", "owner": {"id": 3, "email": "a@b.example"}}`), http.Header{"Location": {"/things/7"}})
	g.Observe(list, jsonValue(t, `{"success": true, "data": [{"id": 7, "vin": "A1"}, {"id": 8, "vin": "A2", "extra": null}], "total": 2}`), nil)
	g.Observe(g.Op("POST", "/signin"), jsonValue(t, `{"token": "abc"}`), nil)
	g.Observe(g.Op("GET", "/account"), jsonValue(t, `{"id": 3, "email": "a@b.example", "username": "ann"}`), nil)

	p := g.Producers(id)
	if len(p) < 2 || p[0].From.Op != create || p[0].From.Pointer != "/id" || p[1].From.Op != list || p[1].From.Pointer != "/data/*/id" {
		t.Errorf("the id is fed by %v", describe(p))
	}
	if p := g.Producers(vin); len(p) != 1 || p[0].From.Op != list || p[0].From.Pointer != "/data/*/vin" || !p[0].From.Seen {
		t.Errorf("the vin is fed by %v", describe(p))
	}
	if a, at := g.Answer(list); a != "list" || at != "/data" {
		t.Errorf("the list is %s at %q", a, at)
	}
	if a, _ := g.Answer(create); a != "object" {
		t.Errorf("the creation answers %s", a)
	}
	if !slices.ContainsFunc(g.Outputs(create), func(o *graph.Output) bool { return o.Header == "Location" && o.Seen }) {
		t.Error("the Location is not among the outputs")
	}
	if len(create.Outputs) != 0 || len(id.Producers) != 0 {
		t.Error("fields changed before Settle")
	}
	g.Settle()
	if len(create.Outputs) == 0 || len(id.Producers) < 2 || list.Answered != "list" || list.ListAt != "/data" || list.Kind != graph.List {
		t.Error("Settle did not move what was learned into the fields")
	}
	r := g.Resource("thing")
	if len(r.IDs) == 0 || r.IDs[0] != "id" || !slices.Contains(r.Owners, "owner/id") {
		t.Errorf("thing: ids %q, owners %q", r.IDs, r.Owners)
	}
	if !g.Op("POST", "/signin").Has(graph.Login) || !g.Op("GET", "/account").Has(graph.WhoAmI) {
		t.Errorf("%v %v", g.Op("POST", "/signin").Purposes, g.Op("GET", "/account").Purposes)
	}
	before := len(g.Outputs(create))
	g.Observe(create, jsonValue(t, `{"id": 9}`), nil)
	if len(g.Outputs(create)) != before {
		t.Error("the same outputs were learned twice")
	}
	soundGraph(t, "silent", g)
}

func describe(edges []*graph.Edge) []string {
	var out []string
	for _, e := range edges {
		out = append(out, fmt.Sprintf("%s %s%s %.2f %s", title(e.From.Op), e.From.Pointer, e.From.Header, e.Score, e.Why))
	}
	return out
}

// TestObserveTogether: many learn while many read (for the race detector).
func TestObserveTogether(t *testing.T) {
	g := load(t, "testdata/apis/garage.yaml")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Add(2)
		go func() {
			defer wg.Done()
			for j, op := range g.Ops {
				g.Observe(op, map[string]any{"id": i, fmt.Sprintf("f%d", j): "x", "list": []any{map[string]any{"order_id": j}}}, http.Header{"X-Auth-Token": {"t"}})
			}
		}()
		go func() {
			defer wg.Done()
			for _, op := range g.Ops {
				_ = g.Outputs(op)
				_, _ = g.Answer(op)
				for _, in := range op.Inputs {
					_ = g.Producers(in)
				}
				_ = g.For(graph.Login)
			}
			_ = g.Unfed()
		}()
	}
	wg.Wait()
	g.Settle()
	soundGraph(t, "garage", g)
}

// TestAnyAnswer: whatever an answer holds, the graph stays sound and bounded.
func TestAnyAnswer(t *testing.T) {
	files := labelled(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := load(t, "testdata/apis/"+rapid.SampledFrom(files).Draw(rt, "api")+".yaml")
		for range rapid.IntRange(1, 5).Draw(rt, "answers") {
			op := rapid.SampledFrom(g.Ops).Draw(rt, "op")
			g.Observe(op, drawJSON(rt, 4), http.Header{"Location": {"/x"}})
			if n := len(g.Outputs(op)); n > 600 {
				rt.Fatalf("%d outputs", n)
			}
			for _, in := range op.Inputs {
				last := 2.0
				for _, e := range g.Producers(in) {
					if e.Score > last || e.To != in {
						rt.Fatal("edges out of order")
					}
					last = e.Score
				}
			}
			if rapid.Bool().Draw(rt, "settle") {
				g.Settle()
			}
		}
		soundGraph(t, "any", g)
	})
}

var memberNames = []string{"id", "user_id", "orderId", "data", "items", "token", "email", "x/y~z", "", "name", "list", "ünï", "owner", "vin", "*"}

func drawJSON(rt *rapid.T, depth int) any {
	kind := rapid.IntRange(0, 7).Draw(rt, "kind")
	if depth == 0 && kind > 4 {
		kind = 1
	}
	switch kind {
	case 0:
		return nil
	case 1:
		return rapid.String().Draw(rt, "text")
	case 2:
		return rapid.Float64().Draw(rt, "number")
	case 3:
		return rapid.Bool().Draw(rt, "flag")
	case 4:
		return json.Number("12")
	case 5:
		var out []any
		for range rapid.IntRange(0, 4).Draw(rt, "n") {
			out = append(out, drawJSON(rt, depth-1))
		}
		return out
	}
	out := map[string]any{}
	for range rapid.IntRange(0, 6).Draw(rt, "n") {
		out[rapid.SampledFrom(memberNames).Draw(rt, "name")] = drawJSON(rt, depth-1)
	}
	return out
}

// TestAnyPath: any path template makes a graph that holds together.
func TestAnyPath(t *testing.T) {
	segments := []string{"users", "{id}", "{user_id}", "orders", "getUser", "v1", "api", "me", "login", "{a}{b}", "items:batch", "Users('{key}')", "delete", "admin", "all", "-", "{}", "über", "{x", "..", "%2e", "a.b.json", "{orderId}.json", "reset-password", "s", "_debug"}
	methods := []string{"get", "post", "put", "patch", "delete", "head", "options"}
	rapid.Check(t, func(rt *rapid.T) {
		var b strings.Builder
		b.WriteString("openapi: 3.0.0\ninfo: {title: T, version: '1'}\npaths:\n")
		for i := range rapid.IntRange(1, 8).Draw(rt, "paths") {
			path := ""
			for range rapid.IntRange(0, 6).Draw(rt, "segments") {
				path += "/" + rapid.SampledFrom(segments).Draw(rt, "segment")
			}
			fmt.Fprintf(&b, "  %q:\n", fmt.Sprintf("%s/p%d", path, i))
			for _, m := range methods {
				if rapid.Bool().Draw(rt, m) {
					fmt.Fprintf(&b, "    %s: {responses: {'200': {description: ok}}}\n", m)
				}
			}
		}
		api, err := spec.Parse([]byte(b.String()), "any.yaml", spec.LoadOptions{})
		if err != nil {
			return
		}
		g := graph.Build(api)
		soundGraph(t, b.String(), g)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// TestLinks: OpenAPI's own links come first.
func TestLinks(t *testing.T) {
	g := parse(t, `
openapi: 3.0.0
info: {title: L, version: '1'}
paths:
  /carts:
    post:
      responses:
        '201': {description: ok, content: {application/json: {schema: {type: object, properties: {ref: {type: string}, id: {type: string}}}}}, links: {read: {operationId: readCart, parameters: {cartId: '$response.body#/ref'}}}}
  /carts/{cartId}:
    get: {operationId: readCart, parameters: [{name: cartId, in: path, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}
`)
	p := g.Producers(g.Op("GET", "/carts/{cartId}").Input("path.cartId"))
	if len(p) == 0 || p[0].From.Pointer != "/ref" || p[0].Score != 1 || !strings.HasPrefix(p[0].Why, "link") {
		t.Errorf("%v", describe(p))
	}
}

// TestNoAPI: nothing at all is no reason to fall over.
func TestNoAPI(t *testing.T) {
	for _, api := range []*spec.API{nil, {}} {
		g := graph.Build(api)
		if len(g.Ops) != 0 || g.Op("GET", "/") != nil || g.Resource("x") != nil || g.Plan(discard{}) != nil || g.SVG(discard{}) != nil || g.DOT(discard{}) != nil {
			t.Error("an empty graph is not empty")
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
