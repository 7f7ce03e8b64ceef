package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// spellings tries other spellings of the path of what is refused, where the run has
// nobody whom it is for: that it answers at all tells, if nothing else below the
// same spelling does.
func (p *Probe) spellings(ctx context.Context, op *graph.Op, c *world.Call, described map[string]bool) error {
	plain, err := p.World.Request(c)
	if err != nil {
		return nil //nolint:nilerr // what cannot be written cannot be sent
	}
	mine, err := p.send(ctx, c)
	if err != nil || mine.Status != 401 && mine.Status != 403 {
		return err
	}
	p.Note(op, Clean)
	for _, d := range doors(op, described, "") {
		if d.path == nil {
			continue
		}
		x, err := p.Do(ctx, c.As, d.request(plain))
		if err != nil {
			return err
		}
		if x.Status/100 != 2 || scenario.Form(x.Body) == "" || !telling(x) {
			continue
		}
		var l steps
		add := func(change func(path string) string, id string, part scenario.Part, note string, e scenario.Expect) {
			st, err := p.step(nil, c, id, part)
			if err == nil && change != nil {
				s := *st.Send
				s.Path = change(s.Path)
				st.Send = &s
			}
			st.Note, st.Expect = note, []scenario.Expect{e}
			l.add(st, err)
		}
		add(nil, "refused", scenario.Control, "an ordinary user is refused", scenario.Expect{Status: "401|403"})
		add(func(path string) string { return d.path(unheardOf(path)) }, "nothing", scenario.Control, "what is not there does not answer under such a spelling", scenario.Expect{Status: "!2xx"})
		add(d.path, "attack", scenario.Attack, "the user gets it: "+d.what, scenario.Expect{Status: "2xx", Matches: `^\s*[\[{]`})
		add(nil, "again", scenario.Control, "and is refused still at the path itself", scenario.Expect{Status: "401|403"})
		if ok, err := p.byDoor(ctx, op, &d, &l, "reads"); err != nil || ok {
			return err
		}
	}
	return nil
}

// unheardOf is a path beside another one: its last word is another.
func unheardOf(path string) string {
	return fmt.Sprintf("%s/crenel-unheard-of", path[:strings.LastIndexByte(path, '/')])
}
