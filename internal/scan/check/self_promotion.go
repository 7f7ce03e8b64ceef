package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "self-promotion", Title: "A user gives themselves an administrator's role",
	OWASP: "API5:2023", CWE: "CWE-269", WSTG: "WSTG-ATHZ-03", CVSS: vectorForger,
	About: "Where the run was given an administrator, compares what the two are told of themselves, and sends the peer's own account the administrator's role: where it is changed, and where a colleague's is.",
	Proof: "The account is told of the role that it sent, which it did not have before. Controls: it had another; nobody without credentials does it. It is set back by the same way.",
	Fix:   "Take a role from those alone who may give it, never from whose it is, and nobody a role above their own; let profiles take a list of fields without it.",
	Mode:  Aggressive, Late: true, // what a promoted account may do would be taken for a hole
	Run: selfPromotion,
})

// office is one member of an account by which its own read tells it from an administrator.
type office struct {
	at, name  string // pointer and last name
	mine, his string // JSON texts
}

func selfPromotion(ctx context.Context, p *Probe) error {
	peer, admin := p.Actor(actor.Peer), p.Actor(actor.Admin)
	if peer == nil || admin == nil {
		return nil
	}
	reader := p.selfRead(ctx, peer)
	if reader == nil {
		return nil
	}
	offices, err := p.offices(ctx, reader, admin)
	if err != nil {
		return err
	}
	for _, o := range offices {
		for _, op := range p.Ops() {
			where, own, err := p.placeOf(ctx, op, reader, peer, o.name)
			if err != nil {
				return err
			}
			if where == "" {
				continue
			}
			if err := p.promotes(ctx, op, reader, peer, o, where, own); err != nil {
				return err
			}
		}
	}
	return nil
}

// offices are the roles and flags in which an administrator's own read differs from another's.
func (p *Probe) offices(ctx context.Context, reader *world.Call, admin *actor.Actor) ([]office, error) {
	var bodies [2]any
	for i, c := range []*world.Call{reader, reader.By(admin)} {
		x, err := p.send(ctx, c)
		if err != nil {
			return nil, err
		}
		body, ok := scenario.Decode(x.Body)
		if x.Status/100 != 2 || !ok {
			return nil, nil
		}
		bodies[i] = body
	}
	var out []office
	scenario.Walk(bodies[0], func(at string, v any) {
		name := at[strings.LastIndexByte(at, '/')+1:]
		if !flagOfPower(name, v) || reIndex.MatchString(at) {
			return
		}
		his := scenario.Find(bodies[1], at)
		if len(his) != 1 || his[0] == nil || fmt.Sprint(his[0]) == fmt.Sprint(v) {
			return
		}
		mine, err := json.Marshal(v)
		theirs, err2 := json.Marshal(his[0])
		if err == nil && err2 == nil {
			out = append(out, office{at, name, string(mine), string(theirs)})
		}
	})
	return out, nil
}

// placeOf is where an operation takes a member of somebody's own account, and what its
// path names that account by; "" where it is about something else.
func (p *Probe) placeOf(ctx context.Context, op *graph.Op, reader *world.Call, peer *actor.Actor, name string) (string, map[string]string, error) {
	if !op.Secured || op.Reads() || op.Kind == graph.Delete || op.Has(graph.Hazard) || op.Has(graph.Login) || op.Has(graph.Register) || op.Method == http.MethodDelete {
		return "", nil, nil
	}
	where := ""
	for _, in := range op.Inputs {
		switch {
		case in.In == "body" && in.Name == name && strings.Count(in.Pointer, "/") == 1:
			where = in.Where()
		case in.In == "body" && in.Required:
			return "", nil, nil // what else it wants would be changed with it
		}
	}
	own := map[string]string{}
	switch len(op.PathParams) {
	case 0:
		if op.Path != reader.Op.Path && !strings.HasPrefix(op.Path, reader.Op.Path+"/") {
			return "", nil, nil
		}
		if where == "" && op.Path == reader.Op.Path {
			where = "body./" + name // not described, and perhaps taken
		}
		return where, own, nil
	case 1:
		if where == "" {
			return "", nil, nil
		}
		i := slices.IndexFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "path" })
		if i < 0 {
			return "", nil, nil
		}
		id, err := p.ownRow(ctx, op.Inputs[i], peer)
		if err != nil || id == "" {
			return "", nil, err
		}
		own[op.Inputs[i].Where()] = jsonID(op.Inputs[i], id)
		return where, own, nil
	}
	return "", nil, nil
}

