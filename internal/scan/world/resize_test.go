package world

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

const tapeSpec = `
openapi: 3.0.3
info: {title: tapes, version: "1"}
paths:
  /tapes:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [label], properties: {label: {type: string}}}}}}
      responses: {"201": {description: made}}
`

// A bound that no text can have is the target's mistake, or its malice: it neither ends the
// run nor makes it send texts without end.
func TestBoundsThatNoTextHas(t *testing.T) {
	for _, complaint := range []string{
		`{"errors":[{"field":"label","message":"is too long","limit":-1}]}`,
		`{"errors":[{"field":"label","message":"must be less than or equal to -7"}]}`,
		`{"errors":[{"field":"label","message":"must be at most 0 characters"}]}`,
		`{"errors":[{"field":"label","message":"must have at least 99999999999 characters"}]}`,
		`{"errors":[{"field":"label","message":"must have at least 99999999999999999999999 characters"}]}`,
	} {
		t.Run(complaint, func(t *testing.T) {
			w, c, _ := stage(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = fmt.Fprint(w, complaint)
			}), tapeSpec, Options{Seed: 3, Workers: 1})
			if err := w.Build(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(c.sent) < 2 {
				t.Error("what the complaint asks for was not tried")
			}
			for _, x := range c.sent {
				if len(x.Request.Body) > 20_000 {
					t.Errorf("a body of %d bytes was sent", len(x.Request.Body))
				}
			}
		})
	}
}

// Whatever a target complains of, what is learnt of it is a value that can be sent.
func FuzzTeach(f *testing.F) {
	for _, tc := range complaintCases {
		f.Add([]byte(tc.body), `"abc"`)
	}
	f.Add([]byte(`{"errors":[{"field":"label","message":"must be less than or equal to -7"}]}`), `"abc"`)
	f.Add([]byte(`{"errors":[{"field":"label","message":"too short","limit":9000}]}`), `["a"]`)
	f.Add([]byte(`{"errors":[{"field":"label","message":"must be between 4 and -1 characters"}]}`), `-1.5e9`)
	f.Fuzz(func(t *testing.T, body []byte, sent string) {
		if !json.Valid([]byte(sent)) {
			t.Skip()
		}
		w, _, g := stage(t, http.NotFoundHandler(), tapeSpec, Options{Seed: 1})
		c := &Call{Op: g.Ops[0], Values: map[string]string{"body./label": sent}}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, k := range readComplaints(body) {
			for n := 0; n < 12 && w.teach(c, "body./label", &k); n++ { // as often as one call is sent
				if l := w.taughtOf(c.Op).get("body./label"); l.text != "" {
					if !json.Valid([]byte(l.text)) || len(l.text) > 100_000 {
						t.Fatalf("%q teaches %q", k.Text, l.text)
					}
					c.Values["body./label"] = l.text
				}
			}
		}
	})
}
