package actor

import (
	"net/http"
	"strings"
	"testing"
)

// An API that asks nobody who they are is no broken one: it is said that everything
// is tested as nobody, and nothing failed. One that asks for a key says how to give it.
func TestDoctorOfAnOpenAPI(t *testing.T) {
	const open = `
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /things: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object}}}}}}}}
`
	h := newHouse(t)
	keyed := false
	h.on("GET /things", func(w http.ResponseWriter, _ *http.Request) {
		if keyed {
			say(w, 401, obj{"error": "a key is needed"})
			return
		}
		say(w, 200, []obj{{"id": 1}})
	})
	p, _ := meet(t, h, open, Config{})
	d := p.Doctor(t.Context(), Examination{})
	said := false
	for _, point := range d.Points {
		if point.State == Failed || point.State == Doubt {
			t.Errorf("%+v", point)
		}
		said = said || strings.Contains(point.Text, "tested as nobody")
	}
	if !said {
		t.Errorf("it is not said who it is tested as: %+v", d.Points)
	}

	keyed = true
	p, _ = meet(t, h, open+`security: [{k: []}]
components: {securitySchemes: {k: {type: apiKey, in: header, name: X-Thing-Key}}}
`, Config{})
	for _, point := range p.Doctor(t.Context(), Examination{}).Points {
		if point.Name == "account "+User && strings.Contains(point.Advice, "{in: header, name: X-Thing-Key,") {
			return
		}
	}
	t.Errorf("how to give the key is not said: %+v", d.Points)
}
