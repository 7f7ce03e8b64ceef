package check

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// A check that panics, in its own goroutine or in one of Each's, ends itself alone: the
// others run to their end, and it is told which one broke.
func TestAPanicEndsOnlyItsOwnCheck(t *testing.T) {
	ran := false
	list := []*Check{
		{ID: "direct", Run: func(context.Context, *Probe) error { panic("index out of range") }},
		{ID: "each", Run: func(ctx context.Context, p *Probe) error {
			return Each(ctx, p, []int{1, 2}, func(context.Context, int) error { panic("nil map") })
		}},
		{ID: "sound", Alone: true, Run: func(context.Context, *Probe) error { ran = true; return nil }},
	}
	l := &Lab{Graph: &graph.Graph{}, Workers: 2, Log: slog.New(slog.DiscardHandler)}
	if err := l.Run(t.Context(), list, nil); err != nil {
		t.Errorf("the run ended with %v", err)
	}
	if !ran {
		t.Error("the sound check was not run")
	}
	if got := l.Broken(); !slices.Equal(got, []string{"direct", "each"}) {
		t.Errorf("broken are %v", got)
	}
	if got := l.Unfinished(); len(got) > 0 {
		t.Errorf("%v are called unfinished for want of time", got)
	}
}

// An answer that is one text has no members beside it.
func TestSiblingsOfATextAlone(t *testing.T) {
	if got := siblings("eyJhbGciOi", ""); got != nil {
		t.Errorf("got %v", got)
	}
}

// A call that cannot be written is about itself: what else its check tries is tried, and
// the run goes on.
func TestACallThatCannotBeWrittenEndsNothingElse(t *testing.T) {
	unwritable := fmt.Errorf("writing GET /sheets/{sheet}: %w: no number", world.ErrUnwritable)
	var tried atomic.Int32
	ran := false
	list := []*Check{
		{ID: "direct", Run: func(context.Context, *Probe) error { return unwritable }},
		{ID: "each", Run: func(ctx context.Context, p *Probe) error {
			return Each(ctx, p, []int{1, 2, 3}, func(_ context.Context, n int) error {
				tried.Add(1)
				if n == 1 {
					return unwritable
				}
				return nil
			})
		}},
		{ID: "sound", Alone: true, Run: func(context.Context, *Probe) error { ran = true; return nil }},
	}
	l := &Lab{Graph: &graph.Graph{}, Workers: 1, Log: slog.New(slog.DiscardHandler)}
	if err := l.Run(t.Context(), list, nil); err != nil {
		t.Errorf("the run ended with %v", err)
	}
	if !ran || tried.Load() != 3 {
		t.Errorf("the sound check ran: %v; of three things %d were tried", ran, tried.Load())
	}
	if got := l.Unfinished(); len(got) > 0 {
		t.Errorf("%v are called unfinished for want of time", got)
	}
}

// An identifier that is no number is written as a text where numbers are described.
func TestAnIdentifierIsAlwaysWritable(t *testing.T) {
	for id, want := range map[string]string{"17": "17", "pt_9f": `"pt_9f"`, "": `""`, "017": `"017"`} {
		if got := jsonID(&graph.Input{Type: "integer"}, id); got != want {
			t.Errorf("%q is written as %s, want %s", id, got, want)
		}
	}
}
