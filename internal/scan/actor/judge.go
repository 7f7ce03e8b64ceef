package actor

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// witness is a call by which sessions are judged: one that answers somebody
// otherwise than nobody. It is found by asking, not by its name.
type witness struct {
	op     *graph.Op
	r      *target.Request // without credentials
	nobody *target.Exchange
	shape  string // of nobody's answer
	worth  int    // of the call as a witness, before anybody was judged by it
}

// How surely a witness tells a session from none.
const (
	no     = 0 // it is answered as nobody is
	maybe  = 1 // it is answered otherwise, but not as one who may
	likely = 2 // it is let through to where the call fails for another reason, or sees something of its own
	surely = 3 // it gets what nobody gets
)

const maxWitnesses = 12

// gather chooses witnesses and asks each as nobody.
func (p *People) gather(ctx context.Context) error {
	type option struct {
		op    *graph.Op
		r     *target.Request
		worth int
	}
	var options []option
	for _, op := range p.g.Ops {
		worth, ok := witnessWorth(op)
		if !ok {
			continue
		}
		r, err := p.plainCall(op)
		if err != nil {
			continue
		}
		options = append(options, option{op, r, worth})
	}
	slices.SortStableFunc(options, func(a, b option) int { return cmp.Compare(b.worth, a.worth) })
	refusing := 0
	var failing []*witness // answer nobody with an error of their own: some do where a credential is missing
	for i, o := range options {
		if i >= maxWitnesses && refusing > 0 || i >= 2*maxWitnesses || refusing >= 6 {
			break
		}
		if !o.op.Reads() && refusing > 0 {
			continue // there is no need for calls that might do something
		}
		ex, err := p.c.Do(ctx, Nobody, o.r)
		if err != nil {
			if stops(err) {
				return fmt.Errorf("asking %s as nobody: %w", o.op.ID, err)
			}
			continue
		}
		if ex.Err == nil && ex.Status == http.StatusInternalServerError && o.op.Secured && o.r.Method == http.MethodGet {
			failing = append(failing, &witness{op: o.op, r: o.r, nobody: ex, shape: shape(ex), worth: o.worth})
		}
		if ex.Err != nil || ex.Status == 404 || ex.Status == 405 || ex.Status >= 500 || ex.Status == 429 {
			continue
		}
		w := &witness{op: o.op, r: o.r, nobody: ex, shape: shape(ex), worth: o.worth}
		if denied(ex) || saysNo(tree(ex)) {
			w.worth += 20
			refusing++
		}
		p.witnesses = append(p.witnesses, w)
	}
	for _, w := range failing {
		if refusing > 0 {
			break
		}
		ex, err := p.c.Do(ctx, Nobody, w.r)
		if err != nil && stops(err) {
			return fmt.Errorf("asking %s as nobody again: %w", w.op.ID, err)
		}
		if err == nil && ex.Err == nil && ex.Status == w.nobody.Status && shape(ex) == w.shape {
			w.worth += 10
			p.witnesses = append(p.witnesses, w)
		}
	}
	slices.SortStableFunc(p.witnesses, func(a, b *witness) int { return cmp.Compare(b.worth, a.worth) })
	p.refusing = refusing
	return nil
}

// witnessWorth says how well an operation may tell somebody from nobody, and
// whether calling it does no harm.
func witnessWorth(op *graph.Op) (int, bool) {
	if op.Has(graph.Hazard) || op.Has(graph.Logout) || op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.PasswordReset) || op.Has(graph.PasswordForgot) {
		return 0, false
	}
	var worth int
	switch {
	case op.Reads() && op.Method == http.MethodGet:
		worth = 10
	case op.Reads() && op.Method == http.MethodPost && !bodyNeeded(op):
		worth = 8 // where every call is a POST
	case (op.Method == http.MethodPut || op.Method == http.MethodPatch || op.Method == http.MethodPost) && op.Secured && bodyNeeded(op) &&
		!op.Has(graph.Payment) && !op.Has(graph.Transfer) && !op.Has(graph.Upload) && !op.Has(graph.Debug):
		// Sent with an empty object, which it refuses, but only to somebody.
		worth = 0
	default:
		return 0, false
	}
	if op.Has(graph.WhoAmI) {
		worth += 8
	}
	if op.Secured {
		worth += 6
	}
	if op.Has(graph.Admin) || op.Has(graph.Debug) || op.Has(graph.Export) || op.Has(graph.Download) {
		worth -= 5
	}
	if op.Has(graph.Health) {
		worth -= 8
	}
	for _, in := range op.Inputs {
		switch {
		case in.In == "path":
			worth -= 4
		case in.Required && in.In == "query":
			worth -= 2
		}
	}
	return worth, true
}

// bodyNeeded: an empty object cannot be what the operation takes.
func bodyNeeded(op *graph.Op) bool {
	return slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "body" && in.Required })
}

