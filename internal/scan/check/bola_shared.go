package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID:    "bola-shared",
	Title: "What two people share can be read by a third",
	OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-ATHZ-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "One user sends something to another (a message, a transfer, an invitation), and a third, a new account that is no party to it, reads by its identifier where it went.",
	Proof: "The third is answered with the text that the first wrote to the second a moment before. Controls: both parties read it; nobody without credentials does, nor an identifier of nothing; in the list of what is one's own, the first has it and the third, who has a list as well, has nothing.",
	Fix:   "Look the object up together with those who take part in it, in every operation, and answer 404 to all others.",
	Mode:  Default,
	Run:   bolaShared,
})

func bolaShared(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || len(p.Attackers()) == 0 || p.People.RegisterEntry() == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.onlyReads(op) || !op.Secured {
			return nil
		}
		for _, in := range op.Inputs {
			r := p.resourceOf(in)
			if r == nil || r.IsPerson || r.IsTenant || in.In != "path" && in.In != "query" {
				continue
			}
			for _, e := range in.Producers {
				if e.Score < 0.5 || e.From.Header != "" || e.From.Op.Method != http.MethodPost || p.recipient(e.From.Op) == nil || strings.Contains(e.From.Pointer, "*") {
					continue
				}
				if done, err := p.shares(ctx, &sharing{read: op, in: in, of: r, edge: e, to: p.recipient(e.From.Op)}, user); err != nil || done {
					return err
				}
			}
		}
		return nil
	})
}

// recipient is the input by which an operation names the person that something goes to.
func (p *Probe) recipient(op *graph.Op) *graph.Input {
	if op.Has(graph.Hazard) || op.Has(graph.Admin) || op.Has(graph.Register) || op.Has(graph.Login) {
		return nil
	}
	for _, in := range op.Inputs {
		r := p.resourceOf(in)
		if reDoer.MatchString(in.Name) {
			continue // whose it is: set by the server, and in the body because one schema describes both
		}
		if in.In == "body" && !in.Listed && (reRecipient.MatchString(in.Name) || r != nil && r.IsPerson) {
			return in
		}
	}
	return nil
}

// reDoer are names of members that say whose something is, and not whom it goes to.
var reDoer = regexp.MustCompile(`(?i)^(owner|author|creator|created_?by|sender|from|uploader|poster|writer)([_-]?(user|member|account|person))?([_-]?(id|name|email|username))?$`)

// sharing is how something goes from one to another, and is read.
type sharing struct {
	read *graph.Op
	in   *graph.Input // of read: the identifier
	of   *graph.Resource
	edge *graph.Edge  // from what sends
	to   *graph.Input // of what sends: the recipient

	send  *world.Call
	text  string // where what is sent holds a text
	look  *world.Call
	list  *world.Call // of what is one's own; nil: there is none
	below string      // pointer of its list
}

func (p *Probe) shares(ctx context.Context, s *sharing, user *actor.Actor) (bool, error) {
	var err error
	if s.send, err = p.World.Call(ctx, s.edge.From.Op, user, nil); err != nil {
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	for where, fresh := range s.send.Fresh {
		if strings.Contains(fresh, "${canary}") && (s.text == "" || where < s.text) && where != s.to.Where() {
			s.text = where
		}
	}
	if s.text == "" {
		return false, nil
	}
	for _, other := range p.Attackers() {
		fact := p.factFor(s.to, other)
		if fact == "" {
			continue
		}
		mark := "cr" + p.RunID + "shared" + strings.ToLower(other.Name)
		x, err := p.send(ctx, s.send.With(s.to.Where(), jsonID(s.to, other.Facts[fact])).With(s.text, jsonString(mark)))
		if err != nil {
			return false, err
		}
		body, ok := scenario.Decode(x.Body)
		ids := scenario.Find(body, s.edge.From.Pointer)
		if x.Status/100 != 2 || !ok || len(ids) == 0 {
			continue
		}
		id := scenario.Plain(ids[0])
		if s.look, err = p.World.Call(ctx, s.read, user, map[string]string{s.in.Where(): jsonID(s.in, id)}); err != nil {
			return false, nil //nolint:nilerr // as above
		}
		third, err := p.People.Fresh(ctx)
		if err != nil {
			return false, nil //nolint:nilerr // without a third there is nothing to try it with
		}
		p.Note(s.read, Clean)
		shown := true
		for _, a := range []*actor.Actor{user, other, third} {
			x, err := p.send(ctx, s.look.By(a))
			if err != nil {
				return false, err
			}
			shown = shown && x.Status/100 == 2 && scenario.Holds(x, mark)
		}
		if !shown {
			continue
		}
		if err := p.ownList(ctx, s, user, third, id); err != nil {
			return false, err
		}
		if s.list == nil {
			p.Note(s.read, Inconclusive) // it may be there for all
			continue
		}
		if done, err := p.sharedHypothesis(ctx, s, other, fact); err != nil || done {
			return done, err
		}
	}
	return false, nil
}

// factFor is what is known of an actor that an input names a person by.
func (p *Probe) factFor(in *graph.Input, a *actor.Actor) string {
	for _, fact := range []string{factOf(in), "id", "username", "email"} {
		if v := a.Facts[fact]; fact != "" && v != "" && (in.Type != "integer" || strings.Trim(v, "0123456789") == "") {
			return fact
		}
	}
	return ""
}

// ownList finds the list of one's own: it has the object for the one, and nothing for the third.
func (p *Probe) ownList(ctx context.Context, s *sharing, user, third *actor.Actor, id string) error {
	for _, op := range p.Graph.Ops {
		kind, below := p.Graph.Answer(op)
		if kind != "list" || op.About != s.of || !p.plainRead(op) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			continue
		}
		mine, err := p.send(ctx, c)
		if err != nil {
			return err
		}
		theirs, err := p.send(ctx, c.By(third))
		if err != nil {
			return err
		}
		if mine.Status/100 == 2 && theirs.Status/100 == 2 && items(theirs.Body, below) == 0 && regexp.MustCompile(s.listed(regexp.QuoteMeta(id))).Match(mine.Body) {
			s.list, s.below = c, below
			return nil
		}
	}
	return nil
}

