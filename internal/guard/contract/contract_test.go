package contract

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

const document = `
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /trees:
    post:
      operationId: plant
      requestBody: {required: true, content: {application/xml: {schema: {$ref: "#/components/schemas/Tree"}}}}
      responses:
        "200": {description: ok, content: {application/xml: {schema: {$ref: "#/components/schemas/Tree"}}}}
        2XX: {description: ok, content: {text/*: {schema: {type: string}}}}
        default: {description: else, content: {"*/*": {}}}
  /forms:
    post:
      operationId: fill
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema:
              type: object
              properties:
                n: {type: integer}
                list: {type: array, items: {type: integer}}
                piped: {type: array, items: {type: integer}}
                object: {type: object, properties: {a: {type: integer}}}
                objects: {type: array, items: {type: object, properties: {a: {type: integer}}}}
                spread: {type: object, properties: {x: {type: integer}, y: {type: integer}}}
            encoding:
              piped: {style: pipeDelimited}
              spread: {style: form, explode: true}
      responses: {"204": {description: done}}
components:
  schemas:
    Tree:
      type: object
      xml: {name: tree}
      properties:
        age: {type: integer, xml: {attribute: true}}
        branch: {type: array, items: {$ref: "#/components/schemas/Branch"}}
        leaves: {type: array, xml: {wrapped: true}, items: {type: object, xml: {name: leaf}, properties: {green: {type: boolean, xml: {attribute: true}}}}}
        place: {type: object, xml: {name: where, namespace: "urn:place"}, properties: {x: {type: number}}}
        kind: {oneOf: [{type: object, required: [oak], properties: {oak: {type: boolean}}}, {type: object, required: [elm], properties: {elm: {type: boolean}}}]}
        fruits: {type: array, items: {type: string, xml: {name: fruit}}}
    Branch:
      type: object
      properties:
        age: {type: integer, xml: {attribute: true}}
        branch: {type: array, items: {$ref: "#/components/schemas/Branch"}}
`

