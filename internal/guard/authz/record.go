package authz

import (
	"context"
	"errors"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
)

// Recorder keeps decisions with all that they were made on.
type Recorder interface {
	// Wants reports which outcomes of the call with this id are to be recorded: always
	// the same for one id.
	Wants(id string) (allowed, denied bool)
	// Record takes a decision. It must not wait. An error refuses the call.
	Record(r *Record) error
}

// Record is one decision, whole: made again on it, the same is decided.
type Record struct {
	Exchange *exchange.Exchange // must not be kept
	// Policy is the one that was asked; nil when the document's own decided alone.
	Policy *Policy
	Input  ast.Value // with all its parts
	Time   time.Time
	// Observed are the results of functions that give another result another time;
	// Reads is what was read of tables.
	Observed    builtins.NDBCache
	Reads       *Reads
	Result      ast.Value // nil when Err is not, or no policy was asked
	Err         error
	Verdict     exchange.Verdict
	Obligations exchange.Obligations
	Took        time.Duration // with building the input
	// WithoutBody says that the call has a body that nobody needed to read.
	WithoutBody bool

	whole bool // the policy is given the whole input
}

// Recorders are several that each get what they want.
type Recorders []Recorder

// Wants reports what any of them wants.
func (l Recorders) Wants(id string) (allowed, denied bool) {
	for _, r := range l {
		a, d := r.Wants(id)
		allowed, denied = allowed || a, denied || d
	}
	return allowed, denied
}

// Record hands the decision to those that want it.
func (l Recorders) Record(r *Record) error {
	var errs []error
	for _, one := range l {
		if allowed, denied := one.Wants(r.Exchange.ID); r.Verdict.Action == exchange.Allow && allowed || r.Verdict.Action != exchange.Allow && denied {
			errs = append(errs, one.Record(r))
		}
	}
	return errors.Join(errs...)
}

// recording is what the guard needs to make records.
type recording struct {
	body bool // the config lets policies see bodies
	api  *spec.API
}

func (g *Guard) ruleAndRecord(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	allowed, denied := g.recorder.Wants(x.ID)
	if !allowed && !denied {
		return g.ruleOn(ctx, x, nil)
	}
	// The input is built whole at once where most calls are recorded.
	r := &Record{Exchange: x, whole: allowed}
	v := g.ruleOn(ctx, x, r)
	if wanted := v.Action == exchange.Allow && allowed || v.Action != exchange.Allow && denied; !wanted {
		return v
	}
	if r.Time.IsZero() {
		r.Time = g.now()
	}
	if r.Input == nil || !r.whole {
		r.Input = g.build(x, usage{all: true}, r.Time, g.record.body)
	}
	r.Verdict, r.Obligations = v, x.Obligations
	r.WithoutBody = x.Request.Body == nil && x.Request.Length != 0 && x.Operation != nil && x.Operation.Body != nil
	if err := g.recorder.Record(r); err != nil {
		return exchange.Undecided("authz.unrecorded", "the decision cannot be recorded: "+err.Error())
	}
	return v
}

// recordedEvaluation is an evaluation that leaves in r what it was made on.
func (g *Guard) recordedEvaluation(x *exchange.Exchange, p *Policy, now time.Time, r *Record) Evaluation {
	r.Policy, r.Time = p, now
	if r.whole {
		r.Input = g.build(x, usage{all: true}, now, g.record.body)
	} else {
		r.Input = g.build(x, p.uses, now, g.body)
	}
	return g.heldEvaluation(Evaluation{Input: r.Input, Now: now, Limit: g.timeout}, p, r)
}

// heldEvaluation has an evaluation note what its record needs.
func (g *Guard) heldEvaluation(e Evaluation, p *Policy, r *Record) Evaluation {
	if p.varies {
		r.Observed = builtins.NDBCache{}
	}
	if len(p.data.tables) > 0 {
		r.Reads = &Reads{}
	}
	e.Observed, e.Reads = r.Observed, r.Reads
	return e
}

// Reads is what evaluations read of tables, which are too large to be kept whole.
type Reads struct {
	List []Read
	// Replay takes what is read from List first.
	Replay bool
	// Partial says that more was read than is kept: a whole table, or very many rows;
	// in a replay, rows that were not read then.
	Partial bool
}

// Read is one value as it was read; nil when nothing was there.
type Read struct {
	Path  storage.Path
	Value ast.Value
}

// Bounds of what is kept of one decision.
const (
	maxReads     = 256
	maxReadNodes = 2048 // values, together
)

// find returns what was read at a path, by itself or within what was read above it.
func (r *Reads) find(path storage.Path) (v ast.Value, known bool) {
	for i := range r.List {
		l := &r.List[i]
		if !path.HasPrefix(l.Path) {
			continue
		}
		if l.Value == nil {
			return nil, true
		}
		v, err := at(l.Value, path[len(l.Path):])
		if err != nil {
			return nil, true
		}
		return v, true
	}
	return nil, false
}

func (r *Reads) note(path storage.Path, v ast.Value) {
	if len(r.List) >= maxReads || nodes(v, maxReadNodes) >= maxReadNodes {
		r.Partial = true
		return
	}
	r.List = append(r.List, Read{append(storage.Path(nil), path...), v})
}

// nodes counts the values within a value, but no further than most.
func nodes(v ast.Value, most int) int {
	n := 1
	more := func(t *ast.Term) {
		if n < most {
			n += nodes(t.Value, most-n)
		}
	}
	switch v := v.(type) {
	case ast.Object:
		if v.Len() >= most {
			return most
		}
		v.Foreach(func(_, t *ast.Term) { more(t) })
	case *ast.Array:
		if v.Len() >= most {
			return most
		}
		v.Foreach(more)
	case ast.Set:
		return n + v.Len()
	}
	return n
}

// readStore is data whose tables are watched.
type readStore struct {
	*documents
	reads *Reads
}

// Read returns the value at a path.
func (s *readStore) Read(ctx context.Context, txn storage.Transaction, path storage.Path) (any, error) {
	if s.reads.Replay {
		if v, known := s.reads.find(path); known {
			if v == nil {
				return nil, NotFound(path)
			}
			return v, nil
		}
		if s.unknown(path) {
			s.reads.Partial = true
		}
		return s.documents.Read(ctx, txn, path)
	}
	v, err := s.documents.Read(ctx, txn, path)
	if s.ofTable(path) {
		var missing *storage.Error
		switch value, ok := v.(ast.Value); {
		case err == nil && ok:
			s.reads.note(path, value)
		case errors.As(err, &missing) && missing.Code == storage.NotFoundErr:
			s.reads.note(path, nil)
		default:
			s.reads.Partial = true
		}
	}
	return v, err
}

// unknown reports whether the rows at a path are not kept.
func (s *readStore) unknown(path storage.Path) bool {
	for i := range s.tables {
		if m := &s.tables[i]; m.table == (noRows{}) && (path.HasPrefix(m.path) || m.path.HasPrefix(path)) {
			return true
		}
	}
	return false
}

func (s *readStore) ofTable(path storage.Path) bool {
	for i := range s.tables {
		if m := &s.tables[i]; path.HasPrefix(m.path) || m.path.HasPrefix(path) {
			return true
		}
	}
	return false
}
