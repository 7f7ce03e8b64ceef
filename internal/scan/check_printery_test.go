package scan

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/crenel-project/crenel/internal/freeport"
)

const printerySpec = `openapi: 3.0.3
info: {title: Printery, version: "1"}
paths:
  /invoices:
    post:
      summary: Send an invoice
      description: "The body is a document such as <invoice><number>17</number></invoice>, in UTF-8."
      requestBody: {required: true, content: {"*/*": {schema: {}}}}
      responses: {"200": {description: it}}
  /feeds:
    post:
      summary: Hand in an RSS feed
      responses: {"202": {description: taken}}
  /orders:
    post:
      summary: Order as partners do, in XML
      requestBody: {required: true, content: {text/plain: {schema: {type: string}}}}
      responses: {"200": {description: it}}
  /notes:
    post:
      summary: Leave a note
      requestBody: {required: true, content: {text/plain: {schema: {type: string}}}}
      responses: {"201": {description: it}}
  /basket:
    get:
      summary: What is in a basket
      parameters: [{name: basket, in: query, schema: {type: string, example: 'a:1:{s:4:"rose";i:2;}'}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {articles: {type: integer}}}}}}}
  /drafts/restore:
    post:
      summary: Go on with a draft
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [state], properties: {state: {type: string, format: byte, example: YTowOnt9}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {restored: {type: boolean}}}}}}}
  /drafts/resume:
    post:
      summary: Go on with a draft in parts
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [snapshot], properties: {snapshot: {type: string, example: 'a:0:{}'}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {parts: {type: integer}}}}}}}
`

// printery is the API of testdata/printery.php, in PHP's own server.
func printery(t *testing.T, open string) http.Handler {
	t.Helper()
	address := freeport.Address(t)
	programWith(t, []string{"OPEN=" + open}, address, "php", "-S", address, "testdata/printery.php")
	return httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
}

// Entities are tried where only the prose, or what is complained of, says XML.
func TestPrinteryXML(t *testing.T) {
	t.Parallel()
	twins(t, printerySpec, func(t *testing.T, open bool) http.Handler {
		return printery(t, map[bool]string{true: "1", false: "0"}[open])
	}, []hole{
		{"xxe", "POST", "/invoices", "body"},
		{"xxe", "POST", "/feeds", "body"},
		{"xxe", "POST", "/orders", "body"},
	}, "xxe")
}

// Values of PHP: objects are made of them, or their classes are passed over, or they are JSON.
func TestPrinteryObjects(t *testing.T) {
	t.Parallel()
	for _, twin := range []string{"0", "plain"} {
		twins(t, printerySpec, func(t *testing.T, open bool) http.Handler {
			return printery(t, map[bool]string{true: "1", false: twin}[open])
		}, []hole{
			{"deserialization", "GET", "/basket", "query.basket"},
			{"deserialization", "POST", "/drafts/restore", "body./state"},
			{"deserialization", "POST", "/drafts/resume", "body./snapshot"},
		}, "deserialization")
	}
}
