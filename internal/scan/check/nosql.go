package check

import (
	"context"
	"fmt"
	"net/http"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var (
	_ = register(&Check{
		ID: "nosql-login", Title: "An operator in place of a password logs in",
		OWASP: "API8:2023", CWE: "CWE-943", WSTG: "WSTG-INPV-05",
		CVSS:  vectorTakeover,
		About: `Logs in with {"$ne": …} and its like in place of a password (and of a name).`,
		Proof: "The operator gets a credential, where a wrong password gets none. Controls: a wrong password, and an operator that can match nothing, get none.",
		Fix:   "Check that each value is of the type that you expect, before it becomes part of a query.",
		Mode:  Default,
		Run:   nosqlLogin,
	})
	_ = register(&Check{
		ID: "nosql-operator", Title: "An operator in an input reaches the query",
		OWASP: "API8:2023", CWE: "CWE-943", WSTG: "WSTG-INPV-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Puts query operators in place of scalars: as objects into JSON, in brackets into query parameters.",
		Proof: "An operator that matches everything is answered otherwise than one that matches nothing, and so is a second pair. Controls: the plain value and a wrong one.",
		Fix:   "Check that each value is of the type that you expect, before it becomes part of a query; turn off the parsing of brackets in queries.",
		Mode:  Default, Dirty: true,
		Run: nosqlOperator,
	})
)

func nosqlLogin(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	user := p.Actor(actor.User)
	if d == nil || user == nil || d.save.At == "" && d.save.Header == "" && d.save.Cookie == "" {
		return nil
	}
	where := d.fields["password"]
	for _, o := range [][2]string{
		{`{"$ne":"${canary.a}"}`, `{"$eq":"${canary.a}"}`},
		{`{"$gt":""}`, `{"$lt":""}`},
		{`{"$regex":".*"}`, `{"$regex":"^${canary.a}$"}`},
		{`{"$exists":true}`, `{"$exists":false}`},
	} {
		try := func(id string, part scenario.Part, note, password string, e scenario.Expect) (scenario.Step, error) {
			bind := map[string]string{where: password}
			for fact, at := range d.fields {
				if fact != "password" && fact != "confirm" && user.Facts[fact] != "" {
					bind[at] = `"${user.` + fact + `}"`
				}
			}
			st, err := p.World.Step(d.call, bind)
			st.ID, st.Part, st.As, st.Note, st.Expect = id, part, actor.Nobody, note, []scenario.Expect{e}
			return st, err
		}
		var l steps
		l.add(try("wrong", scenario.Control, "a wrong password gets nothing", `"wrong-${canary.b}-A1!"`, scenario.Expect{Status: "!2xx"}))
		l.add(try("nothing", scenario.Control, "an operator that matches nothing neither", o[1], scenario.Expect{Status: "!2xx"}))
		st, err := try("operator", scenario.Attack, "one that matches any password logs in", o[0], d.in())
		save := d.save
		save.As = "credential"
		st.Save = []scenario.Save{save}
		l.add(st, err)
		if l.err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		ok, err := p.Prove(ctx, Hypothesis{
			Op: d.call.Op, Where: where, Title: fmt.Sprintf("%s %s: an operator in place of the password logs in", d.call.Op.Method, d.call.Op.Path),
			Description: "A query operator in place of the password matches any, and the account opens.",
			Scenario:    &scenario.Scenario{Name: "an operator in place of a password", Steps: l.list},
		})
		if err != nil || ok {
			return err
		}
	}
	return nil
}

func nosqlOperator(ctx context.Context, p *Probe) error {
	if err := nosqlValues(ctx, p); err != nil {
		return err
	}
	if err := p.everySlot(ctx, func(s *slot) bool {
		return s.in.In == "query" && s.op.Method == http.MethodGet && s.op.Answered != "object" || s.in.In == "body" && s.op.Method == http.MethodPost && (s.op.Has(graph.Search) || s.op.Kind == graph.Action && !s.op.OnObject) || s.in.In == "path" && s.op.Method == http.MethodGet && s.op.Answered == "list"
	}, p.conditions); err != nil {
		return err
	}
	return p.everySlot(ctx, func(s *slot) bool {
		return s.in.In == "query" && s.op.Method == http.MethodGet && s.op.Answered == "list" || s.in.In == "body" && s.op.Method == http.MethodPost && (s.op.Has(graph.Search) || s.op.Kind == graph.Action && s.op.Answered == "list")
	}, func(ctx context.Context, s *slot) error {
		s, err := p.alone(ctx, s)
		if err != nil {
			return err
		}
		again, err := p.send(ctx, s.call)
		if err != nil {
			return err
		}
		if !scenario.Alike(s.base, again) { // others may have changed something since
			third, err := p.send(ctx, s.call)
			if err != nil || !scenario.Alike(again, third) {
				return err
			}
		}
		for _, o := range [][4]string{
			{`$ne`, `crenel-none`, `$eq`, `crenel-none`},
			{`$regex`, `.*`, `$regex`, `^crenel-none$`},
			{`$gt`, ``, `$lt`, ``},
		} {
			done, err := p.operator(ctx, s, o)
			if err != nil || done {
				return err
			}
		}
		return nil
	})
}

// alone is a slot whose call finds nothing without the other filters, which need
// not be there: all of nothing tells no operator from another.
func (p *Probe) alone(ctx context.Context, s *slot) (*slot, error) {
	if items(s.base.Body, s.op.ListAt) != 0 {
		return s, nil
	}
	call := s.call
	for _, in := range s.op.Inputs {
		if in != s.in && in.In == s.in.In && !in.Required && call.Values[in.Where()] != "" {
			call = call.With(in.Where(), "")
		}
	}
	x, err := p.send(ctx, call)
	if err != nil || x.Status/100 != 2 {
		return s, err
	}
	return &slot{op: s.op, in: s.in, call: call, value: s.value, base: x}, nil
}

// operator tries one pair: an operator that matches all and one that matches nothing.
func (p *Probe) operator(ctx context.Context, s *slot, o [4]string) (bool, error) {
	write := func(id string, part scenario.Part, note, op, arg string, e ...scenario.Expect) (scenario.Step, error) {
		if s.in.In == "body" {
			st, err := p.World.Step(s.call, map[string]string{s.in.Where(): `{"` + op + `":` + jsonString(arg) + `}`})
			st.ID, st.Part, st.Note, st.Expect = id, part, note, e
			return st, err
		}
		st, err := p.World.Step(s.call.With(s.in.Where(), ""), nil)
		if err == nil {
			st.Send.Query = append(st.Send.Query, scenario.Pair{Name: s.in.Name + "[" + op + "]", Value: arg})
		}
		st.ID, st.Part, st.Note, st.Expect = id, part, note, e
		return st, err
	}
	var l steps
	l.add(p.slotStep(s, "wrong", scenario.Control, "a plain value of nothing", "crenel-none", scenario.Expect{Status: "any"}))
	l.add(write("nothing", scenario.Control, "an operator that matches nothing gives nothing", o[2], o[3], scenario.Expect{Status: "2xx"}))
	st, err := write("all", scenario.Attack, "one that matches everything gives more", o[0], o[1], scenario.Expect{Status: "2xx", Unlike: "nothing"})
	l.add(st, err)
	l.add(write("all2", scenario.Attack, "as does another", "$nin", `crenel-none`, scenario.Expect{Status: "any"}))
	l.add(write("nothing2", scenario.Attack, "and nothing again nothing", o[2], o[3], scenario.Expect{Like: "nothing", Unlike: "all"}))
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	// An unknown parameter that is passed over gives the whole list as well: the
	// operator must be told from no filter by what it does to the name.
	l.list = append(l.list[:3], l.list[4])
	return p.injected(ctx, s, "NoSQL injection", "A query operator in place of a plain value is worked out by the database.", &l)
}

// conditions tries whether a text is pasted into a condition in JavaScript, as MongoDB
// ($where) and stores that are filtered by the program have it: what is always true finds
// more than what is never.
func (p *Probe) conditions(ctx context.Context, s *slot) error {
	for _, quote := range []string{"'", `"`} {
		text := func(other string) string {
			return "crenel" + quote + " || " + quote + "7" + quote + "==" + quote + other
		}
		yes, err := p.send(ctx, s.with(text("7")))
		if err != nil {
			return err
		}
		if yes.Status/100 != 2 {
			continue
		}
		no, err := p.send(ctx, s.with(text("8")))
		if err != nil {
			return err
		}
		if no.Status/100 != 2 || len(yes.Body) <= len(no.Body)+8 || scenario.Alike(yes, no) {
			continue
		}
		var l steps
		l.add(p.unechoed(s, "plain", scenario.Control, "a plain value of nothing", "crenel-none", scenario.Expect{Status: "any"}))
		l.add(p.unechoed(s, "never", scenario.Control, "a condition that is never true finds as much as nothing", text("8"), scenario.Expect{Status: "2xx", Like: "plain"}))
		l.add(p.unechoed(s, "always", scenario.Attack, "one that is always true finds more", text("7"), scenario.Expect{Status: "2xx", Unlike: "never"}))
		l.add(p.unechoed(s, "computed", scenario.Attack, "as does one that must be worked out", "crenel"+quote+" || "+quote+"ab"+quote+".length==2 || "+quote+"x"+quote+"=="+quote+"y", scenario.Expect{Status: "2xx", Like: "always"}))
		l.add(p.unechoed(s, "uncomputed", scenario.Attack, "and one that comes to something else finds nothing", "crenel"+quote+" || "+quote+"ab"+quote+".length==3 || "+quote+"x"+quote+"=="+quote+"y", scenario.Expect{Status: "2xx", Like: "plain", Unlike: "always"}))
		if ok, err := p.injected(ctx, s, "injection into a condition in JavaScript", "The text is pasted into a condition that a JavaScript engine works out ($where in MongoDB, or a filter of the program's own).", &l); err != nil || ok {
			return err
		}
	}
	return nil
}
