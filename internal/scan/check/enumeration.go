package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "reset-enumeration", Title: "Asking for a password reset tells which accounts exist",
		OWASP: "API2:2023", CWE: "CWE-204", WSTG: "WSTG-IDNT-04",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Asks for a password reset of an account that exists and of one that does not, without being logged in.",
		Proof: "The two are answered differently, each time in the same way. Controls: two accounts that do not exist are answered alike; the one that does is answered otherwise twice.",
		Fix:   "Answer both alike and at once, and send the mail afterwards.",
		Mode:  Default,
		Run:   resetEnumeration,
	})
	_ = register(&Check{
		ID: "login-timing", Title: "The time of a login tells which accounts exist",
		OWASP: "API2:2023", CWE: "CWE-208", WSTG: "WSTG-IDNT-04",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Logs in with wrong passwords, to an account that exists and to ones that do not, in turns, while nothing else is sent.",
		Proof: "Every try of one kind takes at least twice as long, and 20 ms longer, than the slowest of the other, in four series. Controls: none was turned away for being too many; the statuses are those of wrong passwords.",
		Fix:   "Hash the password given in both cases, against a fixed hash where there is no account.",
		Mode:  Default, Alone: true,
		Run: loginTiming,
	})
)

// asks is a request for a password reset of the account that a scenario's names stand for.
func (p *Probe) asks(c *world.Call, who func(fact string) string, id string, part scenario.Part, note string, e ...scenario.Expect) (scenario.Step, error) {
	bind := map[string]string{}
	for _, in := range c.Op.Inputs {
		if fact := factOf(in); fact != "" {
			bind[in.Where()] = `"` + who(fact) + `"`
		}
	}
	st, err := p.World.Step(c, bind)
	st.ID, st.Part, st.As, st.Note, st.Expect = id, part, actor.Nobody, note, e
	return st, err //nolint:wrapcheck // nothing is added
}

// madeUp names an account of nobody by a fact.
func madeUp(name string) func(string) string {
	return func(fact string) string {
		switch fact {
		case "email":
			return "${canary." + name + "}@example.com"
		case "phone":
			return "+1${number." + name + "}"
		}
		return "${canary." + name + "}"
	}
}

func resetEnumeration(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil {
		return nil
	}
	if d.who = p.stands(ctx); d.who == "" {
		return nil
	}
	for _, op := range p.Ops() {
		if !op.Has(graph.PasswordForgot) || !slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return factOf(in) != "" }) {
			continue
		}
		c, err := p.World.Call(ctx, op, nil, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		known := func(fact string) string { return "${" + d.who + "." + fact + "}" }
		var s steps
		first, err := d.step(p, "first", scenario.Setup, "an account that is there", d.fresh(d.right()), d.in())
		if err == nil {
			first.As, first.Send.Without = d.who, []string{"*"}
		}
		s.add(first, err)
		answers := scenario.Expect{Status: "200|201|202|204|302|303|400|401|403|404|409|422"}
		// What is answered of the one that is there may hold something new each time.
		other := answers
		other.Unlike = "unknown"
		s.add(p.asks(c, madeUp("a"), "unknown", scenario.Control, "a reset of the password of one that is not there is asked for", answers))
		s.add(p.asks(c, madeUp("b"), "unknown2", scenario.Control, "and of another, which is answered alike", scenario.Expect{Like: "unknown"}))
		s.add(p.asks(c, known, "known", scenario.Attack, "the same for the one that is there: answered otherwise", other))
		s.add(p.asks(c, known, "again", scenario.Attack, "and so again", other))
		if s.err != nil {
			continue
		}
		if _, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: "answer", Title: fmt.Sprintf("%s %s tells which accounts exist", op.Method, op.Path),
			Description: "Asking for a password reset is answered otherwise when the account exists than when it does not.",
			Scenario:    &scenario.Scenario{Name: "resets of accounts that exist and of accounts that do not", Steps: s.list},
		}); err != nil {
			return err
		}
	}
	return nil
}

// timing: how far apart two kinds of tries must be.
const (
	timingApart = 20 * time.Millisecond
	timingTries = 4 // in a series
)

func loginTiming(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	h, err := p.timingHypothesis(d, 2, 0, false)
	if err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	// What it takes is measured once, without expecting anything of it.
	out, err := p.attempt(ctx, h.Scenario, true)
	if err != nil || out.Verdict != scenario.Proven {
		return err
	}
	p.Note(d.call.Op, Clean)
	known, unknown := durations(out.Of("known"), out.Of("known2")), durations(out.Of("unknown"), out.Of("unknown2"))
	fast, slow, reversed := unknown, known, false
	if slices.Min(unknown) > slices.Max(known) {
		fast, slow, reversed = known, unknown, true
	}
	gap := slices.Min(slow) - slices.Max(fast)
	if gap < timingApart || slices.Min(slow) < 2*slices.Max(fast) {
		return nil
	}
	if h, err = p.timingHypothesis(d, timingTries, max(timingApart, gap/2), reversed); err != nil {
		return nil //nolint:nilerr // as above
	}
	_, err = p.Prove(ctx, h)
	return err
}

func durations(of ...*scenario.Result) []time.Duration {
	var out []time.Duration
	for _, r := range of {
		for _, x := range r.Exchanges {
			out = append(out, x.Duration)
		}
	}
	return out
}

// turning makes facts other ones at each of a step's turns.
func turning(facts map[string]string) map[string]string {
	out := map[string]string{}
	for fact, text := range facts {
		out[fact] = strings.Replace(text, "}", "}${turn}", 1)
	}
	return out
}

// timingHypothesis tries both kinds in turns, so many times each; apart 0: nothing
// is expected of the times. reversed: those that are not there take longer.
func (p *Probe) timingHypothesis(d *door, times int, apart time.Duration, reversed bool) (Hypothesis, error) {
	zero := 0
	var s steps
	first, err := d.step(p, "first", scenario.Setup, "an account that is there", d.fresh("${fresh1.password}"), d.in())
	if err == nil {
		first.As, first.Send.Without = "fresh1", []string{"*"}
	}
	s.add(first, err)
	kinds := []struct {
		id, note string
		who      map[string]string
	}{
		{"unknown", "wrong passwords for an account that is not there", turning(d.unknown("a"))},
		{"known", "wrong passwords for the one that is", d.fresh("wrong-${turn}-${canary.pw}-A1!")},
		{"unknown2", "again for one that is not", turning(d.unknown("b"))},
		{"known2", "again for the one that is", d.fresh("wrong2-${turn}-${canary.pw}-A1!")},
	}
	if reversed {
		kinds[0], kinds[1], kinds[2], kinds[3] = kinds[1], kinds[0], kinds[3], kinds[2]
	}
	before := ""
	for i, k := range kinds {
		part := scenario.Control
		e := []scenario.Expect{{Status: "400|401|403|404|422", AtLeast: times}, {Status: "2xx", AtMost: &zero}}
		if i%2 == 1 {
			part = scenario.Attack
			if apart > 0 {
				e = append(e, scenario.Expect{Slower: before, By: apart})
			}
		}
		st, err := d.step(p, k.id, part, k.note, k.who, e...)
		st.Times, before = times, k.id
		s.add(st, err)
	}
	op := d.call.Op
	return Hypothesis{
		Op: op, Where: "time", Title: fmt.Sprintf("%s %s takes longer for accounts that exist", op.Method, op.Path),
		Description: "How long a login with a wrong password takes tells whether the account exists.",
		Scenario:    &scenario.Scenario{Name: "how long logins take", Steps: s.list},
	}, s.err
}
