package check

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// outcomeOf is of a scenario that stopped at a step that was answered so.
func outcomeOf(part scenario.Part, times, status int, after string) *scenario.Outcome {
	x := &target.Exchange{Status: status, Header: http.Header{}}
	if after != "" {
		x.Header.Set("Retry-After", after)
	}
	return &scenario.Outcome{Verdict: scenario.Refuted, Step: "it", Results: []scenario.Result{
		{Step: &scenario.Step{ID: "before", Part: scenario.Control}, Exchanges: []*target.Exchange{{Status: 200}}},
		{Step: &scenario.Step{ID: "it", Part: part, Times: times}, Exchanges: []*target.Exchange{x}},
	}}
}

func TestHeldBack(t *testing.T) {
	for _, c := range []struct {
		about string
		o     *scenario.Outcome
		want  time.Duration
	}{
		{"refused for its number, and says how long", outcomeOf(scenario.Control, 0, 429, "12"), 12*time.Second + 100*time.Millisecond},
		{"refused for its number, and says nothing", outcomeOf(scenario.Control, 0, 429, ""), lullOnce},
		{"an attack that was sent once", outcomeOf(scenario.Attack, 1, 429, ""), lullOnce},
		{"a burst, which is meant to be refused", outcomeOf(scenario.Attack, 20, 429, "3"), 0},
		{"refused for something else", outcomeOf(scenario.Control, 0, 403, "12"), 0},
		{"another step stopped it", &scenario.Outcome{Step: "before", Results: outcomeOf(scenario.Control, 0, 429, "1").Results}, 0},
		{"a number that no Duration holds", outcomeOf(scenario.Control, 0, 429, "9223372037"), 24*time.Hour + 100*time.Millisecond},
	} {
		if got := heldBack(c.o); got != c.want {
			t.Errorf("%s: waits %s, want %s", c.about, got, c.want)
		}
	}
}

// A run waits for limits no longer than lullMost in all, and once for those who wait for
// the same one.
func TestLull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Probe{Lab: &Lab{}}
		sends := func(path string) Hypothesis {
			return Hypothesis{Method: "POST", Path: path, Scenario: &scenario.Scenario{Steps: []scenario.Step{{ID: "a", Part: scenario.Attack}}}}
		}
		began := time.Now()
		waited := func(path string, wait time.Duration) bool { return p.lull(t.Context(), sends(path), wait) }
		if waited("/sheets", 24*time.Hour) || time.Since(began) != 0 {
			t.Fatalf("it waits for a day: %s", time.Since(began))
		}
		done := make(chan bool)
		for range 2 {
			go func() { done <- waited("/sheets", lullOnce) }()
		}
		one, other := <-done, <-done
		if !one || !other || time.Since(began) != lullOnce {
			t.Errorf("two who wait for one limit waited %s (%v, %v), want %s", time.Since(began), one, other, lullOnce)
		}
		if !waited("/covers", lullOnce) {
			t.Error("it does not wait for a second limit")
		}
		if waited("/spines", lullOnce) || time.Since(began) != 2*lullOnce {
			t.Errorf("it waits for a third one, %s in all", time.Since(began))
		}
		p.Until = time.Now().Add(10 * time.Second)
		if waited("/ends", 6*time.Second) {
			t.Error("it waits where no time is left for what follows")
		}
	})
}
