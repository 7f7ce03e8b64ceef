package scan

import (
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Report is what a run found, reached and did.
type Report struct {
	Tool     Tool                  `json:"tool"`
	Target   string                `json:"target"`         // origin and base path
	Spec     string                `json:"spec,omitempty"` // what described the API
	API      string                `json:"api,omitempty"`  // its title
	Run      string                `json:"run"`            // the run's id: its accounts and canaries carry it
	Seed     uint64                `json:"seed"`
	Mode     string                `json:"mode"` // safe, default, aggressive
	Started  time.Time             `json:"started"`
	Findings []*finding.Finding    `json:"findings"`
	Coverage []world.Coverage      `json:"coverage"`
	Checks   []check.Cell          `json:"checks"` // what became of each check on each operation
	Actors   []actor.ActorReport   `json:"actors"`
	Doctor   []actor.Point         `json:"doctor,omitempty"`   // what was looked at before anything was tested
	Problems []actor.Problem       `json:"problems,omitempty"` // what kept somebody out, and what to do about it
	Notes    []string              `json:"notes,omitempty"`    // what was learnt on the way
	Repairs  []Repair              `json:"repairs,omitempty"`
	Left     []world.Leftover      `json:"left_behind,omitempty"`       // what the run made and could not take away
	Gone     []finding.Known       `json:"gone,omitempty"`              // of the baseline, not found any more
	Idle     []finding.Suppression `json:"idle_suppressions,omitempty"` // expired, or naming nothing found
	Changes  []graph.Change        `json:"changes,omitempty"`           // since the older description that was given: only they were attacked
	Earlier  *Earlier              `json:"earlier,omitempty"`           // what the run took over from those that were broken off
	Stats    Stats                 `json:"stats"`
	// Ended says why the run ended before it was done; "" when it was done.
	Ended string `json:"ended,omitempty"`
}

// Tool is what made the report.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Repair is one thing about the description that had to be mended, or was wrong.
type Repair struct {
	Where string `json:"where"` // file:line, pointer
	What  string `json:"what"`
}

// Stats are a run's figures.
type Stats struct {
	Requests   int64   `json:"requests"`
	Seconds    float64 `json:"seconds"`
	Operations int     `json:"operations"`
	Reached    int     `json:"reached"` // operations with a 2xx
	Checks     int     `json:"checks"`  // that ran
	Proven     int     `json:"proven"`
	// ByCheck are the requests of each check, the most first.
	ByCheck []CheckStats `json:"by_check,omitempty"`
	// Eased is how the target held the run back; nil when it did not.
	Eased *Eased `json:"eased,omitempty"`
	// Phases are the seconds and requests of each phase, in their order.
	Phases []PhaseStats `json:"phases"`
}

// PhaseStats are one phase's figures.
type PhaseStats struct {
	Name     string  `json:"name"` // understand, doctor, tidy (where a journal is gone on with), world, attack, clean up
	Requests int64   `json:"requests"`
	Seconds  float64 `json:"seconds"`
}

// CheckStats are one check's figures.
type CheckStats struct {
	Check    string `json:"check"`
	Requests int64  `json:"requests"`
}

// Counted are the findings that count: not suppressed, and as grave as least.
func (r *Report) Counted(least finding.Severity, newOnly bool) []*finding.Finding {
	var out []*finding.Finding
	for _, f := range r.Findings {
		if f.Suppressed == nil && f.Severity.AtLeast(least) && (!newOnly || f.New == nil || *f.New) {
			out = append(out, f)
		}
	}
	return out
}
