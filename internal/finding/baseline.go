package finding

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
)

// Baseline is what is known already: the fingerprints of an earlier run. A
// whole report is a baseline, too: only fingerprints are read.
type Baseline struct {
	Findings []Known `json:"findings"`
}

// Known is one finding of a baseline.
type Known struct {
	Fingerprint string   `json:"fingerprint"`
	Check       string   `json:"check,omitempty"`
	Title       string   `json:"title,omitempty"`
	Severity    Severity `json:"severity,omitempty"`
	Method      string   `json:"method,omitempty"`
	Path        string   `json:"path,omitempty"`
}

// ReadBaseline reads a baseline or a report.
func ReadBaseline(r io.Reader) (*Baseline, error) {
	var b Baseline
	if err := json.NewDecoder(r).Decode(&b); err != nil {
		return nil, fmt.Errorf("reading a baseline: want a JSON report of a scan: %w", err)
	}
	for i, k := range b.Findings {
		if k.Fingerprint == "" {
			return nil, fmt.Errorf("reading a baseline: /findings/%d has no fingerprint", i)
		}
	}
	return &b, nil
}

// Has reports whether the baseline knows a fingerprint.
func (b *Baseline) Has(fingerprint string) bool {
	return slices.ContainsFunc(b.Findings, func(k Known) bool { return k.Fingerprint == fingerprint })
}

// Mark says of each finding whether it is new, and returns what is gone.
func (b *Baseline) Mark(list []*Finding) (gone []Known) {
	now := map[string]bool{}
	for _, f := range list {
		n := !f.known(b.Has)
		f.New = &n
		now[f.Fingerprint] = true
		for i := range f.Places {
			now[f.Places[i].Fingerprint] = true
		}
	}
	for _, k := range b.Findings {
		if !now[k.Fingerprint] {
			gone = append(gone, k)
		}
	}
	return gone
}

// Suppression says that a finding does not count, why, and until when.
type Suppression struct {
	Fingerprint string `json:"fingerprint" yaml:"fingerprint"`
	Reason      string `json:"reason" yaml:"reason"`
	By          string `json:"by,omitempty" yaml:"by,omitempty"`
	// Expires is a date, "2027-01-31": from that day on (UTC) the finding counts again.
	Expires string `json:"expires" yaml:"expires"`
}

// ReadSuppressions reads a YAML file: a list of suppressions. All mistakes are
// told together.
func ReadSuppressions(file string) ([]Suppression, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading suppressions: %w", err)
	}
	var list []Suppression
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&list); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading suppressions in %s: %s", file, yaml.FormatError(err, false, true))
	}
	var wrong []error
	for _, s := range list {
		if err := s.Check(); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", file, err))
		}
	}
	return list, errors.Join(wrong...)
}

// Check says what is wrong with a suppression.
func (s Suppression) Check() error {
	switch {
	case len(s.Fingerprint) != 32:
		return fmt.Errorf("suppression of %q: a fingerprint has 32 hexadecimal digits; the report gives it", s.Fingerprint)
	case s.Reason == "":
		return fmt.Errorf("suppression of %s: no reason given", s.Fingerprint)
	case s.Expires == "":
		return fmt.Errorf("suppression of %s: no date on which it expires given (expires: 2027-01-31)", s.Fingerprint)
	}
	if _, err := time.Parse(time.DateOnly, s.Expires); err != nil {
		return fmt.Errorf("suppression of %s: expires %q is no date like 2027-01-31", s.Fingerprint, s.Expires)
	}
	return nil
}

// Suppress marks findings that a suppression in force names, and returns those
// that are expired or name nothing.
//
// A row with several places is suppressed by its own fingerprint, or by those of all
// its places.
func Suppress(list []*Finding, rules []Suppression, now time.Time) (idle []Suppression) {
	valid := func(mark string) bool {
		return slices.ContainsFunc(rules, func(s Suppression) bool {
			until, err := time.Parse(time.DateOnly, s.Expires)
			return err == nil && now.Before(until) && s.Fingerprint == mark
		})
	}
	for _, s := range rules {
		until, err := time.Parse(time.DateOnly, s.Expires)
		used := false
		if err == nil && now.Before(until) {
			for _, f := range list {
				if f.Fingerprint == s.Fingerprint || slices.ContainsFunc(f.Places, func(a At) bool { return a.Fingerprint == s.Fingerprint }) && f.known(valid) {
					c := s
					f.Suppressed, used = &c, true
				}
			}
		}
		if !used {
			idle = append(idle, s)
		}
	}
	return idle
}
