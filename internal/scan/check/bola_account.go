package check

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "bola-account", Title: "Another user's account can be taken over, changed or deleted",
	OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-ATHZ-04", CVSS: vectorForger,
	About: "Registers two accounts. As one of them, and as nobody, calls what sets the password, the e-mail address or other texts of an account, or deletes it, with the other's identifier; and what changes the company, organisation or workspace that a registration makes, with the other's.",
	Proof: "The other account opens with the password that was set, shows its owner the text that was sent, or opens no more. The attacker's status code is not looked at. Controls: before, that password opened nothing, the text was not there, and the account opened.",
	Fix:   "Take whose account it is from the session and never from the request, or compare the two; ask for the present password (NIST SP 800-63B-4, section 4.3) before credentials or addresses change.",
	Mode:  Default,
	Run:   bolaAccount,
})

// taking is an operation on an account that its caller names.
type taking struct {
	op   *graph.Op
	in   *graph.Input // names the account
	fact string       // by this fact of its owner
	call *world.Call
	door *door
	// One of these is what is tried: the inputs of the new password, the one of a
	// text that a reader shows, the account's end.
	passwords []*graph.Input
	text      *graph.Input
	reader    *world.Call
	ends      bool
	// tenant: it is not the account, but the tenant that was made with it.
	tenant *graph.Resource
}

const takenPassword = "Changed-${canary.new}-9!"

var reOldPassword = regexp.MustCompile(`(?i)old|current|existing|previous|present|actual`)

// takes is an operation as a taking; nil when it takes nothing of an account
// that its caller names.
func (p *Probe) takes(op *graph.Op, user *actor.Actor) *taking {
	for _, not := range []graph.Purpose{graph.Hazard, graph.Logout, graph.Login, graph.Register, graph.Refresh, graph.PasswordReset, graph.PasswordForgot, graph.SecondFactor} {
		if op.Has(not) {
			return nil
		}
	}
	if op.Method == http.MethodGet || op.Method == http.MethodHead || op.Method == http.MethodOptions {
		return nil
	}
	t := &taking{op: op}
	var email, other *graph.Input
	for _, in := range op.Inputs {
		switch {
		case in.In == "path" || in.In == "query":
			if f := p.accountFact(in, user); f != "" && (t.in == nil || in.In == "path") {
				t.in, t.fact = in, f
			}
		case in.In != "body" || in.ReadOnly || in.Listed:
		case in.Meaning == graph.MeansPassword:
			t.passwords = append(t.passwords, in)
		case in.Meaning == graph.MeansEmail:
			email = in
		case other == nil && in.Meaning != graph.MeansUsername && in.Format == "" && takesText(in) && !takesURL(in):
			other = in
		}
	}
	writes := op.Method == http.MethodPut || op.Method == http.MethodPatch
	if t.in == nil && writes && op.About != nil && op.About.IsTenant {
		if in := p.naming(op, op.About); in != nil && in.In == "path" && other != nil {
			if f := tenantFact(in, op.About, user); f != "" {
				t.in, t.fact, t.tenant, t.text = in, f, op.About, other
				return t
			}
		}
	}
	profile := writes && other != nil && op.About != nil && op.About.IsPerson && len(op.PathParams) == 0
	ends := op.Kind == graph.Delete && len(op.PathParams) == 0 // a procedure's body says whose account ends
	if t.in == nil && (len(t.passwords) > 0 || profile || ends) && op.Secured {
		for _, in := range op.Inputs {
			if in.In == "body" && (in.Required || len(t.passwords) > 0) && (in.Meaning == graph.MeansUsername || in.Meaning == graph.MeansEmail || namesPerson(in.Name) || ends && in == p.naming(op, op.About)) {
				if f := p.accountFact(in, user); f != "" {
					t.in, t.fact, email = in, f, nil
					break
				}
			}
		}
	}
	switch {
	case t.in == nil:
		return nil
	case op.Kind == graph.Delete:
		t.ends = op.About != nil && op.About.IsPerson && p.naming(op, op.About) == t.in
		t.passwords = nil
		if !t.ends {
			return nil
		}
	case len(t.passwords) > 0:
	case email != nil:
		t.text = email
	case writes && other != nil && op.About != nil && op.About.IsPerson:
		t.text = other
	default:
		return nil
	}
	return t
}

