package check

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "reset-token-leak", Title: "Whoever asks for a password reset is handed the token",
	OWASP: "API2:2023", CWE: "CWE-640", WSTG: "WSTG-ATHN-09",
	CVSS:  vectorTakeover,
	About: "Registers an account, asks for a reset of its password without being logged in, and sets a new one with what the answer holds; if bursts are allowed and it is a short code, after thirty wrong ones as well.",
	Proof: "The account opens with the new password. Controls: it did not before, and opened with the old one. That codes are not counted is proven by the right one working after the wrong ones, none of which was slowed down or turned away. Where no account can be registered, and bursts are allowed: the answer for a given account, and not for one of nobody, holds something new each time where the reset asks for one such thing and no other proof; no password is set.",
	Fix:   "Send the token to the account's address only, and answer alike whether the account exists or not.",
	Mode:  Default,
	Run:   resetLeak,
})

func resetLeak(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil {
		return nil
	}
	for _, forgot := range p.Ops() {
		if !forgot.Has(graph.PasswordForgot) {
			continue
		}
		for _, reset := range p.Ops() {
			if !reset.Has(graph.PasswordReset) || reset == forgot {
				continue
			}
			if done, err := p.resetBy(ctx, d, forgot, reset); err != nil || done {
				return err
			}
		}
	}
	return nil
}

func (p *Probe) resetBy(ctx context.Context, d *door, forgot, reset *graph.Op) (bool, error) {
	ask, err := p.World.Call(ctx, forgot, nil, nil)
	if err != nil {
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	set, err := p.World.Call(ctx, reset, nil, nil)
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	fresh, err := p.People.Fresh(ctx)
	if err != nil {
		return p.resetGiven(ctx, d, forgot, reset, ask)
	}
	bind, over := map[string]string{}, map[string]string{}
	for _, in := range forgot.Inputs {
		if fact := factOf(in); fact != "" && fresh.Facts[fact] != "" {
			bind[in.Where()] = `"${fresh1.` + fact + `}"`
			over[in.Where()] = jsonString(fresh.Facts[fact])
		}
	}
	probe := ask
	for where, text := range over {
		probe = probe.With(where, text)
	}
	x, err := p.send(ctx, probe)
	if err != nil {
		return false, err
	}
	save, ok := resetToken(x)
	if !ok || len(over) == 0 {
		p.Note(forgot, Clean)
		return false, nil
	}
	save.As = "reset"
	const newPassword = "Changed-${canary.new}-9!"
	to := map[string]string{}
	for _, in := range reset.Inputs {
		switch in.Meaning {
		case graph.MeansPassword:
			to[in.Where()] = `"` + newPassword + `"`
		case graph.MeansToken, graph.MeansOTP:
			to[in.Where()] = `"${reset}"`
		default:
			if fact := factOf(in); fact != "" && fresh.Facts[fact] != "" {
				to[in.Where()] = `"${fresh1.` + fact + `}"`
			}
		}
	}
	var s steps
	s.add(d.step(p, "old", scenario.Setup, "an account opens with its password", d.fresh("${fresh1.password}"), d.in()))
	s.list[0].As = "fresh1"
	s.list[0].Send.Without = []string{"*"}
	s.add(d.step(p, "before", scenario.Control, "and not with another", d.fresh(newPassword), scenario.Expect{Status: "!2xx"}))
	st, err := p.World.Step(ask, bind)
	st.ID, st.Part, st.As, st.Note, st.Save = "forgot", scenario.Attack, actor.Nobody, "a stranger asks for a reset, and the answer holds the token", []scenario.Save{save}
	s.add(st, err)
	st, err = p.World.Step(set, to)
	st.ID, st.Part, st.As, st.Note = "reset", scenario.Attack, actor.Nobody, "the stranger sets a new password with it"
	s.add(st, err)
	s.add(d.step(p, "after", scenario.Observe, "and the account opens with that", d.fresh(newPassword), d.in()))
	if s.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	done, err := p.Prove(ctx, Hypothesis{
		Op: forgot, Where: "answer." + save.At, Title: fmt.Sprintf("%s %s hands the reset token to whoever asks", forgot.Method, forgot.Path),
		Description: "The answer to a request for a password reset holds what is needed to set a new password, and setting it worked.",
		Scenario:    &scenario.Scenario{Name: "a reset token in an answer", Steps: s.list},
	})
	if err != nil || !done {
		return done, err
	}
	if err := p.resetsAgain(ctx, d, reset, to, s.list); err != nil || p.Mode < Aggressive {
		return true, err
	}
	return true, p.triesResets(ctx, reset, to, s.list, codeAt(x, save.At))
}

// resetToken is where an answer to a forgotten password holds a token or a code.
func resetToken(x *target.Exchange) (scenario.Save, bool) {
	if x.Status/100 != 2 {
		return scenario.Save{}, false
	}
	if save, ok := newCredential(x); ok {
		return save, true
	}
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return scenario.Save{}, false
	}
	var save scenario.Save
	found := false
	scenario.Walk(body, func(at string, s any) {
		text := fmt.Sprint(s)
		name := strings.ToLower(at[strings.LastIndexByte(at, '/')+1:])
		if !found && len(text) >= 4 && reCodeName.MatchString(name) && reCode.MatchString(text) {
			save, found = scenario.Save{At: at}, true
		}
	})
	return save, found
}

var (
	reCodeName = regexp.MustCompile(`token|code|otp|pin|key|secret|link|url`)
	reCode     = regexp.MustCompile(`^[A-Za-z0-9._~-]{4,}$`)
)
