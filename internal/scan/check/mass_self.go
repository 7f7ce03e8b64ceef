package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// assignsSelf: an update of the caller's own account takes what other reads of
// the account hold (a wallet's balance, a plan). It is done to accounts that the
// scenario registers.
func (p *Probe) assignsSelf(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	if p.People.RegisterEntry() == nil || !op.Secured {
		return nil
	}
	base, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	base, own := p.ownAccount(base, user)
	if base == nil {
		return nil
	}
	takes := map[string]bool{}
	for _, in := range op.Inputs {
		takes[in.Name] = true
	}
	tried := 0
	for _, other := range p.Graph.Ops {
		if other.Answered == "list" || !p.plainRead(other) {
			continue
		}
		reader, err := p.World.Call(ctx, other, user, nil)
		if err != nil {
			continue
		}
		x, err := p.send(ctx, reader)
		if err != nil {
			return err
		}
		body, ok := scenario.Decode(x.Body)
		if x.Status/100 != 2 || !ok {
			continue
		}
		type hit struct{ at, name, v string }
		var hits []hit
		scenario.Walk(body, func(at string, v any) {
			at, name, listed := fieldAt(at)
			if takes[name] && !flagOfPower(name, v) || strings.Count(at, "/") > 2 || reIndex.MatchString(at) {
				return
			}
			list := p.rights(name, v)
			if _, number := v.(json.Number); number && len(list) > 1 {
				list = list[:1]
			}
			for _, text := range list {
				if listed {
					text = "[" + text + "]"
				}
				hits = append(hits, hit{at, name, text})
			}
		})
		set := map[string]bool{}
		for _, h := range hits {
			if tried++; tried > 12 {
				return nil
			}
			if set[h.name] || takes[h.name] && strings.Contains(strings.ToLower(h.v), "premium") { // who may choose that may have paid for it
				continue
			}
			done, err := p.setsOwn(ctx, op, base, reader, own, h.at, h.name, h.v)
			if err != nil {
				return err
			}
			set[h.name] = done
		}
	}
	return nil
}

// reFlag are names of fields that make an account one that rules over others: where
// they are declared for every caller, that is no less a hole.
var reFlag = regexp.MustCompile(`(?i)^(is_?)?(admin|administrator|super_?user|staff|root)$`)

// reRoleName are names of fields that hold an account's role and nothing else.
var reRoleName = regexp.MustCompile(`(?i)^(user_?)?roles?$`)

func flagOfPower(name string, now any) bool {
	switch v := now.(type) {
	case bool:
		return !v && reFlag.MatchString(name)
	case string:
		return v != "" && reRoleName.MatchString(name)
	}
	return false
}

// ownAccount is a call that names nobody but who makes it, and what its path says of
// them in a scenario of a new account: PATCH /members/{id} of one's own id. nil: it names others.
func (p *Probe) ownAccount(c *world.Call, user *actor.Actor) (*world.Call, map[string]string) {
	own := map[string]string{}
	for _, in := range c.Op.Inputs {
		if in.In != "path" {
			continue
		}
		r := p.resourceOf(in)
		if r == nil || !r.IsPerson {
			return nil, nil
		}
		mine := p.self(r, user)
		if len(mine) == 0 {
			return nil, nil
		}
		c = c.On(in.Where(), idFor(in, mine[0].object), mine[0].object)
		for _, fact := range append(selfIDs(user), "username", "email") {
			if v := user.Facts[fact]; v != "" && v == mine[0].object.ID {
				_, own[in.Where()] = factText(in, &actor.Actor{Name: "fresh1", Facts: user.Facts}, fact)
				break
			}
		}
		if own[in.Where()] == "" {
			return nil, nil
		}
	}
	return c, own
}

// setsOwn is the proof on a new account. own says where the call's path names it.
func (p *Probe) setsOwn(ctx context.Context, op *graph.Op, base, reader *world.Call, own map[string]string, at, name, v string) (bool, error) {
	where := memberOf(op, name)
	named := maps.Clone(own) // where the call says whose account it is
	if named == nil {
		named = map[string]string{}
	}
	for in, text := range base.Values {
		for _, fact := range []string{"username", "email"} {
			if known := base.As.Facts[fact]; known != "" && text == jsonString(known) {
				named[in] = `"${fresh1.` + fact + `}"`
			}
		}
	}
	if p.open(op, where) {
		return true, nil
	}
	want := scenario.Plain(decoded(v))
	var l steps
	add := func(call *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) {
		bind := call.Renew(id)
		if call.Op == op {
			maps.Copy(bind, named)
		}
		st, err := p.World.Step(call, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, "fresh1", note, e
		l.add(st, err)
	}
	add(base, "plain", scenario.Control, "a new account calls without the field", scenario.Expect{Status: "any"})
	add(reader, "before", scenario.Control, "it has something else", scenario.Expect{Status: "2xx", At: at, Differs: &want})
	add(base.With(where, v), "attack", scenario.Attack, "it calls with the field", scenario.Expect{Status: "any"})
	add(reader, "after", scenario.Observe, "it has what was sent", scenario.Expect{Status: "2xx", At: at, Equals: &want})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	said := "The request's description does not have the field, and yet it was taken"
	if slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.Name == name }) {
		said = "The field is there for every caller to send, and it was taken"
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: where, Title: fmt.Sprintf("%s %s lets a user set %s of the own account", op.Method, op.Path, name),
		Description: fmt.Sprintf("%s: %s %s shows what was sent.", said, reader.Op.Method, reader.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a field of the account that is not for callers", Steps: l.list},
	})
}

