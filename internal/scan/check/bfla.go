package check

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/value"
)

var _ = register(&Check{
	ID: "bfla", Title: "A user can do what only others should",
	OWASP: "API5:2023", CWE: "CWE-862", WSTG: "WSTG-ATHZ-02",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Calls, as an ordinary user, the operations that are for administrators or for another role: by their paths, tags, scopes, roles and descriptions; those that approve what the user handed in; and, in aggressive runs, changes (and sets back) what all see where making such a thing is refused.",
	Proof: "A read gives the user what it gives to the one it is for, or what is another user's; a change is seen in a read that said the same twice before. Controls: nobody without credentials gets it; the status code alone proves nothing.",
	Fix:   "Check the caller's role at every operation, by default denied; keep one table of operations and roles, and test it.",
	Mode:  Default, Dirty: true,
	Run: bfla,
})

// restricted says why an operation is not for an ordinary user; "" when it is,
// or when nothing tells.
func (p *Probe) restricted(op *graph.Op, user *actor.Actor) string {
	if !p.ordinary(user) {
		return ""
	}
	role := roleOf(user)
	for name, v := range op.Extensions {
		list, ok := v.([]any)
		if !ok || !reRoles.MatchString(name) || len(list) == 0 || role == "" {
			continue
		}
		if slices.ContainsFunc(list, func(r any) bool { return strings.EqualFold(fmt.Sprint(r), role) }) {
			return "" // whatever its words say
		}
		return fmt.Sprintf("%s names other roles", name)
	}
	if g := op.Purposes[graph.Admin]; g.Score >= 0.5 {
		if len(role) > 3 && strings.Contains(strings.ToLower(g.Why), `"`+strings.ToLower(role)) && !strings.EqualFold(role, "user") {
			return "" // for those whom it names, and the user is one
		}
		return g.Why
	}
	if said := p.roleNamed(op, user); said != "" {
		return fmt.Sprintf("its description says %q, and the user is %q", said, role)
	}
	return ""
}

// ordinary reports whether an account is known to be able to do less than others.
// One that the run had made by somebody who is logged in has the role that the
// run chose: where nothing is refused to it that is open to those, it may be their like.
func (p *Probe) ordinary(user *actor.Actor) bool {
	if user == nil || !user.Granted {
		return true
	}
	for _, c := range p.World.Coverage() {
		if slices.Contains(c.Statuses, http.StatusForbidden) && !slices.Contains(c.As, user.Name) &&
			slices.ContainsFunc(p.entitled(), func(a *actor.Actor) bool { return slices.Contains(c.As, a.Name) }) {
			return true
		}
	}
	return false
}

var reRoles = regexp.MustCompile(`(?i)^x-.*(role|permission|authorit|privilege)`)

func bfla(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		for _, try := range []func(context.Context, *graph.Op, *actor.Actor) error{p.changesShared, p.approvesOwn} {
			if p.Mode > Safe {
				if err := try(ctx, op, user); err != nil {
					return err
				}
			}
		}
		if !op.Secured || op.Has(graph.Hazard) || op.Has(graph.Login) || op.Has(graph.Logout) || op.Kind == graph.Delete || p.restricted(op, user) == "" {
			return nil
		}
		if op.Reads() {
			return p.readsAsOther(ctx, op, user)
		}
		if p.Mode == Safe || p.setsRoleOfOthers(op) {
			return nil
		}
		return p.actsAsOther(ctx, op, user)
	})
}

// entitled are the actors that an operation may be for: all but users.
func (p *Probe) entitled() []*actor.Actor {
	var out []*actor.Actor
	for _, a := range p.People.All() {
		if a.Name != actor.User && a.Name != actor.Peer && a.Name != actor.Foreign && !madeForProofs(a) {
			out = append(out, a)
		}
	}
	return out
}

// madeForProofs: the account is one that a proof registered for itself: a user as any other.
func madeForProofs(a *actor.Actor) bool { return strings.HasPrefix(a.Name, "fresh") }

