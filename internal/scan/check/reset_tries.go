package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// codeAt is the short code that an answer holds, "" when it holds something longer:
// what is long enough needs no limit.
func codeAt(x *target.Exchange, at string) string {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return ""
	}
	for _, v := range scenario.Find(body, at) {
		if code := scenario.Plain(v); len(code) >= 4 && len(code) <= 8 && strings.Trim(code, "0123456789") == "" {
			return code
		}
	}
	return ""
}

// resetsAgain sets a second new password with what has set one: what a mailbox keeps
// goes on opening the account.
func (p *Probe) resetsAgain(ctx context.Context, d *door, reset *graph.Op, to map[string]string, list []scenario.Step) error {
	where := ""
	again := maps.Clone(to)
	for at, text := range to {
		switch text {
		case `"${reset}"`:
			where = at
		case `"` + takenPassword + `"`:
			again[at] = `"` + laterPassword + `"`
		}
	}
	set, err := p.World.Call(ctx, reset, nil, nil)
	if err != nil || where == "" {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	l := steps{list: slices.Clone(list)}
	l.add(d.step(p, "unopened", scenario.Control, "and not with a third password", d.fresh(laterPassword), scenario.Expect{Status: "!2xx|302|303"}))
	st, err := p.World.Step(set, again)
	st.ID, st.Part, st.As, st.Note = "again", scenario.Attack, actor.Nobody, "the same token sets that one"
	l.add(st, err)
	l.add(d.step(p, "opened", scenario.Observe, "and the account opens with it", d.fresh(laterPassword), d.in()))
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: reset, Where: where + " again", Title: fmt.Sprintf("%s %s takes the same token again", reset.Method, reset.Path),
		CVSS:        "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N",
		Description: "What has set a new password once sets another: whoever finds the message later, in a mailbox or a log, takes the account over.",
		Scenario:    &scenario.Scenario{Name: "a reset token used twice", Steps: l.list},
	})
	return err
}

const laterPassword = "Later-${canary.later}-7!" //nolint:gosec // of an account of the scenario's own

// triesResets tries thirty wrong codes of the right one's length before the right
// one: that it still works shows that nobody counts.
func (p *Probe) triesResets(ctx context.Context, reset *graph.Op, to map[string]string, list []scenario.Step, code string) error {
	var in *graph.Input
	for _, i := range reset.Inputs {
		if to[i.Where()] == `"${reset}"` {
			in = i
		}
	}
	if in == nil || code == "" {
		return nil
	}
	set, err := p.World.Call(ctx, reset, nil, nil)
	if err != nil {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	zero := 0
	at := slices.IndexFunc(list, func(st scenario.Step) bool { return st.ID == "reset" })
	story := slices.Clone(list[:at])
	for i, first := range []string{"7", "8", "9"} {
		wrong := maps.Clone(to)
		wrong[in.Where()] = `"` + first + strings.Repeat("0", len(code)-2) + `${turn}"`
		st, err := p.World.Step(set, wrong)
		if err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		st.ID, st.Part, st.As, st.Note, st.Times = fmt.Sprintf("tries%d", i+1), scenario.Attack, actor.Nobody, "ten wrong codes, one after the other", 10
		st.Expect = []scenario.Expect{{Steady: growingDelay}, {Status: "429|423|403|503|420", AtMost: &zero}, {Status: "2xx", AtMost: &zero}}
		story = append(story, st)
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: reset, Where: in.Where(), CWE: "CWE-307", Title: fmt.Sprintf("%s %s takes any number of wrong codes", reset.Method, reset.Path),
		Description: fmt.Sprintf("Thirty wrong codes in a row were answered one like the other, and the right one, of %d digits, still set a new password: all there are can be tried.", len(code)),
		Scenario:    &scenario.Scenario{Name: "thirty wrong codes for a reset", Steps: append(story, list[at:]...)},
	})
	return err
}
