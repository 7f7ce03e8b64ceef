package authz_test

import (
	"context"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/spec"
)

const listDocument = `
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /orders: {get: {operationId: listOrders, responses: {"200": {description: d, content: {application/json: {schema: {type: array, items: {type: object, properties: {customer_id: {type: integer}}}}}}}}}}
  /two: {get: {operationId: two, responses: {"200": {description: d, content: {application/json: {schema: {type: object, properties: {a: {type: array, items: {type: object}}, b: {type: array, items: {type: object}}}}}}}}}}
  /none: {get: {operationId: none, responses: {"200": {description: d}}}}
`

func listAPI(t testing.TB) *spec.API {
	t.Helper()
	api, err := spec.Parse([]byte(listDocument), "t.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func listCall(api *spec.API) *exchange.Exchange {
	x := call(parcelAPI(), "ping", nil)
	x.Spec, x.Operation = api, api.Operations[0]
	return x
}

const listPolicy = "package crenel.authz\nimport data.crenel.lib\ndecision := true\nfilter if lib.has_role(\"admin\")\nfilter if lib.is_subject(input.row.owner)\nmasks := {\"iban\": \"last4\"}\n"

// A filter that has no place is found when the config is loaded.
func TestFiltersAtLoad(t *testing.T) {
	api := listAPI(t)
	for name, c := range map[string]struct {
		filter config.AuthzFilter
		want   string
	}{
		"right":             {config.AuthzFilter{Operations: []string{"listOrders"}}, ""},
		"no such operation": {config.AuthzFilter{Operations: []string{"listOrder"}}, "none of the operations listOrder"},
		"two lists":         {config.AuthzFilter{Operations: []string{"two"}}, "several lists in its answer, /a and /b"},
		"one of two lists":  {config.AuthzFilter{Operations: []string{"two"}, List: "/a"}, ""},
		"no list":           {config.AuthzFilter{Operations: []string{"none"}}, "no list of objects"},
		"no list is needed": {config.AuthzFilter{Operations: []string{"none"}, As: "header"}, ""},
		"masks need a list": {config.AuthzFilter{Operations: []string{"none"}, As: "header", Masks: "data.crenel.authz.masks"}, "no list of objects"},
		"no such rule":      {config.AuthzFilter{Operations: []string{"listOrders"}, Rule: "data.crenel.authz.filtre"}, "no policy has the rule data.crenel.authz.filtre"},
		"no such masks":     {config.AuthzFilter{Operations: []string{"listOrders"}, Masks: "data.crenel.authz.mask"}, "no policy has the rule data.crenel.authz.mask"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(api)
			o.Config = config.Authz{Policies: []string{files(t, map[string]string{"p.rego": listPolicy})}, Filters: []config.AuthzFilter{c.filter}}
			g, err := authz.New(o)
			if g != nil {
				g.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	o := options(api)
	o.Config.Filters = []config.AuthzFilter{{Operations: []string{"listOrders"}}}
	if _, err := authz.New(o); err == nil || !strings.Contains(err.Error(), "filters without policies") {
		t.Error(err)
	}
}

// A policy that lost a filter's rule is not activated later either.
func TestFilterIsAGate(t *testing.T) {
	api := listAPI(t)
	part := func(text string) *authz.Part {
		p, err := authz.LoadFiles([]string{files(t, map[string]string{"p.rego": text})}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	o := options(api)
	o.Config.Filters = []config.AuthzFilter{{Operations: []string{"listOrders"}}}
	o.Feeds = []authz.Feed{authz.Fixed("one", part(listPolicy))}
	g := start(t, o)
	err := g.Engine().Update(t.Context(), map[string]*authz.Part{"one": part("package crenel.authz\ndecision := true")})
	if err == nil || !strings.Contains(err.Error(), "data.crenel.authz.filter") {
		t.Fatal(err)
	}
	x := listCall(api)
	if v := decide(t, g, x); v.Action != exchange.Allow || len(x.Obligations.Keep) != 1 {
		t.Errorf("%+v, %+v", v, x.Obligations)
	}
}

func BenchmarkFilter(b *testing.B) {
	api := listAPI(b)
	o := options(api)
	o.Config = config.Authz{Policies: []string{files(b, map[string]string{"p.rego": listPolicy})}, Filters: []config.AuthzFilter{{Operations: []string{"listOrders"}}}}
	g := start(b, o)
	ctx := context.Background()
	x := listCall(api)
	b.ReportAllocs()
	for b.Loop() {
		x.Obligations = exchange.Obligations{}
		if v, _ := g.Probe(ctx, x, nil); v.Action != exchange.Allow || len(x.Obligations.Keep) != 1 {
			b.Fatal(v)
		}
	}
}
