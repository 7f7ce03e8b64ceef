package check

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// maxListsOfPeople is how many lists are looked through for the user's own entry.
const maxListsOfPeople = 8

// registersAmong is massRegister where accounts are told nothing of themselves, and a
// list of people shows what each of them is.
func (p *Probe) registersAmong(ctx context.Context, e *actor.Entry, d *door, user *actor.Actor) error {
	p.Note(e.Op, Skipped)
	takes := map[string]bool{}
	for _, in := range e.Op.Inputs {
		takes[in.Name] = true
	}
	looked := 0
	ops := slices.Clone(p.Graph.Ops)
	ofPeople := func(op *graph.Op) int { // those first
		if op.About != nil && (op.About.IsPerson || op.About == e.Op.About) || op.Has(graph.Debug) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ops, func(a, b *graph.Op) int { return ofPeople(a) - ofPeople(b) })
	for _, op := range ops {
		if !p.onlyReads(op) || len(op.PathParams) > 0 || looked == maxListsOfPeople {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			continue
		}
		looked++
		x, err := p.send(ctx, c)
		if err != nil {
			return err
		}
		body, ok := scenario.Decode(x.Body)
		if x.Status/100 != 2 || !ok {
			continue
		}
		for _, fact := range []string{"username", "email"} {
			entry, by := entryOf(body, user.Facts[fact])
			if entry == nil {
				continue
			}
			p.Note(e.Op, Clean)
			for _, name := range sortedNames(entry) {
				if takes[name] {
					continue
				}
				for _, v := range p.rights(name, entry[name]) {
					if ok, err := p.registersAs(ctx, e, d, c, fact, by, name, jsonOf(entry[name]), v); err != nil || ok {
						return err
					}
				}
			}
			break
		}
	}
	return nil
}

func sortedNames(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// entryOf is the flat object within v that has a member of this text, and that member's name.
func entryOf(v any, text string) (entry map[string]any, by string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if entry, by = entryOf(e, text); entry != nil {
				return entry, by
			}
		}
	case map[string]any:
		flat := true
		for _, name := range sortedNames(v) {
			switch m := v[name].(type) {
			case string:
				if text != "" && m == text {
					by = name
				}
			case map[string]any, []any:
				flat = false
				if entry, by := entryOf(m, text); entry != nil {
					return entry, by
				}
			}
		}
		if flat && by != "" {
			return v, by
		}
	}
	return nil, ""
}

// registersAs registers one account with a field and one without, and looks for both in a list.
func (p *Probe) registersAs(ctx context.Context, e *actor.Entry, d *door, list *world.Call, fact, by, name, now, v string) (bool, error) {
	where := memberOf(e.Op, name)
	var l steps
	for _, of := range []struct {
		id, where, has string
		part           scenario.Part
		note           string
	}{
		{"with", where, v, scenario.Attack, "an account is registered with " + name},
		{"plain", "", now, scenario.Control, "one that is registered without it is listed with something else"},
	} {
		text := ""
		if of.where != "" {
			text = v
		}
		st, known, err := p.newcomer(ctx, e, d, of.id, of.where, text)
		if err != nil || known[fact] == "" {
			return false, nil //nolint:nilerr // what cannot be written cannot be sent
		}
		st.Part, st.Note, st.Expect = of.part, of.note, []scenario.Expect{{Status: "2xx"}}
		l.add(st, nil)
		has := member(name, of.has)
		is := member(by, `"`+known[fact]+`"`)
		told, err := p.step(nil, list, "listed_"+of.id, scenario.Observe)
		told.Note, told.Expect = "what the list says of it", []scenario.Expect{{Status: "2xx", Matches: `\{[^{}]*` + has + `[^{}]*` + is + `|` + is + `[^{}]*` + has}}
		l.add(told, err)
	}
	if l.err != nil {
		p.Note(e.Op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: e.Op, Where: where, Title: fmt.Sprintf("%s %s lets whoever registers set %s", e.Op.Method, e.Op.Path, name),
		Description: fmt.Sprintf("The registration does not declare the field, and yet takes it: %s %s lists the new account with what was sent.", list.Op.Method, list.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a registration with a field that is not for callers", Steps: l.list},
	})
}

// member is a pattern for a member of an object of JSON with a value: a JSON text,
// which may hold a placeholder that is no pattern.
func member(name, text string) string {
	key, err := json.Marshal(name)
	if err != nil {
		key = []byte(`""`)
	}
	return regexp.QuoteMeta(string(key)) + `\s*:\s*` + text
}