// plainCall is a call of op without credentials, its parameters made up, its body empty.
func (p *People) plainCall(op *graph.Op) (*target.Request, error) {
	f := newForm(op)
	for _, in := range op.Inputs {
		if in.In == "body" || in.In == "header" || in.In == "cookie" {
			f.drop[in.Where()] = true
		}
	}
	for _, in := range op.Inputs {
		if in.In == "path" && in.Required {
			delete(f.drop, in.Where())
		}
	}
	r, err := f.request(map[string]string{}, rand.New(rand.NewPCG(p.cfg.Seed, 7))) //nolint:gosec // made-up identifiers
	if err != nil {
		return nil, err
	}
	if op.Method != http.MethodGet && r.Body == nil {
		r.Header = append(r.Header, target.Field{Name: "Content-Type", Value: "application/json"})
		r.Body = []byte("{}")
	}
	if op.Method == http.MethodGet {
		r.Body = nil
		r.Header = nil
	}
	return r, nil
}

// ask makes a witness's call with a session.
func (p *People) ask(ctx context.Context, as string, w *witness, s *Session) (*target.Exchange, error) {
	r := w.r.Clone()
	s.Apply(r)
	ex, err := p.c.Do(ctx, as, r)
	if err == nil {
		p.keepUp(s, ex, "")
	}
	return ex, err
}

// judge says how surely w tells the one who got ex from nobody. facts are the
// account's, to be found again in what is its own.
func (w *witness) judge(ex *target.Exchange, facts map[string]string) int {
	if ex.Err != nil || ex.Status >= 500 || ex.Status == 429 || shape(ex) == w.shape {
		return no
	}
	nobodyIn := !denied(w.nobody) && worked(w.nobody)
	switch {
	case denied(ex):
		// 403 to somebody where nobody gets 401: known, and not allowed.
		if ex.Status == 403 && w.nobody.Status == 401 {
			return maybe
		}
		return no
	case worked(ex) && !nobodyIn:
		return surely
	case worked(ex):
		if own(ex, facts) && !own(w.nobody, facts) {
			return likely
		}
		return maybe
	case denied(w.nobody) && !saysNo(tree(ex)) || denied(w.nobody) && (ex.Status == 404 || ex.Status == 422 || ex.Status == 400 || ex.Status == 409):
		if ex.Status == 400 && aboutCredentials(ex) {
			return no
		}
		return likely
	}
	return no
}

// own: the answer holds something that is the account's alone.
func own(ex *target.Exchange, facts map[string]string) bool {
	body := string(ex.Body)
	for _, f := range []string{factEmail, factUsername} {
		if v := facts[f]; len(v) > 5 && strings.Contains(body, v) {
			return true
		}
	}
	return false
}

// aboutCredentials: the refusal is one of the credential's form.
func aboutCredentials(ex *target.Exchange) bool {
	text := strings.ToLower(string(ex.Body[:min(len(ex.Body), 4096)]))
	for _, w := range []string{"token", "authoriz", "authent", "jwt", "bearer", "credential", "api key", "apikey", "session"} {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// verdict is what the witnesses say of a session.
type verdict struct {
	sure    int
	witness *witness
	ex      *target.Exchange
	// garbage is taken as well: then the session proves nothing but that something is sent.
	garbage bool
}

// examine asks witnesses about a session until one is sure enough. most bounds how many.
func (p *People) examine(ctx context.Context, as string, s *Session, facts map[string]string, most int) (verdict, error) {
	list := p.panel()
	return p.examineBy(ctx, as, s, facts, list[:min(len(list), most)])
}

func (p *People) examineBy(ctx context.Context, as string, s *Session, facts map[string]string, list []*witness) (verdict, error) {
	var best verdict
	for _, w := range list {
		ex, err := p.ask(ctx, as, w, s)
		if err != nil {
			if stops(err) {
				return best, err
			}
			continue
		}
		sure := w.judge(ex, facts)
		if sure <= best.sure {
			continue
		}
		v := verdict{sure: sure, witness: w, ex: ex}
		// What garbage gets as well is no sign of a session.
		g, err := p.ask(ctx, Nobody, w, s.garbled())
		if err != nil {
			if stops(err) {
				return best, err
			}
			continue
		}
		switch {
		case shape(g) == shape(ex) && sure < surely:
			continue
		case g.Status == ex.Status && worked(g) == worked(ex) && sure < surely:
			if !own(ex, facts) || own(g, facts) {
				continue
			}
		case worked(g) && worked(ex) && sure == surely:
			v.garbage = true
			v.sure = maybe
		}
		if sure == maybe && worked(ex) {
			// Both get something: what differs must differ again.
			again, err := p.c.Do(ctx, Nobody, w.r)
			if err != nil || shape(again) != w.shape {
				continue
			}
		}
		if v.sure > best.sure {
			best = v
		}
		if best.sure >= likely {
			break
		}
	}
	return best, nil
}

// panel are the witnesses to ask: those that refuse nobody where there are any.
func (p *People) panel() []*witness {
	if p.refusing > 0 {
		return p.witnesses[:min(len(p.witnesses), max(p.refusing, 4))]
	}
	return p.witnesses
}

// garbled is the session with credentials that nobody gave out.
func (s *Session) garbled() *Session {
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // garbage
	parts := s.Snapshot()
	for i := range parts {
		b := []byte(parts[i].Value)
		for j, c := range b {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
				b[j] = "bcdfghjklmnpqrstvwxz"[rng.IntN(20)]
			}
		}
		if parts[i].Prefix == "Basic " {
			b = []byte("Z2FyYmFnZTpnYXJiYWdl") // garbage:garbage
		}
		parts[i].Value = string(b)
	}
	return &Session{Parts: parts}
}
