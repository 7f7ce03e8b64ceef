package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "partner-fields", Title: "Another server's answer sets what is not for callers",
	OWASP: "API10:2023", CWE: "CWE-915", WSTG: "WSTG-BUSL-01",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Where the server takes something over from an address that a caller names, and the scanner's listener can be that address, answers with fields that accounts have and callers should not set: role, rights, balance, plan.",
	Proof: "A new account reads of itself what the listener said. Controls: it had something else before, and still has after an answer without the field. A partner whose address no caller names cannot be played.",
	Fix:   "Take from another server's answer the fields that you expect, by name, type and range, as from a caller's body; ask only servers from a list.",
	Mode:  Default, Dirty: true,
	Run: partnerFields,
})

// plainPartner is what a partner answers that is up to nothing.
const plainPartner = `{"id": 1, "name": "Crenel", "title": "Crenel"}`

func (p *Probe) answersJSON(address, body string) {
	p.Listener.Answer(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body)) // to the target, which may have gone away
	}))
}

func partnerFields(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if p.Listener == nil || user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	return p.everySlot(ctx, func(s *slot) bool { return takesURL(s.in) && s.op.Secured && len(s.op.PathParams) == 0 }, func(ctx context.Context, s *slot) error {
		if s.op.Method == http.MethodGet {
			return nil
		}
		a, err := p.People.Fresh(ctx)
		if err != nil {
			return nil //nolint:nilerr // without new accounts there is nothing to try it with
		}
		address := p.Listener.Address()
		p.answersJSON(address, plainPartner)
		x, err := p.send(ctx, s.with(address).By(a))
		if err != nil || x.Status/100 == 4 || !p.Listener.Called(ctx, address, soon) {
			return err
		}
		return p.partnerSets(ctx, s, a, user)
	})
}

// told is a field of an account as it reads it, and what a partner would set it to.
type told struct {
	reader   *world.Call
	at, name string
	want     string // JSON text
}

func (p *Probe) partnerSets(ctx context.Context, s *slot, a, user *actor.Actor) error {
	var list []told
	fields := map[string]json.RawMessage{}
	for _, op := range p.Graph.Ops {
		if op.Answered == "list" || !p.plainRead(op) {
			continue
		}
		reader, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			continue
		}
		x, err := p.send(ctx, reader.By(a))
		if err != nil {
			return err
		}
		body, ok := scenario.Decode(x.Body)
		if x.Status/100 != 2 || !ok {
			continue
		}
		scenario.Walk(body, func(at string, v any) {
			name := at[strings.LastIndexByte(at, '/')+1:]
			rights := p.rights(name, v)
			if len(rights) == 0 || strings.Count(at, "/") > 2 || reIndex.MatchString(at) || len(list) >= 12 {
				return
			}
			list = append(list, told{reader, at, name, rights[0]})
			fields[name] = json.RawMessage(rights[0])
		})
	}
	if len(list) == 0 {
		return nil
	}
	p.Note(s.op, Clean)
	fields["name"] = json.RawMessage(`"Crenel"`)
	answer, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("writing a partner's answer: %w", err)
	}
	address := p.Listener.Address()
	p.answersJSON(address, string(answer))
	if _, err := p.send(ctx, s.with(address).By(a)); err != nil {
		return err
	}
	for _, f := range list {
		x, err := p.send(ctx, f.reader.By(a))
		if err != nil {
			return err
		}
		body, _ := scenario.Decode(x.Body)
		found := scenario.Find(body, f.at)
		if x.Status/100 != 2 || len(found) == 0 || scenario.Plain(found[0]) != scenario.Plain(decoded(f.want)) {
			continue
		}
		if err := p.partnerHypothesis(ctx, s, f); err != nil {
			return err
		}
	}
	return nil
}

func (p *Probe) partnerHypothesis(ctx context.Context, s *slot, f told) error {
	want := scenario.Plain(decoded(f.want))
	var l steps
	imports := func(id string, part scenario.Part, note, body string) {
		st, err := p.slotStep(s, id, part, note, "${listener."+id+"}", scenario.Expect{Status: "any"}, scenario.Expect{Called: id, By: soon * 4})
		st.As, st.Serve = "fresh1", []scenario.Serve{{Listener: id, Body: body}}
		l.add(st, err)
	}
	look := func(id string, part scenario.Part, note string, e scenario.Expect) {
		st, err := p.step(nil, f.reader, id, part)
		e.Status, e.At = "2xx", f.at
		st.As, st.Note, st.Expect = "fresh1", note, []scenario.Expect{e}
		l.add(st, err)
	}
	imports("plain", scenario.Control, "a new account lets the server ask one that says nothing of it", plainPartner)
	look("before", scenario.Control, "it has something else", scenario.Expect{Differs: &want})
	imports("attack", scenario.Attack, "it lets the server ask one that does", fmt.Sprintf(`{"name": "Crenel", %s: %s}`, jsonString(f.name), f.want))
	look("after", scenario.Observe, "and has what that one said", scenario.Expect{Equals: &want})
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err := p.Prove(ctx, Hypothesis{
		Op: s.op, Where: s.in.Where() + " " + f.name, Title: fmt.Sprintf("%s %s takes %s from whatever server a caller names", s.op.Method, s.op.Path, f.name),
		Description: fmt.Sprintf("What the server at the address in %s says of %s is taken over: %s %s shows it.", s.in.Where(), f.name, f.reader.Op.Method, f.reader.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a partner's answer taken over", Steps: l.list},
	})
	return err
}
