package check

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID:    "auth-missing",
	Title: "An operation answers without credentials",
	OWASP: "API2:2023", CWE: "CWE-306", WSTG: "WSTG-ATHN-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Calls every operation that the description secures without any credentials, for what a user has just made.",
	Proof: "Nobody gets what the user gets: the user's own text, or the user's own answer word for word. Controls: the description asks for credentials, the user gets it twice the same, and an identifier of nothing gives something else.",
	Fix:   "Authenticate before routing, for every path, and list the operations that are public; files and downloads are operations, too.",
	Mode:  Safe,
	Run:   authMissing,
})

func authMissing(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		// What only administrators may read is refused to nobody all the more.
		if !p.reads(op) && !p.forFew(op, user) || op.Method == http.MethodPost && op.Kind == graph.Action {
			return nil
		}
		if !op.SecurityDeclared && !op.Secured {
			return p.openAmongClosed(ctx, op, user)
		}
		if !op.Secured || op.Public || !op.SecurityDeclared {
			return nil
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		own, err := p.send(ctx, c)
		if err != nil {
			return err
		}
		if own.Status/100 != 2 || !telling(own) {
			p.Note(op, Skipped)
			return nil
		}
		open, err := p.send(ctx, c.By(nil))
		if err != nil {
			return err
		}
		if !scenario.Alike(own, open) && open.Status/100 == 2 && scenario.Form(own.Body) == scenario.Form(open.Body) {
			// What others make meanwhile may have come between the two.
			if own, err = p.send(ctx, c); err != nil {
				return err
			}
			if open, err = p.send(ctx, c.By(nil)); err != nil {
				return err
			}
		}
		if !scenario.Alike(own, open) {
			p.Note(op, Clean)
			return nil
		}
		h, err := p.openHypothesis(op, c)
		if err != nil {
			p.Note(op, Inconclusive)
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		meant, err := p.meantClosed(ctx, op, open)
		if err != nil {
			return err
		}
		if !meant {
			h.CVSS = vectorInfo
			h.Title = fmt.Sprintf("%s %s is open, and the description says otherwise", op.Method, op.Path)
			h.Description = "The description asks for credentials, and this operation gives without any what it gives to every user. Nothing in the answer is known to be somebody's alone: it may be public on purpose, and the description should say so then (security: [], or [{}, …] where credentials are optional)."
		}
		_, err = p.Prove(ctx, h)
		return err
	})
}

// forFew reports whether op is a plain read that the user is not meant to have.
func (p *Probe) forFew(op *graph.Op, user *actor.Actor) bool {
	return op.Method == http.MethodGet && !op.Has(graph.Hazard) && op.Kind != graph.Delete && op.Has(graph.Admin) && p.restricted(op, user) != ""
}

// forWhoeverJoins: accounts are to be had for the asking, and what op shows is of
// things that users show each other. Whether nobody sees it as well is little then;
// frameworks declare credentials, too, that an operation takes and does not need.
func (p *Probe) forWhoeverJoins(op *graph.Op) bool {
	user := p.Actor(actor.User)
	return op.About != nil && !op.About.IsPerson && op.Method == http.MethodGet && user != nil && user.Made && p.People.RegisterEntry() != nil
}

// meantClosed reports whether what nobody was shown is meant for some: the
// operation itself says that it asks for credentials, is for administrators, is
// about what is its owner's alone, or its answer holds what the API keeps elsewhere.
func (p *Probe) meantClosed(ctx context.Context, op *graph.Op, open *target.Exchange) (bool, error) {
	if op.SecurityOwn && !p.forWhoeverJoins(op) || op.Has(graph.Admin) || op.Has(graph.Debug) || slices.ContainsFunc(op.Responses, func(r *spec.Response) bool {
		return r.Status == "401" || r.Status == "403"
	}) {
		return true, nil
	}
	// Of people an answer may tell what they show to everybody: who writes here, by which name.
	if op.About != nil && (!op.About.IsPerson || tellsOfPerson(open)) {
		v, err := p.Private(ctx, op.About)
		if err != nil || v.Private() {
			return true, err
		}
	}
	marks, err := p.keptMarks(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(marks, func(m kept) bool { return scenario.Holds(open, m.text) }), nil
}

func (p *Probe) openHypothesis(op *graph.Op, c *world.Call) (Hypothesis, error) {
	s := p.afresh(c)
	steps := s.setup
	add := func(call *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) error {
		st, err := s.step(p, call, id, part)
		st.Note, st.Expect = note, e
		steps = append(steps, st)
		return err
	}
	if err := add(c, "own", scenario.Control, "the user gets an answer", scenario.Expect{Status: "2xx"}); err != nil {
		return Hypothesis{}, err
	}
	if err := add(c, "again", scenario.Control, "twice the same", scenario.Expect{Status: "2xx", Like: "own"}); err != nil {
		return Hypothesis{}, err
	}
	for where, o := range c.Uses {
		for _, in := range op.Inputs {
			if in.Where() != where || in.In != "path" {
				continue
			}
			if err := add(c.With(where, jsonID(in, absent(o.ID))).By(nil), "absent", scenario.Control, "an identifier of nothing gives nothing", scenario.Expect{Unlike: "own"}); err != nil {
				return Hypothesis{}, err
			}
		}
		break
	}
	if err := add(c.By(nil), "attack", scenario.Attack, "nobody, without credentials, gets the same", scenario.Expect{Status: "2xx", Like: "own"}); err != nil {
		return Hypothesis{}, err
	}
	return Hypothesis{
		Op: op, Where: "credentials",
		Title:       fmt.Sprintf("%s %s answers without credentials", op.Method, op.Path),
		Description: "The description asks for credentials here, and the operation gives without any what it gives to a user.",
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as nobody", op.Method, op.Path), Steps: steps},
	}, nil
}
