package check

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "password-unconfirmed", Title: "The present password is asked for, and not looked at",
	OWASP: "API2:2023", CWE: "CWE-620", WSTG: "WSTG-ATHN-09",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Changes the password of a new account with a wrong one in place of the present one.",
	Proof: "The account opens with the new password. Controls: before the call it does not, and it opens with its own.",
	Fix:   "Verify the present password before a new one is set, count wrong ones as at the login, and end the account's other sessions.",
	Mode:  Default, Dirty: true,
	Run: passwordUnconfirmed,
})

func passwordUnconfirmed(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	d := p.door(ctx)
	if d == nil {
		return nil
	}
	for _, op := range p.Ops() {
		if op.Method == http.MethodGet || op.Has(graph.PasswordReset) && !op.Has(graph.PasswordChange) || op.Has(graph.Hazard) || op.Has(graph.Register) || op.Has(graph.Login) {
			continue
		}
		var old, fresh []*graph.Input
		for _, in := range op.Inputs {
			if in.Meaning != graph.MeansPassword || in.In != "body" || in.ReadOnly {
				continue
			}
			if reOldPassword.MatchString(in.Name) {
				old = append(old, in)
			} else {
				fresh = append(fresh, in)
			}
		}
		if len(old) != 1 || len(fresh) == 0 || slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "path" }) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		bind := c.Renew("attack")
		for _, in := range fresh {
			bind[in.Where()] = jsonString(takenPassword)
		}
		bind[old[0].Where()] = `"` + wrongPassword + `"`
		for _, in := range op.Inputs {
			if in.In == "body" && in.Meaning == graph.MeansEmail {
				bind[in.Where()] = `"${fresh1.email}"`
			}
		}
		var s steps
		s.add(d.step(p, "first", scenario.Control, "the account opens with its password", d.fresh("${fresh1.password}"), d.in()))
		s.list[0].As = "fresh1"
		s.list[0].Send.Without = []string{"*"}
		s.add(d.step(p, "before", scenario.Control, "and not with another", d.fresh(takenPassword), scenario.Expect{Status: "!2xx|302|303"}))
		st, err := p.World.Step(c, bind)
		st.ID, st.Part, st.As, st.Note = "attack", scenario.Attack, "fresh1", "a new password is set, with a wrong one as the present one"
		s.add(st, err)
		s.add(d.step(p, "after", scenario.Observe, "the account opens with the new one", d.fresh(takenPassword), d.in()))
		if s.err != nil {
			p.Note(op, Inconclusive)
			continue
		}
		p.Note(op, Clean)
		if _, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: old[0].Where(), Title: fmt.Sprintf("%s %s sets a new password without looking at the present one", op.Method, op.Path),
			Description: "Whoever comes by a session for a moment (an unlocked screen, a stolen token) takes the account over for good.",
			Scenario:    &scenario.Scenario{Name: "a new password with a wrong one as the present one", Steps: s.list},
		}); err != nil {
			return err
		}
	}
	return nil
}
