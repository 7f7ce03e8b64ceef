package check

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// subject is an object that an actor owns, and how a scenario comes by one like it.
type subject struct {
	object *world.Object
	recipe *world.Recipe // nil: the object itself is used
	// marks are texts (with placeholders) that only an answer about the object
	// holds, and no request of the attacker.
	marks []string
	// self is whose own account or tenant it is, called by what is known of them; nil: it is something else.
	self *actor.Actor
}

// named is what stands for the owner's own account in a call: placeholders for
// the facts that identify it, which are others on another target.
func (s *subject) named(c *world.Call) map[string]string {
	bind := map[string]string{}
	for where, o := range c.Uses {
		if o != s.object {
			continue
		}
		for _, fact := range append([]string{"id", "tenant"}, sortedKeys(s.self.Facts)...) {
			if v := s.self.Facts[fact]; v == "" || v != scenario.Plain(decoded(c.Values[where])) {
				continue
			}
			bind[where] = `"${` + s.self.Name + "." + fact + `}"`
			if !strings.HasPrefix(c.Values[where], `"`) {
				bind[where] = "${" + s.self.Name + "." + fact + "|raw}"
			}
			break
		}
	}
	return bind
}

// meantFor reports whether what made the subject named something of an actor's, or
// the actor: who is sent money sees the transfer as its sender does.
func (s *subject) meantFor(a *actor.Actor) bool {
	c := s.object.MadeBy
	if c == nil {
		return false
	}
	for where, text := range c.Values {
		if strings.HasPrefix(where, "path.") {
			continue
		}
		if o := c.Uses[where]; o != nil && o.Owner() != nil && o.Owner().Name == a.Name {
			return true
		}
		v := scenario.Plain(decoded(text))
		for _, fact := range []string{"id", "email", "username", "phone"} {
			if f := a.Facts[fact]; len(f) > 3 && f == v {
				return true
			}
		}
	}
	return false
}

// strangers are those of others who are no party to the subject. Where all are, a new
// account is: it can be nobody's whom the subject's maker had heard of.
func (p *Probe) strangers(ctx context.Context, s *subject, others []*actor.Actor) []*actor.Actor {
	left := slices.DeleteFunc(slices.Clone(others), s.meantFor)
	if len(left) > 0 || len(others) == 0 || p.People.RegisterEntry() == nil {
		return left
	}
	p.strangerOnce.Do(func() { p.stranger, _ = p.People.Fresh(ctx) })
	if p.stranger == nil {
		return nil
	}
	return []*actor.Actor{p.stranger}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// subjects are the objects of a resource that an actor owns, those that a
// scenario can make afresh first; at most so many.
func (p *Probe) subjects(r *graph.Resource, owner *actor.Actor, most int) []*subject {
	if r == nil || owner == nil {
		return nil
	}
	var fresh, found []*subject
	for _, o := range p.World.Objects(r, owner) {
		if o.Deleted() || o.ID == "" {
			continue
		}
		s := &subject{object: o}
		if recipe, err := p.World.RecipeOf(o, "victim"); err == nil {
			s.recipe = recipe
			for _, at := range slices.Sorted(maps.Keys(recipe.Canaries)) {
				s.marks = append(s.marks, recipe.Canaries[at])
			}
			fresh = append(fresh, s)
			continue
		}
		for _, at := range slices.Sorted(maps.Keys(o.Canaries())) {
			s.marks = append(s.marks, o.Canaries()[at])
		}
		if r.IsPerson || r.IsTenant {
			s.self = owner
		}
		found = append(found, s)
	}
	if len(fresh)+len(found) == 0 {
		// What a list showed to this actor and to no other who might be an attacker:
		// nobody says whose it is, but it is not theirs.
		for _, o := range p.World.Objects(r, nil) {
			if o.Owner() == nil && o.ID != "" && !o.Made && o.SeenBy()[owner.Name] && !slices.ContainsFunc(p.Attackers(), func(a *actor.Actor) bool { return o.SeenBy()[a.Name] && !sameTenant(a, owner) }) {
				found = append(found, &subject{object: o})
			}
		}
	}
	// Those whose owner reads a unique text back prove more than those without.
	slices.SortStableFunc(fresh, func(a, b *subject) int { return min(1, len(b.marks)) - min(1, len(a.marks)) })
	all := slices.Concat(fresh, found)
	return all[:min(most, len(all))]
}

// sameTenant reports whether two actors are known to be of one tenant.
func sameTenant(a, b *actor.Actor) bool {
	return a.Facts["tenant"] != "" && a.Facts["tenant"] == b.Facts["tenant"]
}

// setup is the steps that make the subject.
func (s *subject) setup() []scenario.Step {
	if s.recipe == nil {
		return nil
	}
	return slices.Clone(s.recipe.Steps)
}

// step is a call as a scenario step that names the scenario's own objects: the
// subject, what it lies under, and new values where a call must have new ones.
func (p *Probe) step(s *subject, c *world.Call, id string, part scenario.Part) (scenario.Step, error) {
	bind := c.Renew(id)
	if s != nil && s.recipe != nil {
		maps.Copy(bind, s.recipe.Bind(c))
	} else if s != nil && s.self != nil {
		maps.Copy(bind, s.named(c))
	}
	st, err := p.World.Step(c, bind)
	if err != nil {
		return st, fmt.Errorf("%s: %w", id, err)
	}
	st.ID, st.Part = id, part
	return st, nil
}

// naming is the input of op that names an object of r, the path's last first;
// nil when none does.
func (p *Probe) naming(op *graph.Op, r *graph.Resource) *graph.Input {
	var best *graph.Input
	for _, in := range op.Inputs {
		if p.resourceOf(in) != r {
			continue
		}
		if best == nil || in.In == "path" || best.In != "path" && in.Required && !best.Required {
			best = in
		}
	}
	return best
}

// resourceOf is the resource whose objects an input names, nil when it names none.
func (p *Probe) resourceOf(in *graph.Input) *graph.Resource {
	if r := p.Graph.Spoken(in); r != nil {
		return r
	}
	for _, e := range in.Producers {
		if e.Score >= 0.6 && e.From.Op.About != nil && slices.Contains(e.From.Op.About.IDs, e.From.Name) {
			return e.From.Op.About
		}
	}
	return nil
}

// idFor is the identifier of an object as an input takes it: a JSON text.
func idFor(in *graph.Input, o *world.Object) string {
	id := o.ID
	for _, e := range in.Producers {
		if v, ok := o.IDs()[e.From.Name]; ok {
			id = v
			break
		}
	}
	return jsonID(in, id)
}

// jsonID writes an identifier as the JSON that an input takes. One that is no number is
// a text, whatever the input is described as: another kind of thing's may be tried there.
func jsonID(in *graph.Input, id string) string {
	if (in.Type == "integer" || in.Type == "number") && json.Valid([]byte(id)) || in.Type == "" && strings.Trim(id, "0123456789") == "" && len(id) < 16 && id != "" && (id[0] != '0' || id == "0") {
		return id
	}
	text, err := json.Marshal(id)
	if err != nil {
		return `""`
	}
	return string(text)
}

// absent is an identifier of the same form as one that exists, of no object.
func absent(id string) string { return world.Absent(id) }

// try sends a call of an operation as an actor (nil: nobody), with some inputs
// given. nil when no such call can be made; an error is one that ends the run.
func (p *Probe) try(ctx context.Context, op *graph.Op, as *actor.Actor, over map[string]string) (*target.Exchange, error) {
	c, err := p.World.Call(ctx, op, as, over)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, nil // that no call can be made is an answer, too
	}
	return p.send(ctx, c)
}

