package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// slot is a place into which text can be put: one input of a call that works.
type slot struct {
	op    *graph.Op
	in    *graph.Input
	call  *world.Call
	value string           // the text that is there; "" none
	base  *target.Exchange // the call as it is
	// stable: it is answered the same each time; false as well where nobody looked.
	stable bool
	nth    int // of the texts of a document that it holds
}

// slotsOf are the places of an operation into which text can be put, of the call
// as the actor that gets furthest. Nothing is sent but the call itself.
func (p *Probe) slotsOf(ctx context.Context, op *graph.Op, takes func(*graph.Input) bool) ([]*slot, error) {
	for _, not := range []graph.Purpose{graph.Hazard, graph.Logout, graph.PasswordChange, graph.PasswordReset, graph.Refresh} {
		if op.Has(not) {
			return nil, nil
		}
	}
	if op.Kind == graph.Delete || p.Mode == Safe && op.Method != http.MethodGet {
		return nil, nil
	}
	call, base, err := p.opened(ctx, op)
	if err != nil {
		return nil, err
	}
	// A read that finds nothing by what was made up works as well as any.
	if base == nil || base.Status/100 != 2 && base.Status/100 != 3 && !op.Has(graph.Login) && !(base.Status == http.StatusNotFound && op.Method == http.MethodGet && slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "query" && takes(in) })) {
		p.Note(op, Skipped)
		return nil, nil
	}
	var out []*slot
	for _, in := range op.Inputs {
		if !takes(in) {
			continue
		}
		s := &slot{op: op, in: in, call: call, base: base}
		var v any
		if text, ok := call.Values[in.Where()]; ok && json.Unmarshal([]byte(text), &v) == nil {
			s.value = fmt.Sprint(v)
		}
		out = append(out, s)
	}
	return out, nil
}

// opened is a call of an operation as the actor that gets furthest, and its answer
// at some time of this run: sent once for all who put something into its inputs, and
// again when what it names is gone.
func (p *Probe) opened(ctx context.Context, op *graph.Op) (*world.Call, *target.Exchange, error) {
	return p.survey.once(&p.survey.slots, op, func() (*world.Call, *target.Exchange, error) {
		actors := slices.DeleteFunc(p.People.All(), madeForProofs)
		if len(actors) > 0 || !op.Secured {
			actors = append(actors, nil)
		}
		return p.furthest(ctx, op, actors)
	})
}

// sparing is a call that does not turn on the account it is made with, nor on another
// that the run was given: who may change others' roles or shut their accounts must not
// lose their own by it, and whoever gave an account wants it back as it was. It names an
// account that the run has made; nil where there is none.
func (p *Probe) sparing(op *graph.Op, c *world.Call) *world.Call {
	if c.As == nil || c.As.Made || op.Method == http.MethodGet {
		return c
	}
	for _, in := range op.Inputs {
		r := p.resourceOf(in)
		if r == nil || !r.IsPerson || in.In != "path" || !p.givenPerson(in, c, r == op.About) {
			continue
		}
		for _, a := range p.People.All() {
			if a.Made && a.Facts["id"] != "" {
				return c.With(in.Where(), jsonID(in, a.Facts["id"]))
			}
		}
		return nil
	}
	return c
}

// everybodys reports whether op sets, for an administrator that the run was given, what
// is there once for the whole service: it is read at the same address, and nothing is
// named in it or below it. A value that is out of bounds there (no address of the site, no
// role for new accounts) can end the service for everybody, and for the run.
func (p *Probe) everybodys(op *graph.Op, a *actor.Actor) bool {
	if a == nil || a.Made || a.Name != actor.Admin || op.Reads() || len(op.PathParams) > 0 || op.About != nil && op.About.IsPerson {
		return false
	}
	read := false
	for _, o := range p.Graph.Ops {
		if strings.HasPrefix(o.Path, op.Path+"/{") {
			return false // a collection, of which each is one of many
		}
		read = read || o.Path == op.Path && o.Method == http.MethodGet
	}
	return read
}

