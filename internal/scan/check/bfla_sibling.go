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
)

// changesShared: what everybody sees and a user may not make, the user changes: the
// role is checked for one method and forgotten for another. It is set back at once.
func (p *Probe) changesShared(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	r := op.About
	if p.Mode < Aggressive || op.Kind != graph.Update || !op.Secured || r == nil || r.IsPerson || r.IsTenant || len(r.Owners) > 0 || op.Has(graph.Hazard) || op.Has(graph.Admin) || !p.ordinary(user) || len(p.Attackers()) == 0 {
		return nil
	}
	if slices.ContainsFunc(p.World.Objects(r, user), func(o *world.Object) bool { return o.Made }) {
		return nil
	}
	in := p.naming(op, r)
	maker := p.refusedMaker(op, user)
	if maker == nil || in == nil || in.In != "path" {
		return nil
	}
	c, err := p.World.Call(ctx, op, user, nil)
	if err != nil || c.Uses[in.Where()] == nil || c.Uses[in.Where()].Made {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	o, peer := c.Uses[in.Where()], p.Attackers()[0]
	for _, read := range r.Of(graph.Read) {
		at := p.naming(read, r)
		if at == nil || at.In != "path" || read.Method != http.MethodGet {
			continue
		}
		look, err := p.on(ctx, read, peer, at, o)
		if err != nil {
			continue
		}
		x, err := p.send(ctx, look)
		if err != nil {
			return err
		}
		if x.Status/100 != 2 {
			continue
		}
		has := texts(x)
		for _, field := range op.Inputs {
			now := has["/"+field.Name]
			if field.In != "body" || field.Type != "string" || field.Format != "" || field.ReadOnly || strings.Count(field.Pointer, "/") != 1 || len(now) < 3 || len(now) > 60 || field.Schema != nil && len(field.Schema.Rules().Enum) > 0 {
				continue
			}
			same := c.With(field.Where(), jsonString(now))
			x, err := p.send(ctx, same)
			if err != nil {
				return err
			}
			p.Note(op, Clean)
			if x.Status/100 != 2 {
				return nil
			}
			return p.changedShared(ctx, same, maker, look, field, now)
		}
	}
	return nil
}

// refusedMaker is the call that makes what op changes, where it was refused to the
// user for who they are.
func (p *Probe) refusedMaker(op *graph.Op, user *actor.Actor) *graph.Op {
	for _, c := range p.World.Coverage() {
		if c.Op.Kind == graph.Create && c.Op.About == op.About && strings.HasPrefix(op.Path, c.Op.Path+"/") && slices.Contains(c.Statuses, http.StatusForbidden) && !slices.Contains(c.As, user.Name) {
			return c.Op
		}
	}
	return nil
}

func (p *Probe) changedShared(ctx context.Context, same *world.Call, maker *graph.Op, look *world.Call, field *graph.Input, now string) error {
	op, at := same.Op, "/"+field.Name
	made, err := p.World.Call(ctx, maker, same.As, nil)
	if err != nil {
		return nil //nolint:nilerr // without the refusal beside it, it shows nothing
	}
	other := now + " (2)"
	changed := same.With(field.Where(), jsonString(other))
	var l steps
	add := func(call *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) {
		st, err := p.step(nil, call, id, part)
		st.Note, st.Expect = note, e
		l.add(st, err)
	}
	add(made, "refused", scenario.Control, "the user may not make such a thing", scenario.Expect{Status: "403"})
	add(look, "before", scenario.Control, "what another user sees", scenario.Expect{Status: "2xx", At: at, Equals: &now})
	add(changed.By(nil), "nobody", scenario.Control, "nobody without credentials tries to change it", scenario.Expect{Status: "401|403"})
	add(look, "still", scenario.Control, "it is as it was", scenario.Expect{Status: "2xx", At: at, Equals: &now})
	add(changed, "attack", scenario.Attack, "the user changes it", scenario.Expect{Status: "any"})
	add(look, "after", scenario.Observe, "another user sees it changed", scenario.Expect{Status: "2xx", At: at, Equals: &other})
	add(same, "restore", scenario.Cleanup, "it is set back")
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: op, Where: "role", Title: fmt.Sprintf("%s %s: an ordinary user changes what all see and users may not make", op.Method, op.Path),
		Description: fmt.Sprintf("%s %s is refused to the user with 403; changing one that is there, which every user sees, is not.", maker.Method, maker.Path),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as an ordinary user", op.Method, op.Path), Steps: l.list},
	})
	if _, again := p.send(ctx, same); err == nil {
		err = again
	}
	return err
}