// tryAlive is try with a session that lives: what is asked once, and leaned on for the
// whole run, is asked again where another check's login has ended the session meanwhile.
func (p *Probe) tryAlive(ctx context.Context, op *graph.Op, as *actor.Actor, over map[string]string) (*target.Exchange, error) {
	for range 2 {
		x, err := p.try(ctx, op, as, over)
		if err != nil || x == nil || x.Status != http.StatusUnauthorized {
			return x, err
		}
		if p.People.Alive(ctx, as) != nil && p.People.Renew(ctx, as) != nil {
			return x, nil //nolint:nilerr // who does not get in is answered so
		}
	}
	return p.try(ctx, op, as, over)
}

func (p *Probe) send(ctx context.Context, c *world.Call) (*target.Exchange, error) {
	x, err := p.World.Send(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", c.Op.Method, c.Op.Path, err)
	}
	return x, nil
}

// self is the actor's own account or tenant as a subject: what is known of it
// from logging in.
func (p *Probe) self(r *graph.Resource, a *actor.Actor) []*subject {
	names := []string{"id"}
	if r.IsTenant {
		names = []string{"tenant", r.Name + "_id", r.Name}
	}
	for _, n := range append(names, r.IDs...) {
		if id := a.Facts[n]; id != "" {
			return []*subject{{self: a, object: world.Known(r, a, id, facts(a, r))}}
		}
	}
	return nil
}

// facts are what is known of an actor that identifies the account.
func facts(a *actor.Actor, r *graph.Resource) map[string]string {
	out := map[string]string{}
	for _, n := range append([]string{"id", "email", "username"}, r.IDs...) {
		if v := a.Facts[n]; v != "" && (!r.IsTenant || n != "id") {
			out[n] = v
		}
	}
	return out
}

// on is a call of an operation as an actor on one object: its identifier in one
// input, those of what it lies under in theirs.
func (p *Probe) on(ctx context.Context, op *graph.Op, as *actor.Actor, in *graph.Input, o *world.Object) (*world.Call, error) {
	c, err := p.World.Call(ctx, op, as, nil)
	if err != nil {
		// It may be that only this object makes the call possible.
		if c, err = p.World.Call(ctx, op, as, map[string]string{in.Where(): idFor(in, o)}); err != nil {
			return nil, fmt.Errorf("%s %s: %w", op.Method, op.Path, err)
		}
	}
	c = c.On(in.Where(), idFor(in, o), o)
	for _, up := range o.Parents {
		for _, other := range op.Inputs {
			if other != in && other.In == "path" && p.resourceOf(other) == up.Resource {
				c = c.On(other.Where(), idFor(other, up), up)
			}
		}
	}
	return c, nil
}