func load(t testing.TB, c config.Contract, overrides ...config.OperationOverride) *Guard {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	api, err := spec.Load(context.Background(), path, spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(Options{API: api, Config: c, Overrides: overrides})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *Guard) operation(id string) *spec.Operation {
	for _, op := range g.api.Operations {
		if op.ID == id {
			return op
		}
	}
	return nil
}

// text writes a tree down: typed scalars as JSON has them.
func text(v *value.Value) string { return string(value.Append(nil, v)) }

func TestXML(t *testing.T) {
	g := load(t, config.Contract{})
	op := g.operation("plant")
	for src, want := range map[string]string{
		`<tree/>`:          `{}`,
		`<tree age="5"/>`:  `{"age":5}`,
		`<tree age="x"/>`:  "contract.body /age",
		`<shrub age="5"/>`: "contract.body ",
		`<tree><branch age="1"><branch/></branch></tree>`:                                       `{"branch":[{"age":1,"branch":[{}]}]}`,
		`<tree><branch/><branch age="2"/></tree>`:                                               `{"branch":[{},{"age":2}]}`,
		`<tree><branch><branch><branch age="x"/></branch></branch></tree>`:                      "contract.body /branch/0/branch/0/branch/0/age",
		`<tree><leaves/></tree>`:                                                                `{"leaves":[]}`,
		`<tree><leaves><leaf green="true"/></leaves></tree>`:                                    `{"leaves":[{"green":true}]}`,
		`<tree><leaves><leaf green="maybe"/></leaves></tree>`:                                   "contract.body /leaves/0/green",
		`<tree><leaf green="true"/></tree>`:                                                     "contract.unknown_property /leaf",
		`<tree xmlns:p="urn:place"><p:where><x>1.5</x></p:where></tree>`:                        `{"place":{"x":1.5}}`,
		`<tree><where><x>1.5</x></where></tree>`:                                                "contract.unknown_property /where",
		`<tree><place><x>1.5</x></place></tree>`:                                                `{"place":{"x":1.5}}`,
		`<tree><kind><oak>true</oak></kind></tree>`:                                             `{"kind":{"oak":true}}`,
		`<tree><kind><oak>5</oak></kind></tree>`:                                                "contract.body /kind",
		`<tree><fruit>a</fruit><fruit>b</fruit></tree>`:                                         `{"fruits":["a","b"]}`,
		`<tree><fruit>a</fruit><fruits>b</fruits></tree>`:                                       "body.duplicate_key",
		`<tree role="admin"/>`:                                                                  "contract.unknown_property /role",
		`<tree>text</tree>`:                                                                     "contract.body ",
		`<tree><branch>text</branch></tree>`:                                                    "contract.body /branch/0",
		`<tree age="5"><age>6</age></tree>`:                                                     "body.duplicate_key",
		`<tree xmlns:p="urn:other"><p:branch/></tree>`:                                          `{"branch":[{}]}`,
		`<tree><leaves><leaf/></leaves><leaves><leaf/></leaves></tree>`:                         "contract.body /leaves/0",
		`<tree><leaves age="1"><leaf/></leaves></tree>`:                                         "contract.unknown_property /leaves/0/age",
		`<tree><branch/><x/><branch/></tree>`:                                                   "contract.unknown_property /x",
		"<tree>" + strings.Repeat("<branch>", 70) + strings.Repeat("</branch>", 70) + "</tree>": "body.depth",
	} {
		root, err := value.XMLWith([]byte(src), value.Limits{}, g.RequestXML(op, "application/xml"))
		x := &exchange.Exchange{Operation: op}
		x.Request.Body = &exchange.Body{Bytes: []byte(src), MediaType: "application/xml", Root: root}
		if err != nil {
			x.Request.Body.Root, x.Request.Body.Err = nil, err.(*value.Error) //nolint:errorlint // as XMLWith promises
		}
		v := g.checkBody(context.Background(), x)
		got := strings.TrimSuffix(v.Code+" "+v.At, " ")
		if v.Action == exchange.Allow {
			got = text(x.Request.Body.Root)
		} else if strings.HasPrefix(v.Code, "body.") {
			got = v.Code
		}
		if got != strings.TrimSuffix(want, " ") {
			t.Errorf("%s: %s (%s), want %s", src, got, v.Reason, want)
		}
	}
	if g.RequestXML(op, "application/json") != nil || g.RequestXML(nil, "application/xml") != nil || g.RequestXML(g.operation("fill"), "application/xml") != nil {
		t.Error("a shape of what is no XML")
	}
	if g.AnswerXML(op, 200, "application/xml") == nil || g.AnswerXML(op, 204, "application/xml") != nil || g.AnswerXML(nil, 200, "application/xml") != nil {
		t.Error("shapes of answers")
	}
}

func TestXMLShapesAreMadeOnceByMany(t *testing.T) {
	g := load(t, config.Contract{})
	var wg sync.WaitGroup
	shapes := make([]value.XMLShape, 16)
	for i := range shapes {
		wg.Add(1)
		go func() {
			defer wg.Done()
			shapes[i] = g.RequestXML(g.operation("plant"), "application/xml")
			shapes[i].Child("", "branch")
		}()
	}
	wg.Wait()
	for _, s := range shapes {
		if s != shapes[0] {
			t.Fatal("two shapes of one schema")
		}
	}
}

func TestForms(t *testing.T) {
	g := load(t, config.Contract{})
	op := g.operation("fill")
	for src, want := range map[string]string{
		"":                                 "{}",
		"n=5":                              `{"n":5}`,
		"n=5&n=6":                          "contract.body /n",
		"n=":                               "contract.body /n",
		"list=1":                           `{"list":[1]}`,
		"list=1&list=2":                    `{"list":[1,2]}`,
		"list=1&n=3&list=x":                "contract.body /list/1",
		"list=1,2":                         "contract.body /list/0",
		"piped=1|2":                        `{"piped":[1,2]}`,
		"piped=1|b":                        "contract.body /piped/1",
		"piped=1&piped=2":                  "contract.body /piped",
		"object=%7B%22a%22:1%7D":           `{"object":{"a":1}}`,
		"object=%7B%22a%22:%221%22%7D":     "contract.body /object/a",
		"object=%7B%22b%22:1%7D":           "contract.unknown_property /object/b",
		"object=x":                         "contract.body /object",
		"object=%7B%22a%22:1,%22a%22:1%7D": "contract.body /object",
		"objects=%7B%22a%22:1%7D":          `{"objects":[{"a":1}]}`,
		"objects=%5B%7B%22a%22:1%7D%5D":    `{"objects":[{"a":1}]}`,
		"objects=%7B%22a%22:1%7D&objects=%7B%22a%22:2%7D": `{"objects":[{"a":1},{"a":2}]}`,
		"objects=%7B%22a%22:1%7D&objects=%7B%22b%22:2%7D": "contract.unknown_property /objects/1/b",
		"x=1&y=2":     `{"spread":{"x":1,"y":2}}`,
		"x=1&z=2":     "contract.unknown_property /z",
		"spread=1":    "contract.body /spread",
		"x=1&x=2":     "contract.body /spread",
		"__proto__=1": "contract.unknown_property /__proto__",
	} {
		root, err := value.Form([]byte(src), value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		x := &exchange.Exchange{Operation: op}
		x.Request.Body = &exchange.Body{Bytes: []byte(src), MediaType: "application/x-www-form-urlencoded", Root: root}
		v := g.checkBody(context.Background(), x)
		got := v.Code + " " + v.At
		if v.Action == exchange.Allow {
			got = text(x.Request.Body.Root)
		} else if !x.Unvalidated {
			t.Errorf("%s: the fault is not noted for later guards", src)
		}
		if got != want {
			t.Errorf("%s: %s (%s), want %s", src, got, v.Reason, want)
		}
	}
}

func TestMediaTypes(t *testing.T) {
	content := []*spec.MediaType{{Type: "*/*"}, {Type: "application/*"}, {Type: "application/json"}, {Type: "text/plain"}}
	for mediaType, want := range map[string]string{
		"application/json": "application/json", "application/xml": "application/*", "text/plain": "text/plain", "text/html": "*/*", "": "*/*", "applicationx/json": "*/*",
	} {
		if m := mediaTypeFor(content, mediaType); m == nil || m.Type != want {
			t.Errorf("%q: %+v, want %s", mediaType, m, want)
		}
	}
	if m := mediaTypeFor(content[2:3], "application/jsonp"); m != nil {
		t.Errorf("found %+v", m)
	}
	if m := mediaTypeFor(nil, ""); m != nil {
		t.Errorf("found %+v", m)
	}
}

func TestDeclaredAnswers(t *testing.T) {
	g := load(t, config.Contract{Responses: "refuse"})
	op := g.operation("plant")
	for _, c := range []struct {
		status    int
		mediaType string
		code      string
	}{
		{200, "application/xml", ""},
		{200, "application/xml; charset=utf-8", ""},
		{200, "text/plain", "contract.response"},
		{201, "text/plain", ""},
		{201, "application/xml", "contract.response"},
		{404, "anything/at-all", ""},
		{500, "text/html", ""},
		{304, "", ""},
	} {
		x := &exchange.Exchange{Operation: op}
		x.Response = exchange.Response{Status: c.status, Header: http.Header{"Content-Type": {c.mediaType}}, Length: 5}
		if v := g.checkAnswerHead(context.Background(), x); v.Code != c.code {
			t.Errorf("%d %s: %q (%s), want %q", c.status, c.mediaType, v.Code, v.Reason, c.code)
		}
	}
}

func TestWritableBy(t *testing.T) {
	g := load(t, config.Contract{}, config.OperationOverride{Operation: "fill", WritableBy: map[string][]string{"/objects/*/a": {"clerk"}, "/n": {"admin", "clerk"}}})
	for src, want := range map[string]string{
		`{"list":[1]}`:                     "",
		`{"n":1}`:                          "/n",
		`{"objects":[{}]}`:                 "",
		`{"objects":[{},{"a":1}]}`:         "/objects/1/a",
		`{"objects":[{"a":null}]}`:         "/objects/0/a",
		`{"object":{"objects":[1],"n":1}}`: "",
	} {
		root, err := value.JSON([]byte(src), value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for role, allowed := range map[string]bool{"": false, "user": false, "clerk": true} {
			x := &exchange.Exchange{Operation: g.operation("fill")}
			if role != "" {
				x.Identity.Roles = []string{role}
			}
			v := g.checkWritable(x, root)
			if denied := want != "" && !allowed; (v.Action == exchange.Deny) != denied || denied && v.At != want {
				t.Errorf("%s as %q: %+v", src, role, v)
			}
		}
	}
	api := g.api
	for _, pointer := range []string{"n", ""} {
		if _, err := New(Options{API: api, Overrides: []config.OperationOverride{{Operation: "fill", WritableBy: map[string][]string{pointer: {"a"}}}}}); err == nil {
			t.Errorf("the pointer %q was taken", pointer)
		}
	}
}

func TestWithoutADocumentNothingIsChecked(t *testing.T) {
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange.Exchange{}
	if v := g.findOperation(context.Background(), x); v.Action != exchange.Allow || x.Operation != nil {
		t.Errorf("%+v", v)
	}
	for _, s := range []func(*spec.Operation) bool{g.ParameterStep().Applies, g.BodyStep().Applies} {
		if s(nil) {
			t.Error("a step applies to a call without an operation")
		}
	}
}

func TestAllowNamesWhatThereIs(t *testing.T) {
	g := load(t, config.Contract{})
	x := &exchange.Exchange{}
	x.Request.Method, x.Request.Relative = "DELETE", "/forms"
	v := g.findOperation(context.Background(), x)
	if diff := cmp.Diff(map[string]string{"Allow": "POST"}, v.Header); diff != "" || v.Code != "contract.unknown_method" {
		t.Errorf("%+v %s", v, diff)
	}
}
