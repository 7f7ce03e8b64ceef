package spec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/internal/spec"
)

func TestAnswers(t *testing.T) {
	api, err := spec.Parse([]byte(`
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /orders:
    get:
      operationId: listOrders
      responses:
        "200":
          description: d
          content:
            application/json:
              schema:
                type: object
                properties:
                  items:
                    type: array
                    items:
                      type: object
                      properties:
                        id: {type: integer}
                        customer_id: {type: integer}
                        company_id: {type: integer}
                        email: {type: string}
                  total: {type: integer}
        default:
          description: e
          content: {application/json: {schema: {type: object, properties: {owner_id: {type: string}}}}}
  /orders/{id}:
    get:
      operationId: getOrder
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses:
        "200":
          description: d
          content: {application/json: {schema: {type: object, properties: {owner: {type: string}, lines: {type: array, items: {type: object, properties: {sku: {type: string}}}}}}}}
  /notes:
    get:
      operationId: listNotes
      responses:
        "200":
          description: d
          content: {application/json: {schema: {type: array, items: {type: object, properties: {author_id: {type: string}, iban: {type: string}}}}}}
`), "t.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]any{}
	for _, op := range api.Operations {
		got[op.ID] = []any{op.OwnerFields(), op.Lists(), op.SensitiveFields()}
	}
	want := map[string][]any{
		"listOrders": {
			[]spec.OwnerField{
				{At: "/items/*/customer_id", InList: true, List: "/items", Optional: true, Field: "/customer_id", Of: "subject", Noun: "customer"},
				{At: "/items/*/company_id", InList: true, List: "/items", Optional: true, Field: "/company_id", Of: "tenant", Noun: "company"},
			}, []string{"/items"}, []spec.SensitiveField{{At: "/items/*/email", Class: "personal"}},
		},
		"getOrder": {[]spec.OwnerField{{At: "/owner", Field: "/owner", Of: "subject", Noun: "owner"}}, []string{"/lines"}, []spec.SensitiveField(nil)},
		"listNotes": {
			[]spec.OwnerField{{At: "/*/author_id", InList: true, List: "", Field: "/author_id", Of: "subject", Noun: "author"}},
			[]string{""}, []spec.SensitiveField{{At: "/*/iban", Class: "financial"}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
