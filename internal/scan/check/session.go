package check

import (
	"context"
	"fmt"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var (
	_ = register(&Check{
		ID: "session-logout", Title: "Logging out ends nothing",
		OWASP: "API2:2023", CWE: "CWE-613", WSTG: "WSTG-SESS-06",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N",
		About: "Opens another session of a user, logs it out, and goes on using it.",
		Proof: "After the logout was answered with success, the session opens what it opened before. Controls: it did before; no credentials do not.",
		Fix:   "End the session where it is checked: delete it, or keep the token's id in a list of revoked ones until it expires.",
		Mode:  Default, Late: true,
		Run: sessionLogout,
	})
	_ = register(&Check{
		ID: "session-renewal", Title: "What a session was renewed with can be used again",
		OWASP: "API2:2023", CWE: "CWE-613", WSTG: "WSTG-SESS-06",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N",
		About: "Opens another session of a user, renews it, and presents what it was renewed with again.",
		Proof: "The same credential renews a second time after the first renewal gave a new one. Controls: no credentials renew nothing.",
		Fix:   "Make what a renewal takes good for one use, and end the whole session when it comes a second time (RFC 9700, section 4.14).",
		Mode:  Default, Late: true,
		Run: sessionRenewal,
	})
)

func sessionLogout(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	for _, op := range p.Ops() {
		if !op.Has(graph.Logout) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		const as = "again-" + actor.User
		own, err := p.look(w, "own", scenario.Control, as, "another session of the user opens it", scenario.Expect{Status: "2xx"})
		if err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		nobody, _ := p.look(w, "nobody", scenario.Control, actor.Nobody, "no session does not", scenario.Expect{Unlike: "own"})
		out, err := p.step(nil, c, "logout", scenario.Setup)
		if err != nil {
			continue
		}
		out.As, out.Note, out.Expect = as, "it is logged out", []scenario.Expect{{Status: "2xx|302|303"}}
		after, _ := p.look(w, "after", scenario.Attack, as, "and opens it all the same", scenario.Expect{Status: "2xx", Like: "own"})
		if _, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: "credential", Title: fmt.Sprintf("%s %s ends nothing: the session goes on", op.Method, op.Path),
			Description: "After logging out, the session's credential opens what it opened before.",
			Scenario:    &scenario.Scenario{Name: "a session that has logged out", Steps: []scenario.Step{own, nobody, out, after}},
		}); err != nil {
			return err
		}
	}
	return nil
}

func sessionRenewal(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	for _, op := range p.Ops() {
		if !op.Has(graph.Refresh) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		// Which answer's value is the new credential is seen on a session of its own.
		session, err := p.People.Login(ctx, user)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		r, err := p.World.Request(c)
		if err != nil {
			continue
		}
		session.Apply(r)
		x, err := p.Stage.Sender.Do(ctx, actor.User, r)
		if err != nil {
			return err
		}
		save, ok := newCredential(x)
		if x.Status/100 != 2 || !ok {
			p.Note(op, Skipped)
			continue
		}
		const as = "again-" + actor.User
		var steps []scenario.Step
		for _, s := range []struct {
			id   string
			part scenario.Part
			as   string
			note string
			e    scenario.Expect
		}{
			{"nobody", scenario.Control, actor.Nobody, "no credential renews nothing", scenario.Expect{Status: "!2xx"}},
			{"first", scenario.Control, as, "the session is renewed", scenario.Expect{Status: "2xx"}},
			{"second", scenario.Attack, as, "and once more, with the same credential", scenario.Expect{Status: "2xx", At: save.At, Header: save.Header, Matches: "."}},
		} {
			st, err := p.step(nil, c, s.id, s.part)
			if err != nil {
				return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
			}
			st.As, st.Note, st.Expect = s.as, s.note, []scenario.Expect{s.e}
			if s.id == "first" {
				save.As = "renewed"
				st.Save = []scenario.Save{save}
			}
			steps = append(steps, st)
		}
		if _, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: "credential", Title: fmt.Sprintf("%s %s renews again and again with the same credential", op.Method, op.Path),
			Description: "The credential that a session was renewed with goes on working after the renewal: whoever has copied it can renew as well.",
			Scenario:    &scenario.Scenario{Name: "a credential that was renewed", Steps: steps},
		}); err != nil {
			return err
		}
	}
	return nil
}