var (
	reApproves = regexp.MustCompile(`(?i)^(approve|approval|authori[sz]e|sign[_-]?off|counter[_-]?sign)$`)
	// reAnother is how a description says that who hands in does not decide.
	reAnother = regexp.MustCompile(`(?i)\b(managers?|approvers?|reviewers?|supervisors?|admins?|administrators?|another|different|some(one|body) else|four[- ]eyes|two[- ]person)\b`)
	reHandsIn = regexp.MustCompile(`(?i)^(submit|submission|hand[_-]?in|propose|request[_-]?approval|send[_-]?for[_-]?approval)$`)
)

// approvesOwn: whoever hands something in for a decision decides on it as well. Where the
// description does not say that somebody else does, or a role, it may be meant so: who
// is alone in an organisation of their own decides for themselves.
func (p *Probe) approvesOwn(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	last := func(o *graph.Op) string { return o.Path[strings.LastIndexByte(o.Path, '/')+1:] }
	if op.Method == http.MethodGet || !op.Secured || op.About == nil || !reApproves.MatchString(last(op)) || !p.ordinary(user) {
		return nil
	}
	if !reAnother.MatchString(op.Summary+" "+op.Description) && p.restricted(op, user) == "" {
		return nil
	}
	for _, hand := range op.About.Ops {
		in, at := p.naming(hand, op.About), p.naming(op, op.About)
		if hand.Method == http.MethodGet || !reHandsIn.MatchString(last(hand)) || in == nil || at == nil {
			continue
		}
		for _, s := range p.subjects(op.About, user, 1) {
			reader := p.World.Reader(s.object)
			if s.recipe == nil || reader == nil {
				continue
			}
			handed, err := p.on(ctx, hand, user, in, s.object)
			if err != nil {
				continue
			}
			approved, err := p.on(ctx, op, user, at, s.object)
			if err != nil {
				continue
			}
			l := steps{list: s.setup()}
			add := func(call *world.Call, id string, part scenario.Part, note string, e scenario.Expect) {
				st, err := p.step(s, call, id, part)
				st.Note, st.Expect = note, []scenario.Expect{e}
				l.add(st, err)
			}
			add(handed, "submit", scenario.Control, "the user hands it in", scenario.Expect{Status: "2xx"})
			add(reader, "before", scenario.Control, "it waits for a decision", scenario.Expect{Status: "2xx"})
			add(approved.By(nil), "nobody", scenario.Control, "nobody without credentials decides", scenario.Expect{Status: "401|403"})
			add(reader, "still", scenario.Control, "it still waits", scenario.Expect{Status: "2xx", Like: "before"})
			add(approved, "attack", scenario.Attack, "the user who handed it in decides", scenario.Expect{Status: "2xx"})
			add(reader, "after", scenario.Observe, "and it is decided", scenario.Expect{Status: "2xx", Unlike: "before"})
			if l.err != nil {
				continue
			}
			p.Note(op, Clean)
			_, err = p.Prove(ctx, Hypothesis{
				Op: op, Where: "role", Title: fmt.Sprintf("%s %s: whoever hands it in approves it, too", op.Method, op.Path),
				Description: fmt.Sprintf("An ordinary user hands something of their own in (%s %s) and approves it themselves; the two steps are there so that somebody else decides.", hand.Method, hand.Path),
				Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s by who handed it in", op.Method, op.Path), Steps: l.list},
			})
			return err
		}
	}
	return nil
}
