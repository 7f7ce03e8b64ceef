package check

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
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
