package actor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
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
	// Err is why the people could not be made ready: the target went down, a
	// budget is used up. It is among the points as well.
	Err error `json:"-"`
}

// Usable says whether a run makes sense: the target answers, its base path is
// right, and of the accounts that were given one at least gets in.
func (d *Diagnosis) Usable() bool { return d.Unusable() == nil }

// Unusable is the first point for which a run makes no sense; nil when there is none.
func (d *Diagnosis) Unusable() *Point {
	for i := range d.Points {
		if p := &d.Points[i]; p.State == Failed && !strings.HasPrefix(p.Name, "account ") && !strings.HasPrefix(p.Name, "session of ") {
			return p
		}
	}
	return nil
}

// Examination is how a doctor looks.
type Examination struct {
	// Patience is how long a target that refuses connections is waited for: it may be starting.
	Patience time.Duration
	// Brief looks at the sessions of given accounts and of one that the run made,
	// not of all that it made: they are alike.
	Brief bool
	// Told is given each point as it is found.
	Told func(Point)
}

// Doctor looks at everything that must work before anything is tested: the way
// to the target, its base path, each actor's login and session. It prepares the
// people where that has not been done.
func (p *People) Doctor(ctx context.Context, how Examination) *Diagnosis {
	d := &Diagnosis{}
	add := func(name string, s State, text, advice string) {
		point := Point{name, s, p.c.Secrets().Text(text), advice}
		d.Points = append(d.Points, point)
		if how.Told != nil {
			how.Told(point)
		}
	}
	for _, s := range p.reach(ctx, how.Patience) {
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
			d.Err = err
			if ctx.Err() != nil {
				add("preparation", Skipped, "it was interrupted", "")
			} else {
				add("preparation", Failed, err.Error(), "")
			}
		}
	}
	p.mu.Lock()
	rep := *p.report
	problems, notes := append([]Problem(nil), rep.Problems...), append([]string(nil), rep.Notes...)
	p.mu.Unlock()
	d.Report = &rep
	if d.Err != nil {
		return d
	}
	p.basePoint(add, problems)
	if len(p.witnesses) == 0 {
		add("sessions", Doubt, "no operation answers that could tell somebody from nobody: nothing can be said of sessions", "Look at the base path, and whether the operations of the description exist.")
	} else if p.refusing == 0 && (len(p.All()) > 0 || len(problems) > 0) {
		add("sessions", Doubt, fmt.Sprintf("none of %d operations that were asked without credentials refused", len(p.witnesses)), "If the API has logins, what needs them is either not in the description or open to all.")
	}
	p.doorPoints(add)
	looked := false
	for _, a := range p.All() {
		if ctx.Err() != nil {
			break
		}
		if slices.ContainsFunc(problems, func(pr Problem) bool { return pr.Who == a.Name }) {
			continue // it is told below
		}
		p.examineActor(ctx, a, !how.Brief || !a.Made || !looked, add)
		looked = looked || a.Made
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
	p.givenPoint(add)
	if len(p.All()) == 0 && len(problems) == 0 && p.cfg.NoRegister {
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
	text := "operations are found below " + p.c.Origin() + pathText(p.c.Base())
	if p.named != "" && p.named != p.c.Base() {
		add("base path", Doubt, text+", and not below "+pathText(p.named)+", which the target was given with", "Write the target without that path, if the description is the right one; else give the description of what lies there.")
		return
	}
	add("base path", Well, text, "")
}

func (p *People) doorPoints(add func(string, State, string, string)) {
	if e := p.RegisterEntry(); e != nil {
		add("registration", Well, fmt.Sprintf("%s %s makes accounts", e.Op.Method, e.Op.Path), "")
	}
	if e := p.LoginEntry(); e != nil {
		add("login", Well, fmt.Sprintf("%s %s logs in", e.Op.Method, e.Op.Path), "")
	}
}

// reach goes to the target, again and again while it refuses connections and may be starting.
func (p *People) reach(ctx context.Context, patience time.Duration) []target.Stage {
	for until := time.Now().Add(patience); ; {
		stages := p.c.Reach(ctx)
		if !errors.Is(stages[len(stages)-1].Err, syscall.ECONNREFUSED) || time.Now().After(until) {
			return stages
		}
		select {
		case <-ctx.Done():
			return stages
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// givenPoint says so when accounts were given and none of them gets in: what a
// run would find then with accounts of its own is not what was asked for.
func (p *People) givenPoint(add func(string, State, string, string)) {
	for name, made := range p.given {
		if a := p.Get(name); a != nil && a.Made == made && (a.Proven != "" || p.refusing == 0) {
			return
		}
	}
	if len(p.given) > 0 {
		add("accounts", Failed, fmt.Sprintf("none of the %d accounts that were given gets in", len(p.given)),
			"Correct their credentials, as said above; or leave them out, and the run makes its own where the API lets it.")
	}
}

// examineActor looks at one session: what it is worth and, wholly, when it ends and whether it can be had again.
func (p *People) examineActor(ctx context.Context, a *Actor, wholly bool, add func(string, State, string, string)) {
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
	if wholly {
		p.lifetime(ctx, a, add)
	}
}

func (p *People) lifetime(ctx context.Context, a *Actor, add func(string, State, string, string)) {
	name := "session of " + a.Name
	end, state, advice := "it does not say when it ends", Well, ""
	if e := a.Session.expires(); !e.IsZero() {
		end = "it ends " + e.Format(time.DateTime)
		if left := time.Until(e); left < 0 {
			end += ", which is past: the target does not keep to it, or the clocks differ"
			state, advice = Doubt, "Compare the clocks. What is told of tokens' ends holds only where they agree; if they do, the end of a token is not looked at, which is a hole."
		}
	}
	if a.by == nil || a.by.fixed {
		if e := a.Session.expires(); state == Well && !e.IsZero() && time.Until(e) < 30*time.Minute {
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
		add(name, state, end+"; it can be renewed by logging in again, and both sessions are good at once", advice)
	default:
		a.Session.become(second)
		p.single.Store(true)
		add(name, state, end+"; each login ends the one before it", advice)
	}
	if second.Refresh == "" {
		return
	}
	p.refreshPoint(ctx, a, second, add)
	if errors.Is(p.Alive(ctx, a), ErrSessionEnded) {
		// A refresh may end what it was given for. The actor must be able to go on.
		if err := p.Renew(ctx, a); err != nil {
			add(name, Failed, fmt.Sprintf("refreshing ended the session, and %v", err), adviceFor(err))
		}
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

// widestName bounds the column of names: a path may be long.
const widestName = 24

// Print writes a diagnosis for a person. Operations that were not reached for the same
// reason are told together.
func (d *Diagnosis) Print(w io.Writer) error {
	width := 0
	for _, p := range d.Points {
		width = max(width, min(len(p.Name), widestName))
	}
	var err error
	line := func(format string, args ...any) {
		if err == nil {
			if _, werr := fmt.Fprintf(w, format+"\n", args...); werr != nil {
				err = fmt.Errorf("printing the diagnosis: %w", werr)
			}
		}
	}
	alike := map[string][]string{}
	for _, p := range d.Points {
		if name, ok := strings.CutPrefix(p.Name, operationPoint); ok {
			alike[p.Text] = append(alike[p.Text], name)
		}
	}
	for _, p := range d.Points {
		mark := map[State]string{Well: "ok     ", Doubt: "warning", Failed: "FAILED ", Skipped: "skipped"}[p.State]
		pad := strings.Repeat(" ", len(mark)+2+width+2)
		if _, ok := strings.CutPrefix(p.Name, operationPoint); ok {
			names := alike[p.Text]
			if len(names) == 0 {
				continue // it was told with the others
			}
			delete(alike, p.Text)
			line("%s  not reached: %s", mark, strings.Join(names[:min(len(names), shownAlike)], ", "))
			if n := len(names) - shownAlike; n > 0 {
				line("%s  and %d more (--json tells all)", strings.Repeat(" ", len(mark)), n)
			}
			line("%s     %s", strings.Repeat(" ", len(mark)), p.Text)
			continue
		}
		if len(p.Name) > width {
			line("%s  %s", mark, p.Name)
			line("%s%s", pad, p.Text)
		} else {
			line("%s  %-*s  %s", mark, width, p.Name, p.Text)
		}
		if p.Advice != "" {
			line("%s→ %s", pad, p.Advice)
		}
	}
	return err
}

// shownAlike is how many operations that were not reached for one reason are named.
const shownAlike = 4

// operationPoint begins the name of a point about one operation.
const operationPoint = "operation "

// Unreached is the point of an operation that nobody got at.
func Unreached(method, path, why string) Point {
	return Point{Name: operationPoint + method + " " + path, State: Doubt, Text: why}
}
