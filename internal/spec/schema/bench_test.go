package schema_test

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// parcelSchema is a typical request body's schema; %NULL% is how the dialect
// says "a string or null".
const parcelSchema = `{
	"openapi": "3", "components": {"schemas": {
	"Address": {"type": "object", "required": ["street", "city", "postcode", "country"], "properties": {
		"name": {"type": "string", "maxLength": 100},
		"street": {"type": "string", "minLength": 1, "maxLength": 200},
		"street2": %NULL%,
		"city": {"type": "string", "maxLength": 100},
		"postcode": {"type": "string", "pattern": "^[A-Z0-9 -]{3,10}$"},
		"country": {"type": "string", "enum": ["DE", "FR", "NL", "BE", "AT", "CH", "PL", "DK"]},
		"phone": {"type": "string", "pattern": "^\\+?[0-9 ]{6,20}$"},
		"email": {"type": "string", "format": "email"}}},
	"Item": {"type": "object", "required": ["sku", "quantity"], "properties": {
		"sku": {"type": "string", "pattern": "^[A-Z]{2,4}-\\d{3,8}$"},
		"quantity": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 1000},
		"price": {"type": "number", "minimum": 0, "multipleOf": 0.01},
		"name": {"type": "string", "maxLength": 80}, "fragile": {"type": "boolean"}}},
	"Parcel": {"type": "object", "required": ["id", "sender", "recipient", "items", "service"], "properties": {
		"id": {"type": "string", "format": "uuid"},
		"reference": {"type": "string", "maxLength": 64},
		"service": {"type": "string", "enum": ["standard", "express", "overnight"]},
		"sender": {"$ref": "#/components/schemas/Address"},
		"recipient": {"$ref": "#/components/schemas/Address"},
		"weight_grams": {"type": "integer", "minimum": 1, "maximum": 50000},
		"pickup": {"type": "string", "format": "date-time"},
		"insured": {"type": "boolean"},
		"tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 10, "uniqueItems": true},
		"items": {"type": "array", "minItems": 1, "maxItems": 50, "items": {"$ref": "#/components/schemas/Item"}},
		"notes": {"type": "string", "maxLength": 500}}}}}}`

// parcelBody is 1 KB.
const parcelBody = `{"id": "7f1b6a52-0c7e-4f8b-9a53-2f6f0f0c9f11", "reference": "ORDER-2024-000123", "service": "express",
	"sender": {"name": "Anna Schmidt", "street": "Hauptstrasse 12", "street2": null, "city": "Berlin", "postcode": "10115", "country": "DE",
		"phone": "+49 30 1234567", "email": "anna.schmidt@example.com"},
	"recipient": {"name": "Jean Dupont", "street": "12 Rue de la Paix", "city": "Paris", "postcode": "75002", "country": "FR",
		"phone": "+33 1 23456789", "email": "jean.dupont@example.fr"},
	"weight_grams": 2350, "pickup": "2024-05-17T09:30:00Z", "insured": true, "tags": ["gift", "fragile", "morning"],
	"items": [{"sku": "BOOK-12345", "quantity": 2, "price": 19.99, "name": "The Go Programming Language", "fragile": false},
		{"sku": "MUG-98765", "quantity": 1, "price": 12.50, "name": "Coffee mug, blue, 300 ml", "fragile": true},
		{"sku": "PEN-555", "quantity": 10, "price": 1.25, "name": "Ball pen, black", "fragile": false}],
	"notes": "Please ring twice and leave the parcel with the neighbour on the second floor if nobody opens the door."}`

func parcel(d schema.Dialect) string {
	null := `{"type": "string", "nullable": true, "maxLength": 200}`
	if d == schema.OpenAPI31 {
		null = `{"type": ["string", "null"], "maxLength": 200}`
	}
	return strings.ReplaceAll(parcelSchema, "%NULL%", null)
}

func BenchmarkValidate(b *testing.B) {
	body := decode(b, []byte(parcelBody))
	for _, d := range []schema.Dialect{schema.OpenAPI30, schema.OpenAPI31} {
		c := schema.NewCompiler(d, schema.CompilerOptions{})
		c.AddResource("file:///api.json", decode(b, []byte(parcel(d))))
		s, problems := c.Compile("file:///api.json#/components/schemas/Parcel")
		if len(problems) > 0 {
			b.Fatal(problems)
		}
		for _, o := range []struct {
			name string
			opts schema.Options
		}{{"plain", schema.Options{}}, {"strict", schema.Options{Strict: true, Direction: schema.Request}}} {
			b.Run(strings.ReplaceAll(d.String(), " ", "")+"/"+o.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if f := s.Validate(body, &o.opts); f != nil {
						b.Fatal(f)
					}
				}
			})
		}
	}
	b.Run("jsonschema", func(b *testing.B) {
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(parcel(schema.OpenAPI31)))
		if err != nil {
			b.Fatal(err)
		}
		if err := c.AddResource("file:///api.json", doc); err != nil {
			b.Fatal(err)
		}
		s, err := c.Compile("file:///api.json#/components/schemas/Parcel")
		if err != nil {
			b.Fatal(err)
		}
		inst, err := jsonschema.UnmarshalJSON(strings.NewReader(parcelBody))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Validate(inst); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkInheritance is the same with allOf, oneOf and a discriminator, where
// strictness must look at several schemas for one object.
func BenchmarkInheritance(b *testing.B) {
	const schemas = `{
		"Base": {"type": "object", "required": ["kind", "id"], "properties": {"kind": {"type": "string"}, "id": {"type": "string", "format": "uuid"},
			"created": {"type": "string", "format": "date-time"}, "name": {"type": "string", "maxLength": 80}}},
		"Letter": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "required": ["grams"], "properties": {"grams": {"type": "integer", "minimum": 1}}}]},
		"Parcel": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "required": ["size"], "properties": {"size": {"type": "array", "items": {"type": "integer"}, "maxItems": 3}}}]},
		"Any": {"oneOf": [{"$ref": "#/components/schemas/Letter"}, {"$ref": "#/components/schemas/Parcel"}], "discriminator": {"propertyName": "kind"}},
		"List": {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Any"}}}}}`
	s, problems := compileIn(b, schema.OpenAPI30, schemas, "List")
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	one := `{"kind": "Parcel", "id": "7f1b6a52-0c7e-4f8b-9a53-2f6f0f0c9f11", "created": "2024-05-17T09:30:00Z", "name": "a parcel", "size": [10, 20, 30]}`
	body := decode(b, []byte(`{"items": [`+strings.Repeat(one+",", 6)+one+`]}`))
	for _, strict := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "strict"}[strict], func(b *testing.B) {
			o := &schema.Options{Strict: strict, Direction: schema.Request}
			b.ReportAllocs()
			for b.Loop() {
				if f := s.Validate(body, o); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}

// TestNoAllocations: a valid body costs the garbage collector nothing.
func TestNoAllocations(t *testing.T) {
	body := decode(t, []byte(parcelBody))
	for _, d := range []schema.Dialect{schema.OpenAPI30, schema.OpenAPI31} {
		c := schema.NewCompiler(d, schema.CompilerOptions{})
		c.AddResource("file:///api.json", decode(t, []byte(parcel(d))))
		s, _ := c.Compile("file:///api.json#/components/schemas/Parcel")
		o := &schema.Options{Strict: true, Direction: schema.Request}
		if f := s.Validate(body, o); f != nil {
			t.Fatal(f)
		}
		if n := testing.AllocsPerRun(200, func() { s.Validate(body, o) }); n > 0.5 {
			t.Errorf("%s: %v allocations for a valid body", d, n)
		}
	}
}