// callFor is a call of an operation that works for the one it is for, and that
// one; else the best that can be made as the user.
func (p *Probe) callFor(ctx context.Context, op *graph.Op, user *actor.Actor) (*world.Call, *target.Exchange, *actor.Actor, error) {
	if op.Reads() {
		for _, a := range p.entitled() {
			c, err := p.World.Call(ctx, op, a, nil)
			if err != nil {
				continue
			}
			x, err := p.send(ctx, c)
			if err != nil {
				return nil, nil, nil, err
			}
			if x.Status/100 == 2 {
				return c, x, a, nil
			}
		}
	}
	for _, a := range append(p.entitled(), user) {
		if c, err := p.World.Call(ctx, op, a, nil); err == nil {
			return c, nil, nil, nil
		}
	}
	return nil, nil, nil, nil
}

func (p *Probe) readsAsOther(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	c, theirs, who, err := p.callFor(ctx, op, user)
	if err != nil || c == nil {
		return err
	}
	mine, err := p.send(ctx, c.By(user))
	if err != nil {
		return err
	}
	if mine.Status/100 != 2 || !telling(mine) {
		p.Note(op, Clean)
		return nil
	}
	var l steps
	l.add(p.step(nil, c.By(nil), "nobody", scenario.Control))
	l.list[0].Note, l.list[0].Expect = "nobody without credentials gets it", []scenario.Expect{{Status: "!2xx"}}
	attack := scenario.Expect{Status: "2xx"}
	switch {
	case who != nil && scenario.Form(theirs.Body) == scenario.Form(mine.Body) && p.ofOthers(mine) != "":
		attack.Contains = []string{p.ofOthers(mine)}
	case who != nil && (scenario.Alike(theirs, mine) || scenario.Form(theirs.Body) == scenario.Form(mine.Body) && scenario.Likeness(string(theirs.Body), string(mine.Body)) >= 0.5):
		// What others make meanwhile may be in one of the two and not in the other:
		// the proof compares them again, with nothing going on beside it.
		st, err := p.step(nil, c, "entitled", scenario.Control)
		st.Note, st.Expect = "the one it is for gets it", []scenario.Expect{{Status: "2xx"}}
		l.add(st, err)
		attack.Like = "entitled"
	case who == nil && p.ofOthers(mine) != "":
		attack.Contains = []string{p.ofOthers(mine)}
	default:
		p.Note(op, Inconclusive)
		return nil
	}
	st, err := p.step(nil, c.By(user), "attack", scenario.Attack)
	st.Note, st.Expect = "an ordinary user gets it as well", []scenario.Expect{attack}
	l.add(st, err)
	return p.provedOther(ctx, op, user, &l, "reads what is not for users")
}

// ofOthers is a fact of another user that an answer holds, as a placeholder.
func (p *Probe) ofOthers(x *target.Exchange) string {
	for _, a := range p.People.All() {
		if a.Name == actor.User {
			continue
		}
		for _, f := range []string{"email", "phone", "username"} {
			if v := a.Facts[f]; len(v) >= 6 && scenario.Holds(x, v) {
				return "${" + a.Name + "." + f + "}"
			}
		}
	}
	return ""
}

