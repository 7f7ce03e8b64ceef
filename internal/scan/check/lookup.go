package check

import (
	"context"
	"fmt"
	"time"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// A lookup of a name that was sent nowhere but within a payload shows that the
// payload was worked with, also where nothing but DNS gets out and no answer
// tells. It is no proof where an honest server would look the name up itself,
// in order to refuse it: so not for what takes an address.

// hearsNames reports whether the run hears lookups.
func (p *Probe) hearsNames() bool { return p.Listener != nil && p.Listener.NamesAt() != "" }

// lookupCommand looks a name up with what systems have for it.
const lookupCommand = "(getent hosts %[1]s||nslookup %[1]s||ping -c 1 %[1]s)"

// commandLookup tries commands whose answers are not shown.
func (p *Probe) commandLookup(ctx context.Context, s *slot) error {
	if !p.hearsNames() || takesURL(s.in) {
		return nil
	}
	command := func(name string) string { return fmt.Sprintf(lookupCommand, name) }
	// All beginnings at once first: few inputs reach a shell.
	address := p.Listener.Address()
	all := s.value
	for _, f := range commandForms {
		all += fmt.Sprintf(f, command(p.Listener.Name(address)))
	}
	for _, text := range []string{all, s.value + fmt.Sprintf(commandForms[0], command(p.Listener.Name(address))), s.value + fmt.Sprintf(commandForms[2], command(p.Listener.Name(address)))} {
		if _, err := p.send(ctx, s.with(text)); err != nil {
			return err
		}
	}
	if !p.Listener.LookedUp(ctx, address, soon) {
		return nil
	}
	for _, f := range commandForms {
		name := p.Listener.Address()
		if _, err := p.send(ctx, s.with(s.value+fmt.Sprintf(f, command(p.Listener.Name(name))))); err != nil {
			return err
		}
		if !p.Listener.LookedUp(ctx, name, soon) {
			continue
		}
		var l steps
		l.add(p.slotStep(s, "plain", scenario.Control, "the bare name is looked up by nobody", s.value+" ${listener.none.name}", scenario.Expect{Status: "any"}, scenario.Expect{NotLookedUp: "none", By: soon}))
		l.add(p.slotStep(s, "attack", scenario.Attack, "a shell looks it up", s.value+fmt.Sprintf(f, command("${listener.call.name}")), scenario.Expect{Status: "any"}, scenario.Expect{LookedUp: "call", By: 3 * time.Second}))
		if ok, err := p.injected(ctx, s, "command injection", "What stands behind the character that ends a shell's word is run by the server's shell: here, the lookup of a name that is nowhere else.", &l); err != nil || ok {
			return err
		}
	}
	return nil
}

// entityLookup declares an entity at a name: where nothing but DNS gets out, its lookup tells.
func (p *Probe) entityLookup(ctx context.Context, s *slot) (bool, error) {
	if !p.hearsNames() {
		return false, nil
	}
	var l steps
	l.add(p.slotStep(s, "plain", scenario.Control, "the name in the text is looked up by nobody", "http://${listener.none.name}/", scenario.Expect{Status: "any"}, scenario.Expect{NotLookedUp: "none", By: soon}))
	l.add(p.withEntity(s, "attack", scenario.Attack, "in an entity it is looked up", "http://${listener.call.name}/e", scenario.Expect{Status: "any"}, scenario.Expect{LookedUp: "call", By: time.Second}))
	return p.injected(ctx, s, "XML external entity", "An entity that the body declares makes the server look up a name that the caller gives.", &l)
}
