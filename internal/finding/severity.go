package finding

import (
	"fmt"
	"slices"
	"strings"

	gocvss40 "github.com/pandatix/go-cvss/40"
)

// Severity is how grave a finding is.
type Severity string

// The severities, as CVSS v4.0 names them (section 6); Info is its "None".
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

var severities = []Severity{Info, Low, Medium, High, Critical}

func (s Severity) rank() int { return slices.Index(severities, s) }

// AtLeast reports whether s is as grave as other, or graver.
func (s Severity) AtLeast(other Severity) bool { return s.rank() >= other.rank() }

// ParseSeverity reads a severity's name.
func ParseSeverity(text string) (Severity, error) {
	s := Severity(strings.ToLower(strings.TrimSpace(text)))
	if s.rank() < 0 {
		return "", fmt.Errorf("severity %q: want one of info, low, medium, high, critical", text)
	}
	return s, nil
}

// Rate is the score and severity of a CVSS v4.0 vector.
func Rate(vector string) (float64, Severity, error) {
	v, err := gocvss40.ParseVector(vector)
	if err != nil {
		return 0, "", fmt.Errorf("CVSS v4.0 vector %q: %w", vector, err)
	}
	score := v.Score()
	switch {
	case score >= 9:
		return score, Critical, nil
	case score >= 7:
		return score, High, nil
	case score >= 4:
		return score, Medium, nil
	case score > 0:
		return score, Low, nil
	}
	return score, Info, nil
}
