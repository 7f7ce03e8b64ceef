package authz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/policies"
)

// Probe decides on an exchange as the gateway does, for tools that ask what the
// policies say of calls that nobody made. byDocument says that the document's own
// policy denied. A tracer is told of the policy's steps, as it was written;
// filters are asked only without one.
func (g *Guard) Probe(ctx context.Context, x *exchange.Exchange, tracer topdown.QueryTracer) (v exchange.Verdict, byDocument bool) {
	if v := builtin(g.demands.For(x.Operation), &x.Identity, g.realm); v.Action != exchange.Allow || g.engine == nil {
		return v, v.Action != exchange.Allow
	}
	return g.decide(ctx, x, tracer, nil), false
}

// Uses says which parts of the input the deciding rule can come to, and of each
// which fields; nil fields mean all of the part. all means the input as a whole.
func (p *Policy) Uses() (parts map[string][]string, all bool) {
	parts = map[string][]string{}
	for name, fields := range p.uses.parts {
		parts[name] = nil
		for f := range fields {
			parts[name] = append(parts[name], f)
		}
	}
	return parts, p.uses.all
}

// Compiler is the policy as it was written, compiled. It must not be changed.
func (p *Policy) Compiler() *ast.Compiler { return p.asWritten.compiler }

// RunTests runs the tests among a part's modules, as they are run before the
// part may decide.
func (p *Part) RunTests(ctx context.Context) ([]TestResult, error) {
	src, err := join(map[string]*Part{filesSource: p})
	if err != nil {
		return nil, err
	}
	return src.runTests(ctx)
}

// Collect starts feeds, takes what each gives first, and ends them: policies and
// data as one part, without tables.
func Collect(ctx context.Context, feeds []Feed, query string, now func() time.Time) (part *Part, err error) {
	var list []Source
	for _, f := range feeds {
		list = append(list, f.Sources()...)
	}
	e, err := NewEngine(query, list, slog.New(slog.DiscardHandler), now)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, f := range feeds {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, f := range feeds {
		if err := f.Start(ctx, e); err != nil {
			return nil, err
		}
	}
	if _, err := e.Current(now()); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := &Part{Modules: map[string]*ast.Module{}, Data: ast.NewObject()}
	for _, s := range e.sources {
		for file, m := range s.part.Modules {
			out.Modules[file] = m
		}
		if s.part.Data != nil {
			merged, ok := out.Data.Merge(s.part.Data)
			if !ok {
				return nil, fmt.Errorf("%s gives data that another source gives too", s.Name)
			}
			out.Data = merged
		}
	}
	return out, nil
}

// Fixed is a feed that gives one part, once.
func Fixed(name string, part *Part) Feed { return &fixed{name, part} }

type fixed struct {
	name string
	part *Part
}

// Sources implements Feed.
func (f *fixed) Sources() []Source { return []Source{{Name: f.name}} }

// Start implements Feed.
func (f *fixed) Start(ctx context.Context, e *Engine) error {
	return e.Update(ctx, map[string]*Part{f.name: f.part})
}

// Close implements Feed.
func (*fixed) Close() error { return nil }

// NewLinter compiles a part's rules for a tool that looks for mistakes: in OPA's
// strict mode, or with the schema of the input. Its Errors are the mistakes; the
// error is one of putting the part together.
func NewLinter(ctx context.Context, p *Part, strict, schema bool) (*ast.Compiler, error) {
	src, err := join(map[string]*Part{filesSource: p})
	if err != nil {
		return nil, err
	}
	c := newCompiler(ctx, src.data).WithStrict(strict)
	if schema {
		var document any
		if err := json.Unmarshal(policies.InputSchema, &document); err != nil {
			return nil, fmt.Errorf("reading the input's schema: %w", err)
		}
		set := ast.NewSchemaSet()
		set.Put(ast.SchemaRootRef, document)
		c = c.WithSchemas(set)
	}
	// The tests are not part of what decides, and give input as they like.
	c.Compile(with(src.modules, src.library))
	return c, nil
}
