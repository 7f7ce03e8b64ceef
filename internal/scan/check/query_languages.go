package check

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

var (
	_ = register(&Check{
		ID: "xpath-injection", Title: "An input is pasted into an XPath expression",
		OWASP: "API8:2023", CWE: "CWE-643", WSTG: "WSTG-INPV-09",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Adds conditions with functions of XPath, that are true and false, to each text by which something is looked up.",
		Proof: "True conditions are answered as the plain value is, false ones as a value of nothing, with two functions each. Controls: a value of nothing is answered otherwise than the plain one.",
		Fix:   "Pass values to XPath as variables, or compare them in the program; never build the expression from text.",
		Mode:  Default, Dirty: true,
		Run: func(ctx context.Context, p *Probe) error { return p.lookups(ctx, p.xpathSlot, p.xpathOr) },
	})
	_ = register(&Check{
		ID: "ldap-injection", Title: "An input is pasted into an LDAP filter",
		OWASP: "API8:2023", CWE: "CWE-90", WSTG: "WSTG-INPV-06",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Spells one letter of each text by which something is looked up as a filter's escape (RFC 4515: \\61 is a), and looks for what the filter's wildcard brings.",
		Proof: "The escape is taken for the letter, at both ends of the text; another letter's escape finds nothing, as a value of nothing does. Controls: the plain value is found, twice the same.",
		Fix:   "Escape values for filters (RFC 4515, section 3), with the library's own function.",
		Mode:  Default, Dirty: true,
		Run: func(ctx context.Context, p *Probe) error { return p.lookups(ctx, p.ldapSlot, nil) },
	})
)

const nothingThere = "crenelzqnone"

// lookups calls try for each text by which an operation looks something up, and
// which tells that: with a value of nothing it is answered otherwise. Where no
// value is known that finds something, it calls blind, if there is one.
func (p *Probe) lookups(ctx context.Context, try, blind func(ctx context.Context, s *slot, none *target.Exchange) error) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !looksUp(op) {
			return nil
		}
		call, base, err := p.working(ctx, op)
		if err != nil || call == nil || base.Status >= 500 {
			return err
		}
		for _, in := range op.Inputs {
			if !takesText(in) || in.Meaning == graph.MeansSort {
				continue
			}
			s := slotOf(op, in, call, base)
			p.Note(op, Clean)
			none, err := p.send(ctx, s.with(nothingThere))
			if err != nil {
				return err
			}
			if none.Status == 429 {
				return nil
			}
			found := s
			if base.Status/100 != 2 || s.value == "" || scenario.Alike(base, none, s.value, nothingThere) {
				if found, err = p.anotherValue(ctx, s, none); err != nil {
					return err
				}
			}
			if found == nil && blind != nil && none.Status < 500 {
				if err := blind(ctx, s, none); err != nil {
					return err
				}
			}
			if found == nil {
				continue
			}
			if err := try(ctx, found, none); err != nil {
				return err
			}
		}
		return nil
	})
}

// looksUp: the operation reads, as far as anybody knows.
func looksUp(op *graph.Op) bool {
	if op.Method == http.MethodGet {
		return true
	}
	return op.Method == http.MethodPost && !op.Has(graph.Login) && !op.Has(graph.Register) && !op.Has(graph.Payment) && !op.Has(graph.Transfer) &&
		(op.Has(graph.Search) || op.Kind == graph.Action && (op.Answered == "list" || op.Answered == "object"))
}

// anotherValue is the slot with a value that finds something: one of the
// description's examples, or one that the wildcard's answer holds under the
// input's name. nil where there is none.
func (p *Probe) anotherValue(ctx context.Context, s *slot, none *target.Exchange) (*slot, error) {
	var values []string
	if s.in.Schema != nil {
		for _, e := range s.in.Schema.Examples() {
			if e.Kind == value.String && e.Text != s.value && len(values) < 2 {
				values = append(values, e.Text)
			}
		}
	}
	for _, wide := range []string{"*", "a"} {
		if wide != "*" && (len(values) > 0 || s.op.Answered != "list" || s.in.In != "query") {
			break // a letter finds something where a part of a text is enough
		}
		x, err := p.send(ctx, s.with(wide))
		if err != nil {
			return nil, err
		}
		body, ok := scenario.Decode(x.Body)
		if !ok || x.Status/100 != 2 || scenario.Alike(x, none, wide, nothingThere) {
			continue
		}
		name := strings.ToLower(s.in.Name)
		scenario.Walk(body, func(at string, v any) {
			text, isText := v.(string)
			last := strings.ToLower(at[strings.LastIndexByte(at, '/')+1:])
			if isText && len(values) < 3 && len(text) > 2 && len(text) < 60 && (last == name || strings.HasSuffix(last, name) || strings.HasSuffix(name, last) && len(last) > 2 || last == "uid" || last == "cn" || last == "name" || last == "username") {
				values = append(values, text)
			}
		})
	}
	for _, v := range values {
		call := s.with(v)
		base, err := p.send(ctx, call)
		if err != nil {
			return nil, err
		}
		if base.Status/100 == 2 && !scenario.Alike(base, none, v, nothingThere) {
			return &slot{op: s.op, in: s.in, call: call, value: v, base: base}, nil
		}
	}
	return nil, nil
}

// pairOf are two values of one slot: one that finds what the plain one finds, and one that does not.
type pairOf struct{ yes, no, yesNote, noNote string }

