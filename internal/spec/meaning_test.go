package spec

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWords(t *testing.T) {
	for name, want := range map[string]string{
		"customerId": "customer id", "customer_id": "customer id", "customer-id": "customer id", "CustomerID": "customer id", "customerIDs": "customer ids",
		"HTTPStatus": "http status", "v2": "v 2", "addressLine1": "address line 1", "X-Request-ID": "x request id", "größeId": "größe id", "": "", "__": "", "URL": "url",
	} {
		if got := strings.Join(words(name), " "); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestSingular(t *testing.T) {
	for plural, want := range map[string]string{
		"parcels": "parcel", "companies": "company", "addresses": "address", "boxes": "box", "batches": "batch", "caches": "cache", "people": "person", "children": "child",
		"statuses": "status", "status": "status", "indices": "index", "houses": "house", "buses": "bus", "series": "series", "news": "news", "analyses": "analysis",
		"leaves": "leaf", "drives": "drive", "heroes": "hero", "keys": "key", "bus": "bus", "glass": "glass", "movies": "movie", "policies": "policy", "invoices": "invoice",
		"data": "data", "is": "is", "classes": "class", "dishes": "dish", "licenses": "license", "databases": "database", "queries": "query", "process": "process", "processes": "process", "quizzes": "quiz", "curves": "curve",
	} {
		if got := singular(plural); got != want {
			t.Errorf("%s: got %s, want %s", plural, got, want)
		}
	}
}

func TestObjects(t *testing.T) {
	for _, c := range []struct {
		path, resource, object string
		refs                   string // of the variables, in order; - for none
	}{
		{"/parcels/{parcelId}", "parcel", "parcel", "parcel"},
		{"/parcels/{id}", "parcel", "parcel", "parcel"},
		{"/v2/parcels", "parcel", "", ""},
		{"/parcels/{id}/events", "event", "", "parcel"},
		{"/parcels/{id}/events/{eventId}", "event", "event", "parcel event"},
		{"/parcels/{id}/cancel", "parcel", "parcel", "parcel"},
		{"/parcels/{id}:cancel", "parcel", "parcel", "parcel"},
		{"/delivery-slots/{slotId}", "delivery_slot", "delivery_slot", "delivery_slot"},
		{"/deliverySlots/{id}", "delivery_slot", "delivery_slot", "delivery_slot"},
		{"/people/{person_id}/addresses/{address_id}", "address", "address", "person address"},
		{"/reports/{year}/{month}", "report", "", "- -"},
		{"/users/me", "user", "", ""},
		{"/users/{username}", "user", "user", "user"},
		{"/track/{trackingNumber}", "tracking", "tracking", "tracking"},
		{"/api/v1/{customerId}/orders", "order", "", "customer"},
		{"/odata/Customers('{key}')", "customer", "customer", "customer"},
		{"/status", "status", "", ""},
		{"/files/{name}.{ext}", "file", "file", "file -"},
	} {
		tmpl := parseTemplate(c.path)
		op := &Operation{Path: c.path}
		for _, v := range tmpl.vars {
			op.PathParams = append(op.PathParams, &Parameter{Name: v, In: "path"})
		}
		op.Parameters = slices.Clone(op.PathParams)
		objects(op, &tmpl)
		var refs []string
		for i, p := range op.PathParams {
			if op.Parameters[i] != p {
				t.Errorf("%s: PathParams and Parameters hold different parameters", c.path)
			}
			name := "-"
			if p.Object != nil {
				name = p.Object.Resource
			}
			refs = append(refs, name)
		}
		object := ""
		if op.Object != nil {
			object = op.Object.Resource
		}
		if got := strings.Join(refs, " "); op.Resource != c.resource || object != c.object || got != c.refs {
			t.Errorf("%s: got resource %q, object %q, variables %q", c.path, op.Resource, object, got)
		}
	}
}

func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		name, holder, format, typ string
		want                      DataClass
	}{
		{name: "password", want: ClassSecret}, {name: "newPassword", want: ClassSecret}, {name: "accessToken", want: ClassSecret}, {name: "x", format: "password", want: ClassSecret},
		{name: "nextPageToken"}, {name: "page_token"}, {name: "password_changed_at"}, {name: "passwordPolicy"}, {name: "api_key", want: ClassSecret}, {name: "tokenType"},
		{name: "email", want: ClassPersonal}, {name: "contactEmail", want: ClassPersonal}, {name: "email_verified", typ: "boolean"}, {name: "email_verified"}, {name: "emailCount"},
		{name: "x", format: "email", want: ClassPersonal}, {name: "firstName", want: ClassPersonal}, {name: "dob", want: ClassPersonal}, {name: "dateOfBirth", want: ClassPersonal},
		{name: "name"}, {name: "name", holder: "customer", want: ClassPersonal}, {name: "name", holder: "product"}, {name: "name", holder: "delivery_contact", want: ClassPersonal},
		{name: "city"}, {name: "city", holder: "address", want: ClassPersonal}, {name: "city", holder: "home_address", want: ClassPersonal}, {name: "id", holder: "address"},
		{name: "iban", want: ClassFinancial}, {name: "cardNumber", want: ClassFinancial}, {name: "number", holder: "card", want: ClassFinancial}, {name: "number", holder: "invoice"}, {name: "balance", want: ClassFinancial},
		{name: "cvv", want: ClassFinancial}, {name: "diagnosis", want: ClassHealth}, {name: "bloodType", want: ClassHealth}, {name: "ssn", want: ClassIdentifier}, {name: "passport_number", want: ClassIdentifier},
		{name: "lat", want: ClassLocation}, {name: "longitude", want: ClassLocation}, {name: "latest"}, {name: "description"}, {name: "price"}, {name: "pin", typ: "boolean"}, {name: "", holder: "address"},
		{name: "value", holder: "token"}, {name: "url", holder: "address"}, {name: "ipAddress", want: ClassPersonal}, {name: "macAddress", want: ClassIdentifier},
	} {
		if got := classOf(c.name, c.holder, c.format, c.typ); got != c.want {
			t.Errorf("%s in %q (%s %s): got %q, want %q", c.name, c.holder, c.format, c.typ, got, c.want)
		}
	}
}

