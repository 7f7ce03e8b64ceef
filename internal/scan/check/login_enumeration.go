package check

import (
	"context"
	"fmt"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "login-enumeration", Title: "Login tells which accounts exist",
	OWASP: "API2:2023", CWE: "CWE-204", WSTG: "WSTG-IDNT-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Logs in with a wrong password, to an account that exists and to one that does not.",
	Proof: "The two are answered differently, each time in the same way. Controls: two accounts that do not exist are answered alike, and so are two tries at the one that does.",
	Fix:   "Answer both alike: same status, same words, same time (hash a password in both cases).",
	Mode:  Default,
	Run:   loginEnumeration,
})

func loginEnumeration(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil {
		return nil
	}
	refused := scenario.Expect{Status: "4xx"}
	if p.softly(ctx, d) {
		refused = scenario.Expect{Status: "2xx|4xx", Unlike: "first"}
	}
	var s steps
	s.add(d.step(p, "first", scenario.Setup, "an account that is there", d.fresh("${fresh1.password}"), d.in()))
	s.list[0].As = "fresh1"
	s.list[0].Send.Without = []string{"*"}
	s.add(d.step(p, "known", scenario.Control, "a wrong password for it", d.fresh(wrongPassword), refused))
	s.add(d.step(p, "unknown", scenario.Control, "the same for one that is not", d.unknown("a"), scenario.Expect{Status: "!429"}))
	s.add(d.step(p, "unknown2", scenario.Control, "and for another", d.unknown("b"), scenario.Expect{Like: "unknown"}))
	s.add(d.step(p, "again", scenario.Attack, "the first again: answered as before, and not as the others", d.fresh(wrongPassword), scenario.Expect{Like: "known", Unlike: "unknown"}))
	if s.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err := p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: "answer", Title: fmt.Sprintf("%s %s tells which accounts exist", d.call.Op.Method, d.call.Op.Path),
		Description: "A wrong password is answered otherwise when the account exists than when it does not.",
		Scenario:    &scenario.Scenario{Name: "accounts that exist and accounts that do not", Steps: s.list},
	})
	return err
}
