package world

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// TestStepHoldsNoPassword: a step names a password that the run was given, so that no
// script or regression file holds it; one of an account that the run made stays as it is.
func TestStepHoldsNoPassword(t *testing.T) {
	api, err := spec.Parse([]byte(`openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /enter: {post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [mail, pass], properties: {mail: {type: string}, pass: {type: string}}}}}}, responses: {'200': {description: ok}}}}
`), "x.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const pw = `A-"given"-one/7`
	for _, made := range []bool{false, true} {
		a := &actor.Actor{Name: actor.Peer, Made: made, Facts: map[string]string{"password": pw}}
		w := New(graph.Build(api), &crowd{actors: []*actor.Actor{a}}, nil, Options{})
		c, err := w.Call(t.Context(), w.g.Ops[0], nil, map[string]string{"body./pass": quoted(pw), "body./mail": `"who@example.com"`})
		if err != nil {
			t.Fatal(err)
		}
		step, err := w.Step(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if named := strings.Contains(step.Send.Body, `"${peer.password}"`); named == made || made != strings.Contains(step.Send.Body, "given") {
			t.Errorf("account made by the run %v: %s", made, step.Send.Body)
		}
	}
}
