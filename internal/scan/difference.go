package scan

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/crenel-project/crenel/internal/finding"
)

// Difference is what two reports of the same API do not share.
type Difference struct {
	New   []*finding.Finding `json:"new"`
	Gone  []*finding.Finding `json:"gone"`
	Moved []Moved            `json:"changed"` // of another severity now
	Same  int                `json:"unchanged"`
	// Unknown are those that the new report does not have but cannot say are
	// gone: their operation was not reached this time, their check did not run, or
	// the run ended early.
	Unknown []Unknown `json:"unknown"`
	// Lost and Won are operations that only the old, only the new run reached.
	Lost []Operation `json:"no_longer_reached"`
	Won  []Operation `json:"newly_reached"`
}

// Moved is a finding of both reports whose severity differs.
type Moved struct {
	Finding *finding.Finding `json:"finding"` // as it is now
	Was     finding.Severity `json:"was"`
}

// Unknown is a finding of the old report of which the new one says nothing.
type Unknown struct {
	Finding *finding.Finding `json:"finding"`
	Why     string           `json:"why"`
}

// Operation names an operation.
type Operation struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// ReadReport reads a JSON report.
func ReadReport(file string) (*Report, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading a report: %w", err)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("reading the report %s: want what crenel scan --json writes: %w", file, err)
	}
	if r.Run == "" || r.Findings == nil {
		return nil, fmt.Errorf("reading the report %s: it has no run and no findings: want what crenel scan --json writes", file)
	}
	for i, f := range r.Findings {
		if f == nil || f.Fingerprint == "" {
			return nil, fmt.Errorf("reading the report %s: /findings/%d has no fingerprint", file, i)
		}
	}
	return &r, nil
}

// Compare says what changed between two reports. What is not found any more is
// gone only where the new run could have found it.
func Compare(was, is *Report) *Difference {
	d := &Difference{New: []*finding.Finding{}, Gone: []*finding.Finding{}, Moved: []Moved{}, Unknown: []Unknown{}, Lost: []Operation{}, Won: []Operation{}}
	before, now := map[string]*finding.Finding{}, map[string]*finding.Finding{}
	for _, f := range was.Findings {
		before[f.Fingerprint] = f
	}
	for _, f := range is.Findings {
		now[f.Fingerprint] = f
		switch old := before[f.Fingerprint]; {
		case old == nil:
			d.New = append(d.New, f)
		case old.Severity != f.Severity:
			d.Moved = append(d.Moved, Moved{f, old.Severity})
		default:
			d.Same++
		}
	}
	reached := func(r *Report) map[Operation]bool {
		out := map[Operation]bool{}
		for _, c := range r.Coverage {
			out[Operation{c.Method, c.Path}] = c.Reached
		}
		return out
	}
	old, got := reached(was), reached(is)
	ran := map[string]bool{}
	for _, c := range is.Checks {
		ran[c.Check] = true
	}
	for _, f := range was.Findings {
		if now[f.Fingerprint] != nil {
			continue
		}
		op := Operation{f.Method, f.Path}
		there, known := got[op]
		switch {
		case is.Ended != "":
			d.Unknown = append(d.Unknown, Unknown{f, "the new run ended early"})
		case known && !there && old[op]:
			d.Unknown = append(d.Unknown, Unknown{f, "the new run did not reach its operation"})
		case known && !ran[f.Check]:
			d.Unknown = append(d.Unknown, Unknown{f, "the new run did not try its check"})
		default:
			d.Gone = append(d.Gone, f)
		}
	}
	for _, c := range was.Coverage {
		if op := (Operation{c.Method, c.Path}); c.Reached && !got[op] {
			d.Lost = append(d.Lost, op)
		}
	}
	for _, c := range is.Coverage {
		if op := (Operation{c.Method, c.Path}); c.Reached && !old[op] {
			d.Won = append(d.Won, op)
		}
	}
	finding.Sort(d.New)
	finding.Sort(d.Gone)
	return d
}
