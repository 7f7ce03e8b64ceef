package actor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// State is how one point of a diagnosis stands.
type State string

// The states.
const (
	Well    State = "ok"
	Doubt   State = "warning" // the run can go on, but will see less
	Failed  State = "failed"
	Skipped State = "skipped" // what comes before it failed
)

// Point is one thing that was looked at.
type Point struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
}

// Diagnosis is whether a run can be of use, and if not, why not and what to do.
type Diagnosis struct {
	Points []Point `json:"points"`
	Report *Report `json:"report"`
}

// Usable says whether a run makes sense: the target answers and its base path is right.
func (d *Diagnosis) Usable() bool {
	for _, p := range d.Points {
		if p.State == Failed && !strings.HasPrefix(p.Name, "account") {
			return false
		}
	}
	return true
}

// Doctor looks at everything that must work before anything is tested: the way
// to the target, its base path, each actor's login and session. It prepares the
// people where that has not been done.
func (p *People) Doctor(ctx context.Context) *Diagnosis {
	d := &Diagnosis{}
	add := func(name string, s State, text, advice string) {
		d.Points = append(d.Points, Point{name, s, p.c.Secrets().Text(text), advice})
	}
	for _, s := range p.c.Reach(ctx) {
		state := Well
		switch {
		case s.Err != nil:
			state = Failed
		case s.Advice != "":
			state = Doubt
		}
		add("target: "+s.Name, state, s.Text, s.Advice)
		if s.Err != nil {
			add("accounts", Skipped, "the target must be reached first", "")
			return d
		}
	}
	p.mu.Lock()
	prepared := p.prepared
	p.mu.Unlock()
	if !prepared {
		if _, err := p.Prepare(ctx); err != nil {
			add("accounts", Failed, err.Error(), "")
		}
	}
	p.mu.Lock()
	rep := *p.report
	problems, notes := append([]Problem(nil), rep.Problems...), append([]string(nil), rep.Notes...)
	p.mu.Unlock()
	d.Report = &rep
	p.basePoint(add, problems)
	if len(p.witnesses) == 0 {
		add("sessions", Doubt, "no operation answers that could tell somebody from nobody: nothing can be said of sessions", "Look at the base path, and whether the operations of the description exist.")
	} else if p.refusing == 0 {
		add("sessions", Doubt, fmt.Sprintf("none of %d operations that were asked without credentials refused", len(p.witnesses)), "If the API has logins, what needs them is either not in the description or open to all.")
	}
	p.doorPoints(add)
	for _, a := range p.All() {
		p.examineActor(ctx, a, add)
	}
	for _, pr := range problems {
		if pr.Who != "" {
			state := Failed
			if p.Get(pr.Who) != nil {
				state = Doubt
			}
			add("account "+pr.Who, state, pr.What, pr.Advice)
		}
	}
	if len(p.All()) == 0 && len(problems) == 0 {
		add("accounts", Doubt, "there is nobody but nobody: no accounts are configured, and making them was forbidden", "Give actors.accounts.user and actors.accounts.peer.")
	}
	for _, n := range notes {
		add("note", Well, n, "")
	}
	return d
}

func (p *People) basePoint(add func(string, State, string, string), problems []Problem) {
	for _, pr := range problems {
		if pr.Who == "" {
			add("base path", Failed, pr.What, pr.Advice)
			return
		}
	}
	add("base path", Well, "operations are found below "+p.c.Origin()+pathText(p.c.Base()), "")
}

func (p *People) doorPoints(add func(string, State, string, string)) {
	if e := p.RegisterEntry(); e != nil {
		add("registration", Well, fmt.Sprintf("%s %s makes accounts", e.Op.Method, e.Op.Path), "")
	}
	if e := p.LoginEntry(); e != nil {
		add("login", Well, fmt.Sprintf("%s %s logs in", e.Op.Method, e.Op.Path), "")
	}
}

