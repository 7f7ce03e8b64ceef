package authz

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/crenel-project/crenel/policies"
)

// Bounds of running a policy's own tests.
const (
	testTimeout  = 5 * time.Second // of one test
	testsTimeout = time.Minute     // of all
)

// TestResult is how one Rego test went.
type TestResult struct {
	Package  string // "data.crenel.authz_test"
	Name     string // "test_owner_may_read"
	Place    string // "file:line"
	Passed   bool
	Skipped  bool   // named todo_test_…
	Error    string // why it could not be run
	Output   string // what it printed
	Duration time.Duration
}

// Test runs the Rego tests found beside policies, as OPA runs them.
func Test(ctx context.Context, policyPaths, dataPaths []string) ([]TestResult, error) {
	part, err := LoadFiles(policyPaths, dataPaths)
	if err != nil {
		return nil, err
	}
	src, err := join(map[string]*Part{filesSource: part})
	if err != nil {
		return nil, err
	}
	return src.runTests(ctx)
}

// FileCoverage says which lines of a policy its tests came to.
type FileCoverage struct {
	File    string
	Covered int   // lines
	Missed  []int // numbers of those that no test came to
	Lines   []string
}

// Percent is the share of lines that tests came to, 100 for a file without any.
func (f *FileCoverage) Percent() float64 {
	if f.Covered+len(f.Missed) == 0 {
		return 100
	}
	return 100 * float64(f.Covered) / float64(f.Covered+len(f.Missed))
}

// Cover runs the tests as Test does, and says what of the policies they came to.
func Cover(ctx context.Context, policyPaths, dataPaths []string) ([]TestResult, []FileCoverage, error) {
	part, err := LoadFiles(policyPaths, dataPaths)
	if err != nil {
		return nil, nil, err
	}
	src, err := join(map[string]*Part{filesSource: part})
	if err != nil {
		return nil, nil, err
	}
	c := cover.New()
	results, err := src.runTestsTraced(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	report := c.Report(src.modules)
	var out []FileCoverage
	for _, file := range slices.Sorted(maps.Keys(src.modules)) {
		f := FileCoverage{File: file, Lines: strings.Split(string(part.Texts[file]), "\n")}
		if r := report.Files[file]; r != nil {
			f.Covered = r.CoveredLines
			for _, span := range r.NotCovered {
				for row := span.Start.Row; row <= span.End.Row; row++ {
					f.Missed = append(f.Missed, row)
				}
			}
		}
		out = append(out, f)
	}
	return results, out, nil
}

func (s *sources) runTests(ctx context.Context) ([]TestResult, error) {
	return s.runTestsTraced(ctx, nil)
}

func (s *sources) runTestsTraced(ctx context.Context, c *cover.Cover) ([]TestResult, error) {
	ctx, cancel := context.WithTimeout(ctx, testsTimeout)
	defer cancel()
	runner := tester.NewRunner()
	if c != nil {
		runner = runner.SetCoverageQueryTracer(c)
	}
	ch, err := runner.
		SetCompiler(newCompiler(ctx, s.data).WithEnablePrintStatements(true)).
		SetDefaultRegoVersion(ast.RegoV1).
		SetModules(with(s.modules, s.tests, s.library)).
		SetStore(s.data).
		SetTimeout(testTimeout).
		RaiseBuiltinErrors(true).
		CapturePrintOutput(true).
		RunTests(ctx, moment{})
	if err != nil {
		return nil, fmt.Errorf("compiling tests: %w", err)
	}
	var out []TestResult
	for r := range ch {
		t := TestResult{Package: r.Package, Name: r.Name, Passed: r.Pass(), Skipped: r.Skip, Output: string(r.Output), Duration: r.Duration}
		if r.Location != nil {
			t.Place = fmt.Sprintf("%s:%d", r.Location.File, r.Location.Row)
		}
		if r.Error != nil {
			t.Error = r.Error.Error()
		}
		out = append(out, t)
	}
	if err := ctx.Err(); err != nil {
		return out, fmt.Errorf("running tests: %w", err)
	}
	slices.SortFunc(out, func(a, b TestResult) int {
		return strings.Compare(a.Place+a.Name, b.Place+b.Name)
	})
	return out, nil
}

// passTests runs the tests, if there are any, and names those that fail.
func (s *sources) passTests(ctx context.Context) error {
	if len(s.tests) == 0 {
		return nil
	}
	results, err := s.runTests(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range results {
		if r.Passed || r.Skipped {
			continue
		}
		why := "failed"
		if r.Error != "" {
			why = r.Error
		}
		errs = append(errs, fmt.Errorf("%s: test %s.%s: %s", r.Place, r.Package, r.Name, why))
	}
	return errors.Join(errs...)
}

// TestShipped runs the tests of the library that ships with Crenel.
func TestShipped(ctx context.Context) ([]TestResult, error) {
	lib, err := policies.Lib()
	if err != nil {
		return nil, fmt.Errorf("loading the library: %w", err)
	}
	data, err := newDocuments(nil, nil)
	if err != nil {
		return nil, err
	}
	s := &sources{modules: map[string]*ast.Module{}, data: data}
	for name, text := range lib {
		if s.modules[name], err = ast.ParseModuleWithOpts(name, text, ast.ParserOptions{RegoVersion: ast.RegoV1}); err != nil {
			return nil, fmt.Errorf("loading the library: %w", err)
		}
	}
	return s.runTests(ctx)
}
