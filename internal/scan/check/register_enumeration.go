package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "register-enumeration", Title: "Registering tells which accounts exist",
	OWASP: "API2:2023", CWE: "CWE-204", WSTG: "WSTG-IDNT-04", CVSS: vectorInfo,
	About: "Registers with the address of an account that exists, where neither the login nor a password's reset tell of it already.",
	Proof: "The address that is taken is answered otherwise than a new one, each time. Controls: two new ones are answered alike. Most APIs do it, so it is told as a remark.",
	Fix:   "Answer both alike (\"look into your mail\"), and tell the owner of a taken address by mail; where that is too much, bound how often one caller may try.",
	Mode:  Default, Dirty: true,
	Run: registerEnumeration,
})

// proved reports whether one of these checks has found something.
func (p *Probe) proved(checks ...string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.findings {
		if slices.Contains(checks, f.Check) {
			return true
		}
	}
	return false
}

func registerEnumeration(ctx context.Context, p *Probe) error {
	e, d := p.People.RegisterEntry(), p.door(ctx)
	if e == nil || d == nil || p.proved("login-enumeration", "reset-enumeration") {
		return nil
	}
	c, err := p.World.Call(ctx, e.Op, nil, nil)
	if err != nil {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	p.Note(e.Op, Clean)
	facts := p.People.NewFacts("taken")
	step := func(id string, part scenario.Part, note string, who func(fact string) string, expect scenario.Expect) (scenario.Step, error) {
		bind := c.Renew(id)
		for fact, where := range e.Fields {
			switch fact {
			case "password", "confirm":
				bind[where] = jsonString(facts["password"])
			case "email", "username", "phone":
				bind[where] = `"` + who(fact) + `"`
			}
		}
		st, err := p.World.Step(c, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, actor.Nobody, note, []scenario.Expect{expect}
		return st, err //nolint:wrapcheck // its caller says which step
	}
	known := func(fact string) string { return "${fresh1." + fact + "}" }
	var l steps
	first, err := d.step(p, "first", scenario.Setup, "an account that is there", d.fresh("${fresh1.password}"), d.in())
	if err == nil {
		first.As, first.Send.Without = "fresh1", []string{"*"}
	}
	l.add(first, err)
	l.add(step("new", scenario.Control, "somebody new registers", madeUp("a"), scenario.Expect{Status: "2xx|302|303"}))
	l.add(step("new2", scenario.Control, "somebody else, who is answered alike", madeUp("b"), scenario.Expect{Like: "new"}))
	l.add(step("attack", scenario.Attack, "whoever registers with the address that is taken is answered otherwise", known, scenario.Expect{Status: "200|201|202|204|302|303|400|403|409|422", Unlike: "new"}))
	l.add(step("again", scenario.Attack, "and so again", known, scenario.Expect{Like: "attack", Unlike: "new"}))
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: e.Op, Where: "answer", Title: fmt.Sprintf("%s %s tells which accounts exist", e.Op.Method, e.Op.Path),
		Description: "Registering is answered otherwise when the address is an account's. Neither the login nor a reset tells, so that this is what does.",
		Scenario:    &scenario.Scenario{Name: "registering with an address that is taken", Steps: l.list},
	})
	return err
}