// examineActor looks at one session: what it is worth, when it ends, whether it can be had again.
func (p *People) examineActor(ctx context.Context, a *Actor, add func(string, State, string, string)) {
	name := "account " + a.Name
	err := p.Alive(ctx, a)
	switch {
	case err == nil:
		add(name, Well, fmt.Sprintf("logged in by %s; %s answers it otherwise than nobody", describe(a.Session), a.Proven), "")
	case errors.Is(err, ErrNoWitness):
		add(name, Doubt, "has credentials ("+describe(a.Session)+"), but no operation is known that answers it otherwise than nobody",
			"Look whether the credentials are good, and whether they belong into another header, cookie or parameter.")
		return
	case errors.Is(err, ErrSessionEnded):
		if rerr := p.Renew(ctx, a); rerr != nil {
			add(name, Failed, fmt.Sprintf("%v, and %v", err, rerr), adviceFor(rerr))
			return
		}
		add(name, Well, "its session had ended and was renewed", "")
	default:
		add(name, Failed, err.Error(), "Look into the target's log.")
		return
	}
	p.lifetime(ctx, a, add)
}

func (p *People) lifetime(ctx context.Context, a *Actor, add func(string, State, string, string)) {
	name := "session of " + a.Name
	end := "it does not say when it ends"
	if e := a.Session.expires(); !e.IsZero() {
		end = "it ends " + e.Format(time.DateTime)
		if left := time.Until(e); left < 0 {
			end += ", which is past: the target does not keep to it, or the clocks differ"
		}
	}
	if a.by == nil || a.by.fixed {
		state, advice := Well, ""
		if e := a.Session.expires(); !e.IsZero() && time.Until(e) < 30*time.Minute {
			state, advice = Doubt, "It cannot be renewed: give a login, steps or a script in place of a fixed credential."
		}
		add(name, state, "fixed credentials; "+end, advice)
		return
	}
	second, err := p.Login(ctx, a)
	if err != nil {
		add(name, Doubt, fmt.Sprintf("%s; logging in a second time does not work: %v", end, err), "The session cannot be renewed when it ends.")
		return
	}
	switch err := p.Alive(ctx, a); {
	case err == nil:
		add(name, Well, end+"; it can be renewed by logging in again, and both sessions are good at once", "")
	default:
		a.Session.become(second)
		add(name, Well, end+"; each login ends the one before it", "")
	}
	if second.Refresh != "" {
		p.refreshPoint(ctx, a, second, add)
	}
}

func (s *Session) expires() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Expires
}

// refreshPoint tries the refresh of a second session, which nobody needs afterwards.
func (p *People) refreshPoint(ctx context.Context, a *Actor, s *Session, add func(string, State, string, string)) {
	name := "refresh of " + a.Name
	for _, op := range p.candidates(graph.Refresh, 0.5) {
		f := newForm(op)
		for _, in := range op.Inputs {
			if in.Meaning == graph.MeansToken && in.In != "header" {
				f.over[in.Where()] = s.Refresh
			}
		}
		r, err := f.request(map[string]string{factGrant: "refresh_token"}, a.who.rng)
		if err != nil {
			continue
		}
		s.Apply(r)
		ex, err := p.c.Do(ctx, a.Name, r)
		if err != nil {
			return
		}
		if worked(ex) && len(secretsIn(ex, nil)) > 0 {
			add(name, Well, fmt.Sprintf("%s %s gives a new credential", op.Method, op.Path), "")
		} else {
			add(name, Doubt, fmt.Sprintf("%s %s does not refresh: %d, %s", op.Method, op.Path, ex.Status, firstComplaint(ex)), "Sessions are renewed by logging in again.")
		}
		return
	}
}

// Print writes a diagnosis for a person.
func (d *Diagnosis) Print(w io.Writer) error {
	width := 0
	for _, p := range d.Points {
		width = max(width, len(p.Name))
	}
	for _, p := range d.Points {
		mark := map[State]string{Well: "ok     ", Doubt: "warning", Failed: "FAILED ", Skipped: "skipped"}[p.State]
		if _, err := fmt.Fprintf(w, "%s  %-*s  %s\n", mark, width, p.Name, p.Text); err != nil {
			return fmt.Errorf("printing the diagnosis: %w", err)
		}
		if p.Advice != "" {
			if _, err := fmt.Fprintf(w, "%s  %-*s  → %s\n", strings.Repeat(" ", len(mark)), width, "", p.Advice); err != nil {
				return fmt.Errorf("printing the diagnosis: %w", err)
			}
		}
	}
	return nil
}
