package actor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// maxWrong bounds how often one account's login may fail while the way in is
// looked for: APIs that lock accounts begin at three failures in a row, most at five.
const maxWrong = 3

// candidates lists the operations that may be for a purpose, the likeliest first.
func (p *People) candidates(purpose graph.Purpose, least float64) []*graph.Op {
	var out []*graph.Op
	for _, op := range p.g.Ops {
		if op.Purposes[purpose].Score >= least && !op.Deprecated {
			out = append(out, op)
		}
	}
	for _, op := range p.g.Ops {
		if op.Purposes[purpose].Score >= least && op.Deprecated {
			out = append(out, op)
		}
	}
	slices.SortStableFunc(out, func(a, b *graph.Op) int {
		return cmp.Compare(plainScore(b, purpose), plainScore(a, purpose))
	})
	return out
}

// plainScore is how surely an operation is for a purpose, those for administrators behind the others.
func plainScore(op *graph.Op, purpose graph.Purpose) float64 {
	score := op.Purposes[purpose].Score
	if op.Has(graph.Admin) || anyWord(words(op.Path), privileged...) {
		score -= 0.3
	}
	return score
}

// attempt is one answer to a login, and what there was of cookies then.
type attempt struct {
	ex *target.Exchange
	j  *jar
}

// enter logs an account in by the entrance that it is known to have, and checks
// that the session is worth what the first one was.
func (p *People) enter(ctx context.Context, a *Actor) (*Session, *target.Exchange, error) {
	by := a.by
	if by == nil {
		return nil, nil, fmt.Errorf("%w: no way to log in is known", ErrCannotLogin)
	}
	if by.fetch != nil {
		s, ex, err := by.fetch(ctx, a)
		if err != nil {
			return nil, ex, err
		}
		p.hide(s)
		return s, ex, nil
	}
	facts := maps.Clone(a.Facts)
	if a.who != nil && a.who.facts[factTenant] != "" {
		facts[factTenant] = a.who.facts[factTenant] // its name, where the account knows its identifier
	}
	s, ex, err := p.through(ctx, by, a.Name, facts, a.who)
	if err != nil {
		return nil, ex, err
	}
	if a.witness != nil {
		if err := p.alive(ctx, a, s); err != nil {
			return nil, ex, fmt.Errorf("%w: the new session is worth nothing: %w", ErrCannotLogin, err)
		}
	}
	return s, ex, nil
}

// through sends a known login form and takes the session from the answer.
func (p *People) through(ctx context.Context, by *entrance, as string, facts map[string]string, who *persona) (*Session, *target.Exchange, error) {
	if by.form == nil {
		s, ok := p.session(by.way, &target.Exchange{Request: &target.Request{}}, &jar{}, facts)
		if !ok {
			return nil, nil, fmt.Errorf("%w: there is no call to log in", ErrCannotLogin)
		}
		return s, nil, nil
	}
	at, err := p.knock(ctx, by.form, as, facts, who)
	if err != nil {
		return nil, nil, err
	}
	if !letIn(at.ex) {
		return nil, at.ex, &blocked{err: ErrCannotLogin, why: firstComplaint(at.ex), last: at.ex}
	}
	s, ok := p.session(by.way, at.ex, at.j, facts)
	if !ok {
		return nil, at.ex, &blocked{err: ErrCannotLogin, why: "the answer holds no credential where others did (" + by.way.secret.from + ")", last: at.ex}
	}
	return s, at.ex, nil
}

// letIn: the answer to a login is none that says no.
func letIn(ex *target.Exchange) bool {
	if ex.Err != nil {
		return false
	}
	if ex.Status >= 300 && ex.Status < 400 {
		set, _ := cookiesOf(ex)
		return len(set) > 0 || ex.Header.Get("Location") != ""
	}
	return worked(ex)
}

