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
	ID: "session-password", Title: "A new password leaves the account's other sessions open",
	OWASP: "API2:2023", CWE: "CWE-613", WSTG: "WSTG-SESS-07",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:P/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N",
	About: "Opens another session of a new account, changes the account's password, and goes on using the other session.",
	Proof: "The account opens with the new password and no more with the old one, and the other session opens what it opened before. Controls: it did before; no credentials do not. Tokens that hold their own end go on until then in many well-built APIs, so that it weighs little.",
	Fix:   "End all other sessions of an account when its password changes, or offer to (OWASP ASVS 5.0, 7.4.3); refuse tokens that were issued before the change.",
	Mode:  Default, Dirty: true,
	Run: sessionPassword,
})

func sessionPassword(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	d := p.door(ctx)
	if d == nil || d.save == (scenario.Save{}) {
		return nil
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	for _, op := range p.Ops() {
		if !op.Has(graph.PasswordChange) || op.Method == http.MethodGet || op.Has(graph.Hazard) || len(op.PathParams) > 0 || !op.Secured {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		bind := c.Renew("change")
		sets := false
		for _, in := range op.Inputs {
			switch {
			case in.In != "body" || in.ReadOnly:
			case in.Meaning == graph.MeansPassword && reOldPassword.MatchString(in.Name):
				bind[in.Where()] = `"${fresh1.password}"`
			case in.Meaning == graph.MeansPassword:
				bind[in.Where()], sets = jsonString(takenPassword), true
			case in.Meaning == graph.MeansEmail:
				bind[in.Where()] = `"${fresh1.email}"`
			}
		}
		if !sets {
			continue
		}
		save := d.save
		save.As = "other"
		var l steps
		st, err := d.step(p, "login", scenario.Setup, "another session of a new account begins", d.fresh("${fresh1.password}"), d.in())
		if err == nil {
			st.As, st.Send.Without, st.Save = "fresh1", []string{"*"}, []scenario.Save{save}
		}
		l.add(st, err)
		other := func(id string, part scenario.Part, note string, e scenario.Expect) {
			st, err := p.look(w, id, part, "fresh1", note, e)
			if err == nil {
				st.Send.Credential = "${other}"
			}
			l.add(st, err)
		}
		other("own", scenario.Control, "it opens the account", scenario.Expect{Status: "2xx"})
		l.add(p.look(w, "nobody", scenario.Control, actor.Nobody, "no session does not", scenario.Expect{Unlike: "own"}))
		st, err = p.World.Step(c, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = "change", scenario.Setup, "fresh1", "the first session sets a new password", []scenario.Expect{{Status: "2xx|302|303"}}
		l.add(st, err)
		l.add(d.step(p, "new", scenario.Control, "the account opens with the new one", d.fresh(takenPassword), d.in()))
		l.add(d.step(p, "old", scenario.Control, "and no more with the old one", d.fresh("${fresh1.password}"), scenario.Expect{Status: "!2xx|302|303"}))
		other("after", scenario.Attack, "the other session opens it all the same", scenario.Expect{Status: "2xx", Like: "own"})
		if l.err != nil {
			p.Note(op, Inconclusive)
			continue
		}
		p.Note(op, Clean)
		if _, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: "credential", Title: fmt.Sprintf("%s %s leaves the account's other sessions open", op.Method, op.Path),
			Description: "Whoever has come by a session keeps it when the account's owner sets a new password to be rid of them.",
			Scenario:    &scenario.Scenario{Name: "a session from before a new password", Steps: slices.Clip(l.list)},
		}); err != nil {
			return err
		}
	}
	return nil
}
