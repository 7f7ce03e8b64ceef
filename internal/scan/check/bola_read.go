package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID:    "bola-read",
	Title: "Another user's object can be read",
	OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-ATHZ-04",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Calls every operation that takes an object's identifier (in its path, query, headers, cookies or body) as another user, with an identifier of an object that the first user has just made.",
	Proof: "The answer holds a text that the owner put into the object a moment before, or is the owner's own answer word for word. Controls: the owner gets it, nobody without credentials does, a made-up identifier gives something else, and the resource is not one that is there for all.",
	Fix:   "Look the object up together with its owner (WHERE id = ? AND owner_id = caller), in every operation, and answer 404 when there is none. Identifiers that are hard to guess do not replace the check.",
	Mode:  Safe,
	Run:   bolaRead,
})

// pair is somebody who owns things, and those who should not get at them.
type pair struct {
	owner  *actor.Actor
	others []*actor.Actor
}

// pairs are the user and the attackers, then any two of another role that the
// run was given accounts of: an operation may be for that role alone.
func (p *Probe) pairs() []pair {
	var out []pair
	if user := p.Actor(actor.User); user != nil && len(p.Attackers()) > 0 {
		out = append(out, pair{user, p.Attackers()})
	}
	byRole := map[string][]*actor.Actor{}
	var roles []string
	for _, a := range p.entitled() {
		role := roleOf(a)
		if role == "" || a.Name == actor.Admin || strings.HasPrefix(a.Name, "fresh") {
			continue
		}
		if len(byRole[role]) == 0 {
			roles = append(roles, role)
		}
		byRole[role] = append(byRole[role], a)
	}
	for _, role := range roles {
		if of := byRole[role]; len(of) > 1 {
			out = append(out, pair{of[0], of[1:2]})
		}
	}
	return out
}

func bolaRead(ctx context.Context, p *Probe) error {
	pairs := p.pairs()
	if len(pairs) == 0 {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.reads(op) {
			return nil
		}
		if err := p.readsNamed(ctx, op, pairs); err != nil {
			return err
		}
		for _, in := range op.Inputs {
			r := p.resourceOf(in)
			if r == nil || in.In == "header" && !in.Required {
				continue
			}
			for i, of := range pairs {
				if i > 0 && p.open(op, in.Where()) {
					break
				}
				if err := p.readBy(ctx, op, in, r, of); err != nil {
					return err
				}
			}
		}
		if err := p.readsOfPerson(ctx, op, pairs); err != nil {
			return err
		}
		return p.readsKept(ctx, op, pairs)
	})
}

// reads reports whether a call of op may be repeated at will: it shows things,
// and destroys nothing.
func (p *Probe) reads(op *graph.Op) bool {
	for _, not := range []graph.Purpose{graph.Hazard, graph.Logout, graph.Login, graph.Register, graph.Refresh, graph.PasswordChange, graph.PasswordReset, graph.PasswordForgot} {
		if op.Has(not) {
			return false
		}
	}
	if user := p.Actor(actor.User); op.Has(graph.Admin) && (user == nil || p.restricted(op, user) != "") {
		return false
	}
	switch op.Method {
	case http.MethodGet, http.MethodHead:
		return op.Kind != graph.Delete
	case http.MethodPost:
		return p.Mode > Safe && (op.Kind == graph.Action && !world.Ends(op) && (!op.Calls() || op.Has(graph.Search)) || op.Kind == graph.Read || op.Kind == graph.List)
	}
	return false
}

// onlyReads reports whether op only reads, by what it says and by its kind: a GET, or a
// POST that is the call of a procedure that gets or lists something.
func (p *Probe) onlyReads(op *graph.Op) bool { return op.Reads() && p.reads(op) }

// plainRead reports whether op shows its caller something without being told whose:
// it names no object, by path or by what it requires.
func (p *Probe) plainRead(op *graph.Op) bool {
	return op.Secured && len(op.PathParams) == 0 && p.onlyReads(op) && !slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool {
		return in.In == "body" && in.Required && p.resourceOf(in) != nil
	})
}

