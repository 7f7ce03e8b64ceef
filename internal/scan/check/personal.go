package check

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID: "personal-data", Title: "An answer holds another user's personal data",
	OWASP: "API3:2023", CWE: "CWE-359", WSTG: "WSTG-INFO-05",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Reads, as a user, what shows other users (their profiles, what they wrote, lists) and looks for the address, the number or the birthday of another account of the run.",
	Proof: "The answer holds the other's own value in a field that its description does not have. Where nothing is described, there are two such values at least. Controls: the two are of no common tenant, and the caller's own value is another one; what the caller asked for by that value does not count.",
	Fix:   "Answer with a type of its own for what others see of a user, and validate answers against the description.",
	Mode:  Safe,
	Run:   personalData,
})

var (
	// What is a person's own, by the names of facts and of fields.
	rePersonal = regexp.MustCompile(`(?i)(^|[_-])(e_?mail(_?address)?|phone(_?(number|no))?|mobile(_?(number|phone))?|telephone|tel|birth(_?(day|date))|date_?of_?birth|dob|ssn|social_security_number|iban|passport(_?(number|no))?|tax_id|home_?address|postal_?address|street(_?address)?)$`)
	reMoneyOf  = regexp.MustCompile(`(?i)(^|[_-])(wallet|balance|credit|salary)([_-]?(cents|amount))?$`)
)

// personal are what is known of an account that is its own: fact → value.
func personal(a, caller *actor.Actor) map[string]string {
	out := map[string]string{}
	for name, v := range a.Facts {
		snake := snakeCase(name)
		if rePersonal.MatchString(snake) && len(v) >= 6 && v != caller.Facts[name] {
			out[name] = v
		}
	}
	return out
}

// snakeCase writes phoneNumber as phone_number.
func snakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func personalData(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || len(p.Attackers()) == 0 {
		return nil
	}
	other := p.Attackers()[0]
	facts := personal(other, user)
	if sameTenant(user, other) || len(facts) == 0 {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.onlyReads(op) || op.Has(graph.WhoAmI) || op.Has(graph.Admin) {
			return nil
		}
		for _, c := range p.showing(ctx, op, user, other) {
			if done, err := p.personalIn(ctx, c, other, facts); err != nil || done {
				return err
			}
		}
		return nil
	})
}

// showing is a call that may show another's: how it is asked, and what is made first.
type showing struct {
	call  *world.Call
	setup []scenario.Step
	bind  map[string]string
}

// showing are the calls of an operation that may show something of another: with
// that account's identifier, with an object of theirs, or as it is.
func (p *Probe) showing(ctx context.Context, op *graph.Op, user, other *actor.Actor) []showing {
	var out []showing
	for _, in := range op.Inputs {
		r := p.resourceOf(in)
		if r == nil || in.In != "path" {
			continue
		}
		if r.IsPerson {
			for _, s := range p.self(r, other) {
				for _, fact := range append([]string{"id", "username"}, r.IDs...) {
					text := other.Facts[fact]
					if text == "" || text != s.object.ID {
						continue
					}
					c, err := p.World.Call(ctx, op, user, map[string]string{in.Where(): jsonID(in, text)})
					if err != nil {
						continue
					}
					place := "${" + other.Name + "." + fact + "}"
					if strings.HasPrefix(jsonID(in, text), `"`) {
						place = `"` + place + `"`
					} else {
						place = "${" + other.Name + "." + fact + "|raw}"
					}
					out = append(out, showing{call: c, bind: map[string]string{in.Where(): place}})
					break
				}
			}
			continue
		}
		for _, s := range p.subjects(r, other, 1) {
			if s.recipe == nil {
				continue
			}
			if c, err := p.on(ctx, op, user, in, s.object); err == nil {
				out = append(out, showing{c, s.setup(), s.recipe.Bind(c)})
			}
		}
	}
	if len(out) > 0 || len(op.PathParams) > 0 {
		return out
	}
	c, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		return nil
	}
	one := showing{call: c}
	if op.About != nil {
		for _, s := range p.subjects(op.About, other, 1) {
			if s.recipe != nil {
				one.setup = s.setup()
				one.setup[len(one.setup)-1].Save = nil // it is there for its sake, whatever becomes of its identifier
			}
		}
	}
	return []showing{one}
}

func (p *Probe) personalIn(ctx context.Context, c showing, other *actor.Actor, facts map[string]string) (bool, error) {
	x, err := p.send(ctx, c.call)
	if err != nil {
		return false, err
	}
	body, ok := scenario.Decode(x.Body)
	op := c.call.Op
	if x.Status/100 != 2 || !ok {
		p.Note(op, Skipped)
		return false, nil
	}
	p.Note(op, Clean)
	asked := x.Request.Path + "?" + x.Request.Query
	type hit struct{ at, fact string }
	var hits []hit
	money := false
	scenario.Walk(body, func(at string, v any) {
		at = wild(at)
		name := snakeCase(at[strings.LastIndexByte(at, '/')+1:])
		money = money || reMoneyOf.MatchString(name) || strings.Contains(name, "password") && v != nil
		if !rePersonal.MatchString(name) {
			return
		}
		for fact, value := range facts {
			if scenario.Plain(v) == value && !strings.Contains(asked, value) && !slices.ContainsFunc(hits, func(h hit) bool { return h.at == at }) {
				hits = append(hits, hit{at, fact})
			}
		}
	})
	described := slices.ContainsFunc(op.Responses, hasSchema)
	if !described && len(hits) < 2 && !(len(hits) == 1 && money && !strings.Contains(hits[0].at, "*")) {
		return false, nil
	}
	slices.SortFunc(hits, func(a, b hit) int { return strings.Compare(a.at, b.at) })
	for _, h := range hits {
		if described && declares(op, h.at) {
			continue
		}
		l := steps{list: slices.Clone(c.setup)}
		st, err := p.World.Step(c.call, c.bind)
		value := "${" + other.Name + "." + h.fact + "}"
		st.ID, st.Part, st.As = "attack", scenario.Attack, actor.User
		st.Note, st.Expect = "a user is shown what is "+other.Name+"'s own", []scenario.Expect{{Status: "2xx", At: h.at, Equals: &value}}
		l.add(st, err)
		if l.err != nil {
			continue
		}
		if ok, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: "answer." + h.at, Title: fmt.Sprintf("%s %s shows other users' personal data (%s)", op.Method, op.Path, strings.TrimPrefix(h.at, "/")),
			Description: fmt.Sprintf("The answer holds another user's %s, which its description does not have.", strings.ReplaceAll(snakeCase(h.fact), "_", " ")),
			Scenario:    &scenario.Scenario{Name: "another user's personal data", Steps: l.list},
		}); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// hasSchema reports whether a description says what a successful answer holds.
func hasSchema(r *spec.Response) bool {
	return strings.HasPrefix(r.Status, "2") && slices.ContainsFunc(r.Content, func(m *spec.MediaType) bool { return m.Schema != nil && !m.Schema.Anything() })
}
