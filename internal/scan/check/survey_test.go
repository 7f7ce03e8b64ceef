package check

import (
	"context"
	"errors"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

// bareWorld has lost what its calls name, until it is made again.
type bareWorld struct {
	World
	made []string
}

func (w *bareWorld) Call(context.Context, *graph.Op, *actor.Actor, map[string]string) (*world.Call, error) {
	if len(w.made) == 0 {
		return nil, errors.New("nothing is known to put into the path")
	}
	return &world.Call{}, nil
}

func (w *bareWorld) Lost(r *graph.Resource, _ *actor.Actor) bool { return r.Name == "greenhouse" }

func (w *bareWorld) Make(_ context.Context, r *graph.Resource, _ *actor.Actor) (*world.Object, error) {
	w.made = append(w.made, r.Name)
	return &world.Object{}, nil
}

// TestRenewing: what a call names, and other proofs have ended, is made anew; people and
// what was never there are not.
func TestRenewing(t *testing.T) {
	api, err := spec.Parse([]byte(`openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /greenhouses: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {name: {type: string}}}}}}, responses: {'201': {description: made}}}}
  /greenhouses/{greenhouse_id}: {get: {parameters: [{in: path, name: greenhouse_id, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}}
  /greenhouses/{greenhouse_id}/water: {post: {parameters: [{in: path, name: greenhouse_id, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}}
`), "x.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g := graph.Build(api)
	w := &bareWorld{}
	p := &Probe{Lab: &Lab{World: w, Graph: g}}
	op := g.Op("POST", "/greenhouses/{greenhouse_id}/water")
	if c, err := p.renewing(t.Context(), op, &actor.Actor{Name: actor.User}); err != nil || c == nil || len(w.made) != 1 {
		t.Errorf("call %v, error %v, made %q; want a call, after one greenhouse was made", c, err, w.made)
	}
	w.made = nil
	if _, err := p.renewing(t.Context(), op, nil); err == nil || w.made != nil {
		t.Errorf("for nobody: error %v, made %q", err, w.made)
	}
}
