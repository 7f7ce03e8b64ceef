package check

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// scene is how a scenario comes by the objects that a call names: what makes
// them afresh, so that the scenario proves the same on a target that has none of
// this run's.
type scene struct {
	setup []scenario.Step
	from  []*world.Recipe
}

// afresh is the scene of a call. An object that this run did not make, or cannot
// make again, stays what it is.
func (p *Probe) afresh(c *world.Call) *scene { return p.afreshAs(c, "scene") }

// afreshAs is a scene whose names begin with a prefix, beside others of one scenario.
func (p *Probe) afreshAs(c *world.Call, prefix string) *scene {
	s := &scene{}
	for _, where := range slices.Sorted(maps.Keys(c.Uses)) {
		o := c.Uses[where]
		if o == nil || s.makes(o, c.Values[where]) {
			continue
		}
		r, err := p.World.RecipeOf(o, prefix+strconv.Itoa(len(s.from)+1))
		if err != nil {
			continue
		}
		// One that makes what an earlier one makes, and more, takes its place.
		s.setup, s.from = append(s.setup, r.Steps...), append(s.from, r)
	}
	return s
}

func (s *scene) makes(o *world.Object, text string) bool {
	return slices.ContainsFunc(s.from, func(r *world.Recipe) bool { return r.Text(o, text) != "" })
}

// bind is what a call names in this scene in place of what it was written after.
func (s *scene) bind(c *world.Call) map[string]string {
	out := map[string]string{}
	for _, r := range s.from {
		maps.Copy(out, r.Bind(c))
	}
	return out
}

// step is a call as a step of the scene.
func (s *scene) step(p *Probe, c *world.Call, id string, part scenario.Part) (scenario.Step, error) {
	bind := c.Renew(id)
	maps.Copy(bind, s.bind(c))
	st, err := p.World.Step(c, bind)
	if err != nil {
		return st, fmt.Errorf("%s: %w", id, err)
	}
	st.ID, st.Part = id, part
	return st, nil
}
