package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "session-fixation", Title: "Logging in keeps the session that the browser came with",
	OWASP: "API2:2023", CWE: "CWE-384", WSTG: "WSTG-SESS-03",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:A/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Logs a new account in with a session cookie that an attacker knows: one that the API gave to a visitor, or a made-up one.",
	Proof: "The known cookie opens what only the account can open. Controls: before the login it did not, and another made-up one does not afterwards.",
	Fix:   "Make a new session identifier at each login and end the old one; never take an identifier that the server did not make (OWASP ASVS 5.0, 7.2.4).",
	Mode:  Default,
	Run:   sessionFixation,
})

func sessionFixation(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	part := firstPart(user)
	d := p.door(ctx)
	if d == nil || part == nil || part.In != "cookie" || d.save.Cookie == "" || len(user.Session.Snapshot()) == 0 {
		return nil
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	cookie := d.save.Cookie
	with := func(st scenario.Step, err error, value string) (scenario.Step, error) {
		if err == nil {
			st.Send.Header = append(slices.Clone(st.Send.Header), scenario.Pair{Name: "Cookie", Value: cookie + "=" + value})
		}
		return st, err
	}
	for _, way := range []struct{ sid, note string }{
		{"${given}", "that the API gives to a visitor"},
		{"${canary.sid}${canary.sid2}", "that the attacker makes up"},
	} {
		var l steps
		if way.sid == "${given}" {
			st, err := p.look(w, "visit", scenario.Setup, actor.Nobody, "the attacker visits, and gets a session cookie")
			st.Save = []scenario.Save{{As: "given", Cookie: cookie}}
			l.add(st, err)
		}
		st, err := p.look(w, "before", scenario.Control, actor.Nobody, "it opens nothing", scenario.Expect{Status: "!2xx"})
		l.add(with(st, err, way.sid))
		st, err = d.step(p, "login", scenario.Setup, "somebody logs in with it", d.fresh("${fresh1.password}"), scenario.Expect{Status: "2xx|302|303"})
		if err == nil {
			st.As, st.Send.Without = "fresh1", []string{"*"}
		}
		l.add(with(st, err, way.sid))
		st, err = p.look(w, "other", scenario.Control, actor.Nobody, "another made-up one opens nothing", scenario.Expect{Status: "!2xx"})
		l.add(with(st, err, "${canary.other}${canary.sid2}"))
		st, err = p.look(w, "attack", scenario.Attack, actor.Nobody, "the attacker's own opens the account now", scenario.Expect{Status: "2xx"})
		l.add(with(st, err, way.sid))
		if l.err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		ok, err := p.Prove(ctx, Hypothesis{
			Op: d.call.Op, Where: "cookie." + cookie, Title: fmt.Sprintf("%s %s keeps the session that the browser came with", d.call.Op.Method, d.call.Op.Path),
			Description: fmt.Sprintf("A session cookie %s is the account's once its owner has logged in with it: whoever put it into the browser is in as well.", way.note),
			Scenario:    &scenario.Scenario{Name: "a session fixed before the login", Steps: l.list},
		})
		if err != nil || ok {
			return err
		}
	}
	return nil
}
