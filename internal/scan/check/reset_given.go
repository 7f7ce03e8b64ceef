package check

import (
	"context"
	"fmt"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// resetGiven is the proof where no account can be registered: nobody sets another password
// of an account that was given. An answer that holds, for an account that is there and
// for no other, something new each time in a member that is called as what the reset asks
// for, hands it out: the reset takes that one thing and the new password, and no other
// proof of who one is.
func (p *Probe) resetGiven(ctx context.Context, d *door, forgot, reset *graph.Op, ask *world.Call) (bool, error) {
	if d.who = p.stands(ctx); d.who == "" || d.who == "fresh1" || proofsOf(reset) != 1 {
		p.Note(forgot, Skipped)
		return false, nil
	}
	known := func(fact string) string { return "${" + d.who + "." + fact + "}" }
	probe, named := ask, false
	for _, in := range forgot.Inputs {
		if fact := factOf(in); fact != "" && p.Actor(d.who).Facts[fact] != "" {
			probe, named = probe.With(in.Where(), jsonString(p.Actor(d.who).Facts[fact])), true
		}
	}
	if !named {
		return false, nil
	}
	x, err := p.send(ctx, probe)
	if err != nil {
		return false, err
	}
	p.Note(forgot, Clean)
	save, ok := resetToken(x)
	if !ok || save.At == "" {
		return false, nil
	}
	save.As = "reset"
	first := "${reset}"
	var s steps
	s.add(p.asks(ask, madeUp("a"), "unknown", scenario.Control, "a reset of an account that is not there is asked for: nothing is handed out", scenario.Expect{Status: "any"}, scenario.Expect{At: save.At, Missing: true}))
	s.add(p.asks(ask, known, "attack", scenario.Attack, "a stranger asks for one of an account that is there, and the answer holds what sets its password", scenario.Expect{Status: "2xx", At: save.At, Matches: "^.{4,}$"}))
	s.list[1].Save = []scenario.Save{save}
	s.add(p.asks(ask, known, "again", scenario.Attack, "another one each time", scenario.Expect{Status: "2xx", At: save.At, Differs: &first}))
	if s.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: forgot, Where: "answer." + save.At, Title: fmt.Sprintf("%s %s hands the reset token to whoever asks", forgot.Method, forgot.Path),
		Description: fmt.Sprintf("The answer to a request for a password reset holds what %s %s asks for, another each time, and none for an account that does not exist. No password was set with it: the account is one that was given.", reset.Method, reset.Path),
		Scenario:    &scenario.Scenario{Name: "a reset token in an answer", Steps: s.list},
	})
}

// proofsOf is how many things an operation asks for that prove who one is.
func proofsOf(op *graph.Op) int {
	n := 0
	for _, in := range op.Inputs {
		if in.Meaning == graph.MeansToken || in.Meaning == graph.MeansOTP {
			n++
		}
	}
	return n
}