// ownRow is what an input names an account by: the identifier that stands, in a list that
// the input's values come from, beside the account's own mail address or name.
func (p *Probe) ownRow(ctx context.Context, in *graph.Input, a *actor.Actor) (string, error) {
	for _, edge := range in.Producers {
		list := edge.From.Op
		head, key, many := strings.Cut(edge.From.Pointer, "/*/")
		if !many || !list.Reads() || len(list.PathParams) > 0 || edge.From.Header != "" {
			continue
		}
		x, err := p.tryAlive(ctx, list, a, p.widest(list))
		if err != nil {
			return "", err
		}
		if x == nil || x.Status/100 != 2 {
			continue
		}
		body, ok := scenario.Decode(x.Body)
		if !ok {
			continue
		}
		for _, row := range scenario.Find(body, head+"/*") {
			mine := false
			scenario.Walk(row, func(_ string, v any) {
				for _, fact := range []string{"email", "username"} {
					mine = mine || len(a.Facts[fact]) > 3 && fmt.Sprint(v) == a.Facts[fact]
				}
			})
			if ids := scenario.Find(row, "/"+key); mine && len(ids) == 1 {
				return scenario.Plain(ids[0]), nil
			}
		}
	}
	return "", nil
}

// promotes proves it, and sets the account back.
func (p *Probe) promotes(ctx context.Context, op *graph.Op, reader *world.Call, peer *actor.Actor, o office, where string, own map[string]string) error {
	c, err := p.World.Call(ctx, op, peer, own)
	if err != nil {
		p.Note(op, Skipped)
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	var s steps
	add := func(call *world.Call, id string, part scenario.Part, note, role string, e ...scenario.Expect) {
		st, err := p.step(nil, call, id, part)
		st.Note, st.Expect = note, e
		if err == nil && role != "" {
			st.Send.Body = `{` + jsonString(o.name) + `:` + role + `}` // and nothing else of the account
		}
		s.add(st, err)
	}
	mine, his := scenario.Plain(decoded(o.mine)), scenario.Plain(decoded(o.his))
	add(reader, "before", scenario.Control, "what the account is told that it is", "", scenario.Expect{Status: "2xx", At: o.at, Equals: &mine})
	add(c.By(nil), "nobody", scenario.Control, "nobody without credentials gives it a role", o.his, scenario.Expect{Status: "!2xx"})
	add(c, "attack", scenario.Attack, "it gives itself the administrator's", o.his, scenario.Expect{Status: "any"})
	add(reader, "after", scenario.Observe, "and is told that it has it", "", scenario.Expect{Status: "2xx", At: o.at, Equals: &his})
	add(c, "back", scenario.Cleanup, "it is set back", o.mine)
	if s.err != nil || s.list[2].Send == nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	for i := range s.list {
		if s.list[i].Send != nil && s.list[i].Send.Body != "" && s.list[i].Send.Type == "" {
			s.list[i].Send.Type = "application/json"
		}
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: op, Where: where, Title: fmt.Sprintf("%s %s lets a user give themselves an administrator's %s", op.Method, op.Path, o.name),
		Description: fmt.Sprintf("An account that is no administrator's sends %s as an administrator has it for itself, and %s %s tells it so from then on.", o.name, reader.Op.Method, reader.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a role that one gives oneself", Steps: s.list},
	})
	return err
}
