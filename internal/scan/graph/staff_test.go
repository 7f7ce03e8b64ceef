package graph

import (
	"testing"

	"github.com/crenel-project/crenel/internal/spec"
)

const ropewaySpec = `openapi: 3.0.3
info: {title: Ropeway, version: '1'}
paths:
  /people:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {email: {type: string}, password: {type: string}, role: {type: string, enum: [rider, porter]}}}}}}
      responses: {'201': {description: made}}
  /people/{personId}:
    parameters: [{name: personId, in: path, required: true, schema: {type: integer}}]
    get: {responses: {'200': {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, role: {type: string, enum: [rider, porter, ROLE_BRAKEMAN, winder]}}}}}}}}
  /cars/{carId}/stop:
    parameters: [{name: carId, in: path, required: true, schema: {type: integer}}]
    post: {summary: Stop a car, responses: {'204': {description: done}}}
`

// Whom an operation is for is told by the words of trades and standing, and by the
// API's own roles: neither things nor those whom the service is there for are staff.
func TestStaffOnly(t *testing.T) {
	api, err := spec.Parse([]byte(ropewaySpec), "ropeway.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{g: Build(api)}
	for text, want := range map[string]string{
		"stop a car. winders only.":               "winders only",
		"only by the winders":                     "only by the winders",
		"for a brakeman's desk. must be a winder": "must be a winder",
		"librarians only":                         "librarians only",
		"stop a car (managers)":                   "(managers)",
		"stop a car (dispatchers)":                "(dispatchers)",
		"stop a car (porters) when it is late":    "",
		"count the cars (numbers)":                "",
		"for bookkeepers only":                    "bookkeepers only",
		"staff only":                              "staff only",
		"stop a car. dispatchers only.":           "dispatchers only",
		"stop a car (dispatchers only)":           "dispatchers only",
		"those for dispatchers only":              "",
		"members only.":                           "",
		"headers only.":                           "",
		"customers only.":                         "",
		"cars only.":                              "",
		"riders only":                             "", // whoever registers is one
		"porters only, by the way":                "",
		"names only":                              "",
		"the list holds letters only":             "",
		"playlists only":                          "",
		"lists only open orders":                  "",
		"members only":                            "",
		"for users only":                          "",
		"must be a number":                        "",
	} {
		got := b.staffOnly(text)
		if (got == "") != (want == "") || want != "" && got != want && "("+got+")" != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