// worksOut proves that values are worked out by a language.
func (p *Probe) worksOut(ctx context.Context, s *slot, what, description string, list []pairOf) (bool, error) {
	var l steps
	add := func(id string, part scenario.Part, note, text string, e scenario.Expect) {
		l.add(p.unechoed(s, id, part, note, text, e))
	}
	add("plain", scenario.Control, "the plain value finds something", s.value, scenario.Expect{Status: "2xx"})
	add("none", scenario.Control, "a value of nothing does not", nothingThere, scenario.Expect{Status: "!5xx", Unlike: "plain"})
	add("plain2", scenario.Control, "the plain value finds the same again", s.value, scenario.Expect{Like: "plain"})
	for i, pair := range list {
		add(fmt.Sprintf("true%d", i+1), scenario.Attack, pair.yesNote, pair.yes, scenario.Expect{Like: "plain"})
		add(fmt.Sprintf("false%d", i+1), scenario.Attack, pair.noNote, pair.no, scenario.Expect{Unlike: "plain", Status: "!5xx"})
	}
	return p.injected(ctx, s, what, description, &l)
}

func (p *Probe) xpathSlot(ctx context.Context, s *slot, _ *target.Exchange) error {
	for _, form := range []string{"%[1]s' and %[2]s and '1'='1", `%[1]s" and %[2]s and "1"="1`, "%[1]s') and %[2]s and ('1'='1"} {
		yes := fmt.Sprintf(form, s.value, "string-length('abc')=3")
		if strings.HasPrefix(form, `%[1]s"`) {
			yes = fmt.Sprintf(form, s.value, `string-length("abc")=3`)
		}
		x, err := p.send(ctx, s.with(yes))
		if err != nil {
			return err
		}
		if !scenario.Alike(s.base, x, s.value, yes) {
			continue
		}
		q := func(cond string) string {
			if strings.HasPrefix(form, `%[1]s"`) {
				cond = strings.ReplaceAll(cond, "'", `"`)
			}
			return fmt.Sprintf(form, s.value, cond)
		}
		done, err := p.worksOut(ctx, s, "XPath injection", "Conditions with functions of XPath, which are put into the input, are worked out: the answer follows whether they are true.", []pairOf{
			{q("string-length('abc')=3"), q("string-length('abc')=4"), "with a condition that is true in XPath it is found", "with one that is false it is not"},
			{q("starts-with('crenel','cre')"), q("starts-with('crenel','nel')"), "with another that is true it is found", "with another that is false it is not"},
		})
		if err != nil || done {
			return err
		}
	}
	return nil
}

// xpathOr is for a text of which nobody knows a value that finds something:
// where one of several conditions is enough, one that is true finds anything.
func (p *Probe) xpathOr(ctx context.Context, s *slot, none *target.Exchange) error {
	for _, form := range []string{"' or %s or 'a'='b", `" or %s or "a"="b`} {
		q := func(cond string) string {
			if form[0] == '"' {
				cond = strings.ReplaceAll(cond, "'", `"`)
			}
			return nothingThere + fmt.Sprintf(form, cond)
		}
		yes := q("string-length('abc')=3")
		x, err := p.send(ctx, s.with(yes))
		if err != nil {
			return err
		}
		if x.Status/100 != 2 || scenario.Alike(none, x, nothingThere, yes) {
			continue
		}
		var l steps
		add := func(id string, part scenario.Part, note, text string, e scenario.Expect) {
			l.add(p.unechoed(s, id, part, note, text, e))
		}
		add("none", scenario.Control, "a value of nothing finds nothing", nothingThere, scenario.Expect{Status: "!5xx"})
		add("true1", scenario.Attack, "with a condition that is true in XPath something is found", yes, scenario.Expect{Status: "2xx", Unlike: "none"})
		add("false1", scenario.Attack, "with one that is false nothing is", q("string-length('abc')=4"), scenario.Expect{Like: "none"})
		add("true2", scenario.Attack, "with another that is true it is found again", q("starts-with('crenel','cre')"), scenario.Expect{Like: "true1"})
		add("false2", scenario.Attack, "with another that is false it is not", q("starts-with('crenel','nel')"), scenario.Expect{Like: "none"})
		if done, err := p.injected(ctx, s, "XPath injection", "Conditions with functions of XPath, which are put into the input, are worked out: the answer follows whether they are true.", &l); err != nil || done {
			return err
		}
	}
	return nil
}

func (p *Probe) ldapSlot(ctx context.Context, s *slot, _ *target.Exchange) error {
	v := s.value
	if len(v) < 3 || strings.ContainsAny(v, `\*()`) || v[0] >= 0x80 || v[len(v)-1] >= 0x80 {
		return nil
	}
	n := len(v) - 1
	first := func(c byte) string { return fmt.Sprintf(`\%02x%s`, c, v[1:]) }
	last := func(c byte) string { return fmt.Sprintf(`%s\%02x`, v[:n], c) }
	x, err := p.send(ctx, s.with(first(v[0])))
	if err != nil || !scenario.Alike(s.base, x, v, first(v[0])) {
		return err
	}
	_, err = p.worksOut(ctx, s, "LDAP injection", "Escapes of LDAP filters that are put into the input are worked out: the text is part of a filter as it is.", []pairOf{
		{first(v[0]), first(v[0] ^ 2), "the first letter as a filter's escape is the letter", "another letter's escape is not"},
		{last(v[n]), last(v[n] ^ 2), "so is the last", "nor is another's there"},
	})
	return err
}