// mostSubjects: of so many objects is one tried to be read as another.
const mostSubjects = 2

// readBy tries one input of one operation.
func (p *Probe) readBy(ctx context.Context, op *graph.Op, in *graph.Input, r *graph.Resource, of pair) error {
	user := of.owner
	subjects, err := p.standing(ctx, r, user, 2*mostSubjects)
	if err != nil {
		return err
	}
	if r.IsPerson || r.IsTenant {
		subjects = append(subjects, p.self(r, user)...)
	}
	apart := slices.DeleteFunc(slices.Clone(subjects), func(s *subject) bool { // not as much theirs, as a seat in somebody's car is
		return !slices.ContainsFunc(of.others, func(a *actor.Actor) bool { return !s.meantFor(a) })
	})
	if len(apart) == 0 {
		apart = subjects[:min(1, len(subjects))]
	}
	for _, s := range apart[:min(mostSubjects, len(apart))] {
		own, err := p.on(ctx, op, user, in, s.object)
		if err != nil {
			continue
		}
		mine, err := p.send(ctx, own)
		if err != nil {
			return err
		}
		if s.object.Deleted() {
			if s, own, mine, err = p.anew(ctx, op, in, r, user); err != nil {
				return err
			}
		}
		if s == nil || mine.Status/100 != 2 || len(mine.Body) == 0 {
			p.Note(op, Skipped)
			continue
		}
		done, err := p.readAs(ctx, op, in, s, own, mine, of.others)
		if err != nil || done {
			return err
		}
	}
	return nil
}

// standing are the subjects that are still there; where all that the owner made is gone,
// another is made.
func (p *Probe) standing(ctx context.Context, r *graph.Resource, owner *actor.Actor, most int) ([]*subject, error) {
	list := p.subjects(r, owner, most)
	if len(list) > 0 || r == nil || !p.World.Lost(r, owner) {
		return list, nil
	}
	if _, err := p.World.Make(ctx, r, owner); err != nil {
		if errors.Is(err, world.ErrNotMade) {
			return nil, nil
		}
		return nil, fmt.Errorf("an object in place of one that is gone: %w", err)
	}
	return p.subjects(r, owner, most), nil
}

// anew makes another object where the one that was made is gone (some actions end what
// they act on), and reads it as its owner. No subject: none could be made.
func (p *Probe) anew(ctx context.Context, op *graph.Op, in *graph.Input, r *graph.Resource, user *actor.Actor) (*subject, *world.Call, *target.Exchange, error) {
	if _, err := p.World.Make(ctx, r, user); err != nil {
		return nil, nil, nil, nil //nolint:nilerr // what cannot be made cannot be read
	}
	list := p.subjects(r, user, 1)
	if len(list) == 0 {
		return nil, nil, nil, nil
	}
	own, err := p.on(ctx, op, user, in, list[0].object)
	if err != nil {
		return nil, nil, nil, nil //nolint:nilerr // nor what cannot be written
	}
	mine, err := p.send(ctx, own)
	return list[0], own, mine, err
}

