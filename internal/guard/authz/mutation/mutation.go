package mutation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/matrix"
)

// Options are what is mutated, and how long.
type Options struct {
	Part *authz.Part // the policies with their tests
	// Matrix is what the table is derived from; nil when the API has no document.
	Matrix *matrix.Options
	// Kept says that the matrix is kept: then a change that only it tells is one that
	// would not pass.
	Kept    bool
	Timeout time.Duration // of all; 0: no end
	Workers int           // 0: one for each processor
}

// What became of a mutant.
const (
	ByTests  = "tests"    // a test failed
	ByMatrix = "matrix"   // a cell of the matrix changed
	Survived = "survived" // nobody told
	Invalid  = "invalid"  // it does not compile
	Untried  = "untried"  // the time was up
)

// Mutant is one change, and who told it from the policy as written.
type Mutant struct {
	Place string // "policies/authz.rego:12"
	What  string
	Fate  string
	By    string // the test that failed; the cell that changed
	// Tells is a call that would tell a survivor of the tests, as a cell of the matrix.
	Tells *matrix.Change `json:",omitempty"`
	file  string
	index int
}

// Result is what became of all of them.
type Result struct {
	Mutants []Mutant // by place
	Killed  int
	Counted int // killed and survived
	Score   float64
	Untried int
	Took    time.Duration
}

// Run mutates policies and sees who notices. It is an error when the policies'
// tests fail without any change.
func Run(ctx context.Context, o Options) (*Result, error) {
	begin := time.Now()
	results, err := o.Part.RunTests(ctx)
	if err != nil {
		return nil, err
	}
	if failed := firstFailure(results); failed != "" {
		return nil, fmt.Errorf("the test %s fails already: nothing can be learned from mutants", failed)
	}
	r := &runner{o: o}
	if o.Matrix != nil {
		if r.base, err = r.table(ctx, o.Part); err != nil {
			return nil, fmt.Errorf("deriving the matrix: %w", err)
		}
	}
	list := all(o.Part)
	if o.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, o.Timeout)
		defer stop()
	}
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var wg sync.WaitGroup
	next := make(chan *Mutant)
	for range min(workers, max(1, len(list))) {
		wg.Go(func() {
			for m := range next {
				r.try(ctx, m)
			}
		})
	}
	for i := range list {
		next <- &list[i]
	}
	close(next)
	wg.Wait()
	out := &Result{Mutants: list, Took: time.Since(begin)}
	for i := range list {
		switch list[i].Fate {
		case ByTests, ByMatrix:
			out.Killed++
			out.Counted++
		case Survived:
			out.Counted++
		case Untried:
			out.Untried++
		}
	}
	out.Score = 1
	if out.Counted > 0 {
		out.Score = float64(out.Killed) / float64(out.Counted)
	}
	return out, nil
}

func firstFailure(results []authz.TestResult) string {
	for _, t := range results {
		if !t.Passed && !t.Skipped {
			return t.Package + "." + t.Name
		}
	}
	return ""
}

// all lists the changes of the modules that are no tests.
func all(p *authz.Part) []Mutant {
	var out []Mutant
	for _, file := range slices.Sorted(maps.Keys(p.Modules)) {
		if strings.HasSuffix(file, "_test.rego") {
			continue
		}
		for i, pt := range points(p.Modules[file].Copy()) {
			out = append(out, Mutant{Place: fmt.Sprintf("%s:%d", filepath.Clean(file), pt.row), What: pt.what, file: file, index: i})
		}
	}
	return out
}

type runner struct {
	o    Options
	base *matrix.File
}

// table is the matrix of a policy, as the file has it.
func (r *runner) table(ctx context.Context, part *authz.Part) (*matrix.File, error) {
	m, err := r.derive(ctx, part)
	if err != nil {
		return nil, err
	}
	return matrix.Parse(m.Bytes())
}

func (r *runner) derive(ctx context.Context, part *authz.Part) (*matrix.Matrix, error) {
	o := *r.o.Matrix
	o.Part, o.Without = part, true
	d, err := matrix.New(ctx, o)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Matrix(ctx)
}

// try makes one change and sees who tells.
func (r *runner) try(ctx context.Context, m *Mutant) {
	m.Fate = Untried
	if ctx.Err() != nil {
		return
	}
	module := r.o.Part.Modules[m.file].Copy()
	points(module)[m.index].apply()
	part := *r.o.Part
	part.Modules = maps.Clone(part.Modules)
	part.Modules[m.file] = module
	results, err := part.RunTests(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case invalid(err):
		m.Fate = Invalid
		return
	case err != nil: // such as tests that no longer end
		m.Fate, m.By = ByTests, err.Error()
		return
	}
	if failed := firstFailure(results); failed != "" {
		m.Fate, m.By = ByTests, failed
		return
	}
	fate := Survived
	if r.base != nil {
		change, err := r.differs(ctx, &part)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !compiles(ctx, &part):
			m.Fate = Invalid
			return
		case err != nil: // it cannot even be activated: who changes it so is told
			m.Fate, m.By = ByMatrix, err.Error()
			return
		case change != nil:
			m.Tells = change
			if r.o.Kept {
				fate, m.By = ByMatrix, change.Operation+", "+change.Actor
			}
		}
	}
	m.Fate = fate
}

// differs is the first cell in which a policy's matrix is not as it was.
func (r *runner) differs(ctx context.Context, part *authz.Part) (*matrix.Change, error) {
	t, err := r.derive(ctx, part)
	if err != nil {
		return nil, err
	}
	changes := t.Compare(r.base)
	// A call that passes and should not says the most.
	for i := range changes {
		if changes[i].Wider() {
			return &changes[i], nil
		}
	}
	if len(changes) > 0 {
		return &changes[0], nil
	}
	return nil, nil
}

// invalid reports errors of OPA's compiler.
func invalid(err error) bool {
	var list ast.Errors
	var one *ast.Error
	return errors.As(err, &list) || errors.As(err, &one)
}

func compiles(ctx context.Context, p *authz.Part) bool {
	_, err := p.RunTests(ctx)
	return !invalid(err)
}
