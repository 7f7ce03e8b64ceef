package check

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// gqlObject is an object that a mutation makes, and how it is looked at.
type gqlObject struct {
	kind, what string
	made       scenario.Step
	own        *scenario.Send  // its owner's query
	lists      []scenario.Step // controls, each of which says that a list shows it to another user
}

// gqlWrites tries the mutations that change or delete an object, as another user.
func (p *Probe) gqlWrites(ctx context.Context, s *gqlSchema, o *gqlObject) error {
	mark, step, other := []string{gqlMark}, gqlStep, p.Attackers()[0]
	for i := range s.mutation {
		m := &s.mutation[i]
		at := m.named(false)
		if at == nil || !reGQLAlters.MatchString(m.Name) || !strings.Contains(strings.ToLower(m.Name), strings.ToLower(o.kind)) {
			continue
		}
		with, _, ok := s.filled(m, "other", at.Name)
		if !ok {
			continue
		}
		with[at.Name] = "${victim}"
		send := s.ask("mutation", m, with)
		tries := func(controls ...scenario.Step) []scenario.Step {
			list := append([]scenario.Step{o.made,
				step("own", scenario.Control, actor.User, "its owner reads it", o.own, scenario.Expect{Status: "2xx", Contains: mark})}, controls...)
			return append(list,
				step("nobody", scenario.Control, actor.Nobody, "nobody without credentials tries", send),
				step("still", scenario.Control, actor.User, "nothing has changed", o.own, scenario.Expect{Status: "2xx", Contains: mark, Like: "own"}),
				step("attack", scenario.Attack, other.Name, other.Name+", another user, does it", send),
				step("after", scenario.Observe, actor.User, "the owner reads something else", o.own, scenario.Expect{Status: "2xx|400|404|410", Lacks: mark, Unlike: "own"}))
		}
		h := Hypothesis{
			Method: http.MethodPost, Path: s.path, Where: "variables." + m.Name + "." + at.Name, CVSS: Find("bola-write").CVSS,
			Title:       fmt.Sprintf("The GraphQL mutation %s works on another user's %s", m.Name, o.what),
			Description: fmt.Sprintf("A user who does not own the %s changes or deletes it by its identifier in the variables of %s; its owner sees the difference.", o.what, m.Name),
		}
		// What every member's own list shows, and what names no owner, may be there for
		// members to work on together.
		name, done := "GraphQL: "+m.Name+" as another user", false
		for _, shown := range o.lists {
			if done || s.owned(o.kind) {
				break
			}
			among := h
			among.CVSS = amongMembers
			among.Description += " A list shows it to the other user as well, and it names no owner: if members are meant to work on what others made, this is no hole."
			among.Scenario = &scenario.Scenario{Name: name, Steps: tries(shown)}
			var err error
			if done, err = p.Prove(ctx, among); err != nil {
				return err
			}
		}
		if done {
			continue
		}
		h.Scenario = &scenario.Scenario{Name: name, Steps: tries()}
		if _, err := p.Prove(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// owned reports whether a type has a field that says whose an object is, and not only who
// made or changed it.
func (s *gqlSchema) owned(kind string) bool {
	t := s.types[kind]
	return t != nil && slices.ContainsFunc(t.Fields, func(f gqlField) bool {
		name := snakeCase(f.Name)
		return reOwning.MatchString(name) && !reProvenance.MatchString(name)
	})
}
