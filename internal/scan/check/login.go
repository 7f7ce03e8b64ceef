package check

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "login-unlimited", Title: "Passwords can be tried without limit",
	OWASP: "API2:2023", CWE: "CWE-307", WSTG: "WSTG-ATHN-03",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N", // the password must be one that can be guessed
	About: "Registers an account, logs in to it with thirty wrong passwords one after the other, and then with the right one. Where none can be registered, it is done to a given account, as the run ends: the foreign one's, else the peer's.",
	Proof: "No try was slowed down or turned away, and the right password still opens the account. Controls: a wrong password opens nothing.",
	Fix:   "Count tries by account and by address, delay growing from the fifth on, and answer 429 with Retry-After; let no attacker lock others out.",
	Mode:  Aggressive, Last: true, // an account that was given may be locked by it, and logins with it
	Run: loginUnlimited,
})

// growingDelay is by how much tries become slower where somebody counts them: a
// second after the fifth, and more after each, is a limit like any other.
const growingDelay = 400 * time.Millisecond

const wrongPassword = "wrong-${canary.pw}-A1!" //nolint:gosec // nobody's: it is there to be wrong

func loginUnlimited(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil {
		return nil
	}
	if d.who = p.stands(ctx); d.who == "" {
		return nil
	}
	zero := 0
	in, opens := d.in(), scenario.Expect{Status: "any"}
	wrong := []scenario.Expect{{Steady: growingDelay}, {Status: "429|423|403|503|420", AtMost: &zero}, {Status: "2xx", AtMost: &zero}}
	soft := p.softly(ctx, d)
	if soft {
		// A refusal is a success by its status: what it gives and what it says must tell.
		in, opens = d.entered(), scenario.Expect{Unlike: "wrong"}
		wrong[2] = scenario.Expect{Like: "wrong"}
	}
	var s steps
	s.add(d.step(p, "first", scenario.Control, "the account opens with its password", d.fresh(d.right()), in))
	s.list[0].As = d.who
	s.list[0].Send.Without = []string{"*"}
	if soft {
		s.add(d.step(p, "wrong", scenario.Control, "and is told otherwise of a wrong one", d.fresh(wrongPassword), scenario.Expect{Unlike: "first"}))
	}
	st, err := d.step(p, "tries", scenario.Attack, "thirty wrong passwords, one after the other", d.fresh("wrong-${turn}-${canary.pw}-A1!"), wrong...)
	st.Times = 30
	s.add(st, err)
	s.add(d.step(p, "open", scenario.Observe, "and it opens with the right one at once", d.fresh(d.right()), in, opens))
	if s.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	ok, err := p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: d.fields["password"], Title: fmt.Sprintf("%s %s takes any number of wrong passwords", d.call.Op.Method, d.call.Op.Path),
		Description: "Thirty wrong passwords in a row were answered one like the other, and the right one after them opened the account.",
		Scenario:    &scenario.Scenario{Name: "thirty wrong passwords", Steps: s.list},
	})
	if err != nil || ok {
		return err
	}
	return p.loginByAddress(ctx, d)
}

// addressHeaders are those in which proxies tell whom they speak for.
var addressHeaders = []string{"X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"}

// loginByAddress: there is a limit, and it goes by an address that the caller names.
func (p *Probe) loginByAddress(ctx context.Context, d *door) error {
	zero := 0
	refused := scenario.Expect{Status: "429|423|403|503|420"}
	from := func(st scenario.Step, err error, address string) (scenario.Step, error) {
		if err == nil {
			for _, name := range addressHeaders {
				st.Send.Header = append(slices.Clip(st.Send.Header), scenario.Pair{Name: name, Value: address})
			}
		}
		return st, err
	}
	var s steps
	s.add(d.step(p, "first", scenario.Control, "the account opens with its password", d.fresh(d.right()), d.in()))
	s.list[0].As = d.who
	s.list[0].Send.Without = []string{"*"}
	limit := refused
	limit.AtLeast = 1
	st, err := d.step(p, "limited", scenario.Control, "after some wrong passwords no more are taken", d.fresh("wrong-${turn}-${canary.pw}-A1!"), scenario.Expect{Steady: growingDelay}, limit)
	st.Times = 20
	s.add(st, err)
	s.add(d.step(p, "shut", scenario.Control, "nor is the right one", d.fresh(d.right()), refused))
	limit = refused
	limit.AtMost = &zero
	st, err = d.step(p, "tries", scenario.Attack, "twenty more, each as if from another address, are all looked at", d.fresh("wrong2-${turn}-${canary.pw}-A1!"), scenario.Expect{Steady: growingDelay}, limit, scenario.Expect{Status: "2xx", AtMost: &zero})
	st.Times = 20
	s.add(from(st, err, "198.51.100.${turn}"))
	st, err = d.step(p, "open", scenario.Observe, "and the right one opens the account", d.fresh(d.right()), d.in())
	s.add(from(st, err, "203.0.113.77"))
	if s.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: "header.X-Forwarded-For", Title: fmt.Sprintf("%s %s counts wrong passwords by an address that the caller names", d.call.Op.Method, d.call.Op.Path),
		Description: "Wrong passwords are limited, but whoever names another address in a header with each try is not: passwords can be tried without end.",
		Scenario:    &scenario.Scenario{Name: "wrong passwords as if from many addresses", Steps: s.list},
	})
	return err
}
