package check

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "reset-unlimited", Title: "Codes for a new password can be tried, and nobody seems to count",
	OWASP: "API2:2023", CWE: "CWE-307", WSTG: "WSTG-ATHN-09", CVSS: vectorLow,
	About: "Registers an account, asks for a reset of its password, and gives thirty wrong codes one after the other, where codes are described as short. The right one goes by mail, and is not known to the run.",
	Proof: "All thirty are looked at and answered like the first, none is slowed down or turned away, and the account still opens with its password. It counts as low: whether the right code would still have worked after them cannot be seen without it. Where an answer hands the code out, reset-token-leak tries it. Controls: the reset is asked for with success; a wrong code sets nothing.",
	Fix:   "Let a code die after five wrong ones (NIST SP 800-63B-4, section 3.2.2), say so with 429, and make codes long where nobody types them.",
	Mode:  Aggressive, Dirty: true,
	Run: resetUnlimited,
})

func resetUnlimited(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil || p.People.RegisterEntry() == nil || p.Actor(actor.User) == nil {
		return nil
	}
	for _, forgot := range p.Ops() {
		if !forgot.Has(graph.PasswordForgot) {
			continue
		}
		for _, reset := range p.Ops() {
			in, digits := shortCode(reset)
			if !reset.Has(graph.PasswordReset) || reset == forgot || in == nil || p.triedKnown(reset) {
				continue
			}
			if err := p.blindCodes(ctx, d, forgot, reset, in, digits); err != nil {
				return err
			}
		}
	}
	return nil
}

// triedKnown: the right code is known, and was tried after wrong ones.
func (p *Probe) triedKnown(reset *graph.Op) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.findings {
		if f.Check == "reset-token-leak" && f.Method == reset.Method && f.Path == reset.Path {
			return true
		}
	}
	return false
}

var (
	reDigits     = regexp.MustCompile(`(?i)\b(\d|four|five|six|seven|eight)[\s-]*digits?\b`)
	reDigitRule  = regexp.MustCompile(`^\^?(?:\\d|\[0-9\])\{(?:\d,)?(\d)\}\$?$`)
	digitsSpelt  = map[string]int{"four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
	reCodeByName = regexp.MustCompile(`(?i)(code|otp|pin|passcode)$`)
)

// shortCode is the input of an operation that takes a code of a few digits, by its
// description, and how many; nil where codes may be long.
func shortCode(op *graph.Op) (*graph.Input, int) {
	i := slices.IndexFunc(op.Inputs, func(in *graph.Input) bool {
		return in.In != "path" && (in.Meaning == graph.MeansOTP || in.Meaning == graph.MeansToken || in.Meaning == graph.MeansUndefined) && reCodeByName.MatchString(in.Name)
	})
	if i < 0 {
		return nil, 0
	}
	in := op.Inputs[i]
	n := 0
	if in.Schema != nil {
		r := in.Schema.Rules()
		if m := reDigitRule.FindStringSubmatch(r.Pattern); m != nil {
			n, _ = strconv.Atoi(m[1]) // a digit
		}
		if n == 0 && r.Bounds.Maximum != "" && (in.Type == "integer" || in.Type == "number") {
			n = len(r.Bounds.Maximum)
		}
		for _, v := range in.Schema.Examples() {
			if text := scenario.Plain(v.ToAny()); n == 0 && strings.Trim(text, "0123456789") == "" {
				n = len(text)
			}
		}
	}
	if m := reDigits.FindStringSubmatch(op.Summary + "\n" + op.Description); n == 0 && m != nil {
		if n = digitsSpelt[strings.ToLower(m[1])]; n == 0 {
			n, _ = strconv.Atoi(m[1]) // a digit
		}
	}
	if n < 4 || n > 8 {
		return nil, 0
	}
	return in, n
}

func (p *Probe) blindCodes(ctx context.Context, d *door, forgot, reset *graph.Op, in *graph.Input, digits int) error {
	ask, err := p.World.Call(ctx, forgot, nil, nil)
	if err != nil {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	set, err := p.World.Call(ctx, reset, nil, nil)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	mine := func(op *graph.Op) map[string]string {
		bind := map[string]string{}
		for _, in := range op.Inputs {
			if fact := factOf(in); fact != "" && p.Actor(actor.User).Facts[fact] != "" {
				bind[in.Where()] = `"${fresh1.` + fact + `}"`
			}
		}
		return bind
	}
	whose, to := mine(forgot), mine(reset)
	if len(whose) == 0 || len(to) == 0 {
		return nil // a code that is looked up alone is of whoever has it
	}
	for _, i := range reset.Inputs {
		if i.Meaning == graph.MeansPassword {
			to[i.Where()] = `"Changed-${canary.new}-9!"`
		}
	}
	code := func(first string, turn string) string {
		text := first + strings.Repeat("0", digits-len(first)-1) + turn
		if in.Type == "integer" || in.Type == "number" {
			return text
		}
		return `"` + text + `"`
	}
	zero := 0
	var l steps
	add := func(id string, part scenario.Part, note string, op *graph.Op, bind map[string]string, times int, e ...scenario.Expect) {
		c := ask
		if op == reset {
			c = set
		}
		st, err := p.World.Step(c, bind)
		st.ID, st.Part, st.As, st.Note, st.Times, st.Expect = id, part, actor.Nobody, note, times, e
		l.add(st, err)
	}
	with := func(text string) map[string]string {
		bind := maps.Clone(to)
		bind[in.Where()] = text
		return bind
	}
	l.add(d.step(p, "old", scenario.Control, "an account opens with its password", d.fresh("${fresh1.password}"), d.in()))
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	l.list[0].As, l.list[0].Send.Without = "fresh1", []string{"*"}
	add("forgot", scenario.Control, "a reset of it is asked for", forgot, whose, 1, scenario.Expect{Status: "2xx"})
	add("wrong", scenario.Control, "a wrong code is refused", reset, with(code("9", "1")), 1, scenario.Expect{Status: "!2xx"})
	for i, first := range []string{"7", "8", "6"} {
		add(fmt.Sprintf("tries%d", i+1), scenario.Attack, "ten more, one after the other, are answered alike", reset, with(code(first, "${turn}")), 10,
			scenario.Expect{Steady: growingDelay}, scenario.Expect{Status: "429|423|403|503|420", AtMost: &zero}, scenario.Expect{Status: "2xx", AtMost: &zero}, scenario.Expect{Like: "wrong"})
	}
	l.add(d.step(p, "open", scenario.Observe, "and the account is not locked", d.fresh("${fresh1.password}"), d.in()))
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	p.Note(reset, Clean)
	_, err = p.Prove(ctx, Hypothesis{
		Op: reset, Where: in.Where(), Title: fmt.Sprintf("%s %s takes wrong codes for a new password without end", reset.Method, reset.Path),
		Description: fmt.Sprintf("Thirty wrong codes for one account were looked at and answered alike. A code has %d digits: all there are can be tried, unless codes die without a word.", digits),
		Scenario:    &scenario.Scenario{Name: "thirty wrong codes for a reset, the right one unknown", Steps: l.list},
	})
	return err
}