func (p *Probe) provedOther(ctx context.Context, op *graph.Op, user *actor.Actor, l *steps, what string) error {
	if l.err != nil {
		p.Note(op, Inconclusive)
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err := p.Prove(ctx, Hypothesis{
		Op: op, Where: "role", Title: fmt.Sprintf("%s %s: an ordinary user %s", op.Method, op.Path, what),
		Description: fmt.Sprintf("The operation is not for ordinary users (%s), and does its work for one.", p.restricted(op, user)),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as an ordinary user", op.Method, op.Path), Steps: l.list},
	})
	return err
}

// actsAsOther calls an operation that changes something as the user, on what is
// the user's own, and looks at what the user can read before and after.
func (p *Probe) actsAsOther(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	c, _, _, err := p.callFor(ctx, op, user)
	if err != nil || c == nil {
		return err
	}
	c = withChoices(p.onOwn(op, c.By(user), user))
	if denied, err := p.deniedAnyway(ctx, op, c); err != nil {
		return err
	} else if denied {
		p.Note(op, Clean)
		return nil
	}
	looks, err := p.mirrors(ctx, user)
	if err != nil {
		return err
	}
	x, err := p.send(ctx, c)
	if err != nil {
		return err
	}
	if x.Status/100 != 2 {
		p.Note(op, Clean)
		return nil
	}
	if c, err = p.changing(ctx, c, looks); err != nil {
		return err
	}
	for _, m := range looks {
		now, err := p.send(ctx, m.call)
		if err != nil {
			return err
		}
		if scenario.Alike(m.last, now) {
			continue
		}
		// Where the call sets what can be read, it is done already: it is set back before
		// the proof and after it, so that the user does not stay what the call made of them.
		back := setBack(c, m.last, now)
		var l steps
		add := func(call *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) {
			st, err := p.step(nil, call, id, part)
			st.Note, st.Expect = note, e
			l.add(st, err)
		}
		if back != nil {
			add(back, "back", scenario.Setup, "it is as it was", scenario.Expect{Status: "2xx"})
		}
		add(m.call, "before", scenario.Control, "what the user sees", scenario.Expect{Status: "2xx"})
		add(c.By(nil), "nobody", scenario.Control, "nobody tries", scenario.Expect{Status: "any"})
		add(m.call, "still", scenario.Control, "nothing has changed", scenario.Expect{Status: "2xx", Like: "before"})
		add(c, "attack", scenario.Attack, "the user does it", scenario.Expect{Status: "2xx"})
		add(m.call, "after", scenario.Observe, "and it is done", scenario.Expect{Status: "2xx", Unlike: "before"})
		if back != nil {
			add(back, "restore", scenario.Cleanup, "and set back")
		}
		err = p.provedOther(ctx, op, user, &l, "does what is not for users")
		if back != nil {
			if _, again := p.send(ctx, back); err == nil {
				err = again
			}
		}
		if err != nil || p.open(op, "role") {
			return err
		}
		break
	}
	if done, err := p.makesAsOther(ctx, op, c, user); err != nil || done {
		return err
	}
	return p.answersAsOther(ctx, op, user)
}

// withChoices is c with a value for each field of its body that is one of a list, where
// it would send none: what is sent empty changes nothing that anybody could see.
func withChoices(c *world.Call) *world.Call {
	for where, text := range c.Values {
		if strings.HasPrefix(where, "body.") && text != "{}" {
			return c
		}
	}
	for _, in := range c.Op.Inputs {
		if in.In != "body" || in.ReadOnly || in.Schema == nil || strings.Count(in.Pointer, "/") != 1 {
			continue
		}
		if list := in.Schema.Rules().Enum; len(list) > 1 && list[0].Kind == value.String {
			c = c.With(in.Where(), jsonString(list[0].Text))
		}
	}
	return c
}

// deniedAnyway reports whether a call is refused for who makes it before anybody
// looks at what it holds: then nothing needs to be read before and after it. A body
// without what must be in it does nothing where it is let in.
func (p *Probe) deniedAnyway(ctx context.Context, op *graph.Op, c *world.Call) (bool, error) {
	if !strings.Contains(c.Media, "json") || !slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool {
		return in.In == "body" && in.Required && strings.Count(in.Pointer, "/") == 1
	}) {
		return false, nil
	}
	r, err := p.World.Request(c)
	if err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written tells nothing
	}
	r.Body = []byte("{}")
	x, err := p.Do(ctx, c.As, r)
	if err != nil {
		return false, err
	}
	return x.Status == http.StatusUnauthorized || x.Status == http.StatusForbidden, nil
}

