package scan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/source"
)

// errReading says that there was no time for anything but the description.
var errReading = errors.New("the time was over while the description was read, so nothing was tested: give more time (--max-time), or describe a part alone")

// Understand reads the description that the options name, and works out its graph. It
// ends with the context, and when the time that the options give is over: what reckons
// is left to itself then, because parsers know of no context, and whoever gives up here
// is about to end.
func Understand(ctx context.Context, o *Options) (*source.Result, *graph.Graph, error) {
	if o.Limits.MaxTime > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, o.Limits.MaxTime, fmt.Errorf("%w: %w", ErrTarget, errReading))
		defer stop()
	}
	type understood struct {
		described *source.Result
		graph     *graph.Graph
		err       error
	}
	done := make(chan understood, 1)
	go func() {
		described, err := Describe(ctx, o)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			done <- understood{err: err}
			return
		}
		done <- understood{described, graph.Build(described.API), nil}
	}()
	select {
	case u := <-done:
		if u.err != nil && ctx.Err() != nil {
			u.err = context.Cause(ctx)
		}
		return u.described, u.graph, u.err
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

// understand reads the description and works out what it is about.
func (r *run) understand(ctx context.Context) error {
	r.begin("understand")
	described, g, err := Understand(ctx, r.o)
	if err != nil {
		return err
	}
	api := g.API
	for _, rep := range described.Repairs {
		where := rep.File
		if rep.Line > 0 {
			where = fmt.Sprintf("%s:%d", rep.File, rep.Line)
		}
		r.report.Repairs = append(r.report.Repairs, Repair{Where: where, What: rep.What})
	}
	for _, p := range api.Problems {
		r.report.Repairs = append(r.report.Repairs, Repair{Where: fmt.Sprintf("%s:%d", p.Place.File, p.Place.Line), What: p.Message})
	}
	r.report.Spec, r.report.API = described.From, api.Title
	r.graph = g
	r.report.Stats.Operations = len(r.graph.Ops)
	if len(r.graph.Ops) == 0 {
		return fmt.Errorf("%s describes no operation", r.o.Spec)
	}
	for _, p := range r.o.Paths {
		if !slices.ContainsFunc(r.graph.Ops, func(op *graph.Op) bool { return matches([]string{p}, op) }) {
			return fmt.Errorf("paths: no operation of the description is %q; a path is written as there, with * for anything and a method before it where one is meant: 'GET %s', '%s*'", p, r.graph.Ops[0].Path, firstStep(r.graph.Ops[0].Path))
		}
	}
	return nil
}

// firstStep is the head of a path: "/orders/" of "/orders/{id}".
func firstStep(at string) string {
	if i := strings.IndexByte(strings.TrimPrefix(at, "/"), '/'); i >= 0 {
		return at[:i+2]
	}
	return at
}
