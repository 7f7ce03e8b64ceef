package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// course is the states that an object goes through, as the description lists
// them, and the operations that lead into them.
type course struct {
	of     *graph.Resource
	read   *graph.Op
	at     string   // pointer of the state in what read answers
	states []string // in the description's order
	into   map[string]*graph.Op
}

const maxCourses = 12 // steps that are tried out of order

// outOfOrder leaves out steps of objects that go from state to state.
func (p *Probe) outOfOrder(ctx context.Context, user *actor.Actor) error {
	tried := 0
	for _, r := range p.Graph.Resources {
		c := p.course(r)
		if c == nil {
			continue
		}
		for _, s := range p.subjects(r, user, 1) {
			if s.recipe == nil {
				continue
			}
			for k, last := range c.states {
				for m := 1; m < k; m++ {
					// Only where the description says that the one needs the other: many
					// things may be done in any order.
					before := c.states[m]
					if c.into[last] == nil || c.into[before] == nil || c.into[last] == c.into[before] || !speaksOf(c.into[last], before) || tried >= maxCourses {
						continue
					}
					tried++
					if err := p.leavesOut(ctx, c, s, before, last, user); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// course is a resource's; nil when it has none.
func (p *Probe) course(r *graph.Resource) *course {
	for _, read := range r.Of(graph.Read) {
		if !p.onlyReads(read) {
			continue
		}
		at, states := statesOf(read)
		if len(states) < 3 {
			continue
		}
		c := &course{of: r, read: read, at: at, states: states, into: map[string]*graph.Op{}}
		for _, op := range p.Ops() {
			if op.About != r && op.Parent != r || !op.OnObject || !usable(op) || op.Method == http.MethodDelete {
				continue
			}
			verb := op.Path[strings.LastIndexByte(op.Path, '/')+1:]
			for _, state := range states {
				if c.into[state] == nil && leadsInto(verb, state) {
					c.into[state] = op
				}
			}
		}
		if len(c.into) >= 2 {
			return c
		}
	}
	return nil
}

var reState = regexp.MustCompile(`(?i)^(status|state|stage|phase)$|[a-z](_s|S)(tatus|tate|tage)$`)

// statesOf is where the answers of an operation hold a state, and its values.
func statesOf(op *graph.Op) (at string, states []string) {
	var look func(s *schema.Schema, at string, depth int) bool
	look = func(s *schema.Schema, here string, depth int) bool {
		if s == nil || depth > 4 {
			return false
		}
		rules := s.Rules()
		for _, prop := range rules.Properties {
			if !reState.MatchString(prop.Name) {
				continue
			}
			if list := enumOf(prop.Schema, 0); len(list) > 0 {
				at, states = here+"/"+prop.Name, list
				return true
			}
		}
		for _, other := range rules.Applied {
			if look(other, here, depth+1) {
				return true
			}
		}
		for _, prop := range rules.Properties {
			if look(prop.Schema, here+"/"+prop.Name, depth+2) {
				return true
			}
		}
		return false
	}
	for _, resp := range op.Responses {
		if !strings.HasPrefix(resp.Status, "2") {
			continue
		}
		for _, m := range resp.Content {
			if strings.Contains(m.Type, "json") && look(m.Schema, "", 0) {
				return at, states
			}
		}
	}
	return "", nil
}

// enumOf are the texts that a schema lists.
func enumOf(s *schema.Schema, depth int) []string {
	if s == nil || depth > 4 {
		return nil
	}
	rules := s.Rules()
	var out []string
	for _, v := range rules.Enum {
		if v.Text != "" {
			out = append(out, v.Text)
		}
	}
	for _, other := range rules.Applied {
		if out == nil {
			out = enumOf(other, depth+1)
		}
	}
	return out
}

// irregular are verbs whose states are not made of them.
var irregular = map[string][]string{"pay": {"paid"}, "send": {"sent"}, "begin": {"begun", "started"}, "checkout": {"paid", "ordered"}, "dispatch": {"shipped"}, "finish": {"done", "completed"}, "complete": {"done", "finished"}, "accept": {"approved"}, "sign": {"signed"}}

// leadsInto reports whether an operation of this name makes that state: "ship"
// and "shipped", "mark_approved" and "APPROVED".
func leadsInto(verb, state string) bool {
	verb, state = strings.ToLower(verb), strings.ToLower(state)
	words := strings.FieldsFunc(verb, func(r rune) bool { return r == '_' || r == '-' || r == ':' })
	for _, w := range words {
		if len(w) < 3 {
			continue
		}
		if w == state || slices.Contains(irregular[w], state) || strings.HasPrefix(state, strings.TrimSuffix(w, "e")) && strings.HasSuffix(state, "ed") && len(state) <= len(w)+3 {
			return true
		}
	}
	return false
}

// speaksOf reports whether an operation's description speaks of a state: "ships an approved order".
func speaksOf(op *graph.Op, state string) bool {
	return regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(state) + `\b`).MatchString(op.Summary + " " + op.Description)
}

// leavesOut goes the right way with one new object, and with another straight to the last step.
func (p *Probe) leavesOut(ctx context.Context, c *course, s *subject, before, last string, user *actor.Actor) error {
	calls := map[*graph.Op]*world.Call{}
	for _, op := range []*graph.Op{c.read, c.into[before], c.into[last]} {
		in := p.naming(op, c.of)
		if in == nil {
			return nil
		}
		call, err := p.on(ctx, op, user, in, s.object)
		if err != nil {
			p.Note(op, Skipped)
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		calls[op] = call
	}
	var l steps
	with := func(prefix string) *subject {
		recipe, err := p.World.RecipeOf(s.object, prefix)
		if err != nil {
			l.add(scenario.Step{}, err)
			return s
		}
		l.list = append(l.list, recipe.Steps...)
		return &subject{object: s.object, recipe: recipe}
	}
	add := func(of *subject, op *graph.Op, id string, part scenario.Part, note string, e ...scenario.Expect) {
		st, err := p.step(of, calls[op], id, part)
		st.Note, st.Expect = note, e
		l.add(st, err)
	}
	ordered, skipped := with("ordered"), with("skipped")
	add(ordered, c.into[before], "step", scenario.Control, "the one takes the step that comes before", scenario.Expect{Status: "2xx"})
	add(ordered, c.read, "stepped", scenario.Control, "and is "+before, scenario.Expect{Status: "2xx", At: c.at, Equals: &before})
	add(ordered, c.into[last], "next", scenario.Control, "it takes the next", scenario.Expect{Status: "2xx"})
	add(ordered, c.read, "there", scenario.Control, "and is "+last, scenario.Expect{Status: "2xx", At: c.at, Equals: &last})
	add(skipped, c.read, "new", scenario.Control, "the other is neither", scenario.Expect{Status: "2xx", At: c.at, Differs: &before}, scenario.Expect{At: c.at, Differs: &last})
	add(skipped, c.into[last], "attack", scenario.Attack, "it is taken straight to the next step", scenario.Expect{Status: "any"})
	add(skipped, c.read, "after", scenario.Observe, "and is "+last+", though it never was "+before, scenario.Expect{Status: "2xx", At: c.at, Equals: &last})
	op := c.into[last]
	if l.err != nil {
		p.Note(op, Inconclusive)
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err := p.Prove(ctx, Hypothesis{
		Op: op, Where: "order." + before, Title: fmt.Sprintf("%s %s goes through for what never was %s", op.Method, op.Path, before),
		Description: fmt.Sprintf("Its description speaks of what is %s, which %s %s makes it. Left out, the step is taken all the same: the %s is %s.", before, c.into[before].Method, c.into[before].Path, strings.ReplaceAll(c.of.Name, "_", " "), last),
		Scenario:    &scenario.Scenario{Name: "a step left out", Steps: l.list},
	})
	return err
}
