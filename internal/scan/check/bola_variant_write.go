package check

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// writeWays are the ways in which an object is changed that plainly cannot be:
// steps that are the attacker's plain call on the victim's object, changed.
var writeWays = []struct {
	what   string
	method string // that it goes by, where the description has no such operation
	do     func(st *scenario.Send, in *graph.Input, n names) bool
}{
	{"by PUT", http.MethodPut, nil},
	{"by PATCH", http.MethodPatch, nil},
	{"by POST", http.MethodPost, nil},
	{"in the body, an own one in the path", "", func(s *scenario.Send, in *graph.Input, n names) bool {
		if n.own == "" || !strings.HasPrefix(strings.TrimSpace(s.Body), "{") || !strings.Contains(s.Type, "json") || !inPath(s, n.victim, bare(n.own)) {
			return false
		}
		ids := []string{in.Name}
		if in.Name != "id" {
			ids = append(ids, "id")
		}
		body := strings.TrimSpace(s.Body)
		for _, id := range ids {
			if strings.Contains(body, jsonString(id)+":") {
				continue
			}
			sep := ","
			if body == "{}" {
				sep = ""
			}
			body = "{" + jsonString(id) + ":" + n.victim + sep + body[1:]
		}
		s.Body = body
		return true
	}},
	{"in the query, an own one in the path", "", func(s *scenario.Send, in *graph.Input, n names) bool {
		if n.own == "" || !inPath(s, n.victim, bare(n.own)) {
			return false
		}
		s.Query = append(slices.Clone(s.Query), kv(in.Name, bare(n.victim)))
		return true
	}},
}

// writeVariants tries to change others' objects by another way of naming them.
func (p *Probe) writeVariants(ctx context.Context, left *atomic.Int64) error {
	user := p.Actor(actor.User)
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.changes(op) || op.Kind != graph.Update {
			return nil
		}
		for _, in := range op.Inputs {
			r := p.resourceOf(in)
			if r == nil || in.In != "path" {
				continue
			}
			for _, s := range p.subjects(r, user, 1) {
				reader := p.World.Reader(s.object)
				if s.recipe == nil || len(s.marks) == 0 || reader == nil || left.Load() <= 0 {
					continue
				}
				if err := p.changedBy(ctx, op, in, s, reader, left); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// changedBy tries the ways on one subject. Each try is a scenario of its own on
// a new object, since an attack that works changes it.
func (p *Probe) changedBy(ctx context.Context, op *graph.Op, in *graph.Input, s *subject, reader *world.Call, left *atomic.Int64) error {
	own, err := p.on(ctx, op, p.Actor(actor.User), in, s.object)
	if err != nil {
		p.Note(op, Skipped)
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	v, err := p.Private(ctx, s.object.Resource)
	if err != nil || v.Score < 0 {
		return err
	}
	other := p.Attackers()[0]
	beside := p.owned(ctx, s.object.Resource, other)
	for i := range writeWays {
		w := &writeWays[i]
		if w.method != "" && (w.method == op.Method || p.described(w.method, op.Path)) || w.do != nil && beside == nil {
			continue
		}
		if left.Add(-int64(len(s.recipe.Steps)+2)) < 0 {
			return nil
		}
		n := names{victim: s.recipe.Text(s.object, own.Values[in.Where()])}
		l := steps{list: s.setup()}
		if beside != nil {
			n.own = idFor(in, beside)
			if r, err := p.World.RecipeOf(beside, "beside"); err == nil {
				if text := r.Text(beside, n.own); text != "" {
					l.list, n.own = append(l.list, r.Steps...), text
				}
			}
		}
		one := scenario.Expect{Status: "2xx", Contains: s.marks[:1]}
		add := func(call *world.Call, id string, part scenario.Part, note string, changed bool, e ...scenario.Expect) {
			st, err := p.step(s, call, id, part)
			if err == nil && changed {
				send := *st.Send
				if w.method != "" {
					send.Method = w.method
				}
				if w.do != nil && !w.do(&send, in, n) {
					err = fmt.Errorf("%s %s: the way does not fit", op.Method, op.Path)
				}
				st.Send = &send
			}
			st.Note, st.Expect = note, e
			l.add(st, err)
		}
		foreign := own.By(other)
		add(reader, "before", scenario.Control, "the owner reads it", false, one)
		add(foreign, "plain", scenario.Control, other.Name+", another user, tries plainly", false)
		add(foreign.By(nil), "nobody", scenario.Control, "nobody without credentials tries, "+w.what, true)
		add(reader, "still", scenario.Control, "nothing has changed", false, scenario.Expect{Status: "2xx", Contains: s.marks[:1], Like: "before"})
		add(foreign, "attack", scenario.Attack, other.Name+" names it "+w.what, true)
		add(reader, "after", scenario.Observe, "the owner reads something else", false, scenario.Expect{Status: "2xx", Unlike: "before"})
		if l.err != nil || n.victim == "" {
			continue
		}
		p.Note(op, Clean)
		// First without what only tells it apart from what is open anyway.
		quick := slices.DeleteFunc(slices.Clone(l.list), func(st scenario.Step) bool {
			return st.ID == "plain" || st.ID == "nobody" || st.ID == "still"
		})
		out, err := p.attempt(ctx, &scenario.Scenario{Name: "another way to change an object", Steps: quick}, false)
		if err != nil {
			return err
		}
		if out.Verdict != scenario.Proven {
			continue
		}
		method, what := op.Method, strings.ReplaceAll(s.object.Resource.Name, "_", " ")
		if w.method != "" {
			method = w.method
		}
		h := Hypothesis{
			Method: method, Path: op.Path, Where: in.Where(), CVSS: Find("bola-write").CVSS,
			Title:       fmt.Sprintf("%s %s changes another user's %s when it is named %s", method, op.Path, what, w.what),
			Description: fmt.Sprintf("A user who does not own the %s is refused to change it by %s %s, and changes it when it is named %s; its owner sees the difference.", what, op.Method, op.Path, w.what),
			Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s by another way of naming", op.Method, op.Path), Steps: l.list},
		}
		if method == op.Method {
			h.Op = op
		}
		ok, err := p.Prove(ctx, h)
		if ok {
			p.Note(op, Open)
		}
		if err != nil || ok {
			return err
		}
	}
	return nil
}
