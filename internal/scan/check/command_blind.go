package check

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "command-time", Title: "An input makes a shell wait",
	OWASP: "API8:2023", CWE: "CWE-78", WSTG: "WSTG-INPV-12",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
	About: "Puts a command that waits, as shells read it bare, in quotes and in double quotes at once, into a few texts that programs are started with: names of machines, files and formats.",
	Proof: "The answer takes longer by what was asked, every time; not with a wait of nothing, before and after; and longer again with twice the wait.",
	Fix:   "Start programs with a list of arguments and no shell, and let callers choose from a fixed list.",
	Mode:  Default, Alone: true,
	Run: commandTime,
})

// quoted is the slot's value with what a shell works out: test's arguments, and what
// follows. It is whole bare, within quotes and within double quotes.
func (s *slot) quoted(test string) string {
	return s.value + "$(test " + test + ")'$(test " + test + ")'"
}

// commandFollows proves commands of which nothing is shown but that the answer is
// another: a length, a count. yes is what the answer to yesText was.
func (p *Probe) commandFollows(ctx context.Context, s *slot, yes *target.Exchange, yesText, noText string) (bool, error) {
	if yes == nil || yes.Status/100 != 2 || yes.Status == 429 {
		return false, nil
	}
	no, err := p.send(ctx, s.with(noText))
	if err != nil || no.Status/100 != 2 || scenario.Alike(yes, no, yesText, noText) {
		return false, err
	}
	again, err := p.send(ctx, s.with(noText))
	if err != nil || !scenario.Alike(no, again) {
		return false, err
	}
	var l steps
	for i, n := range []string{"7", "9"} {
		id := strconv.Itoa(i + 1)
		like := func(what string) scenario.Expect {
			if i == 0 {
				return scenario.Expect{Status: "2xx"}
			}
			return scenario.Expect{Like: what + "1"}
		}
		part := scenario.Control
		if i > 0 {
			part = scenario.Attack
		}
		l.add(p.unechoed(s, "true"+id, part, "with a condition that is true", s.quoted(n+" -eq "+n+"&&echo crenelzq"), like("true")))
		e := like("false")
		e.Unlike = "true1"
		l.add(p.unechoed(s, "false"+id, scenario.Attack, "with one that is false, and as long, the answer is another", s.quoted(n+" -eq 8&&echo crenelzq"), e))
	}
	return p.injected(ctx, s, "command injection", "Conditions that are put into the input are worked out by the server's shell: the answer follows whether they are true.", &l)
}

// reStarted are names of texts that programs are started with.
var reStarted = regexp.MustCompile(`(?i)host|machine|server|domain|target|^ip$|ip_?addr|file|path|dir|folder|cmd|command|exec|program|tool|option|arg|flag|format|convert|label|caption|printer|device|archive|image|branch|repo|commit|ref$|tag$`)

const maxCommandTimed = 12 // inputs

func commandTime(ctx context.Context, p *Probe) error {
	var slots []*slot
	for _, op := range p.Ops() {
		if op.Has(graph.Login) || op.Has(graph.Register) || !slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return takesText(in) && reStarted.MatchString(in.Name) }) {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 != 2 || base.Duration > time.Second || streamsOut(op) {
			continue
		}
		for _, in := range op.Inputs {
			if takesText(in) && reStarted.MatchString(in.Name) && in.Object == nil && !p.found("command-injection", op, in.Where()) {
				slots = append(slots, slotOf(op, in, call, base))
			}
		}
	}
	for _, s := range slots[:min(len(slots), maxCommandTimed)] {
		p.Note(s.op, Clean)
		if done, err := p.commandTimed(ctx, s); err != nil || done {
			return err
		}
	}
	return nil
}

func (p *Probe) commandTimed(ctx context.Context, s *slot) (bool, error) {
	text := func(tenths int) string { return s.quoted("7 -eq 7&&sleep " + seconds(tenths)) }
	x, err := p.send(ctx, s.with(text(wait)))
	if err != nil || x.Status == 0 || x.Duration < s.base.Duration+noticeable {
		return false, err
	}
	zero, err := p.send(ctx, s.with(text(0)))
	if err != nil || x.Duration < zero.Duration+noticeable {
		return false, err
	}
	took := (x.Duration - zero.Duration).Truncate(50 * time.Millisecond)
	var l steps
	add := func(id string, part scenario.Part, note string, tenths, times int, e scenario.Expect) {
		st, err := p.slotStep(s, id, part, note, text(tenths), e)
		st.Times = times
		l.add(st, err)
	}
	add("zero", scenario.Control, "with a wait of nothing it is answered at once", 0, 3, scenario.Expect{Status: "any"})
	add("wait", scenario.Attack, "with a wait it takes longer by that, each time", wait, 2, scenario.Expect{Slower: "zero", By: took / 2})
	add("zero2", scenario.Control, "with nothing again it does not", 0, 3, scenario.Expect{Status: "any"})
	add("wait2", scenario.Attack, "with the wait again it does", wait, 1, scenario.Expect{Slower: "zero2", By: took / 2})
	add("twice", scenario.Attack, "and with twice the wait longer again", 2*wait, 1, scenario.Expect{Slower: "wait", By: took / 2})
	return p.injected(ctx, s, "command injection (blind, by time)", "A command that waits makes the answer wait: the input is part of what a shell runs.", &l)
}
