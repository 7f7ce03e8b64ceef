package check

import (
	"context"
	"net/http"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// nosqlValues tries operators where one thing is looked up by a value (a coupon,
// a code, a name): nobody need know a value that is there.
func nosqlValues(ctx context.Context, p *Probe) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodPost || op.Answered == "list" || op.Kind == graph.Create && !op.Has(graph.Coupon) || op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.Payment) || op.Has(graph.Transfer) {
			return nil
		}
		call, base, err := p.working(ctx, op)
		if err != nil || call == nil || base.Status == 429 || base.Status == 401 || base.Status == 403 {
			return err
		}
		for _, in := range op.Inputs {
			if in.In != "body" || !takesText(in) && in.Meaning != graph.MeansOTP || in.Listed {
				continue
			}
			s := slotOf(op, in, call, base)
			p.Note(op, Clean)
			all, err := p.send(ctx, call.With(in.Where(), `{"$ne":"crenel-none"}`))
			if err != nil {
				return err
			}
			if all.Status/100 != 2 {
				continue
			}
			if done, err := p.operatorFinds(ctx, s); err != nil || done {
				return err
			}
		}
		return nil
	})
}

func (p *Probe) operatorFinds(ctx context.Context, s *slot) (bool, error) {
	var l steps
	add := func(id string, part scenario.Part, note, text string, e scenario.Expect) {
		bind := s.call.Renew(id)
		bind[s.in.Where()] = text
		st, err := p.World.Step(s.call, bind)
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
		l.add(st, err)
	}
	add("wrong", scenario.Control, "a plain value of nothing finds nothing", `"crenel-none"`, scenario.Expect{Status: "!2xx"})
	add("nothing", scenario.Control, "an operator that matches nothing neither", `{"$eq":"crenel-none"}`, scenario.Expect{Status: "!2xx"})
	add("all", scenario.Attack, "one that matches everything finds something", `{"$ne":"crenel-none"}`, scenario.Expect{Status: "2xx"})
	add("nothing2", scenario.Control, "one that no text is smaller than finds nothing", `{"$lt":""}`, scenario.Expect{Status: "!2xx"})
	add("all2", scenario.Attack, "and its opposite something", `{"$gt":""}`, scenario.Expect{Status: "2xx"})
	return p.injected(ctx, s, "NoSQL injection", "A query operator in place of a plain value is worked out by the database: what is there is found by who knows no value of it.", &l)
}
