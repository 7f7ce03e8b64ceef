package check

import (
	"context"
	"fmt"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "weak-password", Title: "A password of the commonest is taken",
	OWASP: "API2:2023", CWE: "CWE-521", WSTG: "WSTG-ATHN-07",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: `Registers an account with the password "123456" or "password".`,
	Proof: "The account is made, and opens with that password. Controls: another password does not open it.",
	Fix:   "Ask for at least 8 characters (15 without a second factor) and refuse those of a list of known ones (NIST SP 800-63B-4, section 3.1.1).",
	Mode:  Default,
	Run:   weakPassword,
})

func weakPassword(ctx context.Context, p *Probe) error {
	e := p.People.RegisterEntry()
	d := p.door(ctx)
	if e == nil || d == nil || e.Fields["password"] == "" {
		return nil
	}
	for _, pw := range []string{"123456", "12345678", "password", "Password1"} {
		c, err := p.World.Call(ctx, e.Op, nil, nil)
		if err != nil {
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		bind := c.Renew("account")
		who := map[string]string{}
		facts := p.People.NewFacts("weak" + pw)
		for fact, where := range e.Fields {
			switch fact {
			case "password", "confirm":
				bind[where] = `"` + pw + `"`
			case "email":
				bind[where], who[fact] = `"${canary.account}@`+domainOf(facts["email"])+`"`, "${canary.account}@"+domainOf(facts["email"])
			case "username":
				bind[where], who[fact] = `"${canary.account}"`, "${canary.account}"
			case "phone":
				bind[where], who[fact] = `"+1${number.account}"`, "+1${number.account}"
			}
		}
		login := map[string]string{"password": pw}
		for fact := range d.fields {
			if v := who[fact]; v != "" {
				login[fact] = v
			}
		}
		if len(login) < 2 {
			return nil
		}
		wrong := map[string]string{}
		for k, v := range login {
			wrong[k] = v
		}
		wrong["password"] = wrongPassword
		var s steps
		st, err := p.World.Step(c, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = "register", scenario.Attack, actor.Nobody, "an account with the password "+pw, []scenario.Expect{{Status: "2xx"}}
		s.add(st, err)
		s.add(d.step(p, "wrong", scenario.Control, "it does not open with another", wrong, scenario.Expect{Status: "!2xx"}))
		s.add(d.step(p, "open", scenario.Observe, "it opens with it", login, d.in()))
		if s.err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		ok, err := p.Prove(ctx, Hypothesis{
			Op: e.Op, Where: e.Fields["password"], Title: fmt.Sprintf("%s %s takes the password %q", e.Op.Method, e.Op.Path, pw),
			Description: "An account can be made with one of the commonest passwords of all.",
			Scenario:    &scenario.Scenario{Name: "a common password", Steps: s.list},
		})
		if err != nil || ok {
			return err
		}
	}
	return nil
}