// listed is a pattern for a list that has the object of an identifier.
func (s *sharing) listed(id string) string {
	return `"(id|` + regexp.QuoteMeta(s.edge.From.Name) + `|` + regexp.QuoteMeta(s.in.Name) + `)"\s*:\s*"?` + id + `"?\s*[,}\]]`
}

func (p *Probe) sharedHypothesis(ctx context.Context, s *sharing, other *actor.Actor, fact string) (bool, error) {
	var l steps
	bind := s.send.Renew("send")
	bind[s.text] = `"${canary.shared}"`
	if bind[s.to.Where()] = "${" + other.Name + "." + fact + "|raw}"; strings.HasPrefix(jsonID(s.to, other.Facts[fact]), `"`) {
		bind[s.to.Where()] = `"${` + other.Name + "." + fact + `}"`
	}
	st, err := p.World.Step(s.send, bind)
	st.ID, st.Part, st.Note = "send", scenario.Setup, "one user sends something to another"
	st.Expect, st.Save = []scenario.Expect{{Status: "2xx"}}, []scenario.Save{{As: "shared", At: s.edge.From.Pointer}}
	l.add(st, err)
	id := `"${shared}"`
	text := s.look.Values[s.in.Where()]
	if !strings.HasPrefix(text, `"`) {
		id = "${shared}"
	}
	read := func(id string, part scenario.Part, as, note, shared string, e ...scenario.Expect) {
		bind := s.look.Renew(id)
		bind[s.in.Where()] = shared
		st, err := p.World.Step(s.look, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, as, note, e
		l.add(st, err)
	}
	own := func(id, as, note string, e scenario.Expect) {
		st, err := p.step(nil, s.list, id, scenario.Control)
		st.As, st.Note, st.Expect = as, note, []scenario.Expect{e}
		l.add(st, err)
	}
	const mark = "${canary.shared}"
	zero := 0
	read("own", scenario.Control, s.send.As.Name, "the one reads it", id, scenario.Expect{Status: "2xx", Contains: []string{mark}})
	read("party", scenario.Control, other.Name, "the other reads it", id, scenario.Expect{Status: "2xx", Contains: []string{mark}})
	read("nobody", scenario.Control, actor.Nobody, "nobody without credentials does", id, scenario.Expect{Lacks: []string{mark}})
	read("absent", scenario.Control, "fresh1", "an identifier of nothing gives nothing", jsonID(s.in, absent(strings.Trim(text, `"`))), scenario.Expect{Lacks: []string{mark}})
	own("listed", s.send.As.Name, "the one has it in the list of what is their own", scenario.Expect{Status: "2xx", Matches: s.listed("${shared}")})
	own("unlisted", "fresh1", "a third has nothing in theirs", scenario.Expect{Status: "2xx", At: s.below, MaxItems: &zero})
	read("attack", scenario.Attack, "fresh1", "the third, who is no party to it, reads it", id, scenario.Expect{Status: "2xx", Contains: []string{mark}})
	if l.err != nil {
		p.Note(s.read, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	what := strings.ReplaceAll(s.of.Name, "_", " ")
	return p.Prove(ctx, Hypothesis{
		Op: s.read, Where: s.in.Where(), Title: fmt.Sprintf("%s %s shows a third what two share (%s)", s.read.Method, s.read.Path, what),
		Description: fmt.Sprintf("What one user sends to another by %s %s is read by a third, who is no party to it and has nothing of the kind, by putting its identifier into %s.", s.edge.From.Op.Method, s.edge.From.Op.Path, s.in.Where()),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as a third", s.read.Method, s.read.Path), Steps: l.list},
	})
}
