package check

import (
	"context"
	"fmt"
	"net/http"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

// readsOfPerson is for reads whose path names a person, and whose answers say so
// little that nothing in them is anybody's own text: a balance of nothing. Only what
// people keep to themselves nearly everywhere counts: money, health, secrets, places.
func (p *Probe) readsOfPerson(ctx context.Context, op *graph.Op, pairs []pair) error {
	if op.Method != http.MethodGet || len(op.PathParams) != 1 || !op.Secured && op.SecurityDeclared {
		return nil
	}
	for _, in := range op.Inputs {
		if in.In != "path" || p.open(op, in.Where()) {
			continue
		}
		for _, of := range pairs {
			fact := namesBy(in, of.owner)
			if fact == "" {
				continue
			}
			named, later := factText(in, of.owner, fact)
			own, err := p.World.Call(ctx, op, of.owner, map[string]string{in.Where(): named})
			if err != nil {
				p.Note(op, Skipped)
				continue
			}
			mine, err := p.send(ctx, own)
			if err != nil {
				return err
			}
			if mine.Status/100 != 2 || !tellsOfMoney(mine) {
				continue
			}
			p.Note(op, Clean)
			for _, other := range of.others {
				if other.Facts[fact] == "" || other.Facts[fact] == of.owner.Facts[fact] {
					continue
				}
				theirs, err := p.send(ctx, own.By(other))
				if err != nil {
					return err
				}
				if theirs.Status/100 != 2 || !scenario.Alike(mine, theirs) || !scenario.Holds(theirs, of.owner.Facts[fact]) {
					continue
				}
				var l steps
				bind := func(call string) map[string]string {
					b := own.Renew(call)
					b[in.Where()] = later
					return b
				}
				add := func(id string, part scenario.Part, as, note string, e ...scenario.Expect) {
					st, err := p.World.Step(own, bind(id))
					st.ID, st.Part, st.As, st.Note, st.Expect = id, part, as, note, e
					l.add(st, err)
				}
				add("own", scenario.Control, of.owner.Name, of.owner.Name+" is shown what is their own", scenario.Expect{Status: "2xx"})
				add("nobody", scenario.Control, "", "nobody without credentials gets it", scenario.Expect{Status: "!2xx"})
				absentStep, err := p.World.Step(own.With(in.Where(), jsonID(in, absent(of.owner.Facts[fact]))).By(other), nil)
				absentStep.ID, absentStep.Part, absentStep.Note, absentStep.Expect = "absent", scenario.Control, "an identifier of nobody gives nothing", []scenario.Expect{{Status: "!2xx"}}
				l.add(absentStep, err)
				add("attack", scenario.Attack, other.Name, other.Name+" names "+of.owner.Name+", and is shown what is theirs", scenario.Expect{Status: "2xx", Like: "own"})
				if l.err != nil {
					p.Note(op, Inconclusive)
					continue
				}
				done, err := p.Prove(ctx, Hypothesis{
					Op: op, Where: in.Where(),
					Title:       fmt.Sprintf("%s %s shows what is another user's to whoever names them", op.Method, op.Path),
					Description: fmt.Sprintf("With another user's identifier in %s, the caller is shown what is that other's, word for word.", in.Where()),
					Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s in another's name", op.Method, op.Path), Steps: l.list},
				})
				if err != nil || done {
					return err
				}
			}
		}
	}
	return nil
}

// tellsOfMoney: a member of the answer is called as what people keep to themselves.
func tellsOfMoney(x *target.Exchange) bool {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return false
	}
	found := false
	scenario.Walk(body, func(at string, v any) {
		_, name, _ := fieldAt(at)
		switch spec.ClassOf(name, "") {
		case spec.ClassFinancial, spec.ClassHealth, spec.ClassSecret, spec.ClassLocation:
			found = found || v != nil
		}
	})
	return found
}
