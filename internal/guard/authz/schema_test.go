package authz_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/policies"
)

// The input that policies see is what the published schema says, with every part
// that there is; the schema refuses what there is not.
func TestInputFitsItsSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(policies.InputSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("input.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("input.json")
	if err != nil {
		t.Fatal(err)
	}
	api, err := spec.Parse([]byte(`
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /orders/{id}:
    put:
      operationId: putOrder
      tags: [a]
      x-roles: [clerk]
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer}}
        - {name: q, in: query, schema: {type: string}}
      requestBody: {content: {application/json: {schema: {type: object}}}}
      responses:
        "200": {description: d, content: {application/json: {schema: {type: object, properties: {items: {type: array, items: {type: object, properties: {customer_id: {type: string}, iban: {type: string}}}}}}}}}
`), "t.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	op := api.Operations[0]
	x := call(parcelAPI(), "getParcel", func(x *exchange.Exchange) {
		x.Operation, x.Spec = op, api
		x.Identity.Expires, x.Identity.Session = time.Now(), "s"
		x.Identity.Also = []exchange.Identity{{Method: "api_key", Verified: true}}
		x.Identity.Device = &exchange.Device{ID: "d", Status: "compliant", Compliant: true, Since: time.Now()}
		x.Request.PathParams = []string{"7"}
		x.Params = []exchange.Param{{Spec: op.PathParams[0], Raw: "7", Value: value.Value{Kind: value.Number, Text: "7"}}}
		root := value.FromAny(map[string]any{"a": []any{1, "x", nil}})
		x.Request.Body = &exchange.Body{Root: &root}
		x.Risk = 0.5
	})
	o := options(api)
	o.Config.Policies = []string{files(t, map[string]string{"p.rego": "package crenel.authz\ndecision if count(input) > 0"})}
	e, err := start(t, o).Explain(t.Context(), x, trace.None)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(e.Input); err != nil {
		t.Errorf("%v\n%v", err, e.Input)
	}
	in := e.Input.(map[string]any)
	for _, part := range []string{"identity", "operation", "object", "objects", "params", "body", "context", "risk"} {
		if in[part] == nil {
			t.Errorf("the input has no %s: the test shows little", part)
		}
	}
	in["identity"].(map[string]any)["subjekt"] = "x"
	if schema.Validate(in) == nil {
		t.Error("the schema takes a field that there is not")
	}
}
