package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

func newWAF() *cobra.Command {
	return group("waf", "What the WAF found, why, and how to silence it where it is wrong",
		examples("crenel waf report --since 24h", "crenel waf allow 01JD8XZ4T2KQ9M3V5W7Y0B1C2D --dry-run", "crenel waf explain /notes?q=x --body '{\"text\":\"hi\"}'"),
		newWAFReport(), newWAFAllow(), newWAFExplain())
}

// wafMatch is one rule at one place, as the trail has it: see waf.Match.
type wafMatch struct {
	Rule   int    `json:"rule"`
	At     string `json:"at"`
	Points int    `json:"points"`
}

// wafDetail is what a ruling of the WAF records.
type wafDetail struct {
	Rules     []int      `json:"rules"`
	Score     int        `json:"score"`
	Threshold int        `json:"threshold"`
	Matches   []wafMatch `json:"matches"`
}

// left is the score without some of the matches. The exact inspection adds all points
// up; the tuned one takes those of the worst value, and of the message as a whole.
func (d *wafDetail) left(silenced func(m *wafMatch) bool) int {
	all, rest, worst, message := 0, 0, 0, 0
	at := map[string]int{}
	for i := range d.Matches {
		m := &d.Matches[i]
		all += m.Points
		if silenced(m) {
			continue
		}
		rest += m.Points
		if m.At == "path" || strings.HasPrefix(m.At, "header:") || strings.HasPrefix(m.At, "cookie:") {
			message += m.Points
			continue
		}
		at[m.At] += m.Points
		worst = max(worst, at[m.At])
	}
	if d.Score >= all {
		return max(0, d.Score-all+rest)
	}
	return min(d.Score, max(worst, message))
}

// wafDetailOf reads a recorded ruling's detail.
func wafDetailOf(r *exchange.RecordedRuling) (*wafDetail, error) {
	b, err := json.Marshal(r.Detail)
	if err != nil {
		return nil, fmt.Errorf("reading what the WAF recorded: %w", err)
	}
	d := &wafDetail{}
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("reading what the WAF recorded: %w", err)
	}
	return d, nil
}

// wafRuling is the WAF's ruling on a request that it refused, or would have; nil
// when there is none.
func wafRuling(d *exchange.Decision) *exchange.RecordedRuling {
	for i := range d.Rulings {
		if r := &d.Rulings[i]; r.Guard == "waf" && r.Action != exchange.Allow.String() {
			return r
		}
	}
	return nil
}

// anyIndex writes * for each number in a JSON pointer: the next request has the
// same at another place of the list.
func anyIndex(at string) string {
	if !strings.HasPrefix(at, "/") {
		return at
	}
	tokens := strings.Split(at[1:], "/")
	for i, t := range tokens {
		if _, err := strconv.ParseUint(t, 10, 32); err == nil {
			tokens[i] = "*"
		}
	}
	return "/" + strings.Join(tokens, "/")
}

// wafOperation names the operation of a decision as configs do.
func wafOperation(d *exchange.Decision) string {
	if d.Operation != "" {
		return d.Operation
	}
	return d.Method + " " + d.Path
}

// eventFile is the event file that a command's flags name.
func eventFile(events, file, dataDir string) (string, error) {
	if events != "" {
		return events, nil
	}
	if dataDir != "" {
		dataDir = flagPath(dataDir)
	}
	events, err := config.TrailFileOf(file, dataDir)
	if err != nil {
		return "", fmt.Errorf("%w\n(with --file no config is needed)", err)
	}
	return events, nil
}
