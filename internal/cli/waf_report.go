package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/trail"
)

// wafRow is one rule at one place of one operation, and how often it counted.
type wafRow struct {
	API       string `json:"api,omitempty"`
	Code      string `json:"code"`
	Rule      int    `json:"rule,omitempty"`
	Operation string `json:"operation"`
	At        string `json:"at"`
	// Requests are those that were, or would have been, refused with it.
	Requests int `json:"requests"`
	// Alone are those of them that would pass, were it silenced.
	Alone int       `json:"alone"`
	Score int       `json:"highest_score,omitempty"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Event string    `json:"event"` // a recent one
}

// wafReport is what waf report prints with --json.
type wafReport struct {
	Mode     string    `json:"mode"`
	Since    time.Time `json:"since"`
	Requests int       `json:"requests"`
	Rows     []*wafRow `json:"rows"`
}

func newWAFReport() *cobra.Command {
	var file, events, dataDir, mode, api string
	var since time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "report",
		Short: "What the WAF would have refused while it only monitors, by rule, operation and field",
		Long: `Read the trail for requests that the WAF would have refused had it not only
monitored, and count them by rule, operation and field. Each line names an event:
crenel event shows all of it, crenel waf allow silences its rules at its fields.
"alone" is how many of the requests would pass if this one line were silenced.
With --mode enforce it is requests that were refused, with all both kinds.`,
		Args:    none,
		Example: examples("crenel waf report", "crenel waf report --since 168h --mode all", "crenel waf report --json | jq '.rows[0]'"),
		RunE: func(c *cobra.Command, _ []string) error {
			if mode != "monitor" && mode != "enforce" && mode != "all" {
				return usagef("--mode %q is none of monitor, enforce and all", mode)
			}
			path, err := eventFile(events, file, dataDir)
			if err != nil {
				return err
			}
			report := &wafReport{Mode: mode, Since: time.Now().Add(-since).UTC(), Rows: []*wafRow{}}
			if since <= 0 {
				report.Since = time.Time{}
			}
			if err := report.read(path, api); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c, report)
			}
			report.print(newPrinter(c.OutOrStdout()))
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&events, "file", "", "the event `file`, instead of the config's")
	c.Flags().StringVar(&dataDir, "data-dir", "", "the gateway's data `directory`, where it was started with one")
	c.Flags().StringVar(&mode, "mode", "monitor", "`which` requests: monitor, enforce or all")
	c.Flags().StringVar(&api, "api", "", "the `name` of one API")
	c.Flags().DurationVar(&since, "since", 24*time.Hour, "`how` far back; 0 is all that is kept")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// read counts what the trail holds.
func (r *wafReport) read(path, api string) error {
	rows := map[wafRow]*wafRow{}
	err := trail.Decisions(path, `"code":"waf.`, func(d *exchange.Decision) (bool, error) {
		if d.Time.Before(r.Since) {
			return true, nil
		}
		ruling := wafRuling(d)
		if ruling == nil || r.Mode != "all" && ruling.Mode != r.Mode || api != "" && d.API != api {
			return false, nil
		}
		detail, err := wafDetailOf(ruling)
		if err != nil {
			return false, err
		}
		r.Requests++
		if len(detail.Matches) == 0 {
			detail.Matches = []wafMatch{{At: ruling.At}}
		}
		// Once a request, however many elements of a list matched.
		keys := map[wafRow]bool{}
		for _, m := range detail.Matches {
			keys[wafRow{API: d.API, Code: ruling.Code, Rule: m.Rule, Operation: wafOperation(d), At: anyIndex(m.At)}] = true
		}
		for key := range keys {
			row := rows[key]
			if row == nil {
				kept := key
				row = &kept
				row.Event, row.Last = d.ID, d.Time
				rows[key] = row
				r.Rows = append(r.Rows, row)
			}
			row.Requests, row.First, row.Score = row.Requests+1, d.Time, max(row.Score, detail.Score)
			if row.Rule != 0 && detail.left(func(m *wafMatch) bool { return m.Rule == key.Rule && anyIndex(m.At) == key.At }) < detail.Threshold {
				row.Alone++
			}
		}
		return false, nil
	})
	slices.SortFunc(r.Rows, func(a, b *wafRow) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(b.Alone, a.Alone), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.API, b.API), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.At, b.At))
	})
	return err
}

func (r *wafReport) print(p *printer) {
	what := map[string]string{"monitor": "would have been refused", "enforce": "refused", "all": "refused, or would have been"}[r.Mode]
	since := ""
	if !r.Since.IsZero() {
		since = " since " + r.Since.Format(time.RFC3339)
	}
	p.linef("%s %s%s", p.bold(count(r.Requests, "request")), what, since)
	if len(r.Rows) == 0 {
		return
	}
	table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\n  requests\talone\trule\toperation\tat\tscore\tlast\tevent")
	for _, row := range r.Rows {
		rule, score := row.Code, ""
		if row.Rule != 0 {
			rule, score = strconv.Itoa(row.Rule), strconv.Itoa(row.Score)
		}
		_, _ = fmt.Fprintf(table, "  %d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Requests, row.Alone, plain(rule), plain(row.Operation), plain(orElse(row.At, "-")), score, row.Last.Format(time.DateTime), plain(row.Event))
	}
	_ = table.Flush()
	p.linef("\n%s", p.dim("crenel event EVENT shows one whole; crenel waf allow EVENT silences its rules at its fields"))
}