// knock sends a login form once, with a token against cross-site requests where one is asked for.
func (p *People) knock(ctx context.Context, f *form, as string, facts map[string]string, who *persona) (attempt, error) {
	for try := 0; ; try++ {
		r, err := f.request(facts, who.rng)
		if err != nil {
			return attempt{}, err
		}
		j := &jar{}
		if p.theCSRF() != nil {
			if try == 0 {
				// A token may be good for one request only.
				if err = p.refreshCSRF(ctx, as, f.op.Path); err != nil {
					return attempt{}, err
				}
			}
			*j = *p.theCSRF()
			j.cookies = slices.Clone(p.theCSRF().cookies)
			j.guard(p, r)
		}
		ex, err := p.c.Do(ctx, as, r)
		if err != nil {
			return attempt{}, fmt.Errorf("logging in by %s %s: %w", f.op.Method, f.op.Path, err)
		}
		if ex.Err != nil {
			return attempt{}, fmt.Errorf("logging in by %s %s: %w", f.op.Method, f.op.Path, ex.Err)
		}
		j.take(ex)
		if try == 0 && p.theCSRF() == nil && wantsCSRF(ex) {
			if err = p.refreshCSRF(ctx, as, f.op.Path); err != nil {
				return attempt{}, err
			}
			continue
		}
		if try < 2 && ex.Status == 429 {
			if err := p.wait(ctx, ex, ErrCannotLogin); err != nil {
				return attempt{}, err
			}
			continue
		}
		return attempt{ex, j}, nil
	}
}

// opening is what a search for a way in found.
type opening struct {
	by *entrance
	s  *Session
	v  verdict
	ex *target.Exchange
}

// discover finds out how an account with these facts logs in. reg is the answer
// to its registration, nil when there was none.
func (p *People) discover(ctx context.Context, as string, who *persona, reg *attempt) (opening, error) {
	wrong := 0
	var last error
	var weak opening
	for i, op := range p.candidates(graph.Login, 0.3) {
		if i == 4 {
			break
		}
		found, err := p.discoverBy(ctx, op, as, who, &wrong)
		if err == nil && found.v.sure >= likely {
			return found, nil
		}
		if err == nil && found.s != nil && (weak.s == nil || found.v.sure > weak.v.sure) {
			weak = found
		}
		if err != nil {
			if stops(err) {
				return opening{}, err
			}
			if last == nil || i == 0 {
				last = err
			}
		}
		if wrong >= maxWrong {
			break
		}
	}
	// The registration itself may have opened a session, or Basic is all there is.
	ex, j := &target.Exchange{Request: &target.Request{Path: "/"}}, &jar{}
	if reg != nil {
		ex, j = reg.ex, reg.j
	}
	w, s, v, err := p.find(ctx, as, ex, j, who.facts)
	if err != nil {
		return opening{}, err
	}
	if s != nil && v.sure > weak.v.sure {
		by := &entrance{way: w}
		if _, basic := p.session(w, &target.Exchange{Request: &target.Request{}}, &jar{}, who.facts); !basic {
			// What the registration gave is all that there will ever be.
			first := s
			by.fixed = true
			by.fetch = func(context.Context, *Actor) (*Session, *target.Exchange, error) {
				return &Session{Parts: first.Snapshot(), Opened: first.Opened, Expires: first.Expires, Refresh: first.Refresh}, ex, nil
			}
		}
		return opening{by, s, v, ex}, nil
	}
	if weak.s != nil {
		return weak, nil
	}
	if last == nil {
		last = fmt.Errorf("%w: the description has no operation that looks like a login, and neither what the registration answered nor Basic opens anything", ErrCannotLogin)
	}
	return opening{}, last
}

// discoverBy tries one operation as the login.
func (p *People) discoverBy(ctx context.Context, op *graph.Op, as string, who *persona, wrong *int) (opening, error) {
	f := newForm(op)
	f.dropOptionalIDs()
	f.byName(who.facts)
	guide := &adviser{f: f, who: who}
	ids := identifiers(f, who.facts)
	seen := map[string]bool{}
	var last error
	for try := 0; try < 7 && *wrong < maxWrong; try++ {
		r, err := f.request(who.facts, who.rng)
		if err != nil {
			return opening{}, fmt.Errorf("%w: %w", ErrCannotLogin, err)
		}
		key := r.Path + "?" + r.Query + "\n" + r.Get("Content-Type") + "\n" + string(r.Body)
		if seen[key] && len(ids) == 0 {
			break
		}
		if !seen[key] {
			seen[key] = true
			at, err := p.knock(ctx, f, as, who.facts, who)
			if err != nil {
				return opening{}, err
			}
			if letIn(at.ex) {
				w, s, v, err := p.find(ctx, as, at.ex, at.j, who.facts)
				if err != nil {
					return opening{}, err
				}
				if s != nil {
					p.keep(guide)
					return opening{&entrance{form: f, way: w}, s, v, at.ex}, nil
				}
				stop := obstacleNone
				if text := string(at.ex.Body[:min(len(at.ex.Body), 4096)]); reOTP.MatchString(lower(text)) {
					stop = obstacleOTP
				}
				last = &blocked{err: ErrCannotLogin, stop: stop, why: p.whyWorthless(at.ex, v), last: at.ex}
				if at.ex.Status >= 300 && len(ids) > 0 {
					// A form that redirects says so of a wrong password, too.
					*wrong++
				} else {
					return opening{}, last
				}
			} else {
				if at.ex.Status == 401 || at.ex.Status == 403 || at.ex.Status == 404 || at.ex.Status == 400 {
					*wrong++
				}
				before := maps.Clone(who.facts)
				changed, stop := guide.obey(at.ex)
				// The account is made already: what it is called cannot change any more.
				who.facts = before
				last = &blocked{err: ErrCannotLogin, stop: stop, why: firstComplaint(at.ex), last: at.ex}
				if stop == obstacleVerify || stop == obstacleOTP || stop == obstacleCaptcha {
					return opening{}, last
				}
				if changed {
					continue
				}
			}
		}
		if len(ids) > 0 {
			// The name to log in by may be the other one.
			f.as[ids[0].where] = ids[0].fact
			ids = ids[1:]
			continue
		}
		if f.media == "application/json" && !slices.Contains(declaredMedia(op), f.media) || try < 2 && len(op.Inputs) == 0 {
			if !guide.nextMedia() {
				break
			}
			continue
		}
		break
	}
	if last == nil {
		last = fmt.Errorf("%w by %s %s", ErrCannotLogin, op.Method, op.Path)
	}
	return opening{}, last
}

