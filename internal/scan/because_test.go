package scan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// A target that is restarted again and again is told in one place, with a count.
func TestManyOutagesAreOneProblem(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	outage := func(after time.Duration, refused, back bool, path string) target.Outage {
		o := target.Outage{Since: at.Add(after), Refused: refused, Suspects: []target.Suspect{{Exchange: &target.Exchange{Request: &target.Request{Method: "GET", Path: path}, Err: errors.New("reset")}}}}
		if back {
			o.Back = o.Since.Add(500 * time.Millisecond)
		}
		return o
	}
	got := outages([]target.Outage{
		outage(0, true, true, "/buoys"), outage(time.Minute, false, true, "/tides"), outage(2*time.Minute, true, true, "/moorings"),
		outage(3*time.Minute, true, true, "/moorings"), outage(4*time.Minute, true, false, "/wrecks"),
	})
	want := []string{
		"went away (nothing listened) 3 times, from 10:00:00 to 10:03:00, for 1.5 s in all; under way then, the commonest first: GET /moorings, GET /buoys",
		"hung at 10:01:00 for 0.5 s; under way then: GET /tides",
		"went away (nothing listened) at 10:04:00 and did not come back",
	}
	if len(got) != len(want) {
		t.Fatalf("%d problems: %+v", len(got), got)
	}
	for i := range want {
		if !strings.Contains(got[i].What, want[i]) {
			t.Errorf("%q, want %q", got[i].What, want[i])
		}
	}
}

// Why a run ended early is told by its budget, not by the step that met its end.
func TestBecause(t *testing.T) {
	spent := fmt.Errorf("check x: scenario %q: %w", "y", fmt.Errorf("%w (%d)", target.ErrBudget, 40))
	if got := because(t.Context(), spent, "attack").Error(); got != "the budget of requests is used up (40), while the checks ran" {
		t.Errorf("%q", got)
	}
	other := errors.New("the target is gone")
	if got := because(t.Context(), other, "world"); !errors.Is(got, other) || got.Error() != other.Error() {
		t.Errorf("%v", got)
	}
	over, end := context.WithCancel(t.Context())
	end()
	if got := because(over, spent, "world").Error(); got != "it was interrupted while objects were made" {
		t.Errorf("%q", got)
	}
}