// tenantFact is the fact of an actor by which an input names the actor's tenant; "".
func tenantFact(in *graph.Input, r *graph.Resource, a *actor.Actor) string {
	for _, f := range []string{"tenant", r.Name + "_id", r.Name} {
		if v := a.Facts[f]; v != "" && (in.Type != "integer" || strings.Trim(v, "0123456789") == "") {
			return f
		}
	}
	return ""
}

// accountFact is the fact of an actor by which an input names an account; "".
func (p *Probe) accountFact(in *graph.Input, a *actor.Actor) string {
	r := p.resourceOf(in)
	if r != nil && !r.IsPerson {
		return ""
	}
	var try []string
	switch in.Meaning {
	case graph.MeansEmail:
		try = append(try, "email")
	case graph.MeansUsername:
		try = append(try, "username")
	}
	try = append(try, in.Name)
	if r != nil {
		for _, e := range in.Producers {
			try = append(try, e.From.Name)
		}
		try = append(append(try, "id"), r.IDs...)
	}
	for _, f := range try {
		if v := a.Facts[f]; v != "" && f != "password" && f != "role" && (in.Type != "integer" || strings.Trim(v, "0123456789") == "") {
			return f
		}
	}
	if r == nil {
		return namesBy(in, a)
	}
	return ""
}

