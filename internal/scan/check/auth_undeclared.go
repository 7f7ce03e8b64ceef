package check

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Where the description declares no security for an operation, that it is open to
// nobody may be meant: a catalogue, a page to share. It is not where nobody reads
// there what the rest of the API keeps for those who have logged in.

// closedApart: most operations turn nobody away, although the description asks none
// of them for credentials.
func (p *Probe) closedApart() bool {
	closed, open := 0, 0
	for _, op := range p.Graph.Ops {
		switch {
		case op.SecurityDeclared:
		case op.Secured:
			closed++
		default:
			open++
		}
	}
	return closed >= 3 && closed > open
}

// openAmongClosed tries an operation that nothing is declared of.
func (p *Probe) openAmongClosed(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	if op.Method != http.MethodGet || op.Has(graph.Health) || !p.closedApart() {
		return nil
	}
	if done, err := p.openBelow(ctx, op, user); err != nil || done {
		return err
	}
	marks, err := p.keptMarks(ctx)
	if err != nil || len(marks) == 0 {
		return err
	}
	for _, c := range p.onEach(ctx, op, user) {
		x, err := p.send(ctx, c.By(nil))
		if err != nil {
			return err
		}
		if x.Status/100 != 2 {
			continue
		}
		p.Note(op, Clean)
		for _, m := range marks {
			if !scenario.Holds(x, m.text) {
				continue
			}
			h, err := p.undeclaredHypothesis(op, c, m)
			if err != nil {
				p.Note(op, Inconclusive)
				continue
			}
			if ok, err := p.Prove(ctx, h); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

// kept is a text that somebody entered, and that the API shows only to those who
// have logged in.
type kept struct {
	text   string
	holder string      // as a placeholder, or the text itself
	reader *world.Call // the read that nobody is refused
	what   string
}

// keptMarks are the actors' addresses and numbers, as they read them of themselves,
// and the texts in private objects.
func (p *Probe) keptMarks(ctx context.Context) ([]kept, error) {
	var out []kept
	for _, a := range p.People.All() {
		if a.Name != actor.User && a.Name != actor.Peer {
			continue
		}
		w, err := p.witness(ctx, a)
		if err != nil {
			return nil, err
		}
		for _, fact := range []string{"email", "phone"} {
			if v := a.Facts[fact]; w != nil && len(v) >= 6 && scenario.Holds(w.last, v) {
				out = append(out, kept{v, "${" + a.Name + "." + fact + "}", w.call, "the " + fact + " of " + a.Name})
			}
		}
		for _, r := range p.Graph.Resources {
			for _, o := range p.World.Objects(r, a) {
				reader := p.World.Reader(o)
				if len(o.Canaries()) == 0 || reader == nil || !reader.Op.Secured || len(out) > 40 {
					continue
				}
				v, err := p.Private(ctx, r)
				if err != nil {
					return nil, err
				}
				if !v.Private() {
					break
				}
				for _, at := range slices.Sorted(maps.Keys(o.Canaries())) {
					text := o.Canaries()[at]
					out = append(out, kept{text, text, reader, "a text that " + a.Name + " entered"})
				}
			}
		}
	}
	return out, nil
}

// onEach are calls of an operation on several objects that it can name.
func (p *Probe) onEach(ctx context.Context, op *graph.Op, user *actor.Actor) []*world.Call {
	c, err := p.World.Call(ctx, op, user, nil)
	var out []*world.Call
	if err == nil {
		out = append(out, c)
	}
	for _, in := range op.Inputs {
		r := p.resourceOf(in)
		if in.In != "path" || r == nil {
			continue
		}
		for _, a := range []string{actor.User, actor.Peer} {
			who := p.Actor(a)
			if who == nil {
				continue
			}
			for _, o := range p.World.Objects(r, who) {
				if o.Deleted() || o.ID == "" || len(out) > 12 {
					continue
				}
				if d, err := p.on(ctx, op, user, in, o); err == nil {
					out = append(out, d)
				}
			}
		}
	}
	return out
}

func (p *Probe) undeclaredHypothesis(op *graph.Op, c *world.Call, m kept) (Hypothesis, error) {
	var l steps
	add := func(call *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) {
		st, err := p.step(nil, call, id, part)
		st.Note, st.Expect = note, e
		l.add(st, err)
	}
	add(m.reader, "own", scenario.Control, "who has logged in reads it", scenario.Expect{Status: "2xx", Contains: []string{m.holder}})
	add(m.reader.By(nil), "nobody", scenario.Control, "there, nobody without credentials does", scenario.Expect{Status: "!2xx", Lacks: []string{m.holder}})
	for _, in := range op.Inputs {
		if o := c.Uses[in.Where()]; in.In == "path" && o != nil {
			add(c.With(in.Where(), jsonID(in, absent(o.ID))).By(nil), "absent", scenario.Control, "an identifier of nothing does not bring it", scenario.Expect{Lacks: []string{m.holder}})
			break
		}
	}
	add(c.By(nil), "attack", scenario.Attack, "here, nobody reads it", scenario.Expect{Status: "2xx", Contains: []string{m.holder}})
	return Hypothesis{
		Op: op, Where: "credentials",
		Title:       fmt.Sprintf("%s %s answers without credentials", op.Method, op.Path),
		Description: fmt.Sprintf("The description declares no security, and nearly all operations ask for a login all the same. This one shows nobody %s, for which a login is asked elsewhere.", m.what),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as nobody", op.Method, op.Path), Steps: l.list},
	}, l.err
}

// openBelow: what lists things about an object (the passengers of a ride) is asked
// after somebody has put something there, which takes naming the object.
func (p *Probe) openBelow(ctx context.Context, op *graph.Op, user *actor.Actor) (bool, error) {
	for _, in := range op.Inputs {
		r := p.resourceOf(in)
		if in.In != "path" || r == nil {
			continue
		}
		for _, from := range p.Graph.Resources {
			creates := from.Of(graph.Create)
			if from == r || len(creates) == 0 || !slices.ContainsFunc(creates, func(c *graph.Op) bool {
				return c.Secured && slices.ContainsFunc(c.Inputs, func(i *graph.Input) bool { return p.resourceOf(i) == r })
			}) {
				continue
			}
			for _, s := range p.subjects(from, user, 1) {
				if done, err := p.openBelowOf(ctx, op, in, r, s, user); err != nil || done {
					return done, err
				}
			}
		}
	}
	return false, nil
}

func (p *Probe) openBelowOf(ctx context.Context, op *graph.Op, in *graph.Input, r *graph.Resource, s *subject, user *actor.Actor) (bool, error) {
	reader := p.World.Reader(s.object)
	if s.recipe == nil || s.object.MadeBy == nil || reader == nil || !reader.Op.Secured || len(s.marks) == 0 {
		return false, nil
	}
	v, err := p.Private(ctx, s.object.Resource)
	if err != nil || !v.Private() {
		return false, err
	}
	for _, over := range s.object.MadeBy.Uses {
		if over.Resource != r {
			continue
		}
		c, err := p.on(ctx, op, user, in, over)
		if err != nil {
			return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		p.Note(op, Clean)
		x, err := p.send(ctx, c.By(nil))
		if err != nil || x.Status/100 != 2 {
			return false, err
		}
		own, err := p.send(ctx, reader)
		if err != nil {
			return false, err
		}
		marks := p.shown(own, s)
		if len(marks) == 0 {
			return false, nil
		}
		l := steps{list: s.setup()}
		add := func(call *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) {
			st, err := p.step(s, call, id, part)
			st.Note, st.Expect = note, e
			l.add(st, err)
		}
		add(reader, "own", scenario.Control, "who entered it reads it", scenario.Expect{Status: "2xx", Contains: marks})
		add(reader.By(nil), "nobody", scenario.Control, "there, nobody without credentials does", scenario.Expect{Status: "!2xx", Lacks: marks})
		add(c.With(in.Where(), jsonID(in, absent(over.ID))).By(nil), "absent", scenario.Control, "an identifier of nothing does not bring it", scenario.Expect{Lacks: marks})
		add(c.By(nil), "attack", scenario.Attack, "here, nobody reads it", scenario.Expect{Status: "2xx", Contains: marks})
		if l.err != nil {
			p.Note(op, Inconclusive)
			continue
		}
		return p.Prove(ctx, Hypothesis{
			Op: op, Where: "credentials",
			Title:       fmt.Sprintf("%s %s answers without credentials", op.Method, op.Path),
			Description: "The description declares no security, and nearly all operations ask for a login all the same. This one shows nobody what a user has just entered, for which a login is asked elsewhere.",
			Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as nobody", op.Method, op.Path), Steps: l.list},
		})
	}
	return false, nil
}
