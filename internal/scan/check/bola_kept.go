package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// maxKept bounds how many ways to write are tried for one read.
const maxKept = 3

var reCanary = regexp.MustCompile(`\$\{canary\.[^}|]+\}`)

// readsKept is for what an account keeps one of, and which has no identifier: it is
// written by an operation that names nobody, for the session says whose it is, and read
// by one that is told whose to show. Only what is private by what the API says counts:
// what people write about themselves is there to be read.
func (p *Probe) readsKept(ctx context.Context, op *graph.Op, pairs []pair) error {
	if op.Method != http.MethodGet || p.Mode == Safe || op.About == nil || op.About.IsPerson || op.About.IsTenant {
		return nil
	}
	for _, in := range op.Inputs {
		if in.In != "path" && in.In != "query" || p.open(op, in.Where()) {
			continue
		}
		for _, of := range pairs {
			fact := namesBy(in, of.owner)
			if fact == "" {
				continue
			}
			if v, err := p.Private(ctx, op.About); err != nil || !v.Private() {
				return err
			}
			for _, other := range of.others {
				done, err := p.readKept(ctx, op, in, fact, of.owner, other)
				if err != nil || done {
					return err
				}
			}
		}
	}
	return nil
}

func (p *Probe) readKept(ctx context.Context, op *graph.Op, in *graph.Input, fact string, owner, other *actor.Actor) (bool, error) {
	named, later := factText(in, owner, fact)
	own, err := p.World.Call(ctx, op, owner, map[string]string{in.Where(): named})
	if err != nil {
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	tried := 0
	for _, w := range p.Graph.Ops {
		if tried == maxKept {
			break
		}
		if w.About != op.About || !p.writesOwn(w, owner) {
			continue
		}
		write, err := p.World.Call(ctx, w, owner, nil)
		if err != nil {
			continue
		}
		bind := write.Renew("kept")
		mark := ""
		for _, where := range write.Op.Inputs {
			if m := reCanary.FindString(bind[where.Where()]); m != "" && where.In == "body" {
				mark = m
				break
			}
		}
		if mark == "" {
			continue
		}
		tried++
		l := p.keptSteps(write, own, bind, in, mark, later, absent(owner.Facts[fact]), other)
		if l.err != nil {
			continue
		}
		done, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: in.Where(),
			Title:       fmt.Sprintf("%s %s shows what another user keeps to whoever names them", op.Method, op.Path),
			Description: fmt.Sprintf("A user writes a text by %s %s, which says of nobody whose it is. Whoever is logged in reads it by that user's name in %s.", w.Method, w.Path, in.Where()),
			Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s in another's name", op.Method, op.Path), Steps: l.list},
		})
		if err != nil || done {
			return done, err
		}
	}
	return false, nil
}

// writesOwn: the operation writes something of the caller's, and names nobody.
func (p *Probe) writesOwn(w *graph.Op, owner *actor.Actor) bool {
	if w.Method != http.MethodPost && w.Method != http.MethodPut && w.Method != http.MethodPatch || len(w.PathParams) > 0 || w.Kind == graph.Delete {
		return false
	}
	for _, not := range []graph.Purpose{graph.Hazard, graph.Admin, graph.Login, graph.Register, graph.PasswordChange, graph.PasswordReset, graph.PasswordForgot, graph.Payment, graph.Transfer} {
		if w.Has(not) {
			return false
		}
	}
	return !slices.ContainsFunc(w.Inputs, func(in *graph.Input) bool { return namesBy(in, owner) != "" })
}

func (p *Probe) keptSteps(write, own *world.Call, bind map[string]string, in *graph.Input, mark, later, nobodys string, other *actor.Actor) *steps {
	l := &steps{}
	st, err := p.World.Step(write, bind)
	st.ID, st.Part, st.Note, st.Expect = "write", scenario.Setup, write.As.Name+" writes a text of their own", []scenario.Expect{{Status: "2xx"}}
	l.add(st, err)
	look := func(c *world.Call, at, id string, part scenario.Part, note string, e scenario.Expect) {
		to := c.Renew(id)
		if at != "" {
			to[in.Where()] = at
		}
		st, err := p.World.Step(c, to)
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
		l.add(st, err)
	}
	look(own, later, "own", scenario.Control, "and reads it", scenario.Expect{Status: "2xx", Contains: []string{mark}})
	look(own.By(nil), later, "nobody", scenario.Control, "nobody without credentials does", scenario.Expect{Status: "any", Lacks: []string{mark}})
	look(own.With(in.Where(), jsonID(in, nobodys)).By(other), "", "absent", scenario.Control, "nor does who names nobody", scenario.Expect{Status: "any", Lacks: []string{mark}})
	look(own.By(other), later, "attack", scenario.Attack, other.Name+" names "+write.As.Name+", and reads it", scenario.Expect{Status: "2xx", Contains: []string{mark}})
	return l
}