func bolaAccount(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	d := p.door(ctx)
	if user == nil || d == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	var list []*taking
	for _, op := range p.Ops() {
		if t := p.takes(op, user); t != nil {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil
	}
	// What ends accounts comes last: the two that are tried with serve all.
	slices.SortStableFunc(list, func(a, b *taking) int {
		switch {
		case a.ends == b.ends:
			return 0
		case a.ends:
			return 1
		}
		return -1
	})
	for i, t := range list[:min(len(list), 12)] {
		c, err := p.World.Call(ctx, t.op, user, nil)
		if err != nil {
			c, err = p.World.Call(ctx, t.op, user, map[string]string{t.in.Where(): jsonID(t.in, user.Facts[t.fact])})
		}
		if err != nil {
			p.Note(t.op, Skipped)
			continue
		}
		t.call, t.door = c, d
		if err := p.takesOver(ctx, t, strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// takesOver tries a taking by accounts made for it, and states what it does.
func (p *Probe) takesOver(ctx context.Context, t *taking, name string) error {
	victim, err := p.People.Fresh(ctx)
	if err != nil {
		p.Note(t.op, Skipped)
		return nil //nolint:nilerr // without accounts of its own nothing is tried
	}
	attacker, err := p.People.Fresh(ctx)
	if err != nil || victim.Facts[t.fact] == "" || victim.Facts[t.fact] == attacker.Facts[t.fact] {
		p.Note(t.op, Skipped)
		return nil //nolint:nilerr // as above
	}
	readers := []*world.Call{nil}
	if t.text != nil {
		readers, err = p.accountReaders(ctx, victim)
		if t.tenant != nil {
			readers, err = p.tenantReaders(ctx, t.tenant, victim), nil
		}
		if err != nil {
			return err
		}
	}
	p.Note(t.op, Clean)
	as := []*actor.Actor{attacker}
	if t.op.Secured {
		as = []*actor.Actor{nil, attacker}
	}
	for i, who := range as {
		mark := "taken" + strings.ToLower(p.RunID) + name + strconv.Itoa(i)
		c := t.call.By(who)
		for where, v := range t.fill(func(a, fact string) string {
			if a == "fresh1" {
				return victim.Facts[fact]
			}
			return attacker.Facts[fact]
		}, mark) {
			c = c.With(where, v)
		}
		if _, err := p.send(ctx, c); err != nil {
			return err
		}
		done := false
		switch {
		case t.text != nil:
			for _, r := range readers {
				x, err := p.send(ctx, r.By(victim))
				if err != nil {
					return err
				}
				if x.Status/100 == 2 && scenario.Holds(x, mark) {
					t.reader, done = r, true
					break
				}
			}
		default:
			facts := maps.Clone(victim.Facts)
			if !t.ends {
				facts["password"] = strings.ReplaceAll(takenPassword, "${canary.new}", mark)
			}
			s, x, err := p.People.LoginWith(ctx, facts)
			in := err == nil && s != nil
			done = in != t.ends && (!t.ends || x != nil && x.Status/100 == 4 && x.Status != http.StatusTooManyRequests)
		}
		if !done {
			continue
		}
		ok, err := p.proveTaking(ctx, t, who == nil)
		if err != nil || ok {
			return err
		}
	}
	return nil
}

// accountReaders are reads in which somebody sees their own account.
func (p *Probe) accountReaders(ctx context.Context, victim *actor.Actor) ([]*world.Call, error) {
	var out []*world.Call
	w, err := p.witness(ctx, victim)
	if err != nil {
		return nil, err
	}
	if w != nil {
		out = append(out, w.call)
	}
	for _, op := range p.Graph.Ops {
		if !p.onlyReads(op) || len(op.PathParams) != 1 || op.About == nil || !op.About.IsPerson || op.Kind != graph.Read || len(out) > 3 {
			continue
		}
		in := p.naming(op, op.About)
		if in == nil || in.In != "path" {
			continue
		}
		f := p.accountFact(in, victim)
		if f == "" {
			continue
		}
		c, err := p.World.Call(ctx, op, victim, map[string]string{in.Where(): jsonID(in, victim.Facts[f])})
		if err == nil {
			out = append(out, c)
		}
	}
	return out, nil
}

// tenantReaders are reads in which somebody sees the own tenant.
func (p *Probe) tenantReaders(ctx context.Context, r *graph.Resource, victim *actor.Actor) []*world.Call {
	var out []*world.Call
	for _, op := range r.Of(graph.Read) {
		in := p.naming(op, r)
		if !p.onlyReads(op) || len(op.PathParams) != 1 || in == nil || in.In != "path" || len(out) > 1 {
			continue
		}
		if f := tenantFact(in, r, victim); f != "" {
			if c, err := p.World.Call(ctx, op, victim, map[string]string{in.Where(): jsonID(in, victim.Facts[f])}); err == nil {
				out = append(out, c)
			}
		}
	}
	return out
}

// fill is what a call takes over with: values by input, made of facts of the
// victim ("fresh1") and the attacker ("fresh2"), and of a new text.
func (t *taking) fill(fact func(actor, name string) string, mark string) map[string]string {
	out := map[string]string{t.in.Where(): jsonID(t.in, fact("fresh1", t.fact))}
	for _, in := range t.op.Inputs {
		if in.In != "body" || in == t.in || in.ReadOnly {
			continue
		}
		switch {
		case in == t.text && in.Meaning == graph.MeansEmail:
			out[in.Where()] = jsonString(mark + "@" + domainOf(fact("fresh1", "email")))
		case in == t.text:
			out[in.Where()] = jsonString(mark)
		case in.Meaning == graph.MeansPassword && reOldPassword.MatchString(in.Name):
			out[in.Where()] = jsonString(fact("fresh2", "password"))
		case in.Meaning == graph.MeansPassword && len(t.passwords) > 0:
			out[in.Where()] = jsonString(strings.ReplaceAll(takenPassword, "${canary.new}", mark))
		case in.Meaning == graph.MeansUsername && fact("fresh1", "username") != "":
			out[in.Where()] = jsonString(fact("fresh1", "username"))
		case in.Meaning == graph.MeansEmail && fact("fresh1", "email") != "":
			out[in.Where()] = jsonString(fact("fresh1", "email"))
		}
	}
	return out
}

// attackStep is the call that takes over, in a scenario's own names.
func (p *Probe) attackStep(t *taking, nobody bool) (scenario.Step, error) {
	user := p.Actor(actor.User)
	bind := t.call.Renew("attack")
	maps.Copy(bind, t.fill(func(a, name string) string {
		if user.Facts[name] == "" {
			return ""
		}
		return "${" + a + "." + name + "}"
	}, "${canary.new}"))
	bind[t.in.Where()] = placeholder(t.in, user, "fresh1", t.fact)
	if t.text != nil && t.text.Meaning == graph.MeansEmail {
		bind[t.text.Where()] = `"${canary.new}@` + domainOf(user.Facts["email"]) + `"`
	}
	st, err := p.World.Step(t.call, bind)
	st.ID, st.Part, st.As, st.Note = "attack", scenario.Attack, "fresh2", "another account names it"
	if nobody {
		st.As, st.Note = actor.Nobody, "nobody without credentials names it"
	}
	return st, err
}

// placeholder is another actor's fact as an input takes it, in the form that a's has.
func placeholder(in *graph.Input, a *actor.Actor, of, fact string) string {
	if strings.HasPrefix(jsonID(in, a.Facts[fact]), `"`) {
		return `"${` + of + "." + fact + `}"`
	}
	return "${" + of + "." + fact + "|raw}"
}

func (p *Probe) proveTaking(ctx context.Context, t *taking, nobody bool) (bool, error) {
	var l steps
	open := func(id string, part scenario.Part, note, password string, e scenario.Expect) {
		st, err := t.door.step(p, id, part, note, t.door.fresh(password), e)
		if err == nil {
			st.As, st.Send.Without = "fresh1", []string{"*"}
		}
		l.add(st, err)
	}
	look := func(id string, part scenario.Part, note string, e scenario.Expect) {
		bind := t.reader.Renew(id)
		for _, in := range t.reader.Op.Inputs {
			if in.In != "path" {
				continue
			}
			f := p.accountFact(in, p.Actor(actor.User))
			if t.tenant != nil {
				f = tenantFact(in, t.tenant, p.Actor(actor.User))
			}
			if f != "" {
				bind[in.Where()] = placeholder(in, p.Actor(actor.User), "fresh1", f)
			}
		}
		st, err := p.World.Step(t.reader, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, "fresh1", note, []scenario.Expect{e}
		l.add(st, err)
	}
	var does, what string
	refused := scenario.Expect{Status: "400|401|403|404|410|422"}
	switch {
	case t.ends:
		does, what = "deletes another user's account", "Afterwards its owner cannot log in any more."
		open("before", scenario.Control, "an account opens with its password", "${fresh1.password}", t.door.in())
		l.add(p.attackStep(t, nobody))
		open("after", scenario.Observe, "its owner cannot log in any more", "${fresh1.password}", refused)
	case t.text != nil:
		does, what = "changes another user's account", fmt.Sprintf("Its owner finds the text that was put into %s there.", t.text.Where())
		look("before", scenario.Control, "an account as its owner sees it", scenario.Expect{Status: "2xx", Lacks: []string{"${canary.new}"}})
		l.add(p.attackStep(t, nobody))
		look("after", scenario.Observe, "its owner finds the new text in it", scenario.Expect{Status: "2xx", Contains: []string{"${canary.new}"}})
		if t.tenant != nil {
			does = "changes another tenant's " + strings.ReplaceAll(t.tenant.Name, "_", " ")
		}
	default:
		does, what = "sets another user's password", "The account opens with it."
		open("wrong", scenario.Control, "an account does not open with another password", takenPassword, refused)
		l.add(p.attackStep(t, nobody))
		open("after", scenario.Observe, "it opens with the password that was set", takenPassword, t.door.in())
	}
	h := Hypothesis{
		Op: t.op, Where: t.in.Where(),
		Title:       fmt.Sprintf("%s %s %s", t.op.Method, t.op.Path, does),
		Description: fmt.Sprintf("Whoever is logged in does it by putting the other's identifier into %s. %s", t.in.Where(), what),
	}
	if nobody {
		h.Title += ", without credentials"
		h.Description = fmt.Sprintf("Without credentials, an identifier in %s is enough. %s", t.in.Where(), what)
		h.OWASP, h.CWE, h.CVSS = "API2:2023", "CWE-306", vectorTakeover
	} else if p.restricted(t.op, p.Actor(actor.User)) != "" {
		h.OWASP, h.CWE = "API5:2023", "CWE-862"
	}
	if l.err != nil {
		p.Note(t.op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h.Scenario = &scenario.Scenario{Name: h.Title, Steps: l.list}
	return p.Prove(ctx, h)
}
