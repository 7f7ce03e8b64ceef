package check

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

var _ = register(&Check{
	ID: "public-excess", Title: "A public answer holds what its owner entered in private",
	OWASP: "API3:2023", CWE: "CWE-213", WSTG: "WSTG-INFO-05",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Asks what is open to anybody (a tracking page, a share link) for an object that a user has just made, by the code that it got.",
	Proof: "Without credentials the answer holds a text that the owner entered, in a field that the description of the answer does not have. Controls: another code does not bring it, and the object is of a kind that is its owner's alone.",
	Fix:   "Answer in public with a type of its own, that has only what the public is to see.",
	Mode:  Safe,
	Run:   publicExcess,
})

func publicExcess(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodGet || op.Secured || len(op.PathParams) == 0 {
			return nil
		}
		for _, in := range op.Inputs {
			if in.In != "path" {
				continue
			}
			for _, r := range p.Graph.Resources {
				for _, s := range p.subjects(r, user, 1) {
					if done, err := p.inPublic(ctx, op, in, s); err != nil || done {
						return err
					}
				}
			}
		}
		return nil
	})
}

// declares reports whether a description of an operation's answers may have a
// field: true as well where it leaves open what there is.
func declares(op *graph.Op, at string) bool {
	for _, r := range op.Responses {
		if !strings.HasPrefix(r.Status, "2") {
			continue
		}
		for _, m := range r.Content {
			if strings.Contains(m.Type, "json") && mayHave(m.Schema, at) {
				return true
			}
		}
	}
	return false
}

func mayHave(s *schema.Schema, at string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(at, "/"), "/") {
		if s == nil || s.Anything() || len(s.Alternatives()) > 0 {
			return true
		}
		if part == "*" {
			s = s.Items()
			continue
		}
		if len(s.Properties()) == 0 {
			return true
		}
		sub, ok := s.Declared(strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
		if !ok {
			return false
		}
		s = sub
	}
	return true
}

func (p *Probe) inPublic(ctx context.Context, op *graph.Op, in *graph.Input, s *subject) (bool, error) {
	if s.recipe == nil || s.object.MadeBy == nil || s.object.MadeBy.Last == nil || len(s.object.Canaries()) == 0 {
		return false, nil
	}
	code, has := s.object.Fields()[in.Name]
	if !has {
		if id, ok := s.object.IDs()[in.Name]; ok {
			code, has = jsonID(in, id), true
		}
	}
	if !has || len(strings.Trim(code, `"`)) < 4 {
		return false, nil
	}
	// Where the answer that made the object says the code.
	saved := ""
	body, ok := scenario.Decode(s.object.MadeBy.Last.Body)
	if !ok {
		return false, nil
	}
	scenario.Walk(body, func(at string, v any) {
		if saved == "" && scenario.Plain(v) == scenario.Plain(decoded(code)) {
			saved = at
		}
	})
	if saved == "" {
		return false, nil
	}
	c, err := p.World.Call(ctx, op, nil, map[string]string{in.Where(): code})
	if err != nil {
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	x, err := p.send(ctx, c)
	if err != nil {
		return false, err
	}
	p.Note(op, Clean)
	at, mark := p.entered(op, x.Body, s)
	if x.Status/100 != 2 || mark == "" {
		return false, nil
	}
	v, err := p.Private(ctx, s.object.Resource)
	if err != nil || !v.Private() {
		return false, err
	}
	l := steps{list: s.setup()}
	for i := range l.list {
		if l.list[i].ID == "make_victim" {
			l.list[i].Save = append(l.list[i].Save, scenario.Save{As: "code", At: saved})
		}
	}
	add := func(id string, part scenario.Part, note, text string, e scenario.Expect) {
		st, err := p.World.Step(c, map[string]string{in.Where(): text})
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
		l.add(st, err)
	}
	add("absent", scenario.Control, "another code does not bring it", jsonString(absent(scenario.Plain(decoded(code)))), scenario.Expect{Lacks: []string{mark}})
	add("attack", scenario.Attack, "anybody with the code is shown what the owner entered", `"${code}"`, scenario.Expect{Status: "2xx", Contains: []string{mark}})
	if l.err != nil {
		p.Note(op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "answer", Title: fmt.Sprintf("%s %s shows anybody what its owner entered", op.Method, op.Path),
		Description: fmt.Sprintf("The public answer holds %s, which its description does not have: a text that the owner put into a private %s.", at, strings.ReplaceAll(s.object.Resource.Name, "_", " ")),
		Scenario:    &scenario.Scenario{Name: "what is shown in public", Steps: l.list},
	})
}

// entered is where an answer holds a text that the owner entered, in a field that
// its description does not have; and that text as a placeholder.
func (p *Probe) entered(op *graph.Op, body []byte, s *subject) (at, mark string) {
	v, ok := scenario.Decode(body)
	if !ok {
		return "", ""
	}
	scenario.Walk(v, func(where string, value any) {
		text, ok := value.(string)
		if !ok || mark != "" || declares(op, wild(where)) {
			return
		}
		for pointer, c := range s.object.Canaries() {
			if m := s.recipe.Canaries[pointer]; m != "" && strings.Contains(text, c) {
				at, mark = wild(where), m
				return
			}
		}
	})
	return at, mark
}
