package source_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/source"
	"github.com/crenel-project/crenel/internal/spec"
)

func read(t *testing.T, name, doc string) *source.Result {
	t.Helper()
	r, err := source.Read(context.Background(), []byte(doc), name, source.Options{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

func operation(t *testing.T, r *source.Result, title string) *spec.Operation {
	t.Helper()
	var all []string
	for _, op := range r.API.Operations {
		if op.Method+" "+op.Path == title {
			return op
		}
		all = append(all, op.Method+" "+op.Path)
	}
	t.Fatalf("no operation %q; there are %q", title, all)
	return nil
}

func hasRepair(r *source.Result, line int, what string) bool {
	return slices.ContainsFunc(r.Repairs, func(x source.Repair) bool {
		return strings.Contains(x.What, what) && (line == 0 || x.Line == line)
	})
}

// TestRepairs reads documents that each make one mistake which people make.
func TestRepairs(t *testing.T) {
	const head = "openapi: 3.0.3\ninfo: {title: T, version: '1'}\n"
	for _, c := range []struct {
		name, doc string
		repair    string // part of what is said
		line      int
		check     func(t *testing.T, r *source.Result)
	}{
		{"required in a property", head + `paths:
  /users:
    post:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                name: {type: string}
                email:
                  type: string
                  required: true
      responses: {'200': {description: ok}}
`, "required stands in a property", 15, func(t *testing.T, r *source.Result) {
			s := operation(t, r, "POST /users").Body.Content[0].Schema
			if got := s.Required(); !slices.Equal(got, []string{"email"}) {
				t.Errorf("required: %q", got)
			}
		}},
		{"required as a text", head + `paths:
  /a:
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: 'a, b', properties: {a: {type: string}, b: {type: string}}}}}}
      responses: {'200': {description: ok}}
`, "required is a text", 6, func(t *testing.T, r *source.Result) {
			if got := operation(t, r, "POST /a").Body.Content[0].Schema.Required(); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("required: %q", got)
			}
		}},
		{"types of other languages", head + `paths:
  /a:
    get:
      parameters:
        - {name: n, in: query, schema: {type: int}}
        - {name: d, in: query, schema: {type: datetime}}
        - {name: l, in: query, schema: {type: 'string[]'}}
        - {name: m, in: query, schema: {type: wombat}}
      responses: {'200': {description: ok}}
`, `"int" is no type`, 7, func(t *testing.T, r *source.Result) {
			ps := operation(t, r, "GET /a").Parameters
			if ps[0].Schema.Type() != "integer" || ps[1].Schema.Format() != "date-time" || ps[2].Schema.Type() != "array" || ps[2].Schema.Items().Type() != "string" || ps[3].Schema.Type() != "" {
				t.Errorf("%q %q %q %q", ps[0].Schema.Type(), ps[1].Schema.Format(), ps[2].Schema.Type(), ps[3].Schema.Type())
			}
		}},
		{"no security schemes", head + `security: [{bearerAuth: []}]
paths:
  /a:
    get: {responses: {'200': {description: ok}}, security: [{api_key: []}]}
  /b:
    get: {responses: {'200': {description: ok}}}
`, `no security scheme is called "bearerAuth"`, 3, func(t *testing.T, r *source.Result) {
			a, b := operation(t, r, "GET /a").Security[0][0].Scheme, operation(t, r, "GET /b").Security[0][0].Scheme
			if a.Type != "apiKey" || a.Key != "X-API-Key" || b.Type != "http" || b.Scheme != "bearer" {
				t.Errorf("%+v %+v", a, b)
			}
		}},
		{"a scheme of type JWT", head + `paths: {/a: {get: {responses: {'200': {description: ok}}, security: [{x: []}]}}}
components: {securitySchemes: {x: {type: JWT}}}
`, `the type "JWT"`, 4, func(t *testing.T, r *source.Result) {
			if s := operation(t, r, "GET /a").Security[0][0].Scheme; s.Scheme != "bearer" {
				t.Errorf("%+v", s)
			}
		}},
		{"references of version 2 in version 3", head + `paths:
  /a:
    get: {responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/definitions/User'}}}}}}
components: {schemas: {User: {type: object, properties: {id: {type: integer}}}}}
`, "leads nowhere", 5, func(t *testing.T, r *source.Result) {
			if p := operation(t, r, "GET /a").Responses[0].Content[0].Schema.Properties(); len(p) != 1 {
				t.Errorf("%+v", p)
			}
		}},
		{"a reference with a slip of the pen", head + `paths:
  /a:
    get: {responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schema/user_model'}}}}}}
components: {schemas: {UserModel: {type: object, properties: {id: {type: integer}}}}}
`, "is meant", 5, func(t *testing.T, r *source.Result) {
			if p := operation(t, r, "GET /a").Responses[0].Content[0].Schema.Properties(); len(p) != 1 {
				t.Errorf("%+v", p)
			}
		}},
		{"schemas where content should be", head + `paths:
  /a:
    post:
      requestBody: {schema: {type: object, properties: {x: {type: string}}}}
      responses: {'200': {description: ok, schema: {type: object, properties: {y: {type: string}}}}}
`, "content with a media type", 6, func(t *testing.T, r *source.Result) {
			op := operation(t, r, "POST /a")
			if op.Body.Content[0].Schema.Properties()[0].Name != "x" || op.Responses[0].Content[0].Schema.Properties()[0].Name != "y" {
				t.Error("the schemas are not there")
			}
		}},
		{"a schema where a media type should be", head + `paths:
  /a:
    post:
      requestBody: {content: {application/json: {type: object, properties: {x: {type: string}}}}}
      responses: {'200': {description: ok}}
`, "media type's object", 6, func(t *testing.T, r *source.Result) {
			if operation(t, r, "POST /a").Body.Content[0].Schema.Properties()[0].Name != "x" {
				t.Error("the schema is not there")
			}
		}},
		{"body parameters in version 3", head + `paths:
  /a:
    post:
      parameters:
        - {in: body, name: b, schema: {type: object, properties: {x: {type: string}}}}
      responses: {'200': {description: ok}}
  /b:
    post:
      parameters:
        - {in: formData, name: f, type: file}
      responses: {'200': {description: ok}}
`, "requestBody", 6, func(t *testing.T, r *source.Result) {
			a, b := operation(t, r, "POST /a"), operation(t, r, "POST /b")
			if a.Body == nil || a.Body.Content[0].Schema.Properties()[0].Name != "x" || b.Body == nil || b.Body.Content[0].Type != "multipart/form-data" {
				t.Errorf("%+v %+v", a.Body, b.Body)
			}
		}},
		{"requestBody in version 2", `swagger: '2.0'
info: {title: T, version: '1'}
paths: {/a: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {x: {type: string}}}}}}, responses: {'200': {description: ok}}}}}
`, "of version 3", 3, func(t *testing.T, r *source.Result) {
			if operation(t, r, "POST /a").Body.Content[0].Schema.Properties()[0].Name != "x" {
				t.Error("the schema is not there")
			}
		}},
		{"variables as frameworks write them", head + `paths:
  /users/:id: {get: {responses: {'200': {description: ok}}}}
  /pets/<int:pet_id>: {get: {responses: {'200': {description: ok}}}}
  'https://api.example.com/cats/{{cat}}': {get: {responses: {'200': {description: ok}}}}
`, `the path "/users/:id"`, 4, func(t *testing.T, r *source.Result) {
			operation(t, r, "GET /users/{id}")
			operation(t, r, "GET /pets/{pet_id}")
			operation(t, r, "GET /cats/{cat}")
		}},
		{"parameters that do not say where", head + `paths:
  /users/{id}:
    get: {parameters: [{name: id, schema: {type: integer}}, {name: q, type: string}], responses: {'200': {description: ok}}}
`, "does not say where", 5, func(t *testing.T, r *source.Result) {
			ps := operation(t, r, "GET /users/{id}").Parameters
			if len(ps) != 2 || ps[0].In != "path" || ps[0].Schema.Type() != "integer" || ps[1].In != "query" || ps[1].Schema.Type() != "string" {
				t.Errorf("%+v", ps)
			}
		}},
		{"a path's parameter in the query", head + `paths:
  /users/{id}:
    get: {parameters: [{name: id, in: query, schema: {type: integer}}], responses: {'200': {description: ok}}}
  /cats/{id}:
    parameters: [{$ref: '#/components/parameters/id'}]
    get: {parameters: [{name: id, in: query, schema: {type: string}}], responses: {'200': {description: ok}}}
components: {parameters: {id: {name: id, in: path, required: true, schema: {type: integer}}}}
`, `the parameter "id" is in "query"`, 5, func(t *testing.T, r *source.Result) {
			if ps := operation(t, r, "GET /users/{id}").Parameters; len(ps) != 1 || ps[0].In != "path" {
				t.Errorf("%+v", ps)
			}
			if ps := operation(t, r, "GET /cats/{id}").Parameters; len(ps) != 2 || ps[1].In != "query" {
				t.Errorf("one of each name and place was declared: %+v", ps)
			}
		}},
		{"examples and no schemas", head + `paths:
  /a:
    get: {responses: {'200': {description: ok, content: {application/json: {example: {id: 7, tags: [x], email: a@b.example}}}}}}
`, "one was made of it", 5, func(t *testing.T, r *source.Result) {
			p := operation(t, r, "GET /a").Responses[0].Content[0].Schema.Properties()
			if len(p) != 3 || p[0].Schema.Type() != "integer" || p[1].Schema.Items().Type() != "string" || p[2].Schema.Format() != "email" {
				t.Errorf("%+v", p)
			}
		}},
		{"statuses in words", head + `paths: {/a: {get: {responses: {200 OK: {description: ok}, success: {description: x}}}}}
`, `the status "200 OK"`, 3, func(t *testing.T, r *source.Result) {
			if operation(t, r, "GET /a").Responses[0].Status != "200" {
				t.Error("status")
			}
		}},
		{"version 3 in words", "openapi: 3\ninfo: {title: T, version: '1'}\npaths: {/a: {get: {responses: {'200': {description: ok}}}}}\n", "is read as 3.0.3", 0, nil},
		{"swagger: 3.0.1", "swagger: '3.0.1'\ninfo: {title: T, version: '1'}\npaths: {/a: {get: {responses: {'200': {description: ok}}}}}\n", "under openapi", 0, nil},
		{"no version", "info: {title: T, version: '1'}\npaths: {/a: {get: {responses: {'200': {description: ok}}}}}\n", "no version", 0, nil},
		{"security schemes in the wrong place", head + `securityDefinitions: {k: {type: apiKey, in: header, name: X-K}}
paths: {/a: {get: {security: [{k: []}], responses: {'200': {description: ok}}}}}
`, "securityDefinitions", 3, func(t *testing.T, r *source.Result) {
			if s := operation(t, r, "GET /a").Security[0][0].Scheme; s.Key != "X-K" {
				t.Errorf("%+v", s)
			}
		}},
		{"tabs", "openapi: 3.0.3\ninfo:\n\ttitle: T\n\tversion: '1'\npaths:\n\t/a:\n\t\tget:\n\t\t\tresponses: {'200': {description: ok}}\n", "tabs", 3, nil},
		{"colons in values", "openapi: 3.0.3\ninfo:\n  title: Users: all of them\n  version: '1'\npaths:\n  /a:\n    get:\n      summary: @internal\n      responses: {'200': {description: ok}}\n", "put in quotes", 3, func(t *testing.T, r *source.Result) {
			if r.API.Title != "Users: all of them" {
				t.Errorf("title %q", r.API.Title)
			}
		}},
		{"JSON with comments and commas", `{
  // the version
  "openapi": "3.0.3", /* really */
  "info": {"title": 'It''s', version: "1",},
  "paths": {"/a": {"get": {"responses": {"200": {"description": "ok"},},}}
  }
}`, "no strict JSON", 0, nil},
		{"a fence of Markdown", "```yaml\nopenapi: 3.0.3\ninfo: {title: T, version: '1'}\npaths: {/a: {get: {responses: {'200': {description: ok}}}}}\n```\n", "Markdown", 0, nil},
		{"swagger-ui-init.js", "window.onload = function() {\n  var options = {\n  \"swaggerDoc\": {\"openapi\": \"3.0.0\", \"info\": {\"title\": \"T {x}\", \"version\": \"1\"}, \"paths\": {\"/a\": {\"get\": {\"responses\": {\"200\": {\"description\": \"ok\"}}}}}},\n  \"customOptions\": {}\n};\n}", "a script", 0, nil},
		{"a page of Redoc", "<!DOCTYPE html><html><body><script>const __redoc_state = {\"menu\":{},\"spec\":{\"data\":{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"T\",\"version\":\"1\"},\"paths\":{\"/a\":{\"get\":{\"responses\":{\"200\":{\"description\":\"ok\"}}}}}}}};</script></body></html>", "a web page", 0, nil},
		{"wrapped", `{"data": {"openapi": "3.0.0", "info": {"title": "T", "version": "1"}, "paths": {"/a": {"get": {"responses": {"200": {"description": "ok"}}}}}}}`, "wrapped", 0, nil},
		{"a script that exports it", "module.exports = {\n  openapi: '3.0.0',\n  info: { title: 'T', version: '1' },\n  paths: { '/a': { get: { responses: { 200: { description: 'ok' } } } } },\n};\n", "a script", 0, nil},
		{"paths as a list", `{"openapi": "3.0.0", "info": {"title": "T", "version": "1"}, "paths": [{"path": "/a", "get": {"responses": {"200": {"description": "ok"}}}}]}`, "paths is a list", 0, nil},
		{"properties as a list", head + `paths:
  /a: {get: {responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: [{name: x, type: string}]}}}}}}}
`, "properties is a list", 4, func(t *testing.T, r *source.Result) {
			if p := operation(t, r, "GET /a").Responses[0].Content[0].Schema.Properties(); len(p) != 1 || p[0].Name != "x" {
				t.Errorf("%+v", p)
			}
		}},
		{"a name for a schema", head + `paths:
  /a: {get: {responses: {'200': {description: ok, content: {application/json: {schema: User}}}}}}
components: {schemas: {User: {type: object, properties: {id: {type: int}}}}}
`, "a name stands where a schema should", 4, func(t *testing.T, r *source.Result) {
			if p := operation(t, r, "GET /a").Responses[0].Content[0].Schema.Properties(); len(p) != 1 || p[0].Schema.Type() != "integer" {
				t.Errorf("%+v", p)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := read(t, "api.yaml", c.doc)
			if len(r.API.Operations) == 0 {
				t.Fatal("no operations")
			}
			if !hasRepair(r, c.line, c.repair) {
				t.Errorf("no repair with %q at line %d; there are %v", c.repair, c.line, r.Repairs)
			}
			if c.check != nil {
				c.check(t, r)
			}
		})
	}
}

// TestGood: a document that is as it should be is left alone.
func TestGood(t *testing.T) {
	for _, f := range []string{"../../../demo/harbour/openapi.yaml", "../../spec/testdata/good/library-2.0.yaml", "../../spec/testdata/good/garage-3.0.json", "../../spec/testdata/good/clinic-3.1.yaml", "../../spec/testdata/good/workshop-3.0.yaml", "../../spec/testdata/split/openapi.yaml"} {
		r, err := source.Open(context.Background(), f, source.Options{})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		want, err := spec.Load(context.Background(), f, spec.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Repairs) > 0 || r.Kind != source.OpenAPI {
			t.Errorf("%s: %s, %v", f, r.Kind, r.Repairs)
		}
		if len(want.Operations) != len(r.API.Operations) || len(want.Problems) != len(r.API.Problems) {
			t.Errorf("%s: %d operations and %d problems; loaded straight %d and %d", f, len(r.API.Operations), len(r.API.Problems), len(want.Operations), len(want.Problems))
		}
		for i := range want.Operations {
			if want.Operations[i].Place != r.API.Operations[i].Place {
				t.Errorf("%s: %s is at %+v, straight at %+v", f, want.Operations[i].ID, r.API.Operations[i].Place, want.Operations[i].Place)
			}
		}
	}
}

// TestRefused: what is no description is told apart, and said.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"empty", " \n", "empty"},
		{"text", "hello", "single value"},
		{"a page", "<!doctype html><p>hello", "web page"},
		{"Swagger 1", `{"swaggerVersion": "1.2", "apis": []}`, "Swagger 1"},
		{"AsyncAPI", "asyncapi: 2.0.0\nchannels: {}\n", "AsyncAPI"},
		{"GraphQL", `{"data": {"__schema": {}}}`, "GraphQL"},
		{"no operations", `{"openapi": "3.0.0", "info": {"title": "T", "version": "1"}, "paths": {}}`, "no operation"},
		{"an old Postman collection", `{"requests": [], "order": [], "name": "x"}`, "v2.1"},
		{"an empty HAR", `{"log": {"entries": []}}`, "no request"},
		{"broken YAML", "openapi: 3.0.0\npaths:\n  /a: [\n  }\n", "api.yaml:"},
	} {
		_, err := source.Read(context.Background(), []byte(c.doc), "api.yaml", source.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