// readAs tries the attackers in turn, and says whether one got through.
func (p *Probe) readAs(ctx context.Context, op *graph.Op, in *graph.Input, s *subject, own *world.Call, mine *target.Exchange, others []*actor.Actor) (bool, error) {
	others = p.strangers(ctx, s, others)
	marked := false
	for _, c := range s.object.Canaries() {
		marked = marked || scenario.Holds(mine, c)
	}
	if s.object.Owner() == nil {
		others = slices.DeleteFunc(slices.Clone(others), func(a *actor.Actor) bool { return s.object.SeenBy()[a.Name] || sameTenant(a, own.As) })
	}
	for _, foreign := range p.aims(ctx, own, in, others) {
		theirs, err := p.send(ctx, foreign)
		if err != nil {
			return false, err
		}
		if theirs.Status/100 != 2 {
			p.Note(op, Clean)
			continue
		}
		leaks := false
		for _, c := range s.object.Canaries() {
			leaks = leaks || scenario.Holds(theirs, c)
		}
		if marked && !leaks || !marked && (!scenario.Alike(mine, theirs) || !telling(mine) && !namesIt(mine, s.object)) {
			p.Note(op, Clean)
			continue
		}
		about := p.subjectOf(op, s)
		v, err := p.Private(ctx, about)
		if err != nil {
			return false, err
		}
		shared, err := p.shared(ctx, about, foreign.As)
		if err != nil {
			return false, err
		}
		if !v.Private() || shared || about.IsPerson && !tellsOfPerson(mine) {
			p.Note(op, Clean)
			continue
		}
		h, err := p.readHypothesis(op, in, s, own, foreign, mine, marked)
		if err != nil {
			p.Note(op, Inconclusive)
			continue
		}
		ok, err := p.Prove(ctx, h)
		if err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// subjectOf is the resource whose privacy matters: what the operation shows,
// when the identifier is of a person or a tenant that it hangs on.
func (p *Probe) subjectOf(op *graph.Op, s *subject) *graph.Resource {
	r := s.object.Resource
	if (r.IsPerson || r.IsTenant) && op.About != nil {
		return op.About
	}
	return r
}

// aims are the calls with which others go after an object: the owner's own call,
// and, where the object lies under another one that the path names as well, below
// one of their own.
func (p *Probe) aims(ctx context.Context, own *world.Call, in *graph.Input, others []*actor.Actor) []*world.Call {
	var out []*world.Call
	for _, a := range others {
		out = append(out, own.By(a))
	}
	for _, up := range own.Op.Inputs {
		r := p.resourceOf(up)
		if up == in || up.In != "path" || in.In != "path" || r == nil || r.IsPerson || r.IsTenant || own.Uses[up.Where()] == nil {
			continue
		}
		for _, a := range others {
			if o := p.owned(ctx, r, a); o != nil {
				out = append(out, own.By(a).On(up.Where(), idFor(up, o), o))
			}
		}
	}
	return out
}

// owned is an object that an actor has, made when there is none; nil when none can be.
func (p *Probe) owned(ctx context.Context, r *graph.Resource, a *actor.Actor) *world.Object {
	for _, o := range p.World.Objects(r, a) {
		if !o.Deleted() && o.ID != "" && o.Made {
			return o
		}
	}
	o, err := p.World.Make(ctx, r, a)
	if err != nil {
		return nil
	}
	return o
}

func (p *Probe) readHypothesis(op *graph.Op, in *graph.Input, s *subject, own, foreign *world.Call, mine *target.Exchange, marked bool) (Hypothesis, error) {
	var h Hypothesis
	none := own.With(in.Where(), jsonID(in, absent(s.object.ID)))
	steps := s.setup()
	for _, st := range []struct {
		id   string
		part scenario.Part
		call *world.Call
		with *subject
		note string
	}{
		{"own", scenario.Control, own, s, "the owner reads it"},
		{"again", scenario.Control, own, s, "the owner reads it again"},
		{"nobody", scenario.Control, own.By(nil), s, "nobody without credentials does"},
		{"absent", scenario.Control, foreign.With(in.Where(), none.Values[in.Where()]), nil, "an identifier of nothing gives nothing"},
		{"attack", scenario.Attack, foreign, s, foreign.As.Name + ", another user, reads it"},
	} {
		step, err := p.step(st.with, st.call, st.id, st.part)
		if err != nil {
			return h, err
		}
		step.Note = st.note
		steps = append(steps, step)
	}
	n := len(steps)
	ownStep, again, nobody, absentStep, attack := &steps[n-5], &steps[n-4], &steps[n-3], &steps[n-2], &steps[n-1]
	if marked {
		marks := s.marks
		if len(marks) > 1 {
			marks = p.shown(mine, s)
		}
		ownStep.Expect = []scenario.Expect{{Status: "2xx", Contains: marks}}
		nobody.Expect = []scenario.Expect{{Lacks: marks}}
		absentStep.Expect = []scenario.Expect{{Lacks: marks}}
		attack.Expect = []scenario.Expect{{Status: "2xx", Contains: marks}}
		steps = append(steps[:n-4], steps[n-3:]...) // "again" is for answers without marks
	} else {
		ownStep.Expect = []scenario.Expect{{Status: "2xx"}}
		again.Expect = []scenario.Expect{{Status: "2xx", Like: "own"}}
		nobody.Expect = []scenario.Expect{{Unlike: "own"}}
		absentStep.Expect = []scenario.Expect{{Unlike: "own"}}
		if !telling(mine) {
			absentStep.Expect[0].Status = "4xx" // what says little more than the identifier might be an echo of it
		}
		attack.Expect = []scenario.Expect{{Status: "2xx", Like: "own"}}
		if s.self != nil { // that is, what others should not see of them
			for _, fact := range sortedKeys(s.self.Facts) {
				if v := s.self.Facts[fact]; rePersonal.MatchString(snakeCase(fact)) && len(v) >= 6 && scenario.Holds(mine, v) {
					attack.Expect[0].Contains = append(attack.Expect[0].Contains, "${"+s.self.Name+"."+fact+"}")
				}
			}
		}
	}
	what := strings.ReplaceAll(s.object.Resource.Name, "_", " ")
	h = Hypothesis{
		Op: op, Where: in.Where(),
		Title:       fmt.Sprintf("%s %s shows another user's %s", op.Method, op.Path, what),
		Description: fmt.Sprintf("A user who does not own the %s gets it by putting its identifier into %s. The owner gets the same; without credentials, and with an identifier of nothing, there is nothing to see.", what, in.Where()),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s as another user", op.Method, op.Path), Steps: steps},
	}
	return h, nil
}

// shown are those of a subject's marks that an operation shows to its owner:
// which they are was seen when the call was last sent.
func (p *Probe) shown(mine *target.Exchange, s *subject) []string {
	if s.recipe == nil {
		return s.marks[:min(1, len(s.marks))]
	}
	var out []string
	for at, c := range s.object.Canaries() {
		if m := s.recipe.Canaries[at]; m != "" && scenario.Holds(mine, c) {
			out = append(out, m)
		}
	}
	return out[:min(1, len(out))]
}

// tellsOfPerson reports whether an answer about a person holds what is not for
// everybody: people see each other's names and pictures nearly everywhere.
func tellsOfPerson(x *target.Exchange) bool {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return true
	}
	found := false
	scenario.Walk(body, func(at string, v any) {
		if v == nil || v == "" {
			return
		}
		name := at[strings.LastIndexByte(at, '/')+1:]
		switch spec.ClassOf(name, "") {
		case spec.ClassNone:
		case spec.ClassPersonal:
			found = found || !rePublicOfPerson.MatchString(name)
		default:
			found = true
		}
	})
	return found
}

var rePublicOfPerson = regexp.MustCompile(`(?i)name|nick|handle|city|country|town|gender|language`)

// namesIt reports whether an answer holds the identifier of an object, and that is one
// that nobody would come upon by chance.
func namesIt(x *target.Exchange, o *world.Object) bool {
	return len(o.ID) >= 16 && scenario.Holds(x, o.ID)
}

// telling reports whether an answer says enough that two of them being the same
// means something: a JSON with at least one text of some length or a longer number.
func telling(x *target.Exchange) bool {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return len(x.Body) >= 64
	}
	n := 0
	scenario.Walk(body, func(_ string, s any) {
		if len(fmt.Sprint(s)) >= 5 && s != nil {
			n++
		}
	})
	return n >= 2
}
