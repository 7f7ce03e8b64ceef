package check

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var (
	_ = register(&Check{
		ID: "template-injection", Title: "An input is run as a template",
		OWASP: "API8:2023", CWE: "CWE-1336", WSTG: "WSTG-INPV-18",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
		About: "Puts sums of large numbers, in the syntaxes of the usual template languages, into each text that operations take.",
		Proof: "The answer holds the product of two numbers of which only the factors were sent; twice, with other numbers. Controls: the plain factors bring no product.",
		Fix:   "Never make a template of what a caller sends: pass it to a fixed template as a value.",
		Mode:  Default, Dirty: true,
		Run: templateInjection,
	})
	_ = register(&Check{
		ID: "command-injection", Title: "An input runs shell commands",
		OWASP: "API8:2023", CWE: "CWE-78", WSTG: "WSTG-INPV-12",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
		About: "Puts harmless shell commands (a sum; a call to the listener) into each text that operations take, behind the characters that end a shell's word.",
		Proof: "The answer holds the product of two numbers of which only the factors were sent, twice with other numbers; or conditions of the shell that are true are answered in one way and those that are false in another, two pairs of them; or the target called the listener's address. Controls: the plain text does neither.",
		Fix:   "Start programs with a list of arguments and no shell, and let callers choose from a fixed list.",
		Mode:  Default, Dirty: true,
		Run: commandInjection,
	})
)

// sums are two pairs of factors whose products are sent nowhere.
func (p *Probe) sums(use string) (a, b [2]int) {
	r := p.Rand(use)
	n := func() int { return 3001 + r.IntN(5998) }
	return [2]int{n(), n()}, [2]int{n(), n()}
}

// templateForms put two numbers between the brackets of template languages. What
// comes of most is their product; of those that cannot multiply, the numbers
// joined: joins.
var templateForms = []string{"{{%d*%d}}", "${%d*%d}", "#{%d*%d}", "<%%= %d*%d %%>", "{%d*%d}", "@(%d*%d)", "{{mul %d %d}}", "*{%d*%d}", "%%{%d*%d}", "${{%d*%d}}", "[[${%d*%d}]]", "{{%d|times:%d}}", "${(%d*%d)?c}", "#set($c=%d*%d)${c}", "{%% widthratio %d 1 %d %%}", "{{printf \"%%d%%d\" %d %d}}", "{{#with \"%d\"}}{{this}}{{/with}}%d"}

func joins(form string) bool {
	return strings.Contains(form, "printf") || strings.Contains(form, "{{#with")
}

func templateInjection(ctx context.Context, p *Probe) error {
	return p.everySlot(ctx, func(*slot) bool { return true }, func(ctx context.Context, s *slot) error {
		a, b := p.sums(s.op.ID + s.in.Where())
		// All at once first: few inputs are templates.
		all := ""
		for _, f := range templateForms {
			all += fmt.Sprintf(f, a[0], a[1])
		}
		worth := false
		for _, text := range []string{all, fmt.Sprintf(templateForms[0]+" {{%d}}", a[0], a[1], a[0]), fmt.Sprintf("{{%d}}", a[0])} {
			x, err := p.send(ctx, s.with(text))
			if err != nil {
				return err
			}
			if bytes.Contains(x.Body, product(a)) || x.Status >= 500 || x.Status/100 == 2 && bytes.Contains(x.Body, []byte(strconv.Itoa(a[0]))) && !scenario.Holds(x, text) {
				worth = true
				break
			}
			if x.Status/100 == 2 && text != all {
				break // it was taken as it is
			}
		}
		if !worth {
			return nil
		}
		for _, f := range templateForms {
			pa, pb := product(a), product(b)
			if joins(f) {
				pa, pb = joined(a), joined(b)
			}
			x, err := p.send(ctx, s.with(fmt.Sprintf(f, a[0], a[1])))
			if err != nil {
				return err
			}
			if !bytes.Contains(x.Body, pa) {
				continue
			}
			var l steps
			l.add(p.slotStep(s, "plain", scenario.Control, "the bare numbers bring nothing", fmt.Sprintf("%d*%d", a[0], a[1]), scenario.Expect{Lacks: []string{string(pa)}}))
			l.add(p.slotStep(s, "first", scenario.Attack, "a sum is worked out", fmt.Sprintf(f, a[0], a[1]), scenario.Expect{Contains: []string{string(pa)}}))
			l.add(p.slotStep(s, "second", scenario.Attack, "and another one", fmt.Sprintf(f, b[0], b[1]), scenario.Expect{Contains: []string{string(pb)}}))
			if ok, err := p.injected(ctx, s, "template injection", "What is between a template's brackets is worked out by the server.", &l); err != nil || ok {
				return err
			}
		}
		return nil
	})
}