// givesAway: an update takes the owner's field, so that an object becomes
// another's: that other can read it from then on.
func (p *Probe) givesAway(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	if op.About == nil || op.About.IsPerson || op.About.IsTenant {
		return nil
	}
	in := p.naming(op, op.About)
	if in == nil || in.In != "path" {
		return nil
	}
	takes := map[string]bool{}
	for _, i := range op.Inputs {
		if !i.ReadOnly {
			takes[i.Name] = true
		}
	}
	for _, s := range p.subjects(op.About, user, 1) {
		reader := p.World.Reader(s.object)
		if s.recipe == nil || reader == nil || len(s.marks) == 0 || reader.Op.Kind == graph.List {
			continue
		}
		own, err := p.on(ctx, op, user, in, s.object)
		if err != nil {
			continue
		}
		x, err := p.send(ctx, reader)
		if err != nil {
			return err
		}
		marks := p.shown(x, s)
		for _, other := range p.Attackers() {
			for _, name := range p.ownerFields(x, user) {
				if takes[name.field] || other.Facts[name.fact] == "" || other.Facts[name.fact] == user.Facts[name.fact] || len(marks) == 0 {
					continue
				}
				text := other.Facts[name.fact]
				if !name.number {
					text = jsonString(text)
				}
				if ok, err := p.givenAway(ctx, op, s, own.With(memberOf(op, name.field), text), reader, other, name, marks); err != nil || ok {
					return err
				}
			}
		}
	}
	return nil
}

// ownerField is a field in which an answer names its owner by a fact.
type ownerField struct {
	at          string // pointer in the answer
	field, fact string
	number      bool
}

// ownerFields are the fields of an answer that hold what identifies an actor.
func (p *Probe) ownerFields(x *target.Exchange, a *actor.Actor) []ownerField {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return nil
	}
	var out []ownerField
	scenario.Walk(body, func(at string, v any) {
		if strings.Count(at, "/") > 2 || reIndex.MatchString(at) || v == nil { // the second is an envelope's
			return
		}
		name := at[strings.LastIndexByte(at, '/')+1:]
		_, number := v.(json.Number)
		for _, fact := range append(selfIDs(a), "username", "email") {
			if f := a.Facts[fact]; f != "" && scenario.Plain(v) == f && name != "id" && len(f) > 1 {
				out = append(out, ownerField{at, name, fact, number})
				return
			}
		}
	})
	return out
}

func (p *Probe) givenAway(ctx context.Context, op *graph.Op, s *subject, with, reader *world.Call, other *actor.Actor, f ownerField, marks []string) (bool, error) {
	l := steps{list: s.setup()}
	add := func(call *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) {
		st, err := p.step(s, call, id, part)
		st.Note, st.Expect = note, e
		l.add(st, err)
	}
	name, at := f.field, f.at
	want := scenario.Plain(decoded(with.Values[memberOf(op, name)]))
	add(reader, "own", scenario.Control, "the object is its owner's", scenario.Expect{Status: "2xx", Contains: marks, At: at, Differs: &want})
	add(with.By(nil), "nobody", scenario.Control, "nobody without credentials tries", scenario.Expect{Status: "any"})
	add(reader, "still", scenario.Control, "and it still is", scenario.Expect{Status: "2xx", Contains: marks, At: at, Differs: &want})
	add(with, "attack", scenario.Attack, "the owner's call names "+other.Name+" as the owner", scenario.Expect{Status: "any"})
	add(reader.By(other), "after", scenario.Observe, other.Name+" gets it as their own now", scenario.Expect{Status: "2xx", At: at, Equals: &want})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h := Hypothesis{
		Op: op, Where: memberOf(op, name), Title: fmt.Sprintf("%s %s lets a user set %s: the object becomes another's", op.Method, op.Path, name),
		Description: "The request's description does not have the owner's field, and yet it was taken: the one whom it names has the object from then on.",
		Scenario:    &scenario.Scenario{Name: "an object given to somebody else", Steps: l.list},
	}
	if err := p.signsOnly(ctx, &h, name, reader); err != nil {
		return false, err
	}
	return p.Prove(ctx, h)
}

// signsOnly makes less of a field that is not for callers where it says who made the object
// and not whose it is: who made something is no owner where others read it anyway.
func (p *Probe) signsOnly(ctx context.Context, h *Hypothesis, name string, reader *world.Call) error {
	if !reProvenance.MatchString(name) {
		return nil
	}
	own, err := p.send(ctx, reader)
	if err != nil {
		return err
	}
	for _, other := range p.Attackers() {
		x, err := p.send(ctx, reader.By(other))
		if err != nil {
			return err
		}
		if x.Status/100 == 2 && bytes.Equal(own.Body, x.Body) {
			h.CVSS = amongMembers
			h.Title = fmt.Sprintf("%s %s lets a user set %s, which says who made it", h.Op.Method, h.Op.Path, name)
			h.Description = "The request's description does not have the field, and yet it was taken: what one user made is said to be another's work. Others read it before as well."
			return nil
		}
	}
	return nil
}