// byName: a login that takes nothing to know the account by but a name takes it for that.
func (f *form) byName(facts map[string]string) {
	var name *graph.Input
	for _, in := range f.op.Inputs {
		switch f.fact(in) {
		case factEmail, factUsername, factPhone:
			return
		case factName:
			if name == nil && (in.In == "body" || in.In == "query") {
				name = in
			}
		}
	}
	if name == nil {
		return
	}
	fact := factUsername
	if facts[fact] == "" {
		fact = factEmail
	}
	f.as[name.Where()] = fact
	f.take[name.Where()] = true
}

func declaredMedia(op *graph.Op) []string {
	var out []string
	if op.Body != nil {
		for _, m := range op.Body.Content {
			out = append(out, m.Type)
		}
	}
	return out
}

// whyWorthless says why what a login answered opens nothing.
func (p *People) whyWorthless(ex *target.Exchange, v verdict) string {
	switch {
	case len(p.witnesses) == 0:
		return "no operation is known that could tell a session from none"
	case len(secretsIn(ex, nil)) == 0 && len(ex.Header["Set-Cookie"]) == 0:
		return "the answer holds nothing that looks like a credential"
	case v.garbage:
		return "what it gives opens no more than garbage does"
	}
	return "what it gives opens nothing, wherever it is put"
}

// other is another fact to log in by.
type other struct{ where, fact string }

// identifiers are the other ways to fill in the field that names the account.
func identifiers(f *form, facts map[string]string) []other {
	var out []other
	for _, in := range f.op.Inputs {
		if !f.wants(in) {
			continue
		}
		switch fact := f.fact(in); fact {
		case factUsername:
			if facts[factEmail] != "" {
				out = append(out, other{in.Where(), factEmail})
			}
			if facts[factPhone] != "" && anyWord(words(in.Name), "mobile", "phone") {
				out = append(out, other{in.Where(), factPhone})
			}
		case factEmail:
			if facts[factUsername] != "" && in.Format != "email" {
				out = append(out, other{in.Where(), factUsername})
			}
		}
	}
	return out
}

// dropOptionalIDs: of the fields that name the account, a login takes those that
// it requires; where it requires none, both go along.
func (f *form) dropOptionalIDs() {
	required := false
	for _, in := range f.op.Inputs {
		if fact := f.fact(in); in.Required && (fact == factUsername || fact == factEmail || fact == factPhone) {
			required = true
		}
	}
	for _, in := range f.op.Inputs {
		if fact := f.fact(in); required && !in.Required && (fact == factUsername || fact == factEmail) {
			f.drop[in.Where()] = true
		}
	}
}

// keep takes over what was learnt on the way.
func (p *People) keep(a *adviser) {
	for _, n := range a.notes {
		p.note(n)
	}
}

// proven is how a report names a witness.
func (v verdict) proven() string {
	if v.witness == nil {
		return ""
	}
	text := v.witness.r.Method + " " + v.witness.op.Path
	if v.garbage {
		text += " (which takes garbage as well)"
	}
	return text
}
