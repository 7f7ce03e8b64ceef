package check

import (
	"testing"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

func TestQuiet(t *testing.T) {
	one := "1"
	sc := &scenario.Scenario{Steps: []scenario.Step{
		{ID: "before", Part: scenario.Control, Expect: []scenario.Expect{{Status: "2xx"}}},
		{ID: "still", Part: scenario.Control, Expect: []scenario.Expect{{Like: "before"}}},
		{ID: "after", Part: scenario.Observe, Expect: []scenario.Expect{{At: "/n", Differs: &one}}},
	}}
	for _, c := range []struct {
		verdict scenario.Verdict
		step    string
		want    bool
	}{
		{scenario.Refuted, "still", true},   // others may have changed what is compared
		{scenario.Refuted, "before", false}, // a status is nobody else's doing
		{scenario.Refuted, "after", false},
		{scenario.Refuted, "gone", false},
		{scenario.Proven, "still", false},
	} {
		if got := disturbed(sc, &scenario.Outcome{Verdict: c.verdict, Step: c.step}); got != c.want {
			t.Errorf("disturbed at %q, %s: %v, want %v", c.step, c.verdict, got, c.want)
		}
	}
	if !compares(sc) {
		t.Error("a scenario that takes a difference for an effect must run with nothing beside it")
	}
	if compares(&scenario.Scenario{Steps: sc.Steps[:2]}) {
		t.Error("a scenario that observes no difference may run beside others")
	}
}