// makesAsOther: what the user made by an operation that is not for users is there.
func (p *Probe) makesAsOther(ctx context.Context, op *graph.Op, c *world.Call, user *actor.Actor) (bool, error) {
	if op.Kind != graph.Create || op.About == nil {
		return false, nil
	}
	for _, s := range p.subjects(op.About, user, 3) {
		reader := p.World.Reader(s.object)
		if s.recipe == nil || reader == nil || len(s.marks) == 0 || s.object.MadeBy == nil || s.object.MadeBy.Op != op {
			continue
		}
		var l steps
		st, err := p.step(nil, c.By(nil), "nobody", scenario.Control)
		st.Note, st.Expect = "nobody without credentials is refused", []scenario.Expect{{Status: "401|403"}}
		l.add(st, err)
		for i, made := range s.setup() {
			if i == len(s.recipe.Steps)-1 {
				made.Part, made.Note = scenario.Attack, "the user does it"
			}
			l.add(made, nil)
		}
		st, err = p.step(s, reader, "after", scenario.Observe)
		st.Note, st.Expect = "and it is done", []scenario.Expect{{Status: "2xx", Contains: s.marks[:1]}}
		l.add(st, err)
		if err := p.provedOther(ctx, op, user, &l, "does what is not for users"); err != nil || p.open(op, "role") {
			return true, err
		}
	}
	return false, nil
}

// answersAsOther: where nothing that the user can read changes, it tells that an
// operation whose description lists the roles it is for answers one of another
// role word for word as it answers one of those, and nobody else.
func (p *Probe) answersAsOther(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	for _, a := range p.entitled() {
		if roleOf(a) == "" || roleOf(a) == roleOf(user) || !p.listed(op, a) {
			continue
		}
		c, err := p.World.Call(ctx, op, a, nil)
		if err != nil {
			continue
		}
		theirs, err := p.send(ctx, c)
		if err != nil {
			return err
		}
		if theirs.Status/100 != 2 || scenario.Form(theirs.Body) == "" {
			continue
		}
		var l steps
		for _, st := range []struct {
			id   string
			part scenario.Part
			call *world.Call
			note string
			e    scenario.Expect
		}{
			{"nobody", scenario.Control, c.By(nil), "nobody without credentials is refused", scenario.Expect{Status: "401|403"}},
			{"entitled", scenario.Control, c, "one of a role that the description names does it", scenario.Expect{Status: "2xx"}},
			{"attack", scenario.Attack, c.By(user), "an ordinary user does it as well", scenario.Expect{Status: "2xx", Like: "entitled"}},
		} {
			step, err := p.step(nil, st.call, st.id, st.part)
			step.Note, step.Expect = st.note, []scenario.Expect{st.e}
			l.add(step, err)
		}
		return p.provedOther(ctx, op, user, &l, "does what is not for users")
	}
	p.Note(op, Inconclusive)
	return nil
}

// listed reports whether an operation's description names an actor's role.
func (p *Probe) listed(op *graph.Op, a *actor.Actor) bool {
	for name, v := range op.Extensions {
		if list, ok := v.([]any); ok && reRoles.MatchString(name) && slices.ContainsFunc(list, func(r any) bool { return strings.EqualFold(fmt.Sprint(r), roleOf(a)) }) {
			return true
		}
	}
	said := p.roleNamed(op, p.Actor(actor.User))
	return said != "" && strings.Contains(said, strings.ToLower(roleOf(a)))
}

// onOwn puts the user's own objects and account into a call.
func (p *Probe) onOwn(op *graph.Op, c *world.Call, user *actor.Actor) *world.Call {
	for _, in := range op.Inputs {
		r := p.resourceOf(in)
		if r == nil || in.In == "header" {
			continue
		}
		if r.IsPerson || r.IsTenant {
			if own := p.self(r, user); len(own) > 0 {
				c = c.On(in.Where(), idFor(in, own[0].object), own[0].object)
			}
			continue
		}
		if own := p.subjects(r, user, 1); len(own) > 0 {
			c = c.On(in.Where(), idFor(in, own[0].object), own[0].object)
		}
	}
	return c
}

