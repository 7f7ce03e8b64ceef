package scan

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Verified is what became of one regression file.
type Verified struct {
	File        string             `json:"file"`
	Fingerprint string             `json:"fingerprint"`
	Check       string             `json:"check"`
	Title       string             `json:"title"`
	Severity    finding.Severity   `json:"severity"`
	Method      string             `json:"method,omitempty"`
	Path        string             `json:"path,omitempty"`
	Verdict     scenario.Verdict   `json:"verdict"` // proven: the hole is open still
	Step        string             `json:"step,omitempty"`
	Why         string             `json:"why,omitempty"`
	Seconds     float64            `json:"seconds"`
	Requests    int                `json:"requests"`
	Evidence    []finding.Evidence `json:"evidence,omitempty"` // when it is proven
}

// verifyTries is how often a story that could not be told is told again: an
// account may be taken, a target may cough.
const verifyTries = 2

// Verify runs regression files against a target, in order. The options say who
// the actors are, as for Run; accounts are made where none are given.
func Verify(ctx context.Context, o *Options, list []*Regression, told func(Verified)) ([]Verified, []actor.Problem, error) {
	if err := o.Check(); err != nil {
		return nil, nil, err
	}
	r := &run{o: o, log: o.Log, report: &Report{Run: runID(), Seed: o.Seed, Started: time.Now().UTC(), Findings: []*finding.Finding{}}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.understand(ctx); err != nil {
		return nil, nil, err
	}
	if err := r.open(); err != nil {
		return nil, nil, err
	}
	defer r.close()
	if err := r.meet(ctx); err != nil {
		return nil, r.report.Problems, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	// Nothing is built: the world only remembers what the stories make, to take it away.
	below := ""
	r.world = world.New(r.graph, r.people, r.client, world.Options{Run: r.report.Run, Seed: o.Seed, Safe: o.Mode == check.Safe.String(), BasePath: &below})
	r.client.OnExchange(r.world.Follow)
	stage := &scenario.Stage{Sender: r.client, People: r.people, RunID: r.report.Run}
	if r.listener != nil {
		stage.Listener = r.listener
	}
	var out []Verified
	for i, g := range list {
		v := Verified{File: g.File, Fingerprint: g.Fingerprint, Check: g.Check, Title: g.Title, Severity: g.Severity, Method: g.Method, Path: g.Path}
		began := time.Now()
		for try := range verifyTries {
			outcome, err := stage.Run(ctx, &g.Scenario, r.report.Run+".v"+strconv.Itoa(i)+"."+strconv.Itoa(try))
			if err != nil {
				return out, r.report.Problems, fmt.Errorf("%s: %w: %w", g.File, ErrTarget, err)
			}
			v.Verdict, v.Step, v.Why = outcome.Verdict, outcome.Step, outcome.Why
			if v.Verdict == scenario.Refuted && !attacks(&g.Scenario, v.Step) {
				// Not even its owner could: that says nothing of the hole.
				v.Verdict, v.Why = scenario.Inconclusive, "a control did not go as expected: "+v.Why
			}
			for _, res := range outcome.Results {
				v.Requests += len(res.Exchanges)
			}
			if outcome.Verdict == scenario.Proven {
				v.Evidence = scenario.Hide(outcome.Evidence(r.client.Origin()+r.client.Base()), r.client.Secrets().Message)
			}
			if v.Verdict != scenario.Inconclusive {
				break
			}
		}
		v.Seconds = time.Since(began).Seconds()
		out = append(out, v)
		if told != nil {
			told(v)
		}
	}
	tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	r.world.Cleanup(tidy)
	return out, r.report.Problems, nil
}

// attacks reports whether a step is one that shows the hole, and no control.
func attacks(sc *scenario.Scenario, step string) bool {
	for i := range sc.Steps {
		if st := &sc.Steps[i]; st.ID == step {
			return st.Part != scenario.Control && st.Part != scenario.Setup
		}
	}
	return false
}
