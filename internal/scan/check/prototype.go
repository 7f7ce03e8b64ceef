package check

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "prototype-pollution", Title: "A body reaches the prototype of all objects",
	OWASP: "API8:2023", CWE: "CWE-1321", WSTG: "WSTG-INPV-20",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:L/SC:N/SI:N/SA:N",
	About: "Adds __proto__ and constructor.prototype, with a member that nobody else uses, to JSON bodies that are merged into what is there; then looks at what others read.",
	Proof: "Another person reads the member, with its value, where it was not before. Controls: the same member, put in plainly, does not get there.",
	Fix:   "Refuse the keys __proto__, constructor and prototype, merge into Object.create(null) or a Map, and take the members that you know.",
	Mode:  Aggressive, Late: true,
	Run: prototypePollution,
})

// prototypes are ways to the prototype: %s is the object to merge into it.
var prototypes = []string{`"__proto__":%s`, `"constructor":{"prototype":%s}`}

const maxPolluted = 20 // operations

func prototypePollution(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	other := p.Actor(actor.Peer)
	tried := 0
	for _, op := range p.Ops() {
		if op.Method != http.MethodPut && op.Method != http.MethodPatch && op.Method != http.MethodPost || op.Has(graph.Payment) || op.Has(graph.Transfer) || op.Has(graph.Register) || op.Has(graph.Login) || op.Has(graph.Admin) {
			continue
		}
		// What others read of the same: the same path, by GET.
		var reads []*world.Call
		for _, r := range p.Graph.Ops {
			if r.Method == http.MethodGet && (r.Path == op.Path || r.About != nil && r.About == op.About) && len(reads) < 2 && other != nil {
				if c, err := p.World.Call(ctx, r, other, nil); err == nil {
					reads = append(reads, c)
				}
			}
		}
		if len(reads) == 0 {
			continue // nobody would see it
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 != 2 || !strings.Contains(call.Media, "json") {
			continue
		}
		if tried++; tried > maxPolluted {
			break
		}
		p.Note(op, Clean)
		for _, form := range prototypes {
			member := "crenel" + p.RunID
			x, err := p.extended(ctx, call, fmt.Sprintf(form, `{"`+member+`":"`+member+`"}`))
			if err != nil {
				return err
			}
			if x == 0 || x/100 != 2 {
				continue
			}
			for _, read := range reads {
				y, err := p.send(ctx, read)
				if err != nil {
					return err
				}
				if y.Status/100 != 2 || !strings.Contains(string(y.Body), member) {
					continue
				}
				if done, err := p.polluted(ctx, op, call, read, form); err != nil || done {
					return err // it is one prototype, and it is spoilt
				}
			}
		}
	}
	return nil
}

// extended sends a call with more members in its body, and says with which status it was answered.
func (p *Probe) extended(ctx context.Context, call *world.Call, members string) (int, error) {
	r, err := p.World.Request(call)
	if err != nil {
		return 0, nil //nolint:nilerr // a call that cannot be written does not end the run
	}
	body, ok := withMembers(string(r.Body), members)
	if !ok {
		return 0, nil
	}
	r.Body = []byte(body)
	x, err := p.Do(ctx, call.As, r)
	if err != nil {
		return 0, err
	}
	return x.Status, nil
}

// withMembers is a JSON object's text with more members, in front of its own.
func withMembers(body, members string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(body), "{")
	if !ok {
		return "", false
	}
	if strings.TrimSpace(rest) == "}" {
		return "{" + members + "}", true
	}
	return "{" + members + "," + rest, true
}

func (p *Probe) polluted(ctx context.Context, op *graph.Op, call, read *world.Call, form string) (bool, error) {
	var l steps
	write := func(id string, part scenario.Part, note, members string) {
		st, err := p.World.Step(call, call.Renew(id))
		if err == nil {
			var ok bool
			if st.Send.Body, ok = withMembers(st.Send.Body, members); !ok {
				err = fmt.Errorf("%s: the body is no object", op.ID)
			}
		}
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{{Status: "any"}}
		l.add(st, err)
	}
	look := func(id string, part scenario.Part, note string, e scenario.Expect) {
		st, err := p.World.Step(read, nil)
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
		l.add(st, err)
	}
	write("plain", scenario.Control, "the member is put in plainly", `"${canary.plain}":"${canary.plainvalue}"`)
	look("none", scenario.Control, "another person does not read it", scenario.Expect{Status: "2xx", Lacks: []string{"${canary.plainvalue}", "${canary.value}"}})
	write("attack", scenario.Attack, "it is put into the prototype", fmt.Sprintf(form, `{"${canary.member}":"${canary.value}"}`))
	look("seen", scenario.Observe, "another person reads it", scenario.Expect{Status: "2xx", Contains: []string{"${canary.value}"}})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "body", Title: fmt.Sprintf("%s %s reaches the prototype of all objects", op.Method, op.Path),
		Description: "A member that is put into the prototype is a member of everybody's objects from then on.",
		Scenario:    &scenario.Scenario{Name: "the prototype of all objects", Steps: l.list},
	})
}
