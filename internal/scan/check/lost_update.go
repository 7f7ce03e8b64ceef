package check

import (
	"context"
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
	ID: "lost-update", Title: "A change that names an older version is made all the same",
	OWASP: "API6:2023", CWE: "CWE-362", WSTG: "WSTG-BUSL-04", CVSS: vectorLow,
	About: "Where a change is described with If-Match, changes an object twice, the second time naming the version that it had before the first.",
	Proof: "The second change is made: the owner reads it, and what the first one wrote is lost. Controls: reads tell the version in an ETag, the first change is made, and the ETag is another one after it.",
	Fix:   "Compare If-Match with the version in the statement that writes (UPDATE … WHERE id = ? AND version = ?), and answer 412 where nothing was written (RFC 9110, section 13.1.1).",
	Mode:  Default, Dirty: true,
	Run: lostUpdate,
})

const ifMatch = "If-Match"

func lostUpdate(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodPut && op.Method != http.MethodPatch || op.Has(graph.Hazard) || op.Has(graph.Admin) || !promisesMatch(op) || op.About == nil {
			return nil
		}
		in := p.naming(op, op.About)
		text := slices.IndexFunc(op.Inputs, func(in *graph.Input) bool {
			return in.In == "body" && takesText(in) && !in.ReadOnly && in.Format == "" && strings.Count(in.Pointer, "/") == 1 && !identifies(op, in) && (in.Schema == nil || in.Schema.Rules().Pattern == "")
		})
		if in == nil || text < 0 {
			return nil
		}
		for _, s := range p.subjects(op.About, user, 1) {
			reader := p.World.Reader(s.object)
			if s.recipe == nil || reader == nil {
				continue
			}
			c, err := p.on(ctx, op, user, in, s.object)
			if err != nil {
				continue
			}
			return p.overwrites(ctx, s, reader, c, op.Inputs[text])
		}
		p.Note(op, Skipped)
		return nil
	})
}

// promisesMatch reports whether an operation is described as one that takes If-Match.
func promisesMatch(op *graph.Op) bool {
	return strings.Contains(strings.ToLower(op.Summary+" "+op.Description), "if-match") ||
		slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "header" && strings.EqualFold(in.Name, ifMatch) })
}

func (p *Probe) overwrites(ctx context.Context, s *subject, reader, c *world.Call, text *graph.Input) error {
	before, err := p.send(ctx, reader)
	if err != nil || before.Status/100 != 2 || before.Header.Get("ETag") == "" {
		return err
	}
	var l steps
	l.list = s.setup()
	read := func(id string, part scenario.Part, note, save string, e ...scenario.Expect) {
		st, err := p.step(s, reader, id, part)
		st.Note, st.Expect = note, append(e, scenario.Expect{Header: "ETag", Matches: "."})
		if save != "" {
			st.Save = append(st.Save, scenario.Save{As: save, Header: "ETag"})
		}
		l.add(st, err)
	}
	write := func(id string, part scenario.Part, note, mark, tag string, e ...scenario.Expect) {
		bind := c.Renew(id)
		for where, b := range s.recipe.Bind(c) {
			bind[where] = b
		}
		bind[text.Where()] = `"${canary.` + mark + `}"`
		st, err := p.World.Step(c, bind)
		st.ID, st.Part, st.Note, st.Expect = id, part, note, e
		if err == nil {
			st.Send.Header = append(slices.DeleteFunc(slices.Clone(st.Send.Header), func(h scenario.Pair) bool { return strings.EqualFold(h.Name, ifMatch) }), scenario.Pair{Name: ifMatch, Value: tag})
		}
		l.add(st, err)
	}
	read("before", scenario.Control, "two people read it, of one version", "old", scenario.Expect{Status: "2xx"})
	write("first", scenario.Control, "one of them changes it, and names that version", "first", "${old}", scenario.Expect{Status: "2xx"})
	read("between", scenario.Control, "it is changed", "new", scenario.Expect{Status: "2xx", Contains: []string{"${canary.first}"}})
	write("current", scenario.Control, "a change that names the new version is made", "second", "${new}", scenario.Expect{Status: "2xx"})
	write("attack", scenario.Attack, "the other one changes it, and names the version of long ago", "third", "${old}", scenario.Expect{Status: "any"})
	read("after", scenario.Observe, "that is made as well: what was written between is lost", "", scenario.Expect{Status: "2xx", Contains: []string{"${canary.third}"}, Lacks: []string{"${canary.second}"}})
	if l.err != nil {
		p.Note(c.Op, Inconclusive)
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	// An ETag that stays as it is names no version, and nobody promised to keep one.
	out, err := p.attempt(ctx, &scenario.Scenario{Name: "versions", Steps: l.list[:len(l.list)-2]}, false)
	if err != nil {
		return err
	}
	tags := map[string]bool{}
	for _, id := range []string{"before", "between"} {
		if r := out.Of(id); r != nil && len(r.Exchanges) > 0 {
			tags[r.Exchanges[len(r.Exchanges)-1].Header.Get("ETag")] = true
		}
	}
	p.Note(c.Op, Clean)
	if len(tags) != 2 {
		return nil
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: c.Op, Where: "header." + ifMatch, Title: fmt.Sprintf("%s %s makes a change that names an older version", c.Op.Method, c.Op.Path),
		Description: "If-Match is described, and not looked at: of two people who change the same thing, the second overwrites what the first wrote, and neither is told.",
		Scenario:    &scenario.Scenario{Name: "a change of an older version", Steps: l.list},
	})
	return err
}