// mirrors are reads in which a user sees what changes: plain ones, and of the
// user's own objects; each said the same twice.
func (p *Probe) mirrors(ctx context.Context, user *actor.Actor) ([]*witness, error) {
	var out []*witness
	tried := 0
	for _, op := range p.Graph.Ops {
		if !p.onlyReads(op) || op.Kind == graph.List && len(out) > 12 {
			continue
		}
		if tried++; tried > 40 {
			break
		}
		p.mu.Lock()
		mirrors, known := p.mirroring[op]
		p.mu.Unlock()
		if known && !mirrors {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			continue
		}
		x, err := p.send(ctx, c)
		if err != nil {
			return nil, err
		}
		if !known {
			again := x
			if x.Status/100 == 2 {
				if again, err = p.send(ctx, c); err != nil {
					return nil, err
				}
			}
			alike := scenario.Alike(x, again)
			mirrors = x.Status/100 == 2 && alike && telling(x)
			if alike { // else others may have changed it in between: it is looked at again
				p.mu.Lock()
				p.mirroring[op] = mirrors
				p.mu.Unlock()
			}
			x = again
		}
		if mirrors && x.Status/100 == 2 {
			out = append(out, &witness{c, x})
		}
	}
	return out, nil
}

// setBack is the call that undoes c, which set a field that was read before and
// after to a value of its own: the same call with the value that was there. nil when
// nothing that c sends is what changed.
func setBack(c *world.Call, before, after *target.Exchange) *world.Call {
	was, now := texts(before), texts(after)
	for _, at := range slices.Sorted(maps.Keys(now)) {
		old, there := was[at]
		if !there || old == now[at] || old == "" {
			continue
		}
		for _, in := range c.Op.Inputs {
			sent, ok := c.Values[in.Where()]
			if !ok || in.In == "path" || !strings.EqualFold(plainName(in.Name), plainName(at[strings.LastIndexByte(at, '/')+1:])) {
				continue
			}
			switch {
			case sent == jsonString(now[at]):
				return c.With(in.Where(), jsonString(old))
			case sent == now[at]:
				return c.With(in.Where(), old)
			}
		}
	}
	return nil
}

// texts are the scalars of an answer, as texts.
func texts(x *target.Exchange) map[string]string {
	out := map[string]string{}
	if v, ok := scenario.Decode(x.Body); ok {
		scenario.Walk(v, func(at string, s any) { out[at] = scenario.Plain(s) })
	}
	return out
}

// changing is c with a value that differs from what is there: where c sets a field to
// what it is already, nobody sees whether it did. Which values there are, the answer
// to one that cannot be says.
func (p *Probe) changing(ctx context.Context, c *world.Call, looks []*witness) (*world.Call, error) {
	for _, in := range c.Op.Inputs {
		sent := c.Values[in.Where()]
		if in.In == "path" || !strings.HasPrefix(sent, `"`) {
			continue
		}
		same := false
		for _, m := range looks {
			for at, text := range texts(m.last) {
				same = same || jsonString(text) == sent && strings.EqualFold(plainName(in.Name), plainName(at[strings.LastIndexByte(at, '/')+1:]))
			}
		}
		if !same {
			continue
		}
		var offered []string
		if in.Schema != nil {
			for _, v := range in.Schema.Rules().Enum {
				offered = append(offered, v.Text)
			}
		}
		if len(offered) == 0 {
			x, err := p.send(ctx, c.With(in.Where(), `"crenelzq"`))
			if err != nil {
				return nil, err
			}
			if x.Status/100 != 4 {
				return c, nil
			}
			offered = world.Offered(x.Body, in.Name)
		}
		for _, text := range offered {
			if jsonString(text) == sent {
				continue
			}
			other := c.With(in.Where(), jsonString(text))
			x, err := p.send(ctx, other)
			if err != nil {
				return nil, err
			}
			if x.Status/100 == 2 {
				return other, nil
			}
		}
	}
	return c, nil
}

// plainName is a name without what joins its words: member_id and member-id are one.
func plainName(name string) string { return strings.NewReplacer("_", "", "-", "").Replace(name) }