func product(f [2]int) []byte { return strconv.AppendInt(nil, int64(f[0])*int64(f[1]), 10) }

func joined(f [2]int) []byte { return []byte(strconv.Itoa(f[0]) + strconv.Itoa(f[1])) }

// commandForms end a word of a shell and begin a command: %s is the command.
var commandForms = []string{";%s", "|%s", "$(%s)", "`%s`", "&&%s", "\n%s\n", "';%s;'", "\";%s;\"", "'$(%s)'", "a;%s;#"}

func commandInjection(ctx context.Context, p *Probe) error {
	if err := p.commandsCall(ctx); err != nil {
		return err
	}
	return p.everySlot(ctx, func(*slot) bool { return true }, func(ctx context.Context, s *slot) error {
		a, b := p.sums(s.op.ID + s.in.Where())
		sum := func(f [2]int) string { return fmt.Sprintf("echo $((%d*%d))", f[0], f[1]) }
		// One text with several beginnings first.
		poly := s.value + ";" + sum(a) + ";`" + sum(a) + "`$(" + sum(a) + ")"
		worth := false
		var quoted *target.Exchange
		for i, text := range []string{poly, s.quoted("7 -eq 7&&" + sum(a)), s.value + ";" + sum(a)} {
			x, err := p.send(ctx, s.with(text))
			if err != nil {
				return err
			}
			if bytes.Contains(x.Body, product(a)) || x.Status >= 500 {
				worth = true
				break
			}
			if i == 1 {
				if quoted = x; x.Status/100 == 2 {
					break // it was taken as it is: a part of it will not do more
				}
			}
		}
		if !worth {
			if done, err := p.commandFollows(ctx, s, quoted, s.quoted("7 -eq 7&&"+sum(a)), s.quoted("7 -eq 8&&"+sum(a))); err != nil || done {
				return err
			}
			return p.commandLookup(ctx, s)
		}
		for _, f := range commandForms {
			x, err := p.send(ctx, s.with(s.value+fmt.Sprintf(f, sum(a))))
			if err != nil {
				return err
			}
			if !bytes.Contains(x.Body, product(a)) {
				continue
			}
			var l steps
			l.add(p.slotStep(s, "plain", scenario.Control, "the bare sum brings nothing", fmt.Sprintf("%s %d*%d", s.value, a[0], a[1]), scenario.Expect{Lacks: []string{string(product(a))}}))
			l.add(p.slotStep(s, "first", scenario.Attack, "the shell works out a sum", s.value+fmt.Sprintf(f, sum(a)), scenario.Expect{Contains: []string{string(product(a))}}))
			l.add(p.slotStep(s, "second", scenario.Attack, "and another one", s.value+fmt.Sprintf(f, sum(b)), scenario.Expect{Contains: []string{string(product(b))}}))
			if ok, err := p.injected(ctx, s, "command injection", "What stands behind the character that ends a shell's word is run by the server's shell.", &l); err != nil || ok {
				return err
			}
		}
		return nil
	})
}