const meaningDoc = `
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /orders/{orderId}:
    parameters:
      - {name: orderId, in: path, required: true, schema: {type: string}}
      - {name: customer_id, in: query, schema: {type: integer}}
      - {name: X-Request-ID, in: header, schema: {type: string}}
      - {name: email, in: query, schema: {type: string}}
    get:
      responses:
        "200":
          content:
            application/json:
              schema: {$ref: "#/components/schemas/Order"}
    put:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              x-crenel-owner: shop
              properties:
                shop: {type: string}
                user_id: {type: string, x-crenel-owner: false}
                secret_note: {type: string, x-crenel-class: health}
      responses: {}
  /addresses:
    get:
      responses:
        "200":
          content:
            application/json:
              schema:
                type: object
                properties:
                  page: {type: integer}
                  total: {type: integer}
                  items:
                    type: array
                    items: {type: object, properties: {id: {type: string}, city: {type: string}, userId: {type: string}}}
components:
  schemas:
    Order:
      type: object
      properties:
        id: {type: string, readOnly: true}
        ownerId: {type: string}
        total: {type: number}
        buyer:
          type: object
          properties:
            id: {type: string}
            name: {type: string}
            password: {type: string, writeOnly: true}
        customer: {$ref: "#/components/schemas/Customer"}
        items:
          type: array
          items:
            type: object
            properties:
              productIds: {type: array, items: {type: string}}
              parent: {$ref: "#/components/schemas/Order"}
        labels:
          additionalProperties: {type: object, properties: {phone: {type: string}}}
    Customer:
      allOf:
        - {properties: {id: {type: string}, email: {type: string, format: email}}}
        - {properties: {address: {type: object, properties: {street: {type: string}, country: {type: string}}}}}
`

func TestFields(t *testing.T) {
	api, err := Parse([]byte(meaningDoc), "meaning.yaml", LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range api.Problems {
		t.Errorf("unexpected problem: %+v", p)
	}
	get := api.Route("GET", "", "/orders/5").Operation
	show := func(fields []Field) map[string]string {
		m := map[string]string{}
		for _, f := range fields {
			var s []string
			if f.Object != nil {
				s = append(s, "object:"+f.Object.Resource)
			}
			if f.Owner {
				s = append(s, "owner")
			}
			if f.Class != ClassNone {
				s = append(s, string(f.Class))
			}
			if f.ReadOnly {
				s = append(s, "readOnly")
			}
			if f.WriteOnly {
				s = append(s, "writeOnly")
			}
			m[f.Pointer] = strings.Join(s, " ")
		}
		return m
	}
	want := map[string]string{
		"/id": "object:order readOnly", "/ownerId": "object:owner owner",
		"/buyer/id": "object:buyer", "/buyer/name": "personal", "/buyer/password": "secret writeOnly",
		"/customer/id": "object:customer owner", "/customer/email": "personal", "/customer/address/street": "personal", "/customer/address/country": "personal",
		"/items/*/productIds/*": "object:product", "/labels/*/phone": "personal",
	}
	if diff := cmp.Diff(want, show(get.Responses[0].Content[0].Fields)); diff != "" {
		t.Error(diff)
	}
	put := api.Route("PUT", "", "/orders/5").Operation
	want = map[string]string{"/shop": "owner", "/user_id": "object:user", "/secret_note": "health"}
	if diff := cmp.Diff(want, show(put.Body.Content[0].Fields)); diff != "" {
		t.Error(diff)
	}
	list := api.Route("GET", "", "/addresses").Operation
	want = map[string]string{"/items/*/id": "object:address", "/items/*/city": "personal", "/items/*/userId": "object:user owner"}
	if diff := cmp.Diff(want, show(list.Responses[0].Content[0].Fields)); diff != "" {
		t.Errorf("a list in an envelope: %s", diff)
	}
	var params []string
	for _, p := range get.Parameters {
		s := p.Name + ":"
		if p.Object != nil {
			s += p.Object.Resource
		}
		params = append(params, s+":"+string(p.Class))
	}
	if diff := cmp.Diff([]string{"orderId:order:", "customer_id:customer:", "X-Request-ID::", "email::personal"}, params); diff != "" {
		t.Error(diff)
	}
}
