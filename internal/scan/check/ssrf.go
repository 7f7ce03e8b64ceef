package check

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "ssrf", Title: "The server calls any address that a caller names",
	OWASP: "API7:2023", CWE: "CWE-918", WSTG: "WSTG-INPV-19",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:L/VA:N/SC:L/SI:L/SA:N",
	About: "Puts an address of the scanner's own listener, inside the target's network, into each input that takes a URL or looks like it; for what is called later, does what makes the target call.",
	Proof: "The target called the address, which nobody else knows, twice in two runs. Where the listener is on loopback or a private address, no honest callback leads there.",
	Fix:   "Resolve the name, refuse private, loopback and link-local addresses, connect to the address that was checked, and follow no redirects (or check each).",
	Mode:  Default, Dirty: true,
	Run: ssrf,
})

// takesURL: the input takes an address.
func takesURL(in *graph.Input) bool {
	switch in.Meaning {
	case graph.MeansURL, graph.MeansCallback:
		return true
	}
	if in.Format == "uri" || in.Format == "url" || in.Format == "uri-reference" {
		return true
	}
	return takesText(in) && reURLName.MatchString(strings.ToLower(in.Name))
}

var reURLName = regexp.MustCompile(`ur[il]$|^ur[il]|href|link$|callback|webhook|redirect|return|^next$|goto|target|dest|endpoint|feed|^site$|proxy|fetch|image|avatar|picture|src$|_api$|api_?url|host(name)?$|server$|domain$`)

func ssrf(ctx context.Context, p *Probe) error {
	if p.Listener == nil {
		return nil
	}
	return p.everySlot(ctx, func(s *slot) bool { return takesURL(s.in) }, func(ctx context.Context, s *slot) error {
		address := p.Listener.Address()
		x, err := p.send(ctx, s.with(address))
		if err != nil {
			return err
		}
		// Who calls an address and does not like what is there refuses as well.
		within := 700 * time.Millisecond
		if x.Status/100 == 4 {
			within = 100 * time.Millisecond
		}
		called := p.Listener.Called(ctx, address, within)
		if x.Status/100 == 4 && !called {
			return p.ssrfSpelled(ctx, s)
		}
		if called {
			var l steps
			l.add(p.slotStep(s, "attack", scenario.Attack, "an address inside the network is given, and the server calls it", "${listener.call}", scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: 3 * time.Second}))
			_, err := p.injected(ctx, s, "server-side request forgery", "The server calls an address inside its network that a caller named.", &l)
			return err
		}
		return p.ssrfLater(ctx, s, x, address)
	})
}

// ssrfLater: the address is kept, and called when something happens: what acts
// on the object that was made is done as well.
func (p *Probe) ssrfLater(ctx context.Context, s *slot, x *target.Exchange, address string) error {
	if x.Status/100 != 2 || s.op.About == nil {
		return nil
	}
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return nil
	}
	at, id := "", ""
	scenario.Walk(body, func(pointer string, v any) {
		for _, name := range append([]string{"id"}, s.op.About.IDs...) {
			if id == "" && strings.HasSuffix(pointer, "/"+name) && v != nil {
				at, id = pointer, scenario.Plain(v)
			}
		}
	})
	if id == "" {
		return nil
	}
	tried := 0
	for _, op := range s.op.About.Ops {
		in := p.naming(op, s.op.About)
		if in == nil || in.In != "path" || op.Kind != graph.Action || op.Method == http.MethodGet && !op.Has(graph.Webhook) && !strings.Contains(op.Path, "test") && !strings.Contains(op.Path, "ping") || op.Has(graph.Hazard) {
			continue
		}
		if tried++; tried > 4 {
			break
		}
		c, err := p.World.Call(ctx, op, s.call.As, map[string]string{in.Where(): jsonID(in, id)})
		if err != nil {
			continue
		}
		if _, err := p.send(ctx, c); err != nil {
			return err
		}
		if !p.Listener.Called(ctx, address, 1500*time.Millisecond) {
			continue
		}
		var l steps
		st, err := p.slotStep(s, "attack", scenario.Attack, "an address inside the network is given", "${listener.call}", scenario.Expect{Status: "2xx"})
		st.Save = []scenario.Save{{As: "made", At: at}}
		l.add(st, err)
		text := "${made}"
		if jsonID(in, id) != id {
			text = `"${made}"`
		}
		st, err = p.World.Step(c, map[string]string{in.Where(): text})
		st.ID, st.Part, st.Note, st.Expect = "trigger", scenario.Observe, "what makes the server call it is done", []scenario.Expect{{Called: "call", By: 3 * time.Second}}
		l.add(st, err)
		if done, err := p.injected(ctx, s, "server-side request forgery", "The server calls an address inside its network that a caller named.", &l); err != nil || done {
			return err
		}
	}
	return nil
}