// ofGiven reports whether what an answer shows is an account that the run was given,
// whatever its resource is called: an object whose own name or address is the account's.
func (p *Probe) ofGiven(x *target.Exchange) bool {
	body, ok := scenario.Decode(x.Body)
	m, is := body.(map[string]any)
	if !ok || !is {
		return false
	}
	for _, holder := range []string{"", "data", "user", "account", "member", "result"} {
		o := m
		if holder != "" {
			if o, is = m[holder].(map[string]any); !is {
				continue
			}
		}
		for name, v := range o {
			text, is := v.(string)
			if !is || text == "" || !slices.Contains([]string{"email", "mail", "emailaddress", "username", "login", "userid"}, strings.ToLower(plainName(name))) {
				continue
			}
			if slices.ContainsFunc(p.People.All(), func(a *actor.Actor) bool {
				return !a.Made && (strings.EqualFold(a.Facts["email"], text) || strings.EqualFold(a.Facts["username"], text))
			}) {
				return true
			}
		}
	}
	return false
}

// givenPerson reports whether a call names a person in its path that the run has not
// made: the caller and, where the call changes that person, any other.
func (p *Probe) givenPerson(in *graph.Input, c *world.Call, changes bool) bool {
	id := c.Values[in.Where()]
	if c.As.Facts["id"] != "" && id == jsonID(in, c.As.Facts["id"]) {
		return true
	}
	if !changes || c.Uses[in.Where()] != nil && c.Uses[in.Where()].Made {
		return false
	}
	return !slices.ContainsFunc(p.People.All(), func(a *actor.Actor) bool { return a.Made && a.Facts["id"] != "" && id == jsonID(in, a.Facts["id"]) })
}

// takesText: the input is text, by what the description says.
func takesText(in *graph.Input) bool {
	if in.ReadOnly || in.In == "cookie" || strings.Contains(in.Pointer, "*") && strings.Count(in.Pointer, "*") > 1 {
		return false
	}
	switch in.Type {
	case "boolean", "number", "object", "array", "integer":
		return false
	}
	switch in.Format {
	case "uuid", "date", "date-time", "time", "binary", "byte", "ipv4", "ipv6":
		return false
	}
	if in.Schema != nil && len(in.Schema.Rules().Enum) > 0 && in.Meaning != graph.MeansSort {
		return false // a sort order is pasted in, although a list was described
	}
	switch in.Meaning {
	case graph.MeansPassword, graph.MeansCSRF, graph.MeansOTP:
		return false
	case graph.MeansFile:
		return in.In == "path" || in.In == "query" // where it is the file's name
	}
	return in.In != "header" || in.Required
}

// with is the slot's call with another text in it.
func (s *slot) with(text string) *world.Call {
	return s.call.With(s.in.Where(), jsonString(text))
}

// slotStep is the call with a text (placeholders in it) as a step of a scenario.
func (p *Probe) slotStep(s *slot, id string, part scenario.Part, note, text string, e ...scenario.Expect) (scenario.Step, error) {
	bind := s.call.Renew(id)
	bind[s.in.Where()] = jsonString(text)
	st, err := p.World.Step(s.call, bind)
	st.ID, st.Part, st.Note, st.Expect = id, part, note, e
	return st, err
}

// unechoed is such a step whose text is a variable: an answer that repeats what
// was asked is not told from another that does.
func (p *Probe) unechoed(s *slot, id string, part scenario.Part, note, text string, e ...scenario.Expect) (scenario.Step, error) {
	st, err := p.slotStep(s, id, part, note, "${text_"+id+"}", e...)
	st.Compute = []scenario.Compute{{Set: "text_" + id, Do: "text.set", Args: map[string]string{"text": text}}}
	return st, err
}

// everySlot calls try for each slot of each operation, those of one operation one
// after the other.
func (p *Probe) everySlot(ctx context.Context, wants func(*slot) bool, try func(ctx context.Context, s *slot) error) error {
	return p.everySlotThat(ctx, func(in *graph.Input) bool { return takesText(in) && wants(&slot{op: in.Op, in: in}) }, try)
}

// everySlotThat is everySlot for the inputs that takes says.
func (p *Probe) everySlotThat(ctx context.Context, takes func(*graph.Input) bool, try func(ctx context.Context, s *slot) error) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !slices.ContainsFunc(op.Inputs, takes) {
			return nil
		}
		all, err := p.slotsOf(ctx, op, takes)
		if err != nil {
			return err
		}
		for _, s := range all {
			p.Note(op, Clean)
			if err := try(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Probe) injected(ctx context.Context, s *slot, what, description string, list *steps) (bool, error) {
	if list.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: s.op, Where: s.in.Where(), Title: fmt.Sprintf("%s %s: %s in %s", s.op.Method, s.op.Path, what, strings.TrimPrefix(s.in.Where(), "body./")),
		Description: description,
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s in %s of %s %s", what, s.in.Where(), s.op.Method, s.op.Path), Steps: list.list},
	})
}
